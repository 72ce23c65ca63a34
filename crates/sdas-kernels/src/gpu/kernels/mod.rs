//! The kernels. Buffers are flat; lengths and offsets count vectors of channels.
// What is assigned in a branch needs a value before it.
#![allow(missing_docs, unused_assignments, clippy::too_many_arguments)]

pub(super) mod back;
pub(super) mod descent;
pub(super) mod forward;
pub(super) mod gather;
pub(super) mod pack;
mod place;
pub(super) mod rows;
pub(super) mod sums;
