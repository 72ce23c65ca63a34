//! Residual networks for clips.

use super::Sizes;
use crate::layers::{Affinity, Builder, Filter, Graph, Initial, Layer, Value, Window};
use sdas_kernels::Extent;

/// What a 3×3 convolution of a residual network becomes in a clip.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Form {
    /// 3×3×3 everywhere: R3D.
    Full,
    /// 3×3×3 in the first stage, 1×3×3 later: MC3.
    Mixed,
    /// 1×3×3, norm, ReLU, 3×1×1, with as many channels between as 3×3×3 has weights: R(2+1)D.
    Parted,
}

/// Channels between the two parts, over space and over time, of a convolution of k×k×k: it has about as many weights in two
/// as in one.
fn between(inputs: usize, outputs: usize, k: usize) -> usize {
    inputs * outputs * k * k * k / (inputs * k * k + k * outputs)
}

/// R3D, MC3 and R(2+1)D (Tran and others, 2018), as torchvision has them: frames are kept by the stem, and halved with height
/// and width later.
pub(super) fn video_resnet(sizes: &Sizes, blocks: [usize; 4], form: Form) -> Graph {
    let (mut b, x) = Builder::new(sizes.inputs);
    let step = |b: &mut Builder, x: Value, [conv, norm]: [&str; 2], channels: usize, window: Window| {
        let x = b.convolution(conv, x, Filter::new(channels, window));
        let x = b.norm(norm, x);
        b.relu(x)
    };
    let space = Window::square(7).centred().step(2);
    let mut x = if form == Form::Parted {
        let x = step(&mut b, x, ["stem.0", "stem.1"], sizes.wide(45), space);
        step(&mut b, x, ["stem.3", "stem.4"], sizes.wide(64), Window::new([3, 1, 1]).centred())
    } else {
        step(&mut b, x, ["stem.0", "stem.1"], sizes.wide(64), Window::new([3, 7, 7]).centred().step(2))
    };
    for (stage, count) in blocks.into_iter().enumerate() {
        let outputs = sizes.wide(64 << stage);
        let timeless = form == Form::Mixed && stage > 0;
        for index in 0..count {
            let step = if index == 0 && stage > 0 { 2 } else { 1 };
            let stride = if timeless { [1, step, step] } else { [step; 3] };
            let prefix = format!("layer{}.{index}", stage + 1);
            let inputs = b.channels(x);
            let middle = between(inputs, outputs, 3);
            let mut y = x;
            for (number, stride) in [(1, stride), (2, [1; 3])] {
                let name = format!("{prefix}.conv{number}");
                y = match form {
                    Form::Parted => parted(&mut b, y, &format!("{name}.0"), [middle, outputs], stride),
                    _ => {
                        let kernel = if timeless { [1, 3, 3] } else { [3; 3] };
                        let window = Window::new(kernel).centred().stride(stride);
                        b.convolution(format!("{name}.0"), y, Filter::new(outputs, window))
                    }
                };
                y = b.norm(format!("{name}.1"), y);
                y = if number == 1 { b.relu(y) } else { y };
            }
            x = closed(&mut b, x, y, &prefix, stride);
        }
    }
    let x = b.average(x);
    let x = b.linear("fc", x, sizes.classes);
    b.finish(x)
}

/// 1×3×3, norm, ReLU, 3×1×1: `{name}.0`, `{name}.1`, `{name}.3`.
fn parted(b: &mut Builder, x: Value, name: &str, [middle, outputs]: [usize; 2], [t, h, w]: Extent) -> Value {
    let space = Window::square(3).centred().stride([1, h, w]);
    let x = b.convolution(format!("{name}.0"), x, Filter::new(middle, space));
    let x = b.norm(format!("{name}.1"), x);
    let x = b.relu(x);
    let time = Window::new([3, 1, 1]).centred().stride([t, 1, 1]);
    b.convolution(format!("{name}.3"), x, Filter::new(outputs, time))
}

/// The sum of a block's result and its input, brought to the same size, and ReLU.
fn closed(b: &mut Builder, x: Value, y: Value, prefix: &str, stride: Extent) -> Value {
    let outputs = b.channels(y);
    let shortcut = match stride == [1; 3] && b.channels(x) == outputs {
        true => x,
        false => {
            let filter = Filter::new(outputs, Window::cube(1).stride(stride));
            let x = b.convolution(format!("{prefix}.downsample.0"), x, filter);
            b.norm(format!("{prefix}.downsample.1"), x)
        }
    };
    let y = b.add(y, shortcut);
    b.relu(y)
}

/// A network of 3D-ResNets (Hara, Kataoka, Satoh, 2018), in the form of kenshohara/3D-ResNets-PyTorch of 2020: a stem of 7×7×7
/// that keeps the frames, and a pool that halves everything. Its R(2+1)D has the stem in two parts, too.
pub(super) fn resnet3d(sizes: &Sizes, blocks: [usize; 4], bottleneck: bool, form: Form) -> Graph {
    let (mut b, x) = Builder::new(sizes.inputs);
    let x = cube(&mut b, x, 7, ["conv1", "bn1"], sizes.wide(64), [1, 2, 2], form);
    let x = b.relu(x);
    let mut x = b.max_pool(x, Window::cube(3).centred().stride([2; 3]));
    for (stage, count) in blocks.into_iter().enumerate() {
        let planes = sizes.wide(64 << stage);
        for index in 0..count {
            let stride = if index == 0 && stage > 0 { [2; 3] } else { [1; 3] };
            let prefix = format!("layer{}.{index}", stage + 1);
            let cubes = if bottleneck { vec![(2, stride)] } else { vec![(1, stride), (2, [1; 3])] };
            let mut y = x;
            if bottleneck {
                y = b.convolution(format!("{prefix}.conv1"), y, Filter::new(planes, Window::cube(1)));
                y = b.norm(format!("{prefix}.bn1"), y);
                y = b.relu(y);
            }
            for (number, stride) in cubes {
                y = cube(
                    &mut b,
                    y,
                    3,
                    [&format!("{prefix}.conv{number}"), &format!("{prefix}.bn{number}")],
                    planes,
                    stride,
                    form,
                );
                y = if bottleneck || number == 1 { b.relu(y) } else { y };
            }
            if bottleneck {
                y = b.convolution(format!("{prefix}.conv3"), y, Filter::new(4 * planes, Window::cube(1)));
                y = b.norm(format!("{prefix}.bn3"), y);
            }
            x = closed(&mut b, x, y, &prefix, stride);
        }
    }
    let x = b.average(x);
    let x = b.linear("fc", x, sizes.classes);
    b.finish(x)
}

/// A cube of a convolution and norm, whole or in two parts with a norm each.
fn cube(
    b: &mut Builder,
    x: Value,
    side: usize,
    [conv, norm]: [&str; 2],
    outputs: usize,
    stride: Extent,
    form: Form,
) -> Value {
    if form != Form::Parted {
        let x = b.convolution(conv, x, Filter::new(outputs, Window::cube(side).centred().stride(stride)));
        return b.norm(norm, x);
    }
    let [t, h, w] = stride;
    let middle = between(b.channels(x), outputs, side);
    let space = Filter::new(middle, Window::square(side).centred().stride([1, h, w]));
    let x = b.convolution(format!("{conv}_s"), x, space);
    let x = b.norm(format!("{norm}_s"), x);
    let x = b.relu(x);
    let time = Filter::new(outputs, Window::new([side, 1, 1]).centred().stride([t, 1, 1]));
    let x = b.convolution(format!("{conv}_t"), x, time);
    b.norm(format!("{norm}_t"), x)
}

/// Where a ResNet-50 for clips looks over time.
#[derive(Debug, Clone, Copy)]
pub(super) struct Inflation {
    /// Frames that the stem's kernel sees.
    pub(super) stem: usize,
    /// By stage, in which blocks the first 1×1 convolution is 3×1×1: every so many, beginning with the given one.
    pub(super) blocks: [Option<(usize, usize)>; 4],
    /// Whether frames are halved after the first stage.
    pub(super) halved: bool,
}

/// Frame by frame, but for a pool: C2D (Wang and others, 2018).
pub(super) const C2D: Inflation = Inflation { stem: 1, blocks: [None; 4], halved: true };
/// I3D with ResNet-50 (Wang and others, 2018, appendix; pytorchvideo's).
pub(super) const I3D: Inflation =
    Inflation { stem: 5, blocks: [Some((0, 1)), Some((0, 2)), Some((0, 2)), Some((1, 2))], halved: true };
/// The slow way of SlowFast (Feichtenhofer and others, 2019).
pub(super) const SLOW: Inflation =
    Inflation { stem: 1, blocks: [None, None, Some((0, 1)), Some((0, 1))], halved: false };

/// How well two positions go together in a non-local block (Wang, Girshick, Gupta, He, 2018, section 3.2).
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Similarity {
    /// Softmax of the products of what is there.
    Gaussian,
    /// Softmax of the products of two embeddings.
    EmbeddedGaussian,
    /// The products of two embeddings.
    DotProduct,
}

/// ResNet-50 for clips, inflated, as pytorchvideo has it; with `attention` the non-local network (Wang, Girshick, Gupta, He,
/// 2018): two blocks of attention in the second stage and three in the third, as mmaction2 has them.
pub(super) fn inflated_resnet50(sizes: &Sizes, inflation: Inflation, attention: Option<Similarity>) -> Graph {
    let Inflation { stem, blocks, halved } = inflation;
    let (mut b, x) = Builder::new(sizes.inputs);
    let x = b.convolution("conv1", x, Filter::new(sizes.wide(64), Window::new([stem, 7, 7]).centred().step(2)));
    let x = b.norm("bn1", x);
    let x = b.relu(x);
    let mut x = b.max_pool(x, Window::square(3).centred().step(2));
    for (stage, (count, inflated)) in [3, 4, 6, 3].into_iter().zip(blocks).enumerate() {
        let planes = sizes.wide(64 << stage);
        for index in 0..count {
            let prefix = format!("layer{}.{index}", stage + 1);
            let step = if index == 0 && stage > 0 { 2 } else { 1 };
            let sees = inflated.is_some_and(|(first, every)| index % every == first);
            let first = if sees { Window::new([3, 1, 1]).centred() } else { Window::cube(1) };
            let windows = [first, Window::square(3).centred().step(step), Window::cube(1)];
            let mut y = x;
            for (number, (window, channels)) in windows.into_iter().zip([planes, planes, 4 * planes]).enumerate() {
                y = b.convolution(format!("{prefix}.conv{}", number + 1), y, Filter::new(channels, window));
                y = b.norm(format!("{prefix}.bn{}", number + 1), y);
                y = if number < 2 { b.relu(y) } else { y };
            }
            x = closed(&mut b, x, y, &prefix, [1, step, step]);
            if let Some(similarity) = attention.filter(|_| (1..3).contains(&stage) && index % 2 == 1) {
                x = non_local(&mut b, x, &format!("{prefix}.non_local"), similarity);
            }
        }
        if halved && stage == 0 {
            x = b.max_pool(x, Window::new([2, 1, 1]).stride([2, 1, 1]));
        }
    }
    let x = b.average(x);
    let x = b.dropout(x, 0.5);
    let x = b.linear("fc", x, sizes.classes);
    b.finish(x)
}

/// A non-local block in half of the channels; keys and values from the largest of every 2×2 pixels. It begins as nothing, for its
/// norm's scale is 0 at first (section 4.1 of the paper), and with small weights, as the authors' code and mmaction2's have it.
fn non_local(b: &mut Builder, x: Value, prefix: &str, similarity: Similarity) -> Value {
    let channels = b.channels(x);
    let half = Filter::new(channels / 2, Window::cube(1)).biased();
    let embedding = |b: &mut Builder, name: &str, x: Value, filter: Filter| {
        let y = b.convolution(format!("{prefix}.{name}"), x, filter);
        b.begin(y, Initial::Normal(0.01));
        y
    };
    let pool = Window::square(2).step(2);
    let [query, key] = match similarity {
        Similarity::Gaussian => [x, x],
        _ => ["theta", "phi"].map(|name| embedding(b, name, x, half)),
    };
    let key = b.max_pool(key, pool);
    let value = embedding(b, "g", x, half);
    let value = b.max_pool(value, pool);
    let affinity = if similarity == Similarity::DotProduct { Affinity::Mean } else { Affinity::Softmax };
    let y = b.layer("", Layer::Attention { affinity }, &[query, key, value]);
    let y = embedding(b, "conv_out", y, Filter::new(channels, Window::cube(1)));
    let y = b.norm(format!("{prefix}.bn"), y);
    b.begin(y, Initial::Zero);
    b.add(x, y)
}

/// P3D (Qiu, Yao, Mei, 2017), as qijiezhao/pseudo-3d-pytorch has it: ResNet's bottlenecks with 1×3×3 and 3×1×1 in the three
/// manners A, B and C in turn; the last stage sees single frames.
pub(super) fn p3d(sizes: &Sizes, blocks: [usize; 4]) -> Graph {
    let (mut b, x) = Builder::new(sizes.inputs);
    let x = b.convolution("conv1_custom", x, Filter::new(sizes.wide(64), Window::square(7).centred().step(2)));
    let x = b.norm("bn1", x);
    let x = b.relu(x);
    let mut x = b.max_pool(x, Window::new([2, 3, 3]).stride([2; 3]).padding([0, 1, 1]));
    let mut number = 0;
    for (stage, count) in blocks.into_iter().enumerate() {
        let planes = sizes.wide(64 << stage);
        for index in 0..count {
            let prefix = format!("layer{}.{index}", stage + 1);
            let step = if index == 0 && stage > 0 { 2 } else { 1 };
            let layer = |b: &mut Builder, x: Value, [conv, norm]: [&str; 2], channels: usize, window: Window| {
                let x = b.convolution(format!("{prefix}.{conv}"), x, Filter::new(channels, window));
                b.norm(format!("{prefix}.{norm}"), x)
            };
            let y = layer(&mut b, x, ["conv1", "bn1"], planes, Window::cube(1).step(step));
            let y = b.relu(y);
            let y = if stage == 3 {
                let y = layer(&mut b, y, ["conv_normal", "bn_normal"], planes, Window::square(3).centred());
                b.relu(y)
            } else {
                let s = layer(&mut b, y, ["conv2", "bn2"], planes, Window::square(3).centred());
                let s = b.relu(s);
                // A: space, then time. B: the sum of both. C: space, and what time makes of it.
                let of = if number % 3 == 1 { y } else { s };
                let t = layer(&mut b, of, ["conv3", "bn3"], planes, Window::new([3, 1, 1]).centred());
                let t = b.relu(t);
                if number % 3 == 0 { t } else { b.add(t, s) }
            };
            let y = layer(&mut b, y, ["conv4", "bn4"], 4 * planes, Window::cube(1));
            x = closed(&mut b, x, y, &prefix, [1, step, step]);
            number += 1;
        }
        if stage < 3 {
            x = b.max_pool(x, Window::new([2, 1, 1]).stride([2, 1, 1]));
        }
    }
    let x = b.average(x);
    let x = b.dropout(x, 0.5);
    let x = b.linear("fc", x, sizes.classes);
    b.finish(x)
}
