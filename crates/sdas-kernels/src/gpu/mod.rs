//! The edge and the cell on graphics cards, written once in CubeCL and run by wgpu (Vulkan, Metal, DirectX 12) and CUDA.
//!
//! The edges of a cell run by *phase*: all that read one state go together, in a launch a step of the computation. What a
//! launch works on is a [table](table) in a buffer, so that one kernel serves units of every shape. As on the CPU, only the
//! units' results are kept, before their norms, and a norm is folded into whoever reads it next. Sums over pixels are
//! taken by cubes of a fixed range each and added up in their order, without atomics, so that the same input gives the same
//! bits.

mod arena;
mod extension;
mod flat;
mod kernels;
mod nodes;
pub(crate) mod peak;
mod phase;
mod record;
mod run;
mod table;
mod usage;

pub(crate) use flat::{approach, squares, step};
pub(crate) use record::Recorder;
pub(crate) use usage::{launches, memory};

use crate::Edge;
use crate::fused::Plan;
use burn::backend::DispatchDevice;
use burn::tensor::Device;

/// Forgets what it has prepared for shapes that may not come again.
pub(crate) fn forget() {
    run::forget_phases();
    flat::forget_places();
}

/// Whether a device runs these kernels.
pub(crate) fn runs_on(device: &Device) -> bool {
    matches!(device.clone().inner().as_dispatch(), DispatchDevice::Cube(_))
}

/// Whether they compute these edges, together if there are several, and what passes them by where they work on one of `share`
/// parts of the channels: a cube has a unit for each vector of a pixel's channels at least.
pub(crate) fn compute<'a>(edges: impl Iterator<Item = &'a Edge> + Clone, share: usize) -> bool {
    let plans = edges.clone().map(|edge| Plan::of(edge, 1, [16; 3]));
    let lanes = plans.map(|plan| phase::lanes(&plan)).min().unwrap_or(1);
    let channels = edges.map(|edge| edge.inputs.max(edge.outputs) * (share - 1).max(1));
    channels.into_iter().all(|channels| channels / lanes <= table::UNITS)
}
