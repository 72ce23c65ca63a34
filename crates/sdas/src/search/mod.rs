//! The search.

mod step;

pub use step::{AlphaGradient, Order, SearchState, WeightStep};
