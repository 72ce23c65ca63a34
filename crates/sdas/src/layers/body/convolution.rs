//! Convolutions of any kind.

use super::super::Filter;
use super::super::window::Window;
use super::{every, pad};
use burn::tensor::Tensor;
use burn::tensor::module::{conv2d, conv3d};
use burn::tensor::ops::ConvOptions;
use sdas_kernels::{Convolution, is_by_hand};

/// An input with the zeros around it that a window's margins are.
pub(crate) fn surround(x: Tensor<5>, window: &Window) -> Tensor<5> {
    let [_, t, h, w, _] = x.dims();
    pad(x, window.margins([t, h, w]).map(|sides| sides.map(|side| side as isize)), 0.0)
}

/// A convolution without its bias; `weight` is `[kt × kh × kw × inputs/groups × outputs]`.
pub(crate) fn convolve(x: Tensor<5>, filter: &Filter, weight: Tensor<1>) -> Tensor<5> {
    let Filter { outputs, window, groups, .. } = *filter;
    let Window { kernel: [kt, kh, kw], stride, dilation, .. } = window;
    let [_, t, h, w, inputs] = x.dims();
    let margins = window.margins([t, h, w]);
    if is_by_hand(&x) {
        let Window { kernel, .. } = window;
        return Convolution { outputs, groups, kernel, stride, dilation, margins }.of(x, weight);
    }
    let uneven = margins.iter().any(|[before, after]| before != after);
    let (x, padding) = match uneven {
        true => (surround(x, &window), [0; 3]),
        false => (x, margins.map(|[before, _]| before)),
    };
    let weight = weight.reshape([kt, kh, kw, inputs / groups, outputs]).permute([4, 3, 0, 1, 2]);
    if kt > 1 || padding[0] > 0 {
        let options = ConvOptions::new(stride, padding, dilation, groups);
        return conv3d(x.permute([0, 4, 1, 2, 3]), weight, None, options).permute([0, 2, 3, 4, 1]);
    }
    // Over one frame at a time: pictures.
    let x = every(x, [stride[0], 1, 1]);
    let [n, t, h, w, c] = x.dims();
    let planes = x.reshape([n * t, h, w, c]).permute([0, 3, 1, 2]);
    let options =
        ConvOptions::new([stride[1], stride[2]], [padding[1], padding[2]], [dilation[1], dilation[2]], groups);
    let y = conv2d(planes, weight.reshape([outputs, inputs / groups, kh, kw]), None, options).permute([0, 2, 3, 1]);
    let [_, h, w, c] = y.dims();
    y.reshape([n, t, h, w, c])
}
