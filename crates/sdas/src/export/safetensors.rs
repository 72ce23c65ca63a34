//! Weights and running statistics by PyTorch's names, in PyTorch's order.

use super::Subject;
use crate::network::{NamedStatistic, NamedWeight};
use safetensors::tensor::{Dtype, TensorView};
use sdas_kernels::WeightKind;
use std::collections::HashMap;

/// A tensor as PyTorch has it: its name, its shape, and its values in that order.
#[derive(Debug, Clone, PartialEq)]
pub struct NamedTensor {
    /// `layer1.0.conv1.weight`.
    pub name: String,
    /// Convolutions of networks for pictures have no axis of time.
    pub shape: Vec<usize>,
    /// The values.
    pub values: Vec<f32>,
}

impl Subject {
    /// All weights and running statistics without the auxiliary head's, in the order in which they are computed with.
    pub fn tensors(&self) -> Vec<NamedTensor> {
        let [weights, statistics] = [&self.weights, &self.statistics].map(|numbers| numbers.to_host());
        let of = |slots: &[Option<Vec<f32>>], slot: usize, range: std::ops::Range<usize>| -> Vec<f32> {
            slots[slot].as_ref().map_or_else(Vec::new, |slot| slot[range].to_vec())
        };
        let is_planar = self.is_planar();
        let weight = |NamedWeight { name, slot, range, kind }| NamedTensor {
            name,
            shape: shape(kind, is_planar),
            values: kind.to_pytorch(&of(&weights, slot, range)),
        };
        let statistic = |NamedStatistic { name, slot, range }| NamedTensor {
            name,
            shape: vec![range.len()],
            values: of(&statistics, slot, range),
        };
        let weights = self.graph.weights().into_iter().map(weight);
        weights.chain(self.graph.statistics().into_iter().map(statistic)).collect()
    }
}

/// A weight's shape in PyTorch.
fn shape(kind: WeightKind, is_planar: bool) -> Vec<usize> {
    let after = |head: [usize; 2], kernel: [usize; 3]| [&head[..], &kernel[usize::from(is_planar)..]].concat();
    match kind {
        WeightKind::Dense { kernel, inputs, outputs } => after([outputs, inputs], kernel),
        WeightKind::Depthwise { kernel, channels } => after([channels, 1], kernel),
        WeightKind::Pointwise { inputs, outputs } => vec![outputs, inputs],
        WeightKind::Scale(channels) | WeightKind::Shift(channels) => vec![channels],
    }
}

/// The bytes of a safetensors file: the tensors by name, and what there is to know of them as its metadata.
pub fn to_safetensors(subject: &Subject) -> Vec<u8> {
    let tensors = subject.tensors();
    let bytes: Vec<Vec<u8>> =
        tensors.iter().map(|tensor| tensor.values.iter().flat_map(|value| value.to_le_bytes()).collect()).collect();
    let views = tensors.iter().zip(&bytes).map(|(tensor, bytes)| {
        let view = TensorView::new(Dtype::F32, tensor.shape.clone(), bytes);
        (tensor.name.as_str(), view.expect("a tensor has as many values as its shape says"))
    });
    let metadata: HashMap<String, String> = subject.metadata().into_iter().collect();
    safetensors::serialize(views, Some(metadata)).expect("tensors of different names can be written")
}
