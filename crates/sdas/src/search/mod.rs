//! The search.

pub(crate) mod progress;
mod run;
mod step;

pub(crate) use run::load_state;
pub use run::{resume, search};
pub use step::{AlphaGradient, Order, SearchState, WeightStep};
