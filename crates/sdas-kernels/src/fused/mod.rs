//! The edge in one piece on the CPU, for single precision: the way there and the way back by hand.
//!
//! Edges that run the same on the same activation are computed together, as a [fan](fan::Fan), and the edges of a cell as
//! [one function](cell::FusedCell) of Burn.
//!
//! An edge is a few [units](plan::Unit), each a matrix product over rows that are made in cache (a depthwise convolution,
//! the pixels themselves, patches), or a pool. Only the units' results are kept, before their norms: a norm is folded into
//! whoever reads it next. A batch norm needs sums over the whole batch, so that the work is a few passes over the images,
//! parallel over groups of them; sums are added up in the groups' order, which depends on the shape alone, so that the
//! numbers are the same whatever the number of threads.

mod backward;
mod cell;
mod concatenate;
mod correlate;
mod dense;
mod descent;
mod extension;
mod fan;
mod forward;
mod grid;
mod held;
mod input_back;
mod memory;
mod noise;
mod normal;
mod pack;
mod passing;
mod plan;
mod pool;
mod product;
mod rows;
mod share;
mod tensors;
mod term_sums;
mod topology;
mod unit_back;

#[cfg(feature = "gpu")]
pub(crate) use backward::Wanted;
#[cfg(feature = "gpu")]
pub(crate) use cell::{CellForwarded, CellReturned, CellWanted, FusedCell};
pub(crate) use cell::{cell, handles_cell};
pub use descent::{Descending, Descent, GradientNorm, approach, norm};
#[cfg(feature = "gpu")]
pub(crate) use extension::{Call, Forwarded, FusedEdge, Returned};
pub(crate) use extension::{forward, handles};
#[cfg(feature = "gpu")]
pub(crate) use grid::Window;
#[cfg(feature = "gpu")]
pub(crate) use held::Held;
pub use memory::release_memory;
#[cfg(feature = "gpu")]
pub(crate) use plan::{Body, Plan, Product, Rows, Unit};
#[cfg(feature = "gpu")]
pub(crate) use tensors::Tensors;
#[cfg(feature = "gpu")]
pub(crate) use topology::{Call as CellCall, Place};
