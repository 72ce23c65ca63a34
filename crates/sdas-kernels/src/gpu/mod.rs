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
pub(crate) mod peak;
mod phase;
mod record;
mod run;
mod table;
mod usage;

pub(crate) use flat::{approach, squares, step};
pub(crate) use record::Recorder;
pub(crate) use usage::{launches, memory};

use crate::fused::{Plan, Shape};
use crate::{Edge, Expression, Link};
use burn::backend::DispatchDevice;
use burn::tensor::{Device, Tensor};

/// Forgets what it has prepared for shapes that may not come again.
pub(crate) fn forget() {
    run::forget_phases();
    flat::forget_places();
}

/// Whether a device runs these kernels.
pub(crate) fn runs_on(device: &Device) -> bool {
    matches!(device.clone().inner().as_dispatch(), DispatchDevice::Cube(_))
}

/// Inputs and nodes of the cells that are computed together; all nodes are the output.
const INPUTS: usize = 2;
const NODES: usize = 4;

/// Whether they compute a cell of these states: one of the usual form, each of whose nodes has one link at most from a
/// state.
pub(crate) fn computes_cell(shapes: &[Shape], links: &[Link], mixes: Option<&Tensor<2>>, concat: &[usize]) -> bool {
    let factors = mixes.map_or(0, |mixes| mixes.dims()[1]);
    let places: Vec<_> = links.iter().map(|link| (link.from, link.node)).collect();
    shapes.len() == INPUTS + NODES
        && shapes.iter().all(|shape| shape.channels == shapes[0].channels)
        && shapes[INPUTS..].iter().all(|shape| shape.extent == shapes[INPUTS].extent)
        && concat.iter().copied().eq(INPUTS..INPUTS + NODES)
        && links
            .iter()
            .all(|link| link.edge.computes() && link.mixed.is_none_or(|_| factors == link.edge.operations.len()))
        && places.iter().enumerate().all(|(index, place)| !places[..index].contains(place))
}

/// Whether they compute an edge: a cube has a unit for each vector of a pixel's channels at least.
pub(crate) fn computes(edge: &Edge) -> bool {
    if edge.operations.iter().any(|of| matches!(of, Expression::AveragePool { .. } | Expression::Shrink)) {
        return false;
    }
    let plan = Plan::of(edge, 1, [1; 3].map(|one| one * 16));
    let lanes = phase::lanes(&plan);
    edge.inputs.max(edge.outputs) / lanes <= table::UNITS
}
