//! The edge: the unit of work.

use crate::expression::{Expression, Extent, Padding};
use crate::weights::{Layout, layout, strided, volume};
use crate::{Statistic, Together, Weight, fused, portable};
use burn::tensor::Tensor;
use std::cell::Cell;
use std::ops::Range;

thread_local! {
    /// Whether this thread's edges run portably even where there is a fused body.
    static PORTABLY: Cell<bool> = const { Cell::new(false) };
}

/// Runs `body` with everything that this thread computes made of Burn's own operations, the reference, even where there is
/// a fused body: for holding whole networks against it, in tests and measurements.
pub fn portably<R>(body: impl FnOnce() -> R) -> R {
    let before = PORTABLY.replace(true);
    let result = body();
    PORTABLY.set(before);
    result
}

/// Whether this thread was asked to use Burn's own operations.
pub(crate) fn is_portable() -> bool {
    PORTABLY.get()
}

/// What the batch norms of an edge have besides normalising.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Norm {
    /// Nothing: the search phase. Pools, too, are normalised.
    Plain,
    /// A learnt scale and shift: derived networks.
    Affine,
    /// There are no norms at all.
    Absent,
}

/// What a batch norm adds to a variance before its root is taken: a positive number that is compared by its bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Epsilon(u64);

impl Epsilon {
    /// 1e-5, as PyTorch has it where nothing is said.
    pub const USUAL: Epsilon = Epsilon::new(1e-5);

    /// The given number.
    pub const fn new(value: f64) -> Self {
        Epsilon(value.to_bits())
    }

    /// The number.
    pub const fn value(self) -> f64 {
        f64::from_bits(self.0)
    }
}

/// The statistics that batch norms normalise by.
#[derive(Debug, Clone)]
pub enum Mode {
    /// Those of the batch; the output reports them.
    Batch,
    /// Those of a batch of which others compute a part, too; the output reports them. On the CPU and in single precision alone.
    Together(Together),
    /// Running ones, flat, laid out as [`Edge::statistics`] says: evaluation.
    Running(Option<Tensor<1>>),
}

/// What an edge gives.
#[derive(Debug, Clone)]
pub struct Output {
    /// The activation, `[N, T', H', W', outputs]`.
    pub activation: Tensor<5>,
    /// In [`Mode::Batch`] and [`Mode::Together`], the batch's means and unbiased variances, flat, laid out as
    /// [`Edge::statistics`] says and outside autodiff; `None` where the edge has no norms.
    pub statistics: Option<Tensor<1>>,
}

/// One edge: every operation that it runs on the same input, and how they are summed.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Edge {
    /// Channels read.
    pub inputs: usize,
    /// Channels written; differs from `inputs` only where every operation is a [`Expression::Zero`],
    /// [`Expression::Project`], [`Expression::Convolve`], [`Expression::Shrink`] or factorized reduce.
    pub outputs: usize,
    /// Stride along time, height and width.
    pub stride: Extent,
    /// The operations.
    pub operations: Vec<Expression>,
    /// Its batch norms.
    pub norm: Norm,
    /// What they add to variances.
    pub epsilon: Epsilon,
}

impl Edge {
    /// Computes the edge.
    ///
    /// `input` is `[N, T, H, W, inputs]`; `weights` is flat, as [`Edge::weights`] lays it out, and `None` where that is
    /// empty; `mix` holds one factor per operation, and `None` means that the operations are summed as they are.
    /// Gradients are computed for what is tracked, and for nothing else.
    ///
    /// # Panics
    ///
    /// If a shape does not fit the edge.
    pub fn forward(&self, input: Tensor<5>, weights: Option<Tensor<1>>, mix: Option<Tensor<1>>, mode: Mode) -> Output {
        self.check(&input, mix.as_ref());
        if self.operations == [Expression::Skip] && self.is_identity() && mix.is_none() {
            return Output { activation: input, statistics: None };
        }
        if !is_portable() && fused::handles(self, &input, weights.as_ref(), mix.as_ref()) {
            return fused::forward(self, input, weights, mix, mode);
        }
        portable::forward(self, input, weights, mix, mode)
    }

    fn check(&self, input: &Tensor<5>, mix: Option<&Tensor<1>>) {
        let channels = input.dims()[4];
        assert_eq!(channels, self.inputs, "an edge of {} input channels was given {channels}", self.inputs);
        if let Some(mix) = mix {
            assert_eq!(mix.dims()[0], self.operations.len(), "one factor per operation");
        }
    }

    /// The weights in the order in which they lie in the flat tensor.
    pub fn weights(&self) -> Vec<Weight> {
        self.layout([1; 3]).weights
    }

    /// The batch norms in the order in which their statistics lie in the flat tensor.
    pub fn statistics(&self) -> Vec<Statistic> {
        self.layout([1; 3]).statistics
    }

    /// Elements of the flat tensor of weights.
    pub fn weight_count(&self) -> usize {
        self.weights().last().map_or(0, |weight| weight.range.end)
    }

    /// Elements of the flat tensor of statistics.
    pub fn statistic_count(&self) -> usize {
        self.statistics().last().map_or(0, |statistic| statistic.range.end)
    }

    /// Multiply-adds of the edge's convolutions for one sample of size `input`.
    pub fn multiply_adds(&self, input: Extent) -> usize {
        self.layout(input).multiply_adds
    }

    /// Values that the way back of one sample of size `input` needs and that cannot be had again but by going there once
    /// more: the results of 1×1 and dense convolutions.
    pub fn kept(&self, input: Extent) -> usize {
        self.layout(input).kept
    }

    /// Size of the output for an input of size `input`.
    ///
    /// # Panics
    ///
    /// If the input is smaller than the window of a convolution without padding.
    pub fn output_extent(&self, input: Extent) -> Extent {
        match self.operations.as_slice() {
            [Expression::Convolve { kernel, padding: Padding::Valid, .. }] => {
                std::array::from_fn(|axis| (input[axis] - kernel[axis]) / self.stride[axis] + 1)
            }
            _ => strided(input, self.stride),
        }
    }

    /// The edge when only `operation` is left, with where its weights and its statistics lay in this edge's tensors.
    pub fn decide(&self, operation: usize) -> (Edge, Range<usize>, Range<usize>) {
        let Layout { weights, statistics, .. } = self.layout([1; 3]);
        let span = |ranges: Vec<Range<usize>>| match (ranges.first(), ranges.last()) {
            (Some(first), Some(last)) => first.start..last.end,
            _ => 0..0,
        };
        let own = |index: usize| index == operation;
        (
            Edge { operations: vec![self.operations[operation].clone()], ..self.clone() },
            span(weights.into_iter().filter(|w| own(w.operation)).map(|w| w.range).collect()),
            span(statistics.into_iter().filter(|s| own(s.operation)).map(|s| s.range).collect()),
        )
    }

    /// Whether there is anything to compute.
    pub(crate) fn computes(&self) -> bool {
        self.operations.iter().any(|operation| !matches!(operation, Expression::Zero | Expression::Noise))
    }

    /// Which operation is noise.
    ///
    /// # Panics
    ///
    /// If none is.
    pub(crate) fn noise(&self) -> usize {
        let mut operations = self.operations.iter();
        operations.position(|operation| *operation == Expression::Noise).expect("noise belongs to an operation")
    }

    /// Whether [`Expression::Skip`] is the identity here rather than a factorized reduce.
    pub(crate) fn is_identity(&self) -> bool {
        volume(self.stride) == 1 && self.inputs == self.outputs
    }

    fn layout(&self, extent: Extent) -> Layout {
        layout(self, extent)
    }
}
