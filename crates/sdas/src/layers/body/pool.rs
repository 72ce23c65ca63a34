//! Pools.

use super::super::{Padding, Pooling, Window};
use super::pad;
use burn::tensor::module::{avg_pool2d, max_pool2d};
use burn::tensor::ops::{AvgPoolOptions, MaxPoolOptions};
use burn::tensor::{Tensor, TensorData};
use sdas_kernels::Extent;

/// Pooling over height and width, then over time: both kinds are separable.
pub(crate) fn pool(x: Tensor<5>, kind: Pooling, window: &Window) -> Tensor<5> {
    let [_, t, h, w, _] = x.dims();
    let (input, output) = ([t, h, w], window.output([t, h, w]).expect("shapes were checked before"));
    let margins = window.margins(input);
    // Beyond the border lies nothing that is a maximum, and nothing that is a part of a sum.
    let fill = if kind == Pooling::Max { f32::MIN } else { 0.0 };
    let x = pad(x, margins.map(|sides| sides.map(|side| side as isize)), fill);
    let Window { kernel: [kt, kh, kw], stride, dilation, .. } = *window;
    let [n, t, h, w, c] = x.dims();
    let mut y = x;
    if [kh, kw, stride[1], stride[2]] != [1; 4] {
        let planes = y.reshape([n * t, h, w, c]).permute([0, 3, 1, 2]);
        let steps = [[kh, kw], [stride[1], stride[2]], [dilation[1], dilation[2]]];
        y = planar(planes, kind, steps).permute([0, 2, 3, 1]).reshape([n, t, output[1], output[2], c]);
    }
    if [kt, stride[0]] != [1; 2] {
        let steps = [[kt, 1], [stride[0], 1], [dilation[0], 1]];
        let rows = y.reshape([n, 1, t, output[1] * output[2] * c]);
        y = planar(rows, kind, steps).reshape([n, output[0], output[1], output[2], c]);
    }
    match (kind, window.volume()) {
        (Pooling::Average { padded }, volume) => {
            let factors: Vec<f64> =
                counted(window, input, padded).into_iter().map(|count| volume as f64 / count as f64).collect();
            if factors.iter().all(|&factor| factor == 1.0) {
                return y;
            }
            let options = (&y.device(), y.dtype());
            let [t, h, w] = output;
            y * Tensor::from_data(TensorData::new(factors, [1, t, h, w, 1]), options)
        }
        (Pooling::Max, _) => y,
    }
}

/// Without padding; kernel, stride and dilation.
fn planar(x: Tensor<4>, kind: Pooling, [kernel, stride, dilation]: [[usize; 2]; 3]) -> Tensor<4> {
    match kind {
        Pooling::Max => {
            let options = MaxPoolOptions { stride, dilation, ..MaxPoolOptions::new(kernel) };
            max_pool2d(x, options)
        }
        Pooling::Average { .. } => {
            assert_eq!(dilation, [1; 2], "means are of windows without holes");
            avg_pool2d(x, AvgPoolOptions { stride, ..AvgPoolOptions::new(kernel) })
        }
    }
}

/// How many elements each window counts.
fn counted(window: &Window, input: Extent, padded: bool) -> Vec<usize> {
    let output = window.output(input).expect("shapes were checked before");
    let margins = window.margins(input);
    let along = |axis: usize| -> Vec<usize> {
        let before = margins[axis][0];
        // Padding counts, but nothing beyond it does.
        let (first, end) = match window.padding {
            Padding::Fixed(padding) if padded => (0, before + input[axis] + padding[axis][1]),
            _ => (before, before + input[axis]),
        };
        let span = |at: usize| {
            let start = at * window.stride[axis];
            (start + window.kernel[axis]).min(end) - start.max(first)
        };
        (0..output[axis]).map(span).collect()
    };
    let [times, rows, columns] = [0, 1, 2].map(along);
    let plane = |&time: &usize| {
        let columns = &columns;
        rows.iter().flat_map(move |&row| columns.iter().map(move |&column| time * row * column)).collect::<Vec<_>>()
    };
    times.iter().flat_map(plane).collect()
}

/// Averages over parts of about equal size along every axis.
pub(crate) fn adaptive_average(x: Tensor<5>, size: [Option<usize>; 3]) -> Tensor<5> {
    let mut x = x;
    for (axis, left) in size.into_iter().enumerate() {
        let there = x.dims()[axis + 1];
        x = match left {
            Some(left) if left == there => x,
            Some(1) => x.mean_dim(axis + 1),
            Some(left) => part_means(x, axis + 1, left),
            None => x,
        };
    }
    x
}

/// Means of parts along one axis: part i of n is from ⌊i·size/n⌋ to ⌈(i+1)·size/n⌉ (PyTorch's adaptive pools).
fn part_means(x: Tensor<5>, axis: usize, parts: usize) -> Tensor<5> {
    let size = x.dims()[axis];
    let part = |at: usize| {
        let (from, to) = (at * size / parts, ((at + 1) * size).div_ceil(parts));
        x.clone().narrow(axis, from, to - from).mean_dim(axis)
    };
    Tensor::cat((0..parts).map(part).collect(), axis)
}
