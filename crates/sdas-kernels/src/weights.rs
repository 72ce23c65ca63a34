//! Where an edge's parameters and running statistics lie in its two flat tensors.

use crate::expression::{Expression, Extent, Stage};
use crate::{Edge, Norm};
use std::ops::Range;

/// What a weight is, and its shape in the flat tensor (row-major, channels last).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WeightKind {
    /// Depthwise kernel `[kt, kh, kw, channels]`.
    Depthwise {
        /// Kernel size.
        kernel: Extent,
        /// Channels.
        channels: usize,
    },
    /// 1×1 convolution `[inputs, outputs]`.
    Pointwise {
        /// Channels read.
        inputs: usize,
        /// Channels written.
        outputs: usize,
    },
    /// Dense convolution `[kt, kh, kw, inputs, outputs]`.
    Dense {
        /// Kernel size.
        kernel: Extent,
        /// Channels read.
        inputs: usize,
        /// Channels written.
        outputs: usize,
    },
    /// A norm's scale γ `[channels]`.
    Scale(usize),
    /// A norm's shift β `[channels]`.
    Shift(usize),
}

impl WeightKind {
    /// Number of elements; of sizes that nothing can have, the largest number there is.
    pub fn len(&self) -> usize {
        match *self {
            WeightKind::Depthwise { kernel, channels } => volume(kernel).saturating_mul(channels),
            WeightKind::Pointwise { inputs, outputs } => inputs.saturating_mul(outputs),
            WeightKind::Dense { kernel, inputs, outputs } => {
                volume(kernel).saturating_mul(inputs).saturating_mul(outputs)
            }
            WeightKind::Scale(channels) | WeightKind::Shift(channels) => channels,
        }
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Its values in PyTorch's order: `[channels, 1, kt, kh, kw]`, `[outputs, inputs, 1, 1, 1]`,
    /// `[outputs, inputs, kt, kh, kw]`.
    ///
    /// # Panics
    ///
    /// If there are not [`len`](Self::len) values.
    pub fn to_pytorch<T: Copy>(&self, values: &[T]) -> Vec<T> {
        let [taps, inputs, outputs] = self.axes(values);
        (0..values.len())
            .map(|at| (at % taps, at / taps % inputs, at / taps / inputs))
            .map(|(tap, input, output)| values[(tap * inputs + input) * outputs + output])
            .collect()
    }

    /// The reverse of [`to_pytorch`](Self::to_pytorch).
    ///
    /// # Panics
    ///
    /// If there are not [`len`](Self::len) values.
    pub fn from_pytorch<T: Copy>(&self, values: &[T]) -> Vec<T> {
        let [taps, inputs, outputs] = self.axes(values);
        (0..values.len())
            .map(|at| (at % outputs, at / outputs % inputs, at / outputs / inputs))
            .map(|(output, input, tap)| values[(output * inputs + input) * taps + tap])
            .collect()
    }

    /// `[taps, inputs, outputs]` of the channels-last layout.
    fn axes<T>(&self, values: &[T]) -> [usize; 3] {
        assert_eq!(values.len(), self.len(), "a weight has its own number of values");
        match *self {
            WeightKind::Depthwise { kernel, channels } => [volume(kernel), 1, channels],
            WeightKind::Pointwise { inputs, outputs } => [1, inputs, outputs],
            WeightKind::Dense { kernel, inputs, outputs } => [volume(kernel), inputs, outputs],
            WeightKind::Scale(channels) | WeightKind::Shift(channels) => [1, 1, channels],
        }
    }

    /// Inputs that one output sums over, for a convolution; `None` for a norm's scale and shift.
    pub fn fan_in(&self) -> Option<usize> {
        match *self {
            WeightKind::Depthwise { kernel, .. } => Some(volume(kernel)),
            WeightKind::Pointwise { inputs, .. } => Some(inputs),
            WeightKind::Dense { kernel, inputs, .. } => Some(volume(kernel) * inputs),
            WeightKind::Scale(_) | WeightKind::Shift(_) => None,
        }
    }
}

/// One weight of an edge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Weight {
    /// Its name below the edge, as PyTorch would name it: `ops.4.0.1.weight` in an edge of several operations,
    /// `0.1.weight` in an edge of one.
    pub name: String,
    /// What it is.
    pub kind: WeightKind,
    /// Its place in the edge's flat tensor.
    pub range: Range<usize>,
    /// Which of the edge's operations it belongs to.
    pub operation: usize,
}

/// The running statistics of one batch norm: in the flat tensor, the means `[channels]`, then the variances.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statistic {
    /// The norm's name below the edge, as PyTorch would name it.
    pub name: String,
    /// Its place in the edge's flat tensor of statistics, `2 × channels` long.
    pub range: Range<usize>,
    /// Which of the edge's operations it belongs to.
    pub operation: usize,
}

/// What an edge holds, in its order, and the multiply-adds of its convolutions for one sample and the values that they
/// give. Counts stop at the largest number instead of starting again from 0.
pub(crate) struct Layout {
    pub(crate) weights: Vec<Weight>,
    pub(crate) statistics: Vec<Statistic>,
    pub(crate) multiply_adds: usize,
    pub(crate) kept: usize,
}

pub(crate) fn volume(extent: Extent) -> usize {
    extent.into_iter().fold(1, usize::saturating_mul)
}

/// Walks an edge's operations and lists what they hold; `extent` (of the input) matters for the multiply-adds only.
pub(crate) fn layout(edge: &Edge, extent: Extent) -> Layout {
    let mut walk = Walk {
        norm: edge.norm,
        operation: 0,
        prefix: String::new(),
        layout: Layout { weights: Vec::new(), statistics: Vec::new(), multiply_adds: 0, kept: 0 },
    };
    for (index, expression) in edge.operations.iter().enumerate() {
        walk.operation = index;
        walk.prefix = if edge.operations.len() > 1 { format!("ops.{index}.") } else { String::new() };
        walk.expression(edge, expression, extent);
    }
    walk.layout
}

struct Walk {
    norm: Norm,
    operation: usize,
    prefix: String,
    layout: Layout,
}

impl Walk {
    fn expression(&mut self, edge: &Edge, expression: &Expression, extent: Extent) {
        let (inputs, outputs, stride) = (edge.inputs, edge.outputs, edge.stride);
        let out = strided(extent, stride);
        match expression {
            Expression::Zero | Expression::Noise => {}
            Expression::Skip if edge.is_identity() => {}
            Expression::Skip => {
                let half = outputs / 2;
                self.weight("conv_a.weight", WeightKind::Pointwise { inputs, outputs: half }, out);
                self.weight("conv_b.weight", WeightKind::Pointwise { inputs, outputs: outputs - half }, out);
                self.norm("bn", outputs);
            }
            Expression::Pool { .. } if self.norm == Norm::Plain => self.norm("1", outputs),
            Expression::Pool { .. } | Expression::AveragePool { .. } | Expression::Largest => {}
            Expression::Shrink => self.weight("1.weight", WeightKind::Pointwise { inputs, outputs }, out),
            Expression::Chain([stage]) => {
                self.stage("", stage, outputs, extent, stride);
            }
            Expression::Chain(stages) => {
                let mut extent = extent;
                for (index, stage) in stages.iter().enumerate() {
                    extent = self.stage(&format!("{index}."), stage, outputs, extent, stride);
                }
            }
            Expression::Parallel(stages) => {
                for (index, stage) in stages.iter().enumerate() {
                    self.stage(&format!("branches.{index}."), stage, outputs, extent, stride);
                }
            }
            Expression::Compromise { spatial, temporal } => {
                let extent = self.stage("spatial.", spatial, outputs, extent, stride);
                self.stage("temporal.", temporal, outputs, extent, stride);
            }
            Expression::TemporalDifference => {
                self.weight("conv.weight", WeightKind::Pointwise { inputs, outputs }, out);
                self.norm("bn", outputs);
            }
            Expression::Project => {
                self.weight("1.weight", WeightKind::Pointwise { inputs, outputs }, out);
                self.norm("2", outputs);
            }
            Expression::Normalise => self.norm("0", outputs),
            Expression::Convolve { kernel, activated, .. } => {
                let first = usize::from(*activated);
                let out = edge.output_extent(extent);
                self.weight(&format!("{first}.weight"), WeightKind::Dense { kernel: *kernel, inputs, outputs }, out);
                self.norm(&format!("{}", first + 1), outputs);
            }
        }
    }

    /// Lists a stage's weights; returns the size of its output.
    fn stage(&mut self, prefix: &str, stage: &Stage, channels: usize, extent: Extent, stride: Extent) -> Extent {
        let out = strided(extent, stage.stride(stride));
        self.weight(&format!("{prefix}1.weight"), WeightKind::Depthwise { kernel: stage.kernel, channels }, out);
        self.weight(&format!("{prefix}2.weight"), WeightKind::Pointwise { inputs: channels, outputs: channels }, out);
        self.norm(&format!("{prefix}3"), channels);
        out
    }

    fn weight(&mut self, name: &str, kind: WeightKind, out: Extent) {
        let start = self.layout.weights.last().map_or(0, |weight| weight.range.end);
        if kind.fan_in().is_some() {
            let all = &mut self.layout.multiply_adds;
            *all = all.saturating_add(kind.len().saturating_mul(volume(out)));
        }
        if let WeightKind::Pointwise { outputs, .. } | WeightKind::Dense { outputs, .. } = kind {
            self.layout.kept = self.layout.kept.saturating_add(outputs.saturating_mul(volume(out)));
        }
        self.layout.weights.push(Weight {
            name: format!("{}{name}", self.prefix),
            kind,
            range: start..start.saturating_add(kind.len()),
            operation: self.operation,
        });
    }

    fn norm(&mut self, name: &str, channels: usize) {
        if self.norm == Norm::Absent {
            return;
        }
        if self.norm == Norm::Affine {
            self.weight(&format!("{name}.weight"), WeightKind::Scale(channels), [0; 3]);
            self.weight(&format!("{name}.bias"), WeightKind::Shift(channels), [0; 3]);
        }
        let start = self.layout.statistics.last().map_or(0, |statistic| statistic.range.end);
        self.layout.statistics.push(Statistic {
            name: format!("{}{name}", self.prefix),
            range: start..channels.saturating_mul(2).saturating_add(start),
            operation: self.operation,
        });
    }
}

/// Size after a window with "same" padding has gone over it.
pub(crate) fn strided(extent: Extent, stride: Extent) -> Extent {
    std::array::from_fn(|axis| (extent[axis] - 1) / stride[axis] + 1)
}
