//! A network as a graph of layers, as data.
//!
//! Every network is one of these: those that people made are written as such ([`crate::handmade`]), and a derived network
//! lowers to one ([`Graph::lower`]). Counting, the names of weights, reading them from files, evaluation and training read it,
//! and whatever writes networks down for others.
//!
//! Activations are `[N, T, H, W, C]`. A picture is a clip of one frame: layers over pictures leave time alone, so that a
//! network for pictures sees each frame of a clip by itself. The numbers lie in [`Parameters`](crate::parameters::Parameters)
//! beside the graph, and each layer knows its place there. A norm after a convolution lies in the convolution's slot, as in an
//! edge of a cell: the two are computed in one piece where there is a kernel. The graph that a derived network lowers to has
//! the network's slots, so that both compute with the same numbers.

mod body;
mod build;
mod counts;
mod fused;
mod layer;
mod lower;
mod run;
mod window;

pub use build::Builder;
pub use counts::ShapeError;
pub use layer::{Activation, Affinity, Filter, Layer, Learnt, Pooling, Shape};
pub use lower::LowerError;
pub use window::{Padding, Window};

use crate::network::{NamedStatistic, NamedWeight};
use serde::{Deserialize, Serialize};
use std::ops::Range;

/// What a layer of a graph gives: its place among the layers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Value(usize);

impl Value {
    /// The layer that gives it.
    pub fn index(self) -> usize {
        self.0
    }
}

/// A layer in its place.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Node {
    /// Its name, as PyTorch would name the module: `layer1.0.conv1`. Layers that learn nothing need not be told apart by it.
    pub name: String,
    /// What it computes.
    pub layer: Layer,
    /// What of.
    pub reads: Vec<Value>,
    /// Where its weights and statistics lie.
    pub place: Place,
    /// What its weights begin with.
    #[serde(default)]
    pub initial: Initial,
}

/// What a layer's weights begin with; biases and shifts begin with 0.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub enum Initial {
    /// What layers of its kind have, as [`Graph::initial_weights`] says.
    #[default]
    Usual,
    /// Normal variates of this deviation.
    Normal(f32),
    /// Zeros.
    Zero,
}

/// Where a layer's numbers lie in the network's parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Place {
    /// The slot.
    pub slot: usize,
    /// Where in the slot's weights its own begin.
    pub weights: usize,
    /// Where in the slot's statistics its own begin.
    pub statistics: usize,
}

/// A network as layers, each of which reads what layers before it give.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Graph {
    nodes: Vec<Node>,
    output: Value,
    slots: usize,
}

impl Graph {
    /// The layers, in an order in which they can be computed; the first is the input.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// The logits, `[N, 1, 1, 1, classes]`.
    pub fn output(&self) -> Value {
        self.output
    }

    /// Whether every layer leaves time alone, as in a network for pictures.
    pub fn is_planar(&self) -> bool {
        let of_one_frame = |window: &Window| {
            let padding = match window.padding {
                Padding::Fixed([frames, ..]) => frames,
                Padding::Same => [0; 2],
            };
            window.kernel[0] == 1 && padding == [0; 2]
        };
        self.nodes.iter().all(|node| match &node.layer {
            Layer::Convolution { filter: Filter { window, .. }, .. } | Layer::Pool { window, .. } => {
                of_one_frame(window)
            }
            Layer::Pad { amounts: [frames, ..] } => *frames == [0; 2],
            _ => true,
        })
    }

    /// The same with this rate in every dropout layer, with 0 without any dropout.
    #[must_use]
    pub fn with_dropout(mut self, rate: f64) -> Graph {
        for node in &mut self.nodes {
            if let Layer::Dropout { rate: own } = &mut node.layer {
                *own = rate;
            }
        }
        self
    }

    /// Number of slots that its parameters have.
    pub fn slots(&self) -> usize {
        self.slots
    }

    /// All weights, in the order of their slots.
    pub fn weights(&self) -> Vec<NamedWeight> {
        let mut named = Vec::new();
        for Node { name, layer, place, .. } in &self.nodes {
            let mut start = place.weights;
            for Learnt { part, kind } in layer.learns() {
                let range = start..start + kind.len();
                start = range.end;
                named.push(NamedWeight { name: format!("{name}.{part}"), slot: place.slot, range, kind });
            }
        }
        named.sort_by_key(|weight| (weight.slot, weight.range.start));
        named
    }

    /// All running statistics, in the order of their slots.
    pub fn statistics(&self) -> Vec<NamedStatistic> {
        let mut named = Vec::new();
        for Node { name, layer, place, .. } in &self.nodes {
            if let Layer::Norm { channels, .. } = *layer {
                let [start, middle, end] = [0, 1, 2].map(|times| place.statistics + times * channels);
                let mut add = |what: &str, range: Range<usize>| {
                    named.push(NamedStatistic { name: format!("{name}.{what}"), slot: place.slot, range });
                };
                add("running_mean", start..middle);
                add("running_var", middle..end);
            }
        }
        named.sort_by_key(|statistic| (statistic.slot, statistic.range.start));
        named
    }

    /// Learnt numbers in every slot.
    pub fn weight_counts(&self) -> Vec<usize> {
        self.by_slot(Layer::weight_count)
    }

    /// Running statistics in every slot.
    pub fn statistic_counts(&self) -> Vec<usize> {
        self.by_slot(Layer::statistic_count)
    }

    fn by_slot(&self, count: impl Fn(&Layer) -> usize) -> Vec<usize> {
        let mut counts = vec![0usize; self.slots];
        for Node { layer, place, .. } in &self.nodes {
            // A layer without numbers has a place, too, but no part in a slot.
            match count(layer) {
                0 => {}
                own => counts[place.slot] = counts[place.slot].saturating_add(own),
            }
        }
        counts
    }
}

impl Node {
    /// Whether weights or statistics belong to it.
    fn has_numbers(&self) -> bool {
        self.layer.weight_count() + self.layer.statistic_count() > 0
    }
}
