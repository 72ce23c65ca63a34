//! GoogLeNet, BN-Inception and Xception.

use super::Sizes;
use crate::layers::{Builder, Filter, Graph, Value, Window};

/// The numbers of an inception module of GoogLeNet (Szegedy and others, 2015, table 1): 1×1; 3×3 reduced, 3×3; 5×5 reduced,
/// 5×5; after the pool.
type Module = [usize; 6];

/// GoogLeNet's modules by stage.
pub(super) const MODULES: [&[(&str, Module)]; 3] = [
    &[("3a", [64, 96, 128, 16, 32, 32]), ("3b", [128, 128, 192, 32, 96, 64])],
    &[
        ("4a", [192, 96, 208, 16, 48, 64]),
        ("4b", [160, 112, 224, 24, 64, 64]),
        ("4c", [128, 128, 256, 24, 64, 64]),
        ("4d", [112, 144, 288, 32, 64, 64]),
        ("4e", [256, 160, 320, 32, 128, 128]),
    ],
    &[("5a", [256, 160, 320, 32, 128, 128]), ("5b", [384, 192, 384, 48, 128, 128])],
];

/// What norms of these networks add to a variance.
const EPSILON: f64 = 1e-3;

/// Convolution, norm, ReLU.
fn block(b: &mut Builder, x: Value, prefix: &str, filter: Filter) -> Value {
    let x = b.convolution(format!("{prefix}.conv"), x, filter);
    let x = b.norm_with(format!("{prefix}.bn"), x, EPSILON);
    b.relu(x)
}

/// GoogLeNet (Szegedy and others, 2015) with norms, and 3×3 convolutions in place of 5×5, as torchvision has it; without the
/// auxiliary classifiers.
pub(super) fn googlenet(sizes: &Sizes) -> Graph {
    let (mut b, x) = Builder::new(sizes.inputs);
    let (one, three) = (Window::square(1), Window::square(3).centred());
    let pool = Window::square(3).step(2).ceil();
    let filter = |channels: usize, window: Window| Filter::new(sizes.wide(channels), window);
    let x = block(&mut b, x, "conv1", filter(64, Window::square(7).step(2).centred()));
    let x = b.max_pool(x, pool);
    let x = block(&mut b, x, "conv2", filter(64, one));
    let x = block(&mut b, x, "conv3", filter(192, three));
    let mut x = b.max_pool(x, pool);
    for (stage, modules) in MODULES.into_iter().enumerate() {
        if stage > 0 {
            x = b.max_pool(x, if stage == 1 { pool } else { Window::square(2).step(2).ceil() });
        }
        for (name, [single, reduced, triple, reduced_more, quintuple, pooled]) in modules {
            let prefix = format!("inception{name}");
            let branch = |b: &mut Builder, x: Value, part: &str, channels: usize, window: Window| {
                block(b, x, &format!("{prefix}.{part}"), filter(channels, window))
            };
            let first = branch(&mut b, x, "branch1", *single, one);
            let second = branch(&mut b, x, "branch2.0", *reduced, one);
            let second = branch(&mut b, second, "branch2.1", *triple, three);
            let third = branch(&mut b, x, "branch3.0", *reduced_more, one);
            let third = branch(&mut b, third, "branch3.1", *quintuple, three);
            let fourth = b.max_pool(x, three);
            let fourth = branch(&mut b, fourth, "branch4.1", *pooled, one);
            x = b.concatenate(&[first, second, third, fourth]);
        }
    }
    let x = b.average_frames(x);
    let x = b.dropout(x, 0.2);
    let x = b.linear("fc", x, sizes.classes);
    b.finish(x)
}

/// A module of BN-Inception: 1×1, none where the module reduces the size; 3×3 reduced, 3×3; double 3×3 reduced, double 3×3;
/// after the pool, nothing of which is convolved where the module reduces the size.
type NormedModule = (&'static str, [usize; 6]);

const NORMED_MODULES: [NormedModule; 10] = [
    ("3a", [64, 64, 64, 64, 96, 32]),
    ("3b", [64, 64, 96, 64, 96, 64]),
    ("3c", [0, 128, 160, 64, 96, 0]),
    ("4a", [224, 64, 96, 96, 128, 128]),
    ("4b", [192, 96, 128, 96, 128, 128]),
    ("4c", [160, 128, 160, 128, 160, 128]),
    ("4d", [96, 128, 192, 160, 192, 128]),
    ("4e", [0, 128, 192, 192, 256, 0]),
    ("5a", [352, 192, 320, 160, 224, 128]),
    ("5b", [352, 192, 320, 192, 224, 128]),
];

/// BN-Inception (Ioffe, Szegedy, 2015), the network of TSN and of Temporal Linear Encoding, as pytorchcv has it: convolutions
/// with bias.
pub(super) fn bn_inception(sizes: &Sizes) -> Graph {
    let (mut b, x) = Builder::new(sizes.inputs);
    let x = bn_inception_features(&mut b, x, sizes);
    let x = b.average_frames(x);
    let x = b.linear("fc", x, sizes.classes);
    b.finish(x)
}

/// BN-Inception's convolutions, to 1/32 of the size.
pub(super) fn bn_inception_features(b: &mut Builder, x: Value, sizes: &Sizes) -> Value {
    let block = |b: &mut Builder, x: Value, name: &str, filter: Filter| {
        let x = b.convolution(name, x, filter.biased());
        let x = b.norm(format!("{name}_bn"), x);
        b.relu(x)
    };
    let filter = |channels: usize, window: Window| Filter::new(sizes.wide(channels), window);
    let (one, three) = (Window::square(1), Window::square(3).centred());
    let pool = Window::square(3).step(2).ceil();
    let x = block(b, x, "conv1_7x7_s2", filter(64, Window::square(7).step(2).centred()));
    let x = b.max_pool(x, pool);
    let x = block(b, x, "conv2_3x3_reduce", filter(64, one));
    let x = block(b, x, "conv2_3x3", filter(192, three));
    let mut x = b.max_pool(x, pool);
    for (name, [single, reduced, triple, reduced_more, double, pooled]) in NORMED_MODULES {
        let prefix = format!("inception_{name}");
        let reduces = single == 0;
        let last = if reduces { three.step(2) } else { three };
        let mut branches = Vec::new();
        if !reduces {
            branches.push(block(b, x, &format!("{prefix}_1x1"), filter(single, one)));
        }
        let y = block(b, x, &format!("{prefix}_3x3_reduce"), filter(reduced, one));
        branches.push(block(b, y, &format!("{prefix}_3x3"), filter(triple, last)));
        let y = block(b, x, &format!("{prefix}_double_3x3_reduce"), filter(reduced_more, one));
        let y = block(b, y, &format!("{prefix}_double_3x3_1"), filter(double, three));
        branches.push(block(b, y, &format!("{prefix}_double_3x3_2"), filter(double, last)));
        branches.push(match (reduces, name) {
            (true, _) => b.max_pool(x, pool),
            // The last module's pool is of maxima.
            (false, "5b") => {
                let y = b.max_pool(x, three);
                block(b, y, &format!("{prefix}_pool_proj"), filter(pooled, one))
            }
            (false, _) => {
                let y = b.average_pool(x, three, true);
                block(b, y, &format!("{prefix}_pool_proj"), filter(pooled, one))
            }
        });
        x = b.concatenate(&branches);
    }
    x
}

/// Xception (Chollet, 2017), as the Keras weights have it.
pub(super) fn xception(sizes: &Sizes) -> Graph {
    let (mut b, x) = Builder::new(sizes.inputs);
    let c = |channels: usize| sizes.wide(channels);
    let separable = |b: &mut Builder, x: Value, prefix: &str, outputs: usize| {
        let depthwise = Filter::new(b.channels(x), Window::square(3).centred()).groups(b.channels(x));
        let x = b.convolution(format!("{prefix}.conv1"), x, depthwise);
        b.convolution(format!("{prefix}.pointwise"), x, Filter::new(outputs, Window::square(1)))
    };
    let mut x = x;
    for (index, channels, stride) in [(1, 32, 2), (2, 64, 1)] {
        x = b.convolution(format!("conv{index}"), x, Filter::new(c(channels), Window::square(3).step(stride)));
        x = b.norm(format!("bn{index}"), x);
        x = b.relu(x);
    }
    let entry = [(1, [128, 128]), (2, [256, 256]), (3, [728, 728])].map(|(index, widths)| (index, widths.to_vec(), 2));
    let middle = (4..12).map(|index| (index, vec![728; 3], 1));
    let blocks = entry.into_iter().chain(middle).chain([(12, vec![728, 1024], 2)]);
    for (index, widths, stride) in blocks {
        let prefix = format!("block{index}");
        // The first block begins without a ReLU: what it reads has had one.
        let first = usize::from(index > 1);
        let mut y = x;
        for (place, &channels) in widths.iter().enumerate() {
            let at = 3 * place + first;
            y = if at > 0 { b.relu(y) } else { y };
            y = separable(&mut b, y, &format!("{prefix}.rep.{at}"), c(channels));
            y = b.norm(format!("{prefix}.rep.{}", at + 1), y);
        }
        let shortcut = match stride {
            1 => x,
            _ => {
                y = b.max_pool(y, Window::square(3).step(stride).centred());
                let outputs = b.channels(y);
                let filter = Filter::new(outputs, Window::square(1).step(stride));
                let x = b.convolution(format!("{prefix}.skip"), x, filter);
                b.norm(format!("{prefix}.skipbn"), x)
            }
        };
        x = b.add(y, shortcut);
    }
    for (index, channels) in [(3, 1536), (4, 2048)] {
        x = separable(&mut b, x, &format!("conv{index}"), c(channels));
        x = b.norm(format!("bn{index}"), x);
        x = b.relu(x);
    }
    let x = b.average_frames(x);
    let x = b.linear("fc", x, sizes.classes);
    b.finish(x)
}
