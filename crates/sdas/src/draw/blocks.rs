//! A network's layers as blocks: what is computed one right after another stands in one box.

use crate::layers::{Activation, Filter, Graph, Layer, Node, Pooling, Shape, ShapeError, Window};
use sdas_kernels::Extent;

/// A network from its input at the top to its logits at the bottom.
#[derive(Debug, Clone, PartialEq)]
pub struct Blocks {
    /// Stands above it; may be empty.
    pub title: String,
    /// In an order in which they can be computed.
    pub blocks: Vec<LayerBlock>,
    /// Which block reads what of which other: from, to.
    pub links: Vec<[usize; 2]>,
}

/// Layers of which each reads the one before it, and nothing else does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LayerBlock {
    /// What they compute.
    pub label: String,
    /// The size of what they give, where it is another than that of what they read.
    pub size: Option<String>,
    /// What the weightiest of them is.
    pub kind: BlockKind,
}

/// What a block mainly is, which gives the colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum BlockKind {
    /// Norms, activations, rearranged channels: what is said beside others, where there are others.
    Light,
    /// The input.
    Input,
    /// Sums, products, and channels side by side.
    Join,
    /// Pools and averages.
    Pool,
    /// Convolutions.
    Convolution,
    /// Linear layers, and what compares all positions.
    Linear,
}

impl Blocks {
    /// The layers of a network for samples of size `extent`.
    ///
    /// # Errors
    ///
    /// If it cannot read samples of that size.
    pub fn of(graph: &Graph, extent: Extent, title: &str) -> Result<Self, ShapeError> {
        let (nodes, shapes) = (graph.nodes(), graph.shapes(extent)?);
        let mut readers = vec![0usize; nodes.len()];
        nodes.iter().flat_map(|node| &node.reads).for_each(|value| readers[value.index()] += 1);
        let has_frames = shapes.iter().any(|shape| shape.extent[0] > 1);
        let mut blocks: Vec<(LayerBlock, Shape)> = Vec::new();
        let mut links = Vec::new();
        // The block of each layer, and the last layer of each block.
        let (mut block_of, mut last) = (Vec::with_capacity(nodes.len()), Vec::new());
        for (index, Node { layer, reads, .. }) in nodes.iter().enumerate() {
            let (label, kind) = (words(layer, has_frames), kind(layer));
            // Goes on with a block that ends in the only thing that it reads, if one of the two is light.
            let before = match reads[..] {
                [value] if readers[value.index()] == 1 => Some(block_of[value.index()]),
                _ => None,
            };
            let goes_on = before.filter(|&block: &usize| {
                let own: BlockKind = blocks[block].0.kind;
                last[block] == reads[0].index() && own != BlockKind::Input && own.min(kind) == BlockKind::Light
            });
            match goes_on {
                Some(block) => {
                    let (own, _) = &mut blocks[block];
                    own.label = format!("{}, {label}", own.label);
                    own.kind = own.kind.max(kind);
                    block_of.push(block);
                    last[block] = index;
                }
                None => {
                    let block = blocks.len();
                    let mut from: Vec<usize> = reads.iter().map(|value| block_of[value.index()]).collect();
                    from.dedup();
                    links.extend(from.into_iter().map(|from| [from, block]));
                    let read =
                        reads.first().map_or(Shape { extent: [0; 3], channels: 0 }, |value| shapes[value.index()]);
                    blocks.push((LayerBlock { label, size: None, kind }, read));
                    block_of.push(block);
                    last.push(index);
                }
            }
        }
        let sized = |((mut block, read), last): ((LayerBlock, Shape), usize)| {
            let gives = shapes[last];
            block.size = (gives != read).then(|| size(gives, has_frames));
            block
        };
        let blocks = blocks.into_iter().zip(last).map(sized).collect();
        Ok(Blocks { title: title.to_owned(), blocks, links })
    }

    /// A line a block, with what it reads where that is not the block before it.
    pub fn to_text(&self) -> String {
        let width = self.blocks.iter().map(|block| block.size.as_ref().map_or(0, |size| size.chars().count()));
        let (width, digits) = (width.max().unwrap_or(0), self.blocks.len().to_string().len());
        let line = |(index, block): (usize, &LayerBlock)| {
            let reads: Vec<usize> = self.links.iter().filter(|link| link[1] == index).map(|link| link[0]).collect();
            let from = match reads[..] {
                [] => String::new(),
                [one] if one + 1 == index => String::new(),
                _ => format!("  ← {}", reads.iter().map(usize::to_string).collect::<Vec<_>>().join(", ")),
            };
            let size = block.size.as_deref().unwrap_or("");
            format!("{index:digits$}  {size:width$}  {}{from}\n", block.label)
        };
        self.blocks.iter().enumerate().map(line).collect()
    }
}

fn size(Shape { extent: [t, h, w], channels }: Shape, has_frames: bool) -> String {
    match (has_frames, [t, h, w]) {
        (_, [1, 1, 1]) => channels.to_string(),
        (true, _) => format!("{channels}x{t}x{h}x{w}"),
        (false, _) => format!("{channels}x{h}x{w}"),
    }
}

fn kind(layer: &Layer) -> BlockKind {
    match layer {
        Layer::Input { .. } => BlockKind::Input,
        Layer::Convolution { .. } => BlockKind::Convolution,
        Layer::Linear { .. } | Layer::Attention { .. } | Layer::Bilinear => BlockKind::Linear,
        Layer::Pool { .. } | Layer::AdaptiveAverage { .. } => BlockKind::Pool,
        Layer::Add | Layer::Multiply | Layer::Concatenate | Layer::FrameProduct => BlockKind::Join,
        Layer::Norm { .. }
        | Layer::Activation(_)
        | Layer::Flatten { .. }
        | Layer::Slice { .. }
        | Layer::Shuffle { .. }
        | Layer::Pad { .. }
        | Layer::Difference
        | Layer::Zero { .. }
        | Layer::LocalResponseNorm { .. }
        | Layer::Dropout { .. } => BlockKind::Light,
    }
}

fn words(layer: &Layer, has_frames: bool) -> String {
    match layer {
        Layer::Input { .. } => "input".to_owned(),
        Layer::Convolution { inputs, filter: Filter { outputs, window, groups, .. } } => {
            let what = match groups {
                1 => "conv".to_owned(),
                _ if groups == inputs => "depthwise conv".to_owned(),
                _ => format!("conv in {groups} groups"),
            };
            format!("{} {what} {outputs}", windowed(window, has_frames))
        }
        Layer::Norm { .. } => "norm".to_owned(),
        Layer::Activation(function) => match function {
            Activation::Relu => "ReLU",
            Activation::Relu6 => "ReLU6",
            Activation::Sigmoid => "sigmoid",
            Activation::Tanh => "tanh",
            Activation::HardSigmoid => "hard sigmoid",
            Activation::HardSwish => "hard swish",
            Activation::Softmax => "softmax",
            Activation::Logarithm => "log",
            Activation::SignedRoot => "signed root",
            Activation::UnitLength => "unit length",
        }
        .to_owned(),
        Layer::Pool { pool, window } => {
            let what = if *pool == Pooling::Max { "max pool" } else { "average pool" };
            format!("{} {what}", windowed(window, has_frames))
        }
        Layer::AdaptiveAverage { size } => match size.map(|size| size.unwrap_or(0)) {
            [_, 1, 1] => "average".to_owned(),
            [_, h, w] => format!("average to {h}x{w}"),
        },
        Layer::Flatten { .. } => "flatten".to_owned(),
        Layer::Linear { outputs, .. } => format!("linear {outputs}"),
        Layer::Add => "sum".to_owned(),
        Layer::Multiply => "times".to_owned(),
        Layer::Concatenate => "side by side".to_owned(),
        Layer::FrameProduct => "product of frames".to_owned(),
        Layer::Slice { from, to } => format!("channels {from} to {}", to - 1),
        Layer::Shuffle { groups } => format!("shuffle of {groups}"),
        Layer::Pad { .. } => "pad".to_owned(),
        Layer::Difference => "difference in time".to_owned(),
        Layer::Zero { .. } => "zeros".to_owned(),
        Layer::LocalResponseNorm { .. } => "response norm".to_owned(),
        Layer::Dropout { .. } => "dropout".to_owned(),
        Layer::Attention { .. } => "attention".to_owned(),
        Layer::Bilinear => "bilinear".to_owned(),
    }
}

/// A window's size with its stride and its dilation, as far as they are other than 1.
fn windowed(window: &Window, has_frames: bool) -> String {
    let axes = |values: Extent| {
        let shown = if has_frames { &values[..] } else { &values[1..] };
        match shown.iter().all(|value| *value == shown[0]) && shown[0] != 0 {
            true => shown[0].to_string(),
            false => shown.iter().map(usize::to_string).collect::<Vec<_>>().join("x"),
        }
    };
    let kernel = if has_frames { &window.kernel[..] } else { &window.kernel[1..] };
    let mut text = kernel.iter().map(usize::to_string).collect::<Vec<_>>().join("x");
    if window.stride != [1; 3] {
        text += &format!("/{}", axes(window.stride));
    }
    if window.dilation != [1; 3] {
        text += &format!(" dilation {}", axes(window.dilation));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handmade::{NETWORKS, Named};

    fn blocks(name: &str) -> Blocks {
        let named = Named::find(name).unwrap();
        Blocks::of(&named.build(&named.usual()), named.usual().extent, name).unwrap()
    }

    #[test]
    fn a_residual_network_in_words() {
        let text = blocks("resnet18").to_text();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0].trim_end(), " 0  3x224x224   input");
        assert_eq!(lines[1].trim_end(), " 1  64x112x112  7x7/2 conv 64, norm, ReLU");
        assert_eq!(lines[2].trim_end(), " 2  64x56x56    3x3/2 max pool");
        // Two convolutions, and the way past them.
        assert_eq!(lines[4].trim_end(), " 4              3x3 conv 64, norm");
        assert_eq!(lines[5].trim_end(), " 5              sum, ReLU  ← 4, 2");
        assert!(text.trim_end().ends_with("1000        linear 1000"), "{text}");
    }

    #[test]
    fn every_network_is_blocks_that_read_blocks_before_them() {
        for network in NETWORKS {
            let Blocks { blocks, links, .. } = blocks(network.name);
            assert!(links.iter().all(|[from, to]| from < to && *to < blocks.len()), "{}", network.name);
            let is_read = |block: usize| links.iter().any(|link| link[0] == block);
            assert!((0..blocks.len() - 1).all(is_read), "{}: a block that nothing reads", network.name);
            let weighty = blocks.iter().filter(|block| block.kind >= BlockKind::Convolution).count();
            assert!(weighty >= 3, "{}: {weighty}", network.name);
        }
    }
}
