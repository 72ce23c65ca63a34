//! What layers compute, of the tensor library's operations: on every backend and float type, differentiable by autodiff.

mod convolution;
mod pool;

pub(super) use convolution::{convolve, surround};
pub(super) use pool::{adaptive_average, pool};

use super::{Activation, Affinity};
use burn::tensor::activation::{hard_sigmoid, hard_swish};
use burn::tensor::ops::PadMode;
use burn::tensor::{Slice, Tensor};
use sdas_kernels::{Extent, logarithm, power, products, relu, sigmoid, softmax, tanh};

/// Below this, the logarithm is that of this.
const LEAST: f64 = 1e-30;

pub(super) fn activate(activation: Activation, x: Tensor<5>) -> Tensor<5> {
    match activation {
        Activation::Relu => relu(x),
        Activation::Relu6 => x.clamp(0.0, 6.0),
        Activation::Sigmoid => sigmoid(x),
        Activation::Tanh => tanh(x),
        Activation::HardSigmoid => hard_sigmoid(x, 1.0 / 6.0, 0.5),
        Activation::HardSwish => hard_swish(x),
        Activation::Softmax => softmax(x),
        Activation::Logarithm => logarithm(x.clamp_min(LEAST)),
        // The root's slope at 0 has no bound.
        Activation::SignedRoot => x.clone().sign() * (x.abs() + LEAST.sqrt()).sqrt(),
        Activation::UnitLength => {
            let length = (x.clone().square().sum_dim(4) + LEAST).sqrt();
            x / length
        }
    }
}

/// Every position's channels times `weight`, `[inputs × outputs]` in rows.
pub(super) fn linear(x: Tensor<5>, weight: Tensor<1>, bias: Option<Tensor<1>>, outputs: usize) -> Tensor<5> {
    let [n, t, h, w, inputs] = x.dims();
    let y = sdas_kernels::linear(x.reshape([n * t * h * w, inputs]), weight, outputs);
    add_bias(y.reshape([n, t, h, w, outputs]), bias)
}

pub(super) fn add_bias(y: Tensor<5>, bias: Option<Tensor<1>>) -> Tensor<5> {
    match bias {
        Some(bias) => {
            let outputs = bias.dims()[0];
            y + bias.reshape([1, 1, 1, 1, outputs])
        }
        None => y,
    }
}

pub(super) fn flatten(x: Tensor<5>, frames: bool) -> Tensor<5> {
    let [n, t, h, w, c] = x.dims();
    match frames {
        true => x.permute([0, 4, 1, 2, 3]).reshape([n, 1, 1, 1, c * t * h * w]),
        false => x.permute([0, 1, 4, 2, 3]).reshape([n, t, 1, 1, c * h * w]),
    }
}

pub(super) fn frame_product(x: Tensor<5>) -> Tensor<5> {
    let frames = x.dims()[1];
    (1..frames).fold(x.clone().narrow(1, 0, 1), |product, at| product * x.clone().narrow(1, at, 1))
}

pub(super) fn shuffle(x: Tensor<5>, groups: usize) -> Tensor<5> {
    let shape @ [n, t, h, w, c] = x.dims();
    x.reshape([n * t * h * w, groups, c / groups]).swap_dims(1, 2).reshape(shape)
}

/// Values of `fill` before and after, along time, height and width; negative amounts cut off.
pub(super) fn pad(x: Tensor<5>, amounts: [[isize; 2]; 3], fill: f32) -> Tensor<5> {
    let mut x = x;
    let mut around = [(0, 0); 5];
    for (axis, [before, after]) in amounts.into_iter().enumerate() {
        let cut = |amount: isize| usize::try_from(-amount).unwrap_or(0);
        let more = |amount: isize| usize::try_from(amount).unwrap_or(0);
        let (from, size) = (cut(before), x.dims()[axis + 1]);
        let kept = size.saturating_sub(cut(before) + cut(after));
        if kept == 0 {
            // Nothing of it is left: as many as there must be of the filling.
            let whole = more(before) + more(after) - (from + cut(after) - size);
            let mut shape = x.dims();
            shape[axis + 1] = whole;
            x = Tensor::full(shape, fill, (&x.device(), x.dtype()));
            continue;
        }
        x = if kept == size { x } else { x.narrow(axis + 1, from, kept) };
        around[axis + 1] = (more(before), more(after));
    }
    if around == [(0, 0); 5] { x } else { x.pad(around, PadMode::Constant(fill)) }
}

pub(super) fn difference(x: Tensor<5>) -> Tensor<5> {
    let frames = x.dims()[1];
    let first = x.clone().narrow(1, 0, 1).zeros_like();
    if frames == 1 {
        return first;
    }
    let differences = x.clone().narrow(1, 1, frames - 1) - x.narrow(1, 0, frames - 1);
    Tensor::cat(vec![first, differences], 1)
}

pub(super) fn local_response_norm(x: Tensor<5>, size: usize, alpha: f64, beta: f64, bias: f64) -> Tensor<5> {
    let channels = x.dims()[4];
    let mut around = [(0, 0); 5];
    around[4] = (size / 2, (size - 1) / 2);
    let squares = x.clone().square().pad(around, PadMode::Constant(0.0));
    let sum =
        (1..size).fold(squares.clone().narrow(4, 0, channels), |sum, at| sum + squares.clone().narrow(4, at, channels));
    x / power(sum * (alpha / size as f64) + bias, beta)
}

pub(super) fn attend(query: Tensor<5>, key: Tensor<5>, value: Tensor<5>, affinity: Affinity) -> Tensor<5> {
    let [n, t, h, w, _] = query.dims();
    let channels = value.dims()[4];
    let rows = |x: Tensor<5>| {
        let [n, t, h, w, c] = x.dims();
        x.reshape([n, t * h * w, c])
    };
    let fits: Tensor<3> = products(rows(query), rows(key).swap_dims(1, 2));
    let keys = fits.dims()[2];
    let shares = match affinity {
        Affinity::Softmax => softmax(fits),
        Affinity::Mean => fits / keys as f64,
    };
    products(shares, rows(value)).reshape([n, t, h, w, channels])
}

pub(super) fn bilinear(x: Tensor<5>) -> Tensor<5> {
    let [n, t, h, w, c] = x.dims();
    let rows = x.reshape([n, t * h * w, c]);
    products(rows.clone().swap_dims(1, 2), rows).reshape([n, 1, 1, 1, c * c])
}

/// Every `stride`-th element along time, height and width, from the first on.
pub(super) fn every(x: Tensor<5>, stride: Extent) -> Tensor<5> {
    if stride == [1; 3] {
        return x;
    }
    let [n, t, h, w, c] = x.dims();
    let along = |size: usize, step: usize| Slice::new(0, Some(size as isize), step as isize);
    x.slice([along(n, 1), along(t, stride[0]), along(h, stride[1]), along(w, stride[2]), along(c, 1)])
}
