//! Densely connected networks.

use super::Sizes;
use crate::layers::{Builder, Filter, Graph, Window};

/// What a DenseNet is made of.
#[derive(Debug, Clone, Copy)]
pub(super) struct Dense {
    /// Layers in each block.
    pub(super) blocks: &'static [usize],
    /// Channels that every layer adds.
    pub(super) growth: usize,
    /// Channels before the first block.
    pub(super) first: usize,
    /// Whether 1×1 convolutions come before the 3×3 ones ("B").
    pub(super) bottleneck: bool,
    /// Whether transitions halve the channels ("C").
    pub(super) halved: bool,
    /// Whether the stem is that of ImageNet.
    pub(super) large: bool,
}

/// For CIFAR, of three blocks.
pub(super) const fn cifar(blocks: &'static [usize], growth: usize, bottleneck: bool, halved: bool) -> Dense {
    let first = if halved { 2 * growth } else { 16 };
    Dense { blocks, growth, first, bottleneck, halved, large: false }
}

/// For ImageNet.
pub(super) const fn imagenet(blocks: &'static [usize], growth: usize, first: usize) -> Dense {
    Dense { blocks, growth, first, bottleneck: true, halved: true, large: true }
}

/// DenseNet (Huang, Liu, van der Maaten, Weinberger, 2017). Names of weights are torchvision's.
pub(super) fn densenet(sizes: &Sizes, dense: Dense) -> Graph {
    let Dense { blocks, growth, first, bottleneck, halved, large } = dense;
    let growth = sizes.wide(growth);
    let (mut b, x) = Builder::new(sizes.inputs);
    let three = Window::square(3).centred();
    let window = if large { Window::square(7).step(2).centred() } else { three };
    let mut x = b.convolution("features.conv0", x, Filter::new(sizes.wide(first), window));
    if large {
        x = b.norm("features.norm0", x);
        x = b.relu(x);
        x = b.max_pool(x, Window::square(3).step(2).centred());
    }
    for (block, &layers) in blocks.iter().enumerate() {
        // Each layer reads all before it; they are put side by side once more for every one, as the paper does.
        let mut states = vec![x];
        for layer in 0..layers {
            let prefix = format!("features.denseblock{}.denselayer{}", block + 1, layer + 1);
            let mut y = if states.len() == 1 { states[0] } else { b.concatenate(&states) };
            if bottleneck {
                y = b.norm(format!("{prefix}.norm1"), y);
                y = b.relu(y);
                y = b.convolution(format!("{prefix}.conv1"), y, Filter::new(4 * growth, Window::square(1)));
            }
            let number = if bottleneck { 2 } else { 1 };
            y = b.norm(format!("{prefix}.norm{number}"), y);
            y = b.relu(y);
            y = b.convolution(format!("{prefix}.conv{number}"), y, Filter::new(growth, three));
            states.push(y);
        }
        x = b.concatenate(&states);
        if block + 1 < blocks.len() {
            let prefix = format!("features.transition{}", block + 1);
            x = b.norm(format!("{prefix}.norm"), x);
            x = b.relu(x);
            let outputs = if halved { b.channels(x) / 2 } else { b.channels(x) };
            x = b.convolution(format!("{prefix}.conv"), x, Filter::new(outputs, Window::square(1)));
            x = b.average_pool(x, Window::square(2).step(2), true);
        }
    }
    let x = b.norm(format!("features.norm{}", blocks.len() + 1), x);
    let x = b.relu(x);
    let x = b.average_frames(x);
    let x = b.linear("classifier", x, sizes.classes);
    b.finish(x)
}
