//! The edge out of Burn's own operations: runs on every backend and float type, differentiable by autodiff, and the
//! reference that faster bodies are tested against.

use crate::expression::{Expression, Extent, Padding, Pool, Stage};
use crate::weights::{strided, volume};
use crate::{Edge, Mode, Norm, Output};
use burn::tensor::activation::relu;
use burn::tensor::module::{avg_pool2d, batch_norm, batch_norm_train, conv2d, conv3d, max_pool2d};
use burn::tensor::ops::{AvgPoolOptions, ConvOptions, MaxPoolOptions};
use burn::tensor::{Slice, Tensor, TensorData};

pub(crate) fn forward(
    edge: &Edge,
    input: Tensor<5>,
    weights: Option<Tensor<1>>,
    mix: Option<Tensor<1>>,
    mode: Mode,
) -> Output {
    let mut body = Body { edge, weights, read: 0, mode, norms: 0, batch_statistics: Vec::new() };
    let mut sum: Option<Tensor<5>> = None;
    for (index, expression) in edge.operations.iter().enumerate() {
        if matches!(expression, Expression::Zero | Expression::Noise) {
            continue;
        }
        let mut term = body.expression(expression, input.clone());
        if let Some(mix) = &mix {
            term = term * mix.clone().slice([index..index + 1]).reshape([1, 1, 1, 1, 1]);
        }
        sum = Some(match sum {
            Some(sum) => sum + term,
            None => term,
        });
    }
    let statistics = (!body.batch_statistics.is_empty()).then(|| Tensor::cat(body.batch_statistics, 0));
    let activation = sum.unwrap_or_else(|| {
        let [n, t, h, w, _] = input.dims();
        let [t, h, w] = strided([t, h, w], edge.stride);
        Tensor::zeros([n, t, h, w, edge.outputs], (&input.device(), input.dtype()))
    });
    Output { activation, statistics }
}

/// An edge being computed: weights and statistics are read in the order of their layout.
struct Body<'a> {
    edge: &'a Edge,
    weights: Option<Tensor<1>>,
    read: usize,
    mode: Mode,
    norms: usize,
    batch_statistics: Vec<Tensor<1>>,
}

impl Body<'_> {
    fn expression(&mut self, expression: &Expression, x: Tensor<5>) -> Tensor<5> {
        let Edge { inputs, outputs, stride, norm, .. } = *self.edge;
        match expression {
            Expression::Zero | Expression::Noise => x.zeros_like(),
            Expression::Skip if self.edge.is_identity() => x,
            Expression::Skip => {
                let half = outputs / 2;
                let x = relu(x);
                let straight = self.pointwise(every(x.clone(), stride), inputs, half);
                let shifted = self.pointwise(every(shift(x, stride), stride), inputs, outputs - half);
                self.norm(Tensor::cat(vec![straight, shifted], 4))
            }
            Expression::Pool { pool, kernel } => {
                let y = window(x, *pool, *kernel, stride);
                if norm == Norm::Plain { self.norm(y) } else { y }
            }
            Expression::AveragePool { kernel } => window(x, Pool::Average, *kernel, stride),
            Expression::Largest => largest(x, stride),
            Expression::Shrink => self.pointwise(means(x, stride), inputs, outputs),
            Expression::Chain(stages) => stages.iter().fold(x, |x, stage| self.stage(stage, x)),
            Expression::Parallel(stages) => {
                let (first, rest) = stages.split_first().expect("a sum has branches");
                let sum = self.stage(first, x.clone());
                rest.iter().fold(sum, |sum, stage| sum + self.stage(stage, x.clone()))
            }
            Expression::Compromise { spatial, temporal } => {
                let y = self.stage(spatial, x);
                y.clone() + self.stage(temporal, y)
            }
            Expression::TemporalDifference => {
                let x = every(frame_difference(relu(x)), stride);
                let y = self.pointwise(x, inputs, outputs);
                self.norm(y)
            }
            Expression::Project => {
                let y = self.pointwise(every(relu(x), stride), inputs, outputs);
                self.norm(y)
            }
            Expression::Normalise => self.norm(every(x, stride)),
            Expression::Convolve { kernel, padding, activated } => {
                let x = if *activated { relu(x) } else { x };
                if volume(*kernel) == 1 {
                    let y = self.pointwise(every(x, stride), inputs, outputs);
                    return self.norm(y);
                }
                let weight = self.take(volume(*kernel) * inputs * outputs);
                let [kt, kh, kw] = *kernel;
                let weight = weight.reshape([kt, kh, kw, inputs, outputs]).permute([4, 3, 0, 1, 2]);
                let padding = match padding {
                    Padding::Same => kernel.map(|k| k / 2),
                    Padding::Valid => [0; 3],
                };
                let y = convolve(x, weight, stride, padding, [1; 3], 1);
                self.norm(y)
            }
        }
    }

    fn stage(&mut self, stage: &Stage, x: Tensor<5>) -> Tensor<5> {
        let channels = self.edge.outputs;
        let [kt, kh, kw] = stage.kernel;
        let weight = self.take(volume(stage.kernel) * channels);
        let weight = weight.reshape([kt, kh, kw, channels, 1]).permute([3, 4, 0, 1, 2]);
        let padding = std::array::from_fn(|axis| stage.dilation[axis] * (stage.kernel[axis] / 2));
        let y = convolve(relu(x), weight, stage.stride(self.edge.stride), padding, stage.dilation, channels);
        let y = self.pointwise(y, channels, channels);
        self.norm(y)
    }

    /// `[N, T, H, W, inputs]` to `[N, T, H, W, outputs]`.
    fn pointwise(&mut self, x: Tensor<5>, inputs: usize, outputs: usize) -> Tensor<5> {
        let weight = self.take(inputs * outputs).reshape([inputs, outputs]);
        let [n, t, h, w, _] = x.dims();
        x.reshape([n * t * h * w, inputs]).matmul(weight).reshape([n, t, h, w, outputs])
    }

    /// Batch normalisation (Ioffe, Szegedy, 2015) over all axes but the channels.
    fn norm(&mut self, y: Tensor<5>) -> Tensor<5> {
        if self.edge.norm == Norm::Absent {
            return y;
        }
        let shape @ [n, t, h, w, channels] = y.dims();
        let (count, options) = (n * t * h * w, (&y.device(), y.dtype()));
        let (scale, shift) = match self.edge.norm {
            Norm::Affine => (self.take(channels), self.take(channels)),
            _ => (Tensor::ones([channels], options), Tensor::zeros([channels], options)),
        };
        let epsilon = self.edge.epsilon.value();
        let y = y.reshape([count, channels]);
        let y = match &self.mode {
            Mode::Running(statistics) => {
                let at = self.norms;
                let all = statistics.clone().expect("an edge with norms needs running statistics");
                let mean = all.clone().slice([at..at + channels]);
                let variance = all.slice([at + channels..at + 2 * channels]);
                batch_norm(y, scale, shift, mean, variance, epsilon)
            }
            Mode::Together(_) => {
                unreachable!("norms of several processes are the fused body's, which refuses nothing on the CPU")
            }
            Mode::Batch => {
                let normed = batch_norm_train(y, scale, shift, epsilon);
                // Running variances are unbiased, the batch's own is not (as in PyTorch).
                let unbiased = count as f64 / (count as f64 - 1.0).max(1.0);
                self.batch_statistics.push(normed.mean.inner());
                self.batch_statistics.push(normed.variance.inner() * unbiased);
                normed.output
            }
        };
        self.norms += 2 * channels;
        y.reshape(shape)
    }

    /// The next `count` weights of the flat tensor.
    fn take(&mut self, count: usize) -> Tensor<1> {
        let from = self.read;
        self.read += count;
        self.weights.clone().expect("an edge with weights was given none").slice([from..from + count])
    }
}

/// Convolution of a channels-last activation; `weight` is `[outputs, inputs / groups, kt, kh, kw]`. Kernels of one frame
/// run as a picture convolution over all frames.
fn convolve(
    x: Tensor<5>,
    weight: Tensor<5>,
    stride: Extent,
    padding: Extent,
    dilation: Extent,
    groups: usize,
) -> Tensor<5> {
    let [outputs, per_group, kt, kh, kw] = weight.dims();
    if kt > 1 {
        let y = conv3d(x.permute([0, 4, 1, 2, 3]), weight, None, ConvOptions::new(stride, padding, dilation, groups));
        return y.permute([0, 2, 3, 4, 1]);
    }
    let x = every(x, [stride[0], 1, 1]);
    let [n, t, h, w, c] = x.dims();
    let planes = x.reshape([n * t, h, w, c]).permute([0, 3, 1, 2]);
    let options =
        ConvOptions::new([stride[1], stride[2]], [padding[1], padding[2]], [dilation[1], dilation[2]], groups);
    let y = conv2d(planes, weight.reshape([outputs, per_group, kh, kw]), None, options).permute([0, 2, 3, 1]);
    let [_, h, w, c] = y.dims();
    y.reshape([n, t, h, w, c])
}

/// Pooling with "same" padding, over space and then over time: both kinds are separable, averages because every window
/// is a box of real elements.
fn window(x: Tensor<5>, pool: Pool, kernel: Extent, stride: Extent) -> Tensor<5> {
    let pool2d = |x: Tensor<4>, kernel: [usize; 2], stride: [usize; 2]| {
        let padding = kernel.map(|k| (k / 2, k / 2));
        match pool {
            Pool::Max => {
                let options = MaxPoolOptions { stride, padding, ..MaxPoolOptions::new(kernel) };
                max_pool2d(x, options)
            }
            Pool::Average => {
                let options =
                    AvgPoolOptions { stride, padding, count_include_pad: false, ..AvgPoolOptions::new(kernel) };
                avg_pool2d(x, options)
            }
        }
    };
    let [n, t, h, w, c] = x.dims();
    let planes = x.reshape([n * t, h, w, c]).permute([0, 3, 1, 2]);
    let y = pool2d(planes, [kernel[1], kernel[2]], [stride[1], stride[2]]).permute([0, 2, 3, 1]);
    let [_, h, w, _] = y.dims();
    if kernel[0] == 1 {
        return every(y.reshape([n, t, h, w, c]), [stride[0], 1, 1]);
    }
    let y = pool2d(y.reshape([n, 1, t, h * w * c]), [kernel[0], 1], [stride[0], 1]);
    let t = y.dims()[2];
    y.reshape([n, t, h, w, c])
}

/// Every `stride`-th element along time, height and width, from the first on.
fn every(x: Tensor<5>, stride: Extent) -> Tensor<5> {
    if volume(stride) == 1 {
        return x;
    }
    let [n, t, h, w, c] = x.dims();
    let along = |size: usize, step: usize| Slice::new(0, Some(size as isize), step as isize);
    x.slice([along(n, 1), along(t, stride[0]), along(h, stride[1]), along(w, stride[2]), along(c, 1)])
}

/// Means over windows of size `stride` side by side; at an end that a window does not fill, over what is there.
fn means(x: Tensor<5>, stride: Extent) -> Tensor<5> {
    if volume(stride) == 1 {
        return x;
    }
    let (device, dtype) = (x.device(), x.dtype());
    let [_, t, h, w, _] = x.dims();
    let shares = shares([t, h, w], stride);
    let [frames, height, width] = strided([t, h, w], stride);
    let shares = TensorData::new(shares, [1, frames, height, width, 1]);
    let parts = windows(x, stride, |last| last.zeros_like());
    parts.reduce(|sum, part| sum + part).expect("a window has elements") * Tensor::from_data(shares, (&device, dtype))
}

/// The largest elements of windows of size `stride` side by side; at an end that a window does not fill, of what is there.
/// Of equal ones the first has the gradient.
pub(crate) fn largest(x: Tensor<5>, stride: Extent) -> Tensor<5> {
    // An element that a window has twice changes nothing.
    windows(x, stride, |last| last).reduce(|most, part| most.max_pair(part)).expect("a window has elements")
}

/// The elements of windows of size `stride` side by side, by their place there. `beyond` is what lies beyond an end that a
/// window does not fill, of the last that is there.
fn windows(x: Tensor<5>, stride: Extent, beyond: impl Fn(Tensor<5>) -> Tensor<5>) -> impl Iterator<Item = Tensor<5>> {
    let [n, t, h, w, c] = x.dims();
    let (input, output) = ([t, h, w], strided([t, h, w], stride));
    let mut whole = x;
    for axis in 0..3 {
        let last = whole.clone().narrow(axis + 1, input[axis] - 1, 1);
        let missing = output[axis] * stride[axis] - input[axis];
        let beyond = (0..missing).map(|_| beyond(last.clone()));
        if missing > 0 {
            whole = Tensor::cat(std::iter::once(whole).chain(beyond).collect(), axis + 1);
        }
    }
    let [_, rows, columns] = stride;
    (0..volume(stride)).map(move |at| {
        let first = [at / (rows * columns), at / columns % rows, at % columns];
        let along = |axis: usize| Slice::new(first[axis] as isize, None, stride[axis] as isize);
        let all = |size: usize| Slice::new(0, Some(size as isize), 1);
        whole.clone().slice([all(n), along(0), along(1), along(2), all(c)])
    })
}

/// Channels in `groups` groups, one of each group after the other (ShuffleNet: Zhang et al., 2018).
pub(crate) fn shuffle(x: Tensor<5>, groups: usize) -> Tensor<5> {
    let [n, t, h, w, c] = x.dims();
    x.reshape([n * t * h * w, groups, c / groups]).swap_dims(1, 2).reshape([n, t, h, w, c])
}

/// One over the number of elements in each window of size `stride`, window after window.
pub(crate) fn shares(input: Extent, stride: Extent) -> Vec<f64> {
    let [_, height, width] = strided(input, stride);
    let there = |axis: usize, at: usize| stride[axis].min(input[axis] - at * stride[axis]);
    (0..volume(strided(input, stride)))
        .map(|pixel| there(0, pixel / (height * width)) * there(1, pixel / width % height) * there(2, pixel % width))
        .map(|elements| 1.0 / elements as f64)
        .collect()
}

/// The activation moved back by one along every strided axis, zeros beyond its end.
fn shift(x: Tensor<5>, stride: Extent) -> Tensor<5> {
    let mut x = x;
    for (axis, &step) in stride.iter().enumerate() {
        if step > 1 {
            let dim = axis + 1;
            let size = x.dims()[dim];
            let beyond = x.clone().narrow(dim, 0, 1).zeros_like();
            x = if size == 1 { beyond } else { Tensor::cat(vec![x.narrow(dim, 1, size - 1), beyond], dim) };
        }
    }
    x
}

/// `x[t] - x[t-1]`, zero for the first frame.
fn frame_difference(x: Tensor<5>) -> Tensor<5> {
    let frames = x.dims()[1];
    let first = x.clone().narrow(1, 0, 1).zeros_like();
    if frames == 1 {
        return first;
    }
    let difference = x.clone().narrow(1, 1, frames - 1) - x.narrow(1, 0, frames - 1);
    Tensor::cat(vec![first, difference], 1)
}
