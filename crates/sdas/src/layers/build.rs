//! Putting a graph together, layer by layer.

use super::{Activation, Filter, Graph, Initial, Layer, Node, Place, Pooling, Value, Window};
use sdas_kernels::Epsilon;

/// Adds layers to a graph, keeps track of channels, and hands out slots.
///
/// # Panics
///
/// Its methods, if a layer cannot read what it is given: a definition that does so is wrong.
#[derive(Debug)]
pub struct Builder {
    nodes: Vec<Node>,
    /// Channels of what each layer gives.
    channels: Vec<usize>,
    slots: usize,
}

impl Builder {
    /// A network over pictures or clips of so many channels, and these.
    pub fn new(channels: usize) -> (Self, Value) {
        let input = Node {
            name: "input".to_owned(),
            layer: Layer::Input { channels },
            reads: Vec::new(),
            place: Place::default(),
            initial: Initial::Usual,
        };
        (Builder { nodes: vec![input], channels: vec![channels], slots: 0 }, Value(0))
    }

    /// A network to go on with, and what it gives.
    pub fn resume(graph: Graph) -> (Self, Value) {
        let Graph { nodes, output, slots } = graph;
        let mut builder = Builder { nodes: Vec::new(), channels: Vec::new(), slots };
        for node in nodes {
            let channels = builder.given(&node.layer, &node.reads);
            builder.nodes.push(node);
            builder.channels.push(channels);
        }
        (builder, output)
    }

    /// Channels of a value.
    pub fn channels(&self, value: Value) -> usize {
        self.channels[value.0]
    }

    /// The graph that gives `output`.
    pub fn finish(self, output: Value) -> Graph {
        Graph { nodes: self.nodes, output, slots: self.slots }
    }

    /// The graph that gives `output`, whose numbers lie in so many slots.
    pub(super) fn finish_in(self, output: Value, slots: usize) -> Graph {
        Graph { slots, ..self.finish(output) }
    }

    /// Adds a layer, in a slot of its own if it has numbers; a norm that follows a convolution lies in the convolution's.
    pub fn layer(&mut self, name: impl Into<String>, layer: Layer, reads: &[Value]) -> Value {
        let place = match (&layer, reads) {
            (Layer::Norm { .. }, [read]) if self.begins_slot(*read) => {
                let Node { layer: before, place, .. } = &self.nodes[read.0];
                Place { weights: place.weights + before.weight_count(), ..*place }
            }
            _ if layer.weight_count() + layer.statistic_count() > 0 => {
                self.slots += 1;
                Place { slot: self.slots - 1, ..Place::default() }
            }
            _ => Place::default(),
        };
        self.layer_in(name, layer, reads, place)
    }

    /// Adds a layer whose numbers lie in the given place.
    pub(super) fn layer_in(&mut self, name: impl Into<String>, layer: Layer, reads: &[Value], place: Place) -> Value {
        self.channels.push(self.given(&layer, reads));
        self.nodes.push(Node { name: name.into(), layer, reads: reads.to_vec(), place, initial: Initial::Usual });
        Value(self.nodes.len() - 1)
    }

    /// Says what the weights of the layer that gives `value` begin with.
    pub fn begin(&mut self, value: Value, initial: Initial) {
        self.nodes[value.0].initial = initial;
    }

    /// Channels of what a layer gives.
    fn given(&self, layer: &Layer, reads: &[Value]) -> usize {
        let given = |value: &Value| self.channels[value.0];
        match layer {
            Layer::Input { channels } => *channels,
            Layer::Convolution { filter, .. } => filter.outputs,
            Layer::Linear { outputs, .. } | Layer::Zero { outputs, .. } => *outputs,
            Layer::Flatten { positions, .. } => given(&reads[0]).saturating_mul(*positions),
            Layer::Concatenate => reads.iter().map(given).fold(0, usize::saturating_add),
            Layer::Slice { from, to } => to.saturating_sub(*from),
            Layer::Attention { .. } => given(&reads[2]),
            Layer::Bilinear => given(&reads[0]).saturating_pow(2),
            Layer::Multiply => reads.iter().map(given).max().unwrap_or(0),
            _ => given(&reads[0]),
        }
    }

    /// Whether a value comes from a convolution whose slot ends with it.
    fn begins_slot(&self, value: Value) -> bool {
        let Node { layer, place, .. } = &self.nodes[value.0];
        matches!(layer, Layer::Convolution { .. }) && place.slot + 1 == self.slots && {
            let later = &self.nodes[value.0 + 1..];
            !later.iter().any(|node| node.has_numbers())
        }
    }

    /// A convolution.
    pub fn convolution(&mut self, name: impl Into<String>, x: Value, filter: Filter) -> Value {
        let (name, inputs) = (name.into(), self.channels(x));
        let fits = inputs.is_multiple_of(filter.groups) && filter.outputs.is_multiple_of(filter.groups);
        assert!(fits, "{name}: {inputs} channels to {} in {} groups", filter.outputs, filter.groups);
        self.layer(name, Layer::Convolution { inputs, filter }, &[x])
    }

    /// Batch norm.
    pub fn norm(&mut self, name: impl Into<String>, x: Value) -> Value {
        self.norm_with(name, x, Epsilon::USUAL.value())
    }

    /// Batch norm that adds `epsilon` to the variances.
    pub fn norm_with(&mut self, name: impl Into<String>, x: Value, epsilon: f64) -> Value {
        let channels = self.channels(x);
        self.layer(name, Layer::Norm { channels, epsilon, affine: true }, &[x])
    }

    /// A function of every value.
    pub fn activation(&mut self, activation: Activation, x: Value) -> Value {
        self.layer("", Layer::Activation(activation), &[x])
    }

    /// ReLU.
    pub fn relu(&mut self, x: Value) -> Value {
        self.activation(Activation::Relu, x)
    }

    /// The largest value of each window.
    pub fn max_pool(&mut self, x: Value, window: Window) -> Value {
        self.layer("", Layer::Pool { pool: Pooling::Max, window }, &[x])
    }

    /// The mean of each window, padding counted or not.
    pub fn average_pool(&mut self, x: Value, window: Window, padded: bool) -> Value {
        self.layer("", Layer::Pool { pool: Pooling::Average { padded }, window }, &[x])
    }

    /// The mean over height and width of each frame.
    pub fn average_frames(&mut self, x: Value) -> Value {
        self.layer("", Layer::AdaptiveAverage { size: [None, Some(1), Some(1)] }, &[x])
    }

    /// The mean over time, height and width.
    pub fn average(&mut self, x: Value) -> Value {
        self.layer("", Layer::AdaptiveAverage { size: [Some(1); 3] }, &[x])
    }

    /// A linear layer with bias.
    pub fn linear(&mut self, name: impl Into<String>, x: Value, outputs: usize) -> Value {
        let inputs = self.channels(x);
        self.layer(name, Layer::Linear { inputs, outputs, bias: true }, &[x])
    }

    /// Height and width of each frame become channels.
    pub fn flatten(&mut self, x: Value, positions: usize) -> Value {
        self.layer("", Layer::Flatten { frames: false, positions }, &[x])
    }

    /// The sum of two.
    pub fn add(&mut self, x: Value, y: Value) -> Value {
        self.layer("", Layer::Add, &[x, y])
    }

    /// The product of two.
    pub fn multiply(&mut self, x: Value, y: Value) -> Value {
        self.layer("", Layer::Multiply, &[x, y])
    }

    /// Channels side by side.
    pub fn concatenate(&mut self, values: &[Value]) -> Value {
        self.layer("", Layer::Concatenate, values)
    }

    /// The channels `from` to before `to`.
    pub fn channels_of(&mut self, x: Value, from: usize, to: usize) -> Value {
        self.layer("", Layer::Slice { from, to }, &[x])
    }

    /// Dropout, in training.
    pub fn dropout(&mut self, x: Value, rate: f64) -> Value {
        self.layer("", Layer::Dropout { rate }, &[x])
    }
}
