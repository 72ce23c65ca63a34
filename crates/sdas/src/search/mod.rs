//! The search.

pub(crate) mod progress;
mod run;
mod state;
mod step;

pub use run::{resume, search};
pub(crate) use state::load_state;
pub use step::{AlphaGradient, Order, SearchState, WeightStep};
