//! The numbers of a network: one flat tensor per block.

use burn::tensor::{Device, Gradients, Tensor, TensorData};
use sdas_kernels::GradientNorm;
use std::ops::Range;

/// One optional flat tensor `[count]` per block of a network, by the block's slot.
///
/// Weights, their gradients, an optimizer's momentum and running statistics all have this form, so that what a decision
/// frees is freed in each of them the same way: the slot becomes shorter or empty, and no other slot moves.
#[derive(Debug, Clone)]
pub struct Parameters {
    slots: Vec<Option<Tensor<1>>>,
}

impl Parameters {
    /// The given tensors, by slot.
    pub fn new(slots: Vec<Option<Tensor<1>>>) -> Self {
        Parameters { slots }
    }

    /// Nothing in any of `count` slots.
    pub fn empty(count: usize) -> Self {
        Parameters { slots: vec![None; count] }
    }

    /// Zeros of the same sizes.
    pub fn zeros_like(&self) -> Self {
        self.map(|tensor| tensor.zeros_like())
    }

    /// Number of slots, empty ones included.
    pub fn slots(&self) -> usize {
        self.slots.len()
    }

    /// The tensor of a slot.
    pub fn get(&self, slot: usize) -> Option<Tensor<1>> {
        self.slots[slot].clone()
    }

    /// Puts a tensor into a slot, or empties it.
    pub fn set(&mut self, slot: usize, tensor: Option<Tensor<1>>) {
        self.slots[slot] = tensor;
    }

    /// The tensors of the slots that are not empty, in their order.
    pub fn tensors(&self) -> Vec<Tensor<1>> {
        self.slots.iter().flatten().cloned().collect()
    }

    /// Others in their places, in the order of [`tensors`](Self::tensors).
    pub fn with(&self, tensors: Vec<Tensor<1>>) -> Self {
        let mut tensors = tensors.into_iter();
        self.map(|_| tensors.next().expect("there is one for every slot that is not empty"))
    }

    /// Number of elements in all slots.
    pub fn count(&self) -> usize {
        self.slots.iter().flatten().map(|tensor| tensor.dims()[0]).sum()
    }

    /// Keeps `ranges` of a slot, one after another, copied so that the rest's memory is free; where all are empty the slot
    /// is, too.
    pub fn keep(&mut self, slot: usize, ranges: &[Range<usize>]) {
        self.slots[slot] = match self.slots[slot].take() {
            Some(tensor) if ranges.iter().any(|range| !range.is_empty()) => {
                let ranges = ranges.iter().filter(|range| !range.is_empty());
                // A slice may be a view that keeps the whole tensor alive; a copy through the host is not.
                let kept =
                    Tensor::cat(ranges.map(|range| tensor.clone().slice([range.clone()])).collect(), 0).into_data();
                Some(Tensor::from_data(kept, (&tensor.device(), tensor.dtype())))
            }
            _ => None,
        };
    }

    /// The same values, ready to have their gradients taken.
    pub fn tracked(&self) -> Self {
        self.map(|tensor| tensor.autodiff().require_grad())
    }

    /// Takes the gradients of tracked parameters; zeros where the loss did not depend on a slot.
    pub fn gradients(&self, gradients: &mut Gradients) -> Self {
        self.map(|tensor| tensor.grad_remove(gradients).unwrap_or_else(|| tensor.inner().zeros_like()))
    }

    /// Applies `f` to every tensor.
    pub fn map(&self, mut f: impl FnMut(Tensor<1>) -> Tensor<1>) -> Self {
        Parameters { slots: self.slots.iter().map(|slot| slot.clone().map(&mut f)).collect() }
    }

    /// Applies `f` to every pair of tensors; a slot that is empty in either is empty in the result.
    pub fn zip(&self, other: &Self, f: impl Fn(Tensor<1>, Tensor<1>) -> Tensor<1>) -> Self {
        let pair = |(a, b): (&Option<Tensor<1>>, &Option<Tensor<1>>)| Some(f(a.clone()?, b.clone()?));
        Parameters { slots: self.slots.iter().zip(&other.slots).map(pair).collect() }
    }

    /// Euclidean norm over all slots together.
    pub fn norm(&self) -> GradientNorm {
        sdas_kernels::norm(&self.tensors())
    }

    /// Moves `self` towards `target` by `share` of the way: how running statistics follow a batch's.
    pub fn approach(&self, target: &Self, share: f64) -> Self {
        let both = |slot: &usize| self.slots[*slot].is_some() && target.slots[*slot].is_some();
        let used: Vec<usize> = (0..self.slots.len()).filter(both).collect();
        let of = |slots: &[Option<Tensor<1>>]| used.iter().filter_map(|&slot| slots[slot].clone()).collect::<Vec<_>>();
        let moved = sdas_kernels::approach(&of(&self.slots), &of(&target.slots), share);
        let mut slots = self.slots.clone();
        used.iter().zip(moved).for_each(|(&slot, moved)| slots[slot] = Some(moved));
        Parameters { slots }
    }

    /// The values on the host, by slot.
    pub fn to_host(&self) -> Vec<Option<Vec<f32>>> {
        self.slots
            .iter()
            .map(|slot| slot.as_ref().map(|tensor| tensor.to_data().convert::<f32>().iter::<f32>().collect()))
            .collect()
    }

    /// Values from the host, by slot, on `device`.
    pub fn from_host(slots: Vec<Option<Vec<f32>>>, device: &Device) -> Self {
        let upload = |values: Vec<f32>| {
            let count = values.len();
            Tensor::from_data(TensorData::new(values, [count]), device)
        };
        Parameters { slots: slots.into_iter().map(|slot| slot.map(upload)).collect() }
    }
}
