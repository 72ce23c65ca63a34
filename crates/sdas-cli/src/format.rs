//! Numbers as people read them.

pub(crate) use sdas::numbers::{duration, memory, percent, thousands};
