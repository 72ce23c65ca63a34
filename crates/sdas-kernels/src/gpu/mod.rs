//! The edge and the cell on graphics cards, written once in CubeCL and run by wgpu (Vulkan, Metal, DirectX 12) and CUDA.
//!
//! The edges of a cell run by *phase*: all that read one state go together, in a launch a step of the computation. What a
//! launch works on is a [table](table) in a buffer, so that one kernel serves units of every shape. As on the CPU, only the
//! units' results are kept, before their norms, and a norm is folded into whoever reads it next. Sums over pixels are
//! taken by cubes of a fixed range each and added up in their order, without atomics, so that the same input gives the same
//! bits.

mod extension;
mod flat;
mod kernels;
mod phase;
mod run;
mod table;

pub(crate) use flat::{approach, norm, step};
pub(crate) use run::forget_phases;

use crate::Edge;
use crate::fused::Plan;
use burn::backend::DispatchDevice;
use burn::tensor::Device;

/// Whether a device runs these kernels.
pub(crate) fn runs_on(device: &Device) -> bool {
    matches!(device.clone().inner().as_dispatch(), DispatchDevice::Cube(_))
}

/// Whether they compute an edge: a cube has a unit for each vector of a pixel's channels at least.
pub(crate) fn computes(edge: &Edge) -> bool {
    let plan = Plan::of(edge, 1, [1; 3].map(|one| one * 16));
    let lanes = phase::lanes(&plan);
    edge.inputs.max(edge.outputs) / lanes <= table::UNITS
}
