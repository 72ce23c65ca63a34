//! Layers: what each computes, the shape of what it gives, and what it learns.

use super::Window;
use super::window::Padding;
use sdas_kernels::{Extent, WeightKind};
use serde::{Deserialize, Serialize};

/// The shape of an activation of one sample, `[T, H, W, C]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// Frames, height and width.
    pub extent: Extent,
    /// Channels.
    pub channels: usize,
}

impl std::fmt::Display for Shape {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Shape { extent: [t, h, w], channels } = self;
        write!(f, "{t}×{h}×{w}, {channels} channels")
    }
}

impl Shape {
    /// Frames times height times width.
    pub fn positions(&self) -> usize {
        self.extent.iter().fold(1, |volume, &size| volume.saturating_mul(size))
    }

    /// Number of values.
    pub fn count(&self) -> usize {
        self.positions().saturating_mul(self.channels)
    }
}

/// From activations `[N, T, H, W, C]` to one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Layer {
    /// The pictures or clips.
    Input {
        /// Their channels.
        channels: usize,
    },
    /// Convolution over time, height and width.
    Convolution {
        /// Channels read.
        inputs: usize,
        /// What is convolved with.
        filter: Filter,
    },
    /// Batch norm (Ioffe, Szegedy, 2015).
    Norm {
        /// Channels.
        channels: usize,
        /// Added to a variance before its root is taken.
        epsilon: f64,
        /// Whether a learnt scale and shift follow.
        affine: bool,
    },
    /// A function of every value.
    Activation(Activation),
    /// Pooling over windows.
    Pool {
        /// What is taken of a window.
        pool: Pooling,
        /// The window.
        window: Window,
    },
    /// Averages over parts of about equal size, so that so many are left along an axis; `None` leaves an axis as it is.
    AdaptiveAverage {
        /// Frames, height and width of the output.
        size: [Option<usize>; 3],
    },
    /// Height and width, and time where `frames` says so, become channels, in PyTorch's order: channel by channel.
    Flatten {
        /// Whether frames, too, become channels.
        frames: bool,
        /// How many positions become channels.
        positions: usize,
    },
    /// A linear layer over the channels, at every position.
    Linear {
        /// Channels read.
        inputs: usize,
        /// Channels written.
        outputs: usize,
        /// Whether there is a bias.
        bias: bool,
    },
    /// The sum of all that it reads, of one shape.
    Add,
    /// The product of all that it reads; sizes of 1 are spread over the others' size: a gate's scale (Hu, Shen, Sun, 2018).
    Multiply,
    /// Channels side by side.
    Concatenate,
    /// The product of all frames.
    FrameProduct,
    /// A part of the channels.
    Slice {
        /// The first that is taken.
        from: usize,
        /// The first after it that is not.
        to: usize,
    },
    /// Channels in turn from each of so many groups (Zhang et al., 2018).
    Shuffle {
        /// Groups.
        groups: usize,
    },
    /// Zeros before and after; negative numbers cut off.
    Pad {
        /// Elements before and after, along every axis.
        amounts: [[isize; 2]; 3],
    },
    /// `x[t] − x[t−1]`, zeros for the first frame.
    Difference,
    /// Zeros of the size that a stride leaves.
    Zero {
        /// Channels of the zeros.
        outputs: usize,
        /// The stride.
        stride: Extent,
    },
    /// Divides by `(bias + alpha/size · Σ x²)^beta`, summed over so many channels around each (Krizhevsky, Sutskever, Hinton,
    /// 2012, as PyTorch computes it).
    LocalResponseNorm {
        /// Channels in a sum.
        size: usize,
        /// Factor of the mean.
        alpha: f64,
        /// The exponent.
        beta: f64,
        /// What is added.
        bias: f64,
    },
    /// Dropout of single values, in training.
    Dropout {
        /// Probability of dropping.
        rate: f64,
    },
    /// Reads queries, keys and values: every position gets the sum of the values of all positions, by how well its query
    /// goes with their keys (Wang et al., 2018).
    Attention {
        /// What the products of queries and keys become.
        affinity: Affinity,
    },
    /// The sum over all positions of each channel times each (Lin, RoyChowdhury, Maji, 2015).
    Bilinear,
}

/// A convolution's weights, but for the channels that it reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Filter {
    /// Channels written.
    pub outputs: usize,
    /// The window.
    pub window: Window,
    /// Groups of channels that do not see each other.
    pub groups: usize,
    /// Whether there is a bias.
    pub bias: bool,
}

impl Filter {
    /// A dense convolution without bias.
    pub const fn new(outputs: usize, window: Window) -> Self {
        Filter { outputs, window, groups: 1, bias: false }
    }

    /// The same in groups.
    pub const fn groups(self, groups: usize) -> Self {
        Filter { groups, ..self }
    }

    /// The same with a bias.
    pub const fn biased(self) -> Self {
        Filter { bias: true, ..self }
    }
}

/// A function of single values, or of the channels of one position.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Activation {
    /// max(x, 0).
    Relu,
    /// min(max(x, 0), 6).
    Relu6,
    /// 1 / (1 + e⁻ˣ).
    Sigmoid,
    /// tanh(x).
    Tanh,
    /// min(max(x / 6 + 1/2, 0), 1).
    HardSigmoid,
    /// x times its hard sigmoid.
    HardSwish,
    /// Shares of the channels: eˣ / Σ eˣ.
    Softmax,
    /// The logarithm, of nothing below 1e-30.
    Logarithm,
    /// sign(x) · √|x|.
    SignedRoot,
    /// x / ‖x‖ over the channels.
    UnitLength,
}

/// What a pool takes of a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Pooling {
    /// The largest element.
    Max,
    /// The mean.
    Average {
        /// Whether padding counts as zeros.
        padded: bool,
    },
}

/// What the products of queries and keys become.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Affinity {
    /// Their softmax over the keys.
    Softmax,
    /// Divided by the number of keys.
    Mean,
}

/// One tensor that a layer learns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Learnt {
    /// `weight` or `bias`.
    pub part: &'static str,
    /// What it is, and how it lies.
    pub kind: WeightKind,
}

impl Layer {
    /// The shape of what it gives, for what it reads.
    ///
    /// # Errors
    ///
    /// If it cannot read that: what is wrong.
    pub fn output(&self, reads: &[Shape]) -> Result<Shape, String> {
        let first = match (self, reads.first()) {
            (Layer::Input { channels }, _) => return Ok(Shape { extent: [1; 3], channels: *channels }),
            (_, Some(&first)) => first,
            (_, None) => return Err("reads nothing".to_owned()),
        };
        let Shape { extent, channels } = first;
        let of = |wanted: usize| match wanted == channels {
            true => Ok(()),
            false => Err(format!("reads {wanted} channels, but is given {channels}")),
        };
        match self {
            Layer::Input { .. } => Ok(first),
            Layer::Convolution { inputs, filter } => {
                of(*inputs)?;
                Ok(Shape { extent: windows(&filter.window, extent)?, channels: filter.outputs })
            }
            Layer::Norm { channels: own, .. } => of(*own).map(|()| first),
            Layer::Pool { window, .. } => Ok(Shape { extent: windows(window, extent)?, channels }),
            Layer::AdaptiveAverage { size } => {
                let extent = std::array::from_fn(|axis| size[axis].unwrap_or(extent[axis]));
                Ok(Shape { extent, channels })
            }
            Layer::Flatten { frames, positions } => {
                let [t, h, w] = extent;
                let [left, read] = if *frames { [1, t] } else { [t, 1] };
                let gone = Shape { extent: [read, h, w], channels }.positions();
                if gone != *positions {
                    return Err(format!("needs {positions} positions, but is given {t}×{h}×{w}"));
                }
                Ok(Shape { extent: [left, 1, 1], channels: channels.saturating_mul(*positions) })
            }
            Layer::Linear { inputs, outputs, .. } => {
                of(*inputs)?;
                Ok(Shape { extent, channels: *outputs })
            }
            Layer::Add => match reads.iter().find(|&&shape| shape != first) {
                Some(other) => Err(format!("adds {first} and {other}")),
                None => Ok(first),
            },
            Layer::Multiply => reads.iter().try_fold(first, |all, shape| {
                let spread = |a: usize, b: usize| (a == b || a == 1 || b == 1).then_some(a.max(b));
                let mut whole = all;
                for (own, other) in whole.extent.iter_mut().zip(shape.extent) {
                    *own = spread(*own, other).ok_or_else(|| format!("multiplies {all} and {shape}"))?;
                }
                whole.channels =
                    spread(all.channels, shape.channels).ok_or_else(|| format!("multiplies {all} and {shape}"))?;
                Ok(whole)
            }),
            Layer::Concatenate => match reads.iter().find(|shape| shape.extent != extent) {
                Some(other) => Err(format!("puts {first} and {other} side by side")),
                None => Ok(Shape {
                    extent,
                    channels: reads.iter().map(|shape| shape.channels).fold(0, usize::saturating_add),
                }),
            },
            Layer::FrameProduct => Ok(Shape { extent: [1, extent[1], extent[2]], channels }),
            Layer::Slice { from, to } if from >= to || *to > channels => {
                Err(format!("takes channels {from} to {to} of {channels}"))
            }
            Layer::Slice { from, to } => Ok(Shape { extent, channels: to - from }),
            Layer::Pad { amounts } => {
                let mut padded = extent;
                for (size, [before, after]) in padded.iter_mut().zip(amounts) {
                    let whole = size.checked_add_signed(before + after).filter(|&whole| whole > 0);
                    *size = whole.ok_or_else(|| format!("cuts more than there is of {first}"))?;
                }
                Ok(Shape { extent: padded, channels })
            }
            Layer::Zero { outputs, stride } => {
                let extent = std::array::from_fn(|axis| extent[axis].div_ceil(stride[axis]));
                Ok(Shape { extent, channels: *outputs })
            }
            Layer::Attention { .. } => match reads {
                [query, key, value] if query.channels == key.channels && key.extent == value.extent => {
                    Ok(Shape { channels: value.channels, ..first })
                }
                _ => Err("attends with keys that are not of the queries' channels and the values' size".to_owned()),
            },
            Layer::Bilinear => Ok(Shape { extent: [1; 3], channels: channels.saturating_mul(channels) }),
            Layer::Shuffle { groups } if channels % groups != 0 => {
                Err(format!("shuffles {channels} channels in {groups} groups"))
            }
            Layer::Activation(_)
            | Layer::Shuffle { .. }
            | Layer::Difference
            | Layer::LocalResponseNorm { .. }
            | Layer::Dropout { .. } => Ok(first),
        }
    }

    /// What it learns, in the order in which it lies in the flat tensor.
    pub fn learns(&self) -> Vec<Learnt> {
        let learnt = |weight: WeightKind, bias: Option<usize>| {
            let bias = bias.map(|outputs| Learnt { part: "bias", kind: WeightKind::Shift(outputs) });
            std::iter::once(Learnt { part: "weight", kind: weight }).chain(bias).collect()
        };
        match *self {
            Layer::Convolution { inputs, filter: Filter { outputs, window, groups, bias } } => {
                let kind = WeightKind::Dense { kernel: window.kernel, inputs: inputs / groups, outputs };
                learnt(kind, bias.then_some(outputs))
            }
            Layer::Norm { channels, affine: true, .. } => learnt(WeightKind::Scale(channels), Some(channels)),
            Layer::Linear { inputs, outputs, bias } => {
                learnt(WeightKind::Pointwise { inputs, outputs }, bias.then_some(outputs))
            }
            _ => Vec::new(),
        }
    }

    /// Number of values that it learns.
    pub fn weight_count(&self) -> usize {
        self.learns().iter().fold(0, |count, learnt| count.saturating_add(learnt.kind.len()))
    }

    /// Number of running statistics that it keeps: means, then variances.
    pub fn statistic_count(&self) -> usize {
        if let Layer::Norm { channels, .. } = self { channels.saturating_mul(2) } else { 0 }
    }

    /// Multiply-adds of a convolution or a linear layer for one sample of which it gives `output`.
    pub fn multiply_adds(&self, output: Shape) -> usize {
        match self {
            Layer::Convolution { .. } | Layer::Linear { .. } => {
                self.learns()[0].kind.len().saturating_mul(output.positions())
            }
            _ => 0,
        }
    }
}

fn windows(window: &Window, extent: Extent) -> Result<Extent, String> {
    window.output(extent).ok_or_else(|| {
        let ([t, h, w], [kt, kh, kw]) = (extent, window.kernel);
        let padding = if matches!(window.padding, Padding::Fixed([[0, 0], [0, 0], [0, 0]])) { "" } else { ", padded" };
        format!("has windows of {kt}×{kh}×{kw}, but is given {t}×{h}×{w}{padding}")
    })
}
