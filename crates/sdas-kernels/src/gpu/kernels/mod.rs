//! The kernels. Buffers are flat; lengths and offsets count vectors of channels.
// What is assigned in a branch needs a value before it.
#![allow(missing_docs, unused_assignments, clippy::too_many_arguments)]
// Kernels are translated by a macro, which knows fewer forms than Rust has.
#![allow(clippy::assign_op_pattern, clippy::collapsible_if, clippy::explicit_auto_deref, clippy::manual_div_ceil)]

pub(super) mod back;
pub(super) mod descent;
pub(super) mod forward;
pub(super) mod gather;
pub(super) mod pack;
pub(super) mod peak;
mod place;
pub(super) mod rows;
pub(super) mod sums;
pub(super) mod weights;
