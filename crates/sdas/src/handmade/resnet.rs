//! Residual networks: ResNet, wide ResNet, ResNeXt, and those with squeeze and excitation.

use super::Sizes;
use crate::layers::{Activation, Builder, Filter, Graph, Value, Window};

/// What a residual network is made of.
#[derive(Debug, Clone, Copy)]
pub(super) struct Residual {
    /// Blocks in each stage.
    pub(super) blocks: &'static [usize],
    /// What a block is.
    pub(super) block: Block,
    /// What comes before the first block.
    pub(super) stem: Stem,
    /// Whether every block's result is scaled by what squeeze and excitation make of it.
    pub(super) gated: bool,
}

/// A residual block.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Block {
    /// Two 3×3 convolutions.
    Basic,
    /// 1×1, 3×3, 1×1, to four times the channels.
    Bottleneck {
        /// Groups of the 3×3 convolution.
        groups: usize,
        /// Channels of a group, of a stage of 64.
        width: usize,
        /// Which of them has the stride.
        strided: Strided,
    },
    /// SENet-154's: 1×1 to twice, 3×3 in 64 groups to four times the channels, 1×1.
    Doubled,
}

/// Which convolution of a bottleneck reduces the size.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Strided {
    /// The first, 1×1: the paper's.
    First,
    /// The 3×3: torchvision's ("v1.5").
    Middle,
}

/// What comes before the first block.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Stem {
    /// 7×7 with stride 2 and a pool: ImageNet.
    Large,
    /// Three 3×3, the first with stride 2, to twice the channels, and a pool: SENet-154.
    Deep,
    /// 3×3, to so many channels: CIFAR.
    Small(usize),
}

/// A bottleneck as in torchvision's ResNets.
pub(super) const BOTTLENECK: Block = Block::Bottleneck { groups: 1, width: 64, strided: Strided::Middle };

/// The paper's 110 layers are 6n + 2, so that n = 18, and so on.
pub(super) const fn cifar(blocks: &'static [usize]) -> Residual {
    Residual { blocks, block: Block::Basic, stem: Stem::Small(16), gated: false }
}

/// ResNet (He, Zhang, Ren, Sun, 2015), wide ResNet for ImageNet (Zagoruyko, Komodakis, 2016), ResNeXt (Xie and others, 2017),
/// SE-ResNet and SENet-154 (Hu, Shen, Sun, 2018), by what they are made of. Names of weights are torchvision's, where it has
/// the network. CIFAR's shortcuts are 1×1 convolutions, as pytorchcv has them; the paper's were without weights.
pub(super) fn resnet(sizes: &Sizes, residual: Residual) -> Graph {
    let Residual { blocks, block, stem, gated } = residual;
    let (mut b, x) = Builder::new(sizes.inputs);
    let mut x = stem_of(&mut b, x, sizes, stem);
    let first = if let Stem::Small(channels) = stem { channels } else { 64 };
    for (stage, &count) in blocks.iter().enumerate() {
        for index in 0..count {
            let stride = if index == 0 && stage > 0 { 2 } else { 1 };
            let prefix = format!("layer{}.{index}", stage + 1);
            x = unit(&mut b, x, &prefix, sizes, first << stage, stride, block, gated);
        }
    }
    let x = b.average_frames(x);
    let x = if stem == Stem::Deep { b.dropout(x, 0.2) } else { x };
    let x = b.linear("fc", x, sizes.classes);
    b.finish(x)
}

fn stem_of(b: &mut Builder, x: Value, sizes: &Sizes, stem: Stem) -> Value {
    let small = Window::square(3).centred();
    let convolutions = match stem {
        Stem::Large => vec![(64, Window::square(7).step(2).centred())],
        Stem::Deep => vec![(64, small.step(2)), (64, small), (128, small)],
        Stem::Small(channels) => vec![(channels, small)],
    };
    let mut x = x;
    for (index, (channels, window)) in convolutions.into_iter().enumerate() {
        let number = index + 1;
        x = b.convolution(format!("conv{number}"), x, Filter::new(sizes.wide(channels), window));
        x = b.norm(format!("bn{number}"), x);
        x = b.relu(x);
    }
    if let Stem::Small(_) = stem { x } else { b.max_pool(x, Window::square(3).step(2).centred()) }
}

/// A block with its shortcut; `planes` are its channels, a quarter of what a bottleneck gives.
#[expect(clippy::too_many_arguments, reason = "each says one thing of the block")]
fn unit(
    b: &mut Builder,
    x: Value,
    prefix: &str,
    sizes: &Sizes,
    planes: usize,
    stride: usize,
    block: Block,
    gated: bool,
) -> Value {
    let (one, three) = (Window::square(1), Window::square(3).centred());
    let filters = match block {
        Block::Basic => {
            let outputs = sizes.wide(planes);
            vec![Filter::new(outputs, three.step(stride)), Filter::new(outputs, three)]
        }
        Block::Bottleneck { groups, width, strided } => {
            let inner = sizes.wide_in(planes * width / 64 * groups, groups);
            let strides = if strided == Strided::First { [stride, 1] } else { [1, stride] };
            let middle = Filter::new(inner, three.step(strides[1])).groups(groups);
            vec![Filter::new(inner, one.step(strides[0])), middle, Filter::new(4 * sizes.wide(planes), one)]
        }
        Block::Doubled => {
            let outputs = sizes.wide_in(4 * planes, 128);
            let middle = Filter::new(outputs, three.step(stride)).groups(64);
            vec![Filter::new(outputs / 2, one), middle, Filter::new(outputs, one)]
        }
    };
    let outputs = filters.last().map_or(0, |filter| filter.outputs);
    let last = filters.len();
    let mut y = x;
    for (index, filter) in filters.into_iter().enumerate() {
        y = b.convolution(format!("{prefix}.conv{}", index + 1), y, filter);
        y = b.norm(format!("{prefix}.bn{}", index + 1), y);
        y = if index + 1 < last { b.relu(y) } else { y };
    }
    if gated {
        y = excite(b, y, &format!("{prefix}.se"), 16);
    }
    let shortcut = if stride == 1 && b.channels(x) == outputs {
        x
    } else {
        // SENet-154's shortcuts that reduce the size are 3×3.
        let window = if block == Block::Doubled && stride > 1 { three } else { one };
        let x = b.convolution(format!("{prefix}.downsample.0"), x, Filter::new(outputs, window.step(stride)));
        b.norm(format!("{prefix}.downsample.1"), x)
    };
    let y = b.add(y, shortcut);
    b.relu(y)
}

/// Squeeze and excitation (Hu, Shen, Sun, 2018): every channel times a gate that sees the means of all.
pub(super) fn excite(b: &mut Builder, x: Value, prefix: &str, reduction: usize) -> Value {
    let channels = b.channels(x);
    let gate = b.average_frames(x);
    let gate = b.linear(format!("{prefix}.fc1"), gate, (channels / reduction).max(1));
    let gate = b.relu(gate);
    let gate = b.linear(format!("{prefix}.fc2"), gate, channels);
    let gate = b.activation(Activation::Sigmoid, gate);
    b.multiply(x, gate)
}

/// ResNet with pre-activation (He, Zhang, Ren, Sun, 2016, "Identity mappings") for CIFAR, and wide ResNet (Zagoruyko,
/// Komodakis, 2016), which is one with `widening` times the channels; as pytorchcv has them.
pub(super) fn preactivated(sizes: &Sizes, blocks: usize, widening: usize) -> Graph {
    let (mut b, x) = Builder::new(sizes.inputs);
    let three = Window::square(3).centred();
    let mut x = b.convolution("conv1", x, Filter::new(sizes.wide(16), three));
    for stage in 0..3 {
        let outputs = sizes.wide(widening * (16 << stage));
        for index in 0..blocks {
            let prefix = format!("layer{}.{index}", stage + 1);
            let stride = if index == 0 && stage > 0 { 2 } else { 1 };
            let activated = b.norm(format!("{prefix}.bn1"), x);
            let activated = b.relu(activated);
            let y = b.convolution(format!("{prefix}.conv1"), activated, Filter::new(outputs, three.step(stride)));
            let y = b.norm(format!("{prefix}.bn2"), y);
            let y = b.relu(y);
            let y = b.convolution(format!("{prefix}.conv2"), y, Filter::new(outputs, three));
            let shortcut = match stride == 1 && b.channels(x) == outputs {
                true => x,
                false => {
                    let filter = Filter::new(outputs, Window::square(1).step(stride));
                    b.convolution(format!("{prefix}.shortcut"), activated, filter)
                }
            };
            x = b.add(y, shortcut);
        }
    }
    let x = b.norm("bn", x);
    let x = b.relu(x);
    let x = b.average_frames(x);
    let x = b.linear("fc", x, sizes.classes);
    b.finish(x)
}
