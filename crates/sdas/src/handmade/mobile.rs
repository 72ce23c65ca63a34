//! Networks for telephones: MobileNet and ShuffleNet.

use super::Sizes;
use crate::layers::{Activation, Builder, Filter, Graph, Layer, Value, Window};

/// Convolution and norm, named `{prefix}.0` and `{prefix}.1`.
fn normed(b: &mut Builder, x: Value, prefix: &str, filter: Filter) -> Value {
    let x = b.convolution(format!("{prefix}.0"), x, filter);
    b.norm(format!("{prefix}.1"), x)
}

fn depthwise(b: &Builder, x: Value, stride: usize) -> Filter {
    let channels = b.channels(x);
    Filter::new(channels, Window::square(3).centred().step(stride)).groups(channels)
}

/// MobileNet (Howard and others, 2017): depthwise and 1×1 convolutions by turns.
pub(super) fn mobilenet_v1(sizes: &Sizes) -> Graph {
    let (mut b, x) = Builder::new(sizes.inputs);
    let first = Filter::new(sizes.wide(32), Window::square(3).centred().step(2));
    let x = normed(&mut b, x, "features.0", first);
    let mut x = b.relu(x);
    let strided = [(64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2)];
    let blocks = strided.into_iter().chain([(512, 1); 5]).chain([(1024, 2), (1024, 1)]);
    for (index, (channels, stride)) in blocks.enumerate() {
        let prefix = format!("features.{}", index + 1);
        let filter = depthwise(&b, x, stride);
        x = normed(&mut b, x, &format!("{prefix}.depthwise"), filter);
        x = b.relu(x);
        let filter = Filter::new(sizes.wide(channels), Window::square(1));
        x = normed(&mut b, x, &format!("{prefix}.pointwise"), filter);
        x = b.relu(x);
    }
    let x = b.average_frames(x);
    let x = b.linear("classifier", x, sizes.classes);
    b.finish(x)
}

/// MobileNetV2 (Sandler and others, 2018): residual blocks that are wide inside. As torchvision has it, channels multiples of
/// 8.
pub(super) fn mobilenet_v2(sizes: &Sizes) -> Graph {
    let (mut b, x) = Builder::new(sizes.inputs);
    let one = Window::square(1);
    let first = Filter::new(sizes.wide_in(32, 8), Window::square(3).centred().step(2));
    let x = normed(&mut b, x, "features.0", first);
    let mut x = b.activation(Activation::Relu6, x);
    let mut index = 1;
    // Expansion, channels, blocks, stride of the first.
    for (expansion, channels, blocks, stride) in
        [(1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)]
    {
        let outputs = sizes.wide_in(channels, 8);
        for block in 0..blocks {
            let prefix = format!("features.{index}.conv");
            let (inputs, stride) = (b.channels(x), if block == 0 { stride } else { 1 });
            let (mut y, mut at) = (x, 0);
            if expansion > 1 {
                y = normed(&mut b, y, &format!("{prefix}.0"), Filter::new(expansion * inputs, one));
                y = b.activation(Activation::Relu6, y);
                at = 1;
            }
            let filter = depthwise(&b, y, stride);
            y = normed(&mut b, y, &format!("{prefix}.{at}"), filter);
            y = b.activation(Activation::Relu6, y);
            y = b.convolution(format!("{prefix}.{}", at + 1), y, Filter::new(outputs, one));
            y = b.norm(format!("{prefix}.{}", at + 2), y);
            x = if stride == 1 && inputs == outputs { b.add(x, y) } else { y };
            index += 1;
        }
    }
    // The last layer does not become narrower than the paper's.
    let last = sizes.wide_in(1280, 8).max(1280);
    let x = normed(&mut b, x, &format!("features.{index}"), Filter::new(last, one));
    let x = b.activation(Activation::Relu6, x);
    let x = b.average_frames(x);
    let x = b.dropout(x, 0.2);
    let x = b.linear("classifier.1", x, sizes.classes);
    b.finish(x)
}

/// ShuffleNet (Zhang, Zhou, Lin, Sun, 2018) with so many groups, and `widths` of its stages (table 1).
pub(super) fn shufflenet_v1(sizes: &Sizes, groups: usize, widths: [usize; 3]) -> Graph {
    let (mut b, x) = Builder::new(sizes.inputs);
    let one = Window::square(1);
    let first = Filter::new(sizes.wide_in(24, groups), Window::square(3).centred().step(2));
    let x = normed(&mut b, x, "stage1", first);
    let x = b.relu(x);
    let mut x = b.max_pool(x, Window::square(3).step(2).centred());
    for (stage, (channels, units)) in widths.into_iter().zip([4, 8, 4]).enumerate() {
        // A quarter of them, and what is left beside the shortcut, is parted into groups.
        let outputs = sizes.wide_in(channels, 4 * groups);
        for unit in 0..units {
            let prefix = format!("stage{}.{unit}", stage + 2);
            let (inputs, reduces) = (b.channels(x), unit == 0);
            // The first of all reads too few channels for groups.
            let own = if stage == 0 && reduces { 1 } else { groups };
            let filter = Filter::new(outputs / 4, one).groups(own);
            let y = normed(&mut b, x, &format!("{prefix}.compress"), filter);
            let y = b.relu(y);
            let y = b.layer("", Layer::Shuffle { groups }, &[y]);
            let filter = depthwise(&b, y, if reduces { 2 } else { 1 });
            let y = normed(&mut b, y, &format!("{prefix}.depthwise"), filter);
            let left = if reduces { outputs - inputs } else { outputs };
            let y = normed(&mut b, y, &format!("{prefix}.expand"), Filter::new(left, one).groups(groups));
            let y = match reduces {
                true => {
                    let pooled = b.average_pool(x, Window::square(3).step(2).centred(), true);
                    b.concatenate(&[y, pooled])
                }
                false => b.add(y, x),
            };
            x = b.relu(y);
        }
    }
    let x = b.average_frames(x);
    let x = b.linear("fc", x, sizes.classes);
    b.finish(x)
}

/// ShuffleNetV2 (Ma, Zhang, Zheng, Sun, 2018) with the `widths` of its stages, as torchvision has it.
pub(super) fn shufflenet_v2(sizes: &Sizes, widths: [usize; 4]) -> Graph {
    let (mut b, x) = Builder::new(sizes.inputs);
    let one = Window::square(1);
    let [second, third, fourth, last] = widths;
    let first = Filter::new(sizes.wide(24), Window::square(3).centred().step(2));
    let x = normed(&mut b, x, "conv1", first);
    let x = b.relu(x);
    let mut x = b.max_pool(x, Window::square(3).step(2).centred());
    for (stage, (channels, units)) in [second, third, fourth].into_iter().zip([4, 8, 4]).enumerate() {
        let half = sizes.wide_in(channels, 2) / 2;
        for unit in 0..units {
            let prefix = format!("stage{}.{unit}", stage + 2);
            let reduces = unit == 0;
            let [one_half, other_half] = match reduces {
                true => {
                    let filter = depthwise(&b, x, 2);
                    let y = normed(&mut b, x, &format!("{prefix}.branch1"), filter);
                    let y = b.convolution(format!("{prefix}.branch1.2"), y, Filter::new(half, one));
                    let y = b.norm(format!("{prefix}.branch1.3"), y);
                    [b.relu(y), x]
                }
                false => [b.channels_of(x, 0, half), b.channels_of(x, half, 2 * half)],
            };
            let branch = format!("{prefix}.branch2");
            let y = normed(&mut b, other_half, &branch, Filter::new(half, one));
            let y = b.relu(y);
            let filter = depthwise(&b, y, if reduces { 2 } else { 1 });
            let y = b.convolution(format!("{branch}.3"), y, filter);
            let y = b.norm(format!("{branch}.4"), y);
            let y = b.convolution(format!("{branch}.5"), y, Filter::new(half, one));
            let y = b.norm(format!("{branch}.6"), y);
            let y = b.relu(y);
            let y = b.concatenate(&[one_half, y]);
            x = b.layer("", Layer::Shuffle { groups: 2 }, &[y]);
        }
    }
    let x = normed(&mut b, x, "conv5", Filter::new(sizes.wide(last), one));
    let x = b.relu(x);
    let x = b.average_frames(x);
    let x = b.linear("fc", x, sizes.classes);
    b.finish(x)
}
