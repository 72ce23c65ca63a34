//! Blocks: what a network is made of.

use super::Noise;
use crate::parameters::Parameters;
use burn::tensor::Tensor;
use rand::Rng;
use sdas_data::Part;
use sdas_data::random::Stream;
use sdas_kernels::{Edge, Expression, Mode, Together, WeightKind};

/// An edge of a network with its place among the network's parameters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// Its name as PyTorch would name the module: `cells.0.edges.3`.
    pub name: String,
    /// Where the module is a part of a PyTorch `Sequential`, the index of its first layer there; otherwise 0.
    pub first_layer: usize,
    /// Its slot in [`Parameters`].
    pub slot: usize,
    /// What it computes.
    pub edge: Edge,
}

impl Block {
    /// Computes the block; what it normalised by goes into `pass`.
    pub(super) fn forward(&self, pass: &mut BlockPass<'_>, input: Tensor<5>) -> Tensor<5> {
        let output = self.edge.forward(input, pass.weights.get(self.slot), None, self.mode(pass));
        self.report(pass, output.statistics);
        output.activation
    }

    /// What its norms use.
    pub(super) fn mode(&self, pass: &BlockPass<'_>) -> Mode {
        match pass.running {
            Some(running) => Mode::Running(running.get(self.slot)),
            None => pass.together.clone().map_or(Mode::Batch, Mode::Together),
        }
    }

    /// Notes the batch's statistics, if there are any.
    pub(super) fn report(&self, pass: &mut BlockPass<'_>, statistics: Option<Tensor<1>>) {
        if statistics.is_some() {
            pass.statistics.set(self.slot, statistics);
        }
    }

    /// Whether it hands its input on unchanged.
    pub fn is_identity(&self) -> bool {
        let Edge { inputs, outputs, stride, operations, .. } = &self.edge;
        operations[..] == [Expression::Skip] && inputs == outputs && *stride == [1, 1, 1]
    }

    /// The name that PyTorch would give to `part`, a weight's or a norm's name below the edge.
    pub fn pytorch_name(&self, part: &str) -> String {
        let shifted = part.split_once('.').and_then(|(layer, rest)| {
            let layer: usize = layer.parse().ok().filter(|_| self.first_layer > 0)?;
            Some(format!("{}.{rest}", layer + self.first_layer))
        });
        format!("{}.{}", self.name, shifted.as_deref().unwrap_or(part))
    }

    /// Initial weights as PyTorch's layers have them: uniform within ±1/√(fan in); norms with scale 1 and shift 0.
    pub fn initial_weights(&self, stream: &mut Stream) -> Option<Vec<f32>> {
        let weights = self.edge.weights();
        let mut values = Vec::with_capacity(self.edge.weight_count());
        for weight in &weights {
            match (weight.kind.fan_in(), weight.kind) {
                (Some(fan_in), kind) => values.extend(uniform(stream, fan_in, kind.len())),
                (None, WeightKind::Scale(channels)) => values.extend(std::iter::repeat_n(1.0, channels)),
                (None, kind) => values.extend(std::iter::repeat_n(0.0, kind.len())),
            }
        }
        (!values.is_empty()).then_some(values)
    }

    /// Initial running statistics: means 0, variances 1.
    pub fn initial_statistics(&self) -> Option<Vec<f32>> {
        let mut values = Vec::with_capacity(self.edge.statistic_count());
        for statistic in self.edge.statistics() {
            let channels = statistic.range.len() / 2;
            values.extend(std::iter::repeat_n(0.0, channels));
            values.extend(std::iter::repeat_n(1.0, channels));
        }
        (!values.is_empty()).then_some(values)
    }
}

/// What blocks read and write during one forward pass.
pub(super) struct BlockPass<'a> {
    pub(super) weights: &'a Parameters,
    /// Running statistics to normalise by; `None` normalises by the batch.
    pub(super) running: Option<&'a Parameters>,
    /// What operations that are nothing but noise give.
    pub(super) noise: Noise,
    /// Where the samples stand in a batch of which others have a part.
    pub(super) part: Option<Part>,
    /// Who has the others, if norms go by all.
    pub(super) together: Option<Together>,
    /// The batch's statistics, filled as the blocks run.
    pub(super) statistics: Parameters,
}

/// `count` values uniform within ±1/√fan_in: He's initialisation with a = √5, PyTorch's default.
fn uniform(stream: &mut Stream, fan_in: usize, count: usize) -> Vec<f32> {
    let bound = 1.0 / (fan_in as f32).sqrt();
    (0..count).map(|_| stream.random_range(-bound..bound)).collect()
}

/// A linear layer: in its slot, the weights `[inputs, outputs]`, then the bias `[outputs]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Linear {
    /// Its name as PyTorch would name the module.
    pub name: String,
    /// Its slot in [`Parameters`].
    pub slot: usize,
    /// Features read.
    pub inputs: usize,
    /// Features written.
    pub outputs: usize,
}

impl Linear {
    /// `[N, inputs]` to `[N, outputs]`.
    pub(super) fn forward(&self, weights: &Parameters, input: Tensor<2>) -> Tensor<2> {
        let flat = weights.get(self.slot).expect("a linear layer always has weights");
        let split = self.inputs * self.outputs;
        let weight = flat.clone().slice([0..split]);
        let bias = flat.slice([split..split + self.outputs]).reshape([1, self.outputs]);
        sdas_kernels::linear(input, weight, self.outputs) + bias
    }

    /// Number of elements in its slot.
    pub fn weight_count(&self) -> usize {
        self.inputs.saturating_add(1).saturating_mul(self.outputs)
    }

    /// Initial weights as PyTorch's linear layer has them.
    pub fn initial_weights(&self, stream: &mut Stream) -> Vec<f32> {
        uniform(stream, self.inputs, self.weight_count())
    }
}
