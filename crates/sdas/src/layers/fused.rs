//! Which layers the kernels compute in one piece.

use super::{Activation, Filter, Graph, Layer, Node, Value, Window};
use sdas_kernels::{Edge, Epsilon, Expression, Norm, Padding};

/// A dense convolution as an edge: with the ReLU before it, if nothing else reads that, and with the norm that follows it.
pub(super) struct Unit {
    pub(super) edge: Edge,
    /// What it reads.
    pub(super) read: Value,
    /// What lies around the input, where the edge does not put it there itself.
    pub(super) around: Option<Window>,
    /// The norm.
    pub(super) norm: Option<Value>,
}

impl Graph {
    /// By layer, what is computed as an edge.
    pub(super) fn units(&self) -> Vec<Option<Unit>> {
        let mut readers: Vec<Vec<Value>> = vec![Vec::new(); self.nodes.len()];
        for (index, node) in self.nodes.iter().enumerate() {
            node.reads.iter().for_each(|read| readers[read.index()].push(Value(index)));
        }
        let unit = |(index, node): (usize, &Node)| {
            let (mut edge, around) = edge(&node.layer)?;
            let is_last = self.output.index() == index;
            let [mut read] = node.reads[..] else { unreachable!("a convolution reads one value") };
            if let ([_], Node { layer: Layer::Activation(Activation::Relu), reads, .. }) =
                (&readers[read.index()][..], &self.nodes[read.index()])
            {
                let [Expression::Convolve { activated, .. }] = &mut edge.operations[..] else {
                    unreachable!("the edge is a convolution")
                };
                *activated = true;
                read = reads[0];
            }
            let norm = match readers[index][..] {
                [reader] if !is_last => Some(reader).filter(|reader| self.follows(node, &self.nodes[reader.index()])),
                _ => None,
            };
            if let Some(norm) = norm {
                let Layer::Norm { affine, epsilon, .. } = self.nodes[norm.index()].layer else {
                    unreachable!("it is a norm")
                };
                edge.norm = if affine { Norm::Affine } else { Norm::Plain };
                edge.epsilon = Epsilon::new(epsilon);
            }
            Some(Unit { edge, read, around, norm })
        };
        self.nodes.iter().enumerate().map(unit).collect()
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
