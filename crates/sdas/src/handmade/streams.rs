//! Networks for pictures, put together for clips: C3D, two streams, segments, fused frames.

use super::Sizes;
use super::classic::{vgg_classifier, vgg_features};
use super::inception::bn_inception_features;
use crate::layers::{Activation, Builder, Filter, Graph, Layer, Value, Window};
use sdas_kernels::Extent;

/// C3D (Tran and others, 2015), as mmaction2 has it.
pub(super) fn c3d(sizes: &Sizes) -> Graph {
    let (mut b, mut x) = Builder::new(sizes.inputs);
    let halves = Window::cube(2).stride([2; 3]);
    let stages: [(&[(&str, usize)], Window); 5] = [
        (&[("conv1a", 64)], Window::square(2).step(2)),
        (&[("conv2a", 128)], halves),
        (&[("conv3a", 256), ("conv3b", 256)], halves),
        (&[("conv4a", 512), ("conv4b", 512)], halves),
        (&[("conv5a", 512), ("conv5b", 512)], halves.padding([0, 1, 1])),
    ];
    // Convolutions keep the size, pools do not.
    let mut extent = sizes.extent;
    for (convolutions, pool) in stages {
        for (name, channels) in convolutions {
            x = b.convolution(*name, x, Filter::new(sizes.wide(*channels), Window::cube(3).centred()).biased());
            x = b.relu(x);
        }
        x = b.max_pool(x, pool);
        extent = pool.output(extent).unwrap_or(extent);
    }
    x = b.layer(
        "",
        Layer::Flatten { frames: true, positions: extent.into_iter().fold(1, usize::saturating_mul) },
        &[x],
    );
    for name in ["fc6", "fc7"] {
        x = b.linear(name, x, sizes.wide(4096));
        x = b.relu(x);
        x = b.dropout(x, 0.5);
    }
    let x = b.linear("fc_cls", x, sizes.classes);
    b.finish(x)
}

/// VGG-16's stages.
const VGG16: [usize; 5] = [2, 2, 3, 3, 3];

/// How the two streams come together.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Fusion {
    /// The mean of what both say of the classes (Simonyan, Zisserman, 2014).
    Late,
    /// A convolution over both streams' last features, and one classifier (Feichtenhofer, Pinz, Zisserman, 2016).
    Convolution,
}

/// Two VGG-16, of which one sees a frame, the first three channels, and the other the optical flow around it, all others.
pub(super) fn two_stream(sizes: &Sizes, fusion: Fusion) -> Graph {
    let (mut b, x) = Builder::new(sizes.inputs);
    let ways = [("spatial", 0, 3), ("temporal", 3, sizes.inputs)];
    let features = ways.map(|(name, from, to)| {
        let x = b.channels_of(x, from, to);
        vgg_features(&mut b, x, sizes, &format!("{name}.features"), VGG16, false)
    });
    let pool = Window::square(2).step(2);
    let logits = match fusion {
        Fusion::Late => {
            let shares = ["spatial", "temporal"].iter().zip(features).map(|(name, x)| {
                let x = b.max_pool(x, pool);
                let logits = vgg_classifier(&mut b, x, sizes, &format!("{name}.classifier"));
                b.activation(Activation::Softmax, logits)
            });
            let shares: Vec<Value> = shares.collect();
            // The softmax of the sum's logarithm is the mean of the shares.
            let sum = b.layer("", Layer::Add, &shares);
            b.activation(Activation::Logarithm, sum)
        }
        Fusion::Convolution => {
            let both = b.concatenate(&features);
            let x = b.convolution("fusion", both, Filter::new(sizes.wide(512), Window::square(1)).biased());
            let x = b.relu(x);
            let x = b.max_pool(x, pool);
            vgg_classifier(&mut b, x, sizes, "classifier")
        }
    };
    b.finish(logits)
}

/// Temporal segment network (Wang and others, 2016): a network for pictures sees a frame of every segment, and the mean of what
/// it says of them is what is said of the clip.
pub(super) fn segments(picture: Graph) -> Graph {
    let (mut b, logits) = Builder::resume(picture);
    let x = b.layer("", Layer::AdaptiveAverage { size: [Some(1), None, None] }, &[logits]);
    b.finish(x)
}

/// Temporal Linear Encoding (Diba, Sharma, Van Gool, 2017) over BN-Inception: the features of one frame of every segment are
/// multiplied, and the products of all pairs of channels are the encoding. The paper sketches these in 8196 numbers; here they
/// are all there.
pub(super) fn temporal_linear_encoding(sizes: &Sizes) -> Graph {
    let (mut b, x) = Builder::new(sizes.inputs);
    let features = bn_inception_features(&mut b, x, sizes);
    let x = b.layer("", Layer::FrameProduct, &[features]);
    let x = b.layer("", Layer::Bilinear, &[x]);
    let x = b.activation(Activation::SignedRoot, x);
    let x = b.activation(Activation::UnitLength, x);
    let x = b.linear("fc", x, sizes.classes);
    b.finish(x)
}

/// Where frames come together (Karpathy and others, 2014).
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Frames {
    /// There is one.
    Single,
    /// In the first convolution, which sees all.
    Early,
    /// In the first linear layer: two frames, far apart.
    Late,
    /// In the first three convolutions, little by little.
    Slow,
}

/// The networks of Karpathy and others (2014), which differ in where frames come together.
pub(super) fn fused_frames(sizes: &Sizes, frames: Frames) -> Graph {
    let (mut b, mut x) = Builder::new(sizes.inputs);
    // Frames that a kernel sees, and its stride over time.
    let times: [[usize; 2]; 3] = match frames {
        Frames::Single | Frames::Late => [[1, 1]; 3],
        Frames::Early => [[sizes.extent[0], 1], [1, 1], [1, 1]],
        Frames::Slow => [[4, 2], [2, 2], [2, 2]],
    };
    let norm = Layer::LocalResponseNorm { size: 5, alpha: 1e-4, beta: 0.75, bias: 2.0 };
    for (index, (channels, side)) in [(96, 11), (256, 5), (384, 3), (384, 3), (256, 3)].into_iter().enumerate() {
        let [time, step] = times.get(index).copied().unwrap_or([1, 1]);
        let (stride, padding): (Extent, Extent) =
            if index == 0 { ([step, 3, 3], [0; 3]) } else { ([step, 1, 1], [0, side / 2, side / 2]) };
        let window = Window::new([time, side, side]).stride(stride).padding(padding);
        x = b.convolution(format!("conv{}", index + 1), x, Filter::new(sizes.wide(channels), window).biased());
        x = b.relu(x);
        x = if index < 2 { b.layer("", norm.clone(), &[x]) } else { x };
        x = if index < 2 || index == 4 { b.max_pool(x, Window::square(2).step(2)) } else { x };
    }
    x = b.layer("", Layer::AdaptiveAverage { size: [None, Some(6), Some(6)] }, &[x]);
    let left = if frames == Frames::Late { sizes.extent[0] } else { 1 };
    x = b.layer("", Layer::Flatten { frames: true, positions: 36 * left }, &[x]);
    for name in ["fc6", "fc7"] {
        x = b.linear(name, x, sizes.wide(4096));
        x = b.relu(x);
        x = b.dropout(x, 0.5);
    }
    let x = b.linear("fc8", x, sizes.classes);
    b.finish(x)
}
