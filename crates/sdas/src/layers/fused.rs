//! Which layers the kernels compute in one piece.

use super::{Activation, Filter, Graph, Layer, Node, Value, Window};
use sdas_kernels::{Edge, Epsilon, Expression, Norm, Padding};

/// Layers that are computed together, in the place of the first of them.
pub(super) struct Piece {
    pub(super) kind: PieceKind,
    /// What it reads.
    pub(super) reads: Vec<Value>,
    /// The layer whose value it computes.
    pub(super) value: Value,
}

pub(super) enum PieceKind {
    /// A dense convolution as an edge: with the ReLU before it, if nothing else reads that, and with the norm that follows
    /// it, unless there is none. The window is what lies around the input, where the edge does not put it there itself.
    Convolution(Edge, Option<Window>),
    /// A sum of two and the ReLU that follows it.
    RectifiedSum,
}

impl Graph {
    /// By layer, the piece that it begins.
    pub(super) fn pieces(&self) -> Vec<Option<Piece>> {
        let mut readers: Vec<Vec<Value>> = vec![Vec::new(); self.nodes.len()];
        for (index, node) in self.nodes.iter().enumerate() {
            node.reads.iter().for_each(|read| readers[read.index()].push(Value(index)));
        }
        // What reads it, if that is all that is done with it.
        let reader = |index: usize| match readers[index][..] {
            [reader] if self.output.index() != index => Some(reader),
            _ => None,
        };
        let is_relu = |value: Value| self.nodes[value.index()].layer == Layer::Activation(Activation::Relu);
        let piece = |(index, node): (usize, &Node)| {
            let next = reader(index);
            if let (Layer::Add, [_, _]) = (&node.layer, &node.reads[..]) {
                let relu = next.filter(|&relu| is_relu(relu))?;
                // A convolution that alone reads it computes it better.
                let is_taken =
                    reader(relu.index()).is_some_and(|reader| edge(&self.nodes[reader.index()].layer).is_some());
                let sum = Piece { kind: PieceKind::RectifiedSum, reads: node.reads.clone(), value: relu };
                return (!is_taken).then_some(sum);
            }
            let (mut edge, around) = edge(&node.layer)?;
            let mut reads = node.reads.clone();
            let before = reads[0];
            if is_relu(before) && reader(before.index()).is_some() {
                let [Expression::Convolve { activated, .. }] = &mut edge.operations[..] else {
                    unreachable!("the edge is a convolution")
                };
                *activated = true;
                reads = self.nodes[before.index()].reads.clone();
            }
            let norm = next.filter(|norm| self.follows(node, &self.nodes[norm.index()]));
            if let Some(Layer::Norm { affine, epsilon, .. }) = norm.map(|norm| &self.nodes[norm.index()].layer) {
                edge.norm = if *affine { Norm::Affine } else { Norm::Plain };
                edge.epsilon = Epsilon::new(*epsilon);
            }
            Some(Piece { kind: PieceKind::Convolution(edge, around), reads, value: norm.unwrap_or(Value(index)) })
        };
        self.nodes.iter().enumerate().map(piece).collect()
    }

    /// Whether `norm` is one whose numbers lie right after those of `convolution`, as in an edge.
    fn follows(&self, convolution: &Node, norm: &Node) -> bool {
        let Layer::Norm { affine, .. } = norm.layer else { return false };
        let Layer::Convolution { filter: Filter { bias: false, .. }, .. } = convolution.layer else { return false };
        let (before, after) = (convolution.place, norm.place);
        before.slot == after.slot && (!affine || before.weights + convolution.layer.weight_count() == after.weights)
    }
}

/// The edge without norm that a dense convolution is, and the window whose margins have to lie around what it reads.
fn edge(layer: &Layer) -> Option<(Edge, Option<Window>)> {
    let Layer::Convolution { inputs, filter: Filter { outputs, window, groups: 1, .. } } = *layer else { return None };
    if window.dilation != [1; 3] {
        return None;
    }
    let is_odd = window.kernel.iter().all(|size| size % 2 == 1);
    let keeps_size = window == window.centred() || window == window.same() && window.stride == [1; 3];
    let (padding, around) = match window {
        _ if is_odd && keeps_size && !window.ceil => (Padding::Same, None),
        _ if window == window.padding([0; 3]) && !window.ceil => (Padding::Valid, None),
        _ => (Padding::Valid, Some(window)),
    };
    let convolve = Expression::Convolve { kernel: window.kernel, padding, activated: false };
    let edge = Edge {
        inputs,
        outputs,
        stride: window.stride,
        operations: vec![convolve],
        norm: Norm::Absent,
        epsilon: Epsilon::USUAL,
    };
    Some((edge, around))
}
