//! Inception for clips: I3D, S3D and S3D-G.

use super::Sizes;
use super::inception::MODULES;
use crate::layers::{Activation, Builder, Filter, Graph, Value, Window};
use sdas_kernels::Extent;

/// What norms of these networks add to a variance.
const EPSILON: f64 = 1e-3;
/// The strides of the pools before each stage of modules: the last two halve the frames, too.
const POOLS: [(Extent, Extent); 3] = [([1, 3, 3], [1, 2, 2]), ([3, 3, 3], [2, 2, 2]), ([2, 2, 2], [2, 2, 2])];

/// I3D (Carreira, Zisserman, 2017): GoogLeNet with its kernels inflated over time, as piergiaj/pytorch-i3d has it. Padding is
/// TensorFlow's.
pub(super) fn i3d(sizes: &Sizes) -> Graph {
    let (mut b, x) = Builder::new(sizes.inputs);
    let unit = |b: &mut Builder, x: Value, prefix: &str, channels: usize, window: Window| {
        let x = b.convolution(format!("{prefix}.conv3d"), x, Filter::new(sizes.wide(channels), window.same()));
        let x = b.norm_with(format!("{prefix}.bn"), x, EPSILON);
        b.relu(x)
    };
    let (one, three) = (Window::cube(1), Window::cube(3));
    let x = unit(&mut b, x, "Conv3d_1a_7x7", 64, Window::cube(7).stride([2; 3]));
    let x = b.max_pool(x, Window::square(3).step(2).same());
    let x = unit(&mut b, x, "Conv3d_2b_1x1", 64, one);
    let mut x = unit(&mut b, x, "Conv3d_2c_3x3", 192, three);
    for (stage, modules) in MODULES.into_iter().enumerate() {
        let (kernel, stride) = POOLS[stage];
        x = b.max_pool(x, Window::new(kernel).stride(stride).same());
        for (place, (_, [single, reduced, triple, reduced_more, quintuple, pooled])) in modules.iter().enumerate() {
            let letter = char::from(b'b' + place as u8);
            let prefix = format!("Mixed_{}{letter}", stage + 3);
            let branch = |b: &mut Builder, x: Value, part: &str, channels: usize, window: Window| {
                unit(b, x, &format!("{prefix}.{part}"), channels, window)
            };
            let first = branch(&mut b, x, "b0", *single, one);
            let second = branch(&mut b, x, "b1a", *reduced, one);
            let second = branch(&mut b, second, "b1b", *triple, three);
            let third = branch(&mut b, x, "b2a", *reduced_more, one);
            let third = branch(&mut b, third, "b2b", *quintuple, three);
            let fourth = b.max_pool(x, three.same());
            let fourth = branch(&mut b, fourth, "b3b", *pooled, one);
            x = b.concatenate(&[first, second, third, fourth]);
        }
    }
    let x = head(&mut b, x, sizes, 0.5, "logits.conv3d");
    b.finish(x)
}

/// S3D (Xie, Sun, Huang, Tu, Murphy, 2018): I3D with kernels parted into space and time, as torchvision has it. With `gated`
/// S3D-G: after every convolution over time, channels are scaled by a gate that sees their means.
pub(super) fn s3d(sizes: &Sizes, gated: bool) -> Graph {
    let (mut b, x) = Builder::new(sizes.inputs);
    let unit = |b: &mut Builder, x: Value, prefix: &str, channels: usize, window: Window| {
        let x = b.convolution(format!("{prefix}.0"), x, Filter::new(sizes.wide(channels), window));
        let x = b.norm_with(format!("{prefix}.1"), x, EPSILON);
        b.relu(x)
    };
    let parted = |b: &mut Builder, x: Value, prefix: &str, channels: usize, [side, step]: [usize; 2]| {
        let space = Window::square(side).centred().step(step);
        let x = unit(b, x, &format!("{prefix}.0"), channels, space);
        let time = Window::new([side, 1, 1]).centred().stride([step, 1, 1]);
        let x = unit(b, x, &format!("{prefix}.1"), channels, time);
        if gated { gate(b, x, &format!("{prefix}.gate")) } else { x }
    };
    let one = Window::cube(1);
    let x = parted(&mut b, x, "features.0", 64, [7, 2]);
    let x = b.max_pool(x, Window::square(3).step(2).centred());
    let x = unit(&mut b, x, "features.2", 64, one);
    let mut x = parted(&mut b, x, "features.3", 192, [3, 1]);
    let mut index = 4;
    for (stage, modules) in MODULES.into_iter().enumerate() {
        let (kernel, stride) = POOLS[stage];
        let window = Window::new(kernel).stride(stride);
        // Windows of two fit without padding.
        x = b.max_pool(x, if kernel == [2; 3] { window } else { window.centred() });
        index += 1;
        for (_, [single, reduced, triple, reduced_more, quintuple, pooled]) in modules.iter() {
            let prefix = format!("features.{index}");
            let first = unit(&mut b, x, &format!("{prefix}.branch0"), *single, one);
            let second = unit(&mut b, x, &format!("{prefix}.branch1.0"), *reduced, one);
            let second = parted(&mut b, second, &format!("{prefix}.branch1.1"), *triple, [3, 1]);
            let third = unit(&mut b, x, &format!("{prefix}.branch2.0"), *reduced_more, one);
            let third = parted(&mut b, third, &format!("{prefix}.branch2.1"), *quintuple, [3, 1]);
            let fourth = b.max_pool(x, Window::cube(3).centred());
            let fourth = unit(&mut b, fourth, &format!("{prefix}.branch3.1"), *pooled, one);
            x = b.concatenate(&[first, second, third, fourth]);
            index += 1;
        }
    }
    let x = head(&mut b, x, sizes, 0.2, "classifier.1");
    b.finish(x)
}

/// Every channel times a gate that sees the means of all.
fn gate(b: &mut Builder, x: Value, name: &str) -> Value {
    let channels = b.channels(x);
    let gate = b.average(x);
    let gate = b.linear(name, gate, channels);
    let gate = b.activation(Activation::Sigmoid, gate);
    b.multiply(x, gate)
}

/// Means over space and over two frames of what is left of them, a classifier at each of these times, and the mean of what it
/// says.
fn head(b: &mut Builder, x: Value, sizes: &Sizes, dropout: f64, name: &str) -> Value {
    let x = b.average_frames(x);
    // Of clips of up to 8 frames one is left.
    let x = if sizes.extent[0] > 8 { b.average_pool(x, Window::new([2, 1, 1]), true) } else { x };
    let x = b.dropout(x, dropout);
    let x = b.convolution(name, x, Filter::new(sizes.classes, Window::cube(1)).biased());
    b.average(x)
}
