//! The search.

mod curvature;
pub(crate) mod progress;
mod run;
mod state;
mod step;

pub(crate) use run::costs_of;
pub use run::{complete, complete_among, resume, resume_among, search, search_among};
pub(crate) use state::load_state;
pub use step::{AlphaGradient, Order, SearchState};
