//! Along which axes a network may read samples of any size.

use crate::layers::{Affinity, Graph, Layer, Padding, Window};

/// By layer, whether what it gives changes its size with the samples, along time, height and width.
pub(super) struct Axes {
    varying: Vec<[bool; 3]>,
}

impl Axes {
    /// Those of a graph for pictures or for clips. An axis is free unless a layer needs its size.
    pub(super) fn of(graph: &Graph, of_pictures: bool) -> Self {
        let mut free = [!of_pictures, true, true];
        loop {
            let varying = varying(graph, free);
            let needed = needed(graph, &varying);
            let left = std::array::from_fn(|axis| free[axis] && !needed[axis]);
            if left == free {
                return Axes { varying };
            }
            free = left;
        }
    }

    /// Of what a layer gives.
    pub(super) fn varying(&self, layer: usize) -> [bool; 3] {
        self.varying[layer]
    }
}

fn varying(graph: &Graph, free: [bool; 3]) -> Vec<[bool; 3]> {
    let mut varying: Vec<[bool; 3]> = Vec::with_capacity(graph.nodes().len());
    for node in graph.nodes() {
        let read = |axis: usize| node.reads.iter().any(|read| varying[read.index()][axis]);
        let first = |axis: usize| varying[node.reads[0].index()][axis];
        let own = std::array::from_fn(|axis| match &node.layer {
            Layer::Input { .. } => free[axis],
            Layer::AdaptiveAverage { size } => size[axis].is_none() && read(axis),
            Layer::Flatten { frames, .. } => axis == 0 && !frames && read(axis),
            Layer::FrameProduct => axis > 0 && read(axis),
            Layer::Attention { .. } => first(axis),
            Layer::Bilinear => false,
            _ => read(axis),
        });
        varying.push(own);
    }
    varying
}

/// The axes of the samples along which a layer needs to know the size of what it reads.
fn needed(graph: &Graph, varying: &[[bool; 3]]) -> [bool; 3] {
    let mut needed = [false; 3];
    for node in graph.nodes() {
        for read in &node.reads {
            for axis in 0..3 {
                let needs = match &node.layer {
                    Layer::Flatten { frames, .. } => axis > 0 || *frames,
                    Layer::AdaptiveAverage { size } => size[axis].is_some_and(|parts| parts > 1),
                    Layer::Attention { affinity } => *affinity == Affinity::Mean,
                    Layer::Pool { window, .. } => !counts_alike(window, axis),
                    Layer::Convolution { filter, .. } => filter.window.ceil && filter.window.stride[axis] > 1,
                    _ => false,
                };
                needed[axis] |= needs && varying[read.index()][axis];
            }
        }
    }
    needed
}

/// Whether everybody gives the same number of windows along an axis, whatever its size: where the last one may reach beyond
/// the padding, only those that begin within the sample count for us.
fn counts_alike(window: &Window, axis: usize) -> bool {
    let reach = (window.kernel[axis] - 1) * window.dilation[axis] + 1;
    let is_padded = !matches!(window.padding, Padding::Fixed(amounts) if amounts[axis] == [0, 0]);
    !window.ceil || window.stride[axis] == 1 || !is_padded && window.stride[axis] <= reach
}
