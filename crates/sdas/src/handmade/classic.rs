//! The first ones: AlexNet and VGG.

use super::Sizes;
use crate::layers::{Builder, Filter, Graph, Layer, Value, Window};

/// AlexNet of "One weird trick for parallelizing convolutional neural networks" (Krizhevsky, 2014), as torchvision has it.
pub(super) fn alexnet(sizes: &Sizes) -> Graph {
    let (mut b, mut x) = Builder::new(sizes.inputs);
    let pool = Window::square(3).step(2);
    let layers = [
        (0, 64, Window::square(11).step(4).padding([0, 2, 2]), true),
        (3, 192, Window::square(5).centred(), true),
        (6, 384, Window::square(3).centred(), false),
        (8, 256, Window::square(3).centred(), false),
        (10, 256, Window::square(3).centred(), true),
    ];
    for (index, channels, window, pooled) in layers {
        x = b.convolution(format!("features.{index}"), x, Filter::new(sizes.wide(channels), window).biased());
        x = b.relu(x);
        x = if pooled { b.max_pool(x, pool) } else { x };
    }
    x = b.layer("", Layer::AdaptiveAverage { size: [None, Some(6), Some(6)] }, &[x]);
    x = b.flatten(x, 36);
    for index in [1, 4] {
        x = b.dropout(x, 0.5);
        x = b.linear(format!("classifier.{index}"), x, sizes.wide(4096));
        x = b.relu(x);
    }
    let x = b.linear("classifier.6", x, sizes.classes);
    b.finish(x)
}

/// AlexNet (Krizhevsky, Sutskever, Hinton, 2012) with both towers in one, as pytorchcv counts it: local response norms,
/// overlapping pools.
pub(super) fn alexnet_2012(sizes: &Sizes) -> Graph {
    let (mut b, mut x) = Builder::new(sizes.inputs);
    let norm = Layer::LocalResponseNorm { size: 5, alpha: 1e-4, beta: 0.75, bias: 2.0 };
    let pool = Window::square(3).step(2).ceil();
    let layers = [
        (96, Window::square(11).step(4), true),
        (256, Window::square(5).centred(), true),
        (384, Window::square(3).centred(), false),
        (384, Window::square(3).centred(), false),
        (256, Window::square(3).centred(), false),
    ];
    for (index, (channels, window, normed)) in layers.into_iter().enumerate() {
        x = b.convolution(format!("conv{}", index + 1), x, Filter::new(sizes.wide(channels), window).biased());
        x = b.relu(x);
        x = if normed { b.layer("", norm.clone(), &[x]) } else { x };
        x = if normed || index == 4 { b.max_pool(x, pool) } else { x };
    }
    x = b.layer("", Layer::AdaptiveAverage { size: [None, Some(6), Some(6)] }, &[x]);
    x = b.flatten(x, 36);
    for index in [6, 7] {
        x = b.linear(format!("fc{index}"), x, sizes.wide(4096));
        x = b.relu(x);
        x = b.dropout(x, 0.5);
    }
    let x = b.linear("fc8", x, sizes.classes);
    b.finish(x)
}

/// VGG (Simonyan, Zisserman, 2014), with so many convolutions in each of the five stages, as torchvision has it.
pub(super) fn vgg(sizes: &Sizes, stages: [usize; 5], normed: bool) -> Graph {
    let (mut b, x) = Builder::new(sizes.inputs);
    let x = vgg_features(&mut b, x, sizes, "features", stages, normed);
    let x = b.max_pool(x, Window::square(2).step(2));
    let x = vgg_classifier(&mut b, x, sizes, "classifier");
    b.finish(x)
}

/// VGG's convolutions, to 1/16 of the size: all but the last pool.
pub(super) fn vgg_features(
    b: &mut Builder,
    x: Value,
    sizes: &Sizes,
    prefix: &str,
    stages: [usize; 5],
    normed: bool,
) -> Value {
    let (mut x, mut index) = (x, 0);
    for (stage, (convolutions, channels)) in stages.into_iter().zip([64, 128, 256, 512, 512]).enumerate() {
        if stage > 0 {
            x = b.max_pool(x, Window::square(2).step(2));
            index += 1;
        }
        let filter = Filter::new(sizes.wide(channels), Window::square(3).centred()).biased();
        for _ in 0..convolutions {
            x = b.convolution(format!("{prefix}.{index}"), x, filter);
            if normed {
                index += 1;
                x = b.norm(format!("{prefix}.{index}"), x);
            }
            x = b.relu(x);
            index += 2;
        }
    }
    x
}

/// VGG's three linear layers.
pub(super) fn vgg_classifier(b: &mut Builder, x: Value, sizes: &Sizes, prefix: &str) -> Value {
    let x = b.layer("", Layer::AdaptiveAverage { size: [None, Some(7), Some(7)] }, &[x]);
    let mut x = b.flatten(x, 49);
    for index in [0, 3] {
        x = b.linear(format!("{prefix}.{index}"), x, sizes.wide(4096));
        x = b.relu(x);
        x = b.dropout(x, 0.5);
    }
    b.linear(format!("{prefix}.6"), x, sizes.classes)
}
