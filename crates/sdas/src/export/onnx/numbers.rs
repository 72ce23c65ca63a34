//! The numbers of layers, with norms taken into convolutions where that is asked for.

use super::super::Subject;
use crate::layers::{Graph, Layer, Node};

/// A graph's numbers on the host, and which norms go into which convolutions.
pub(super) struct Numbers<'a> {
    graph: &'a Graph,
    weights: Vec<Option<Vec<f32>>>,
    statistics: Vec<Option<Vec<f32>>>,
    /// By layer, the norm that a convolution takes in.
    taken: Vec<Option<usize>>,
}

/// A norm's numbers, by channel.
pub(super) struct Norm {
    pub(super) scale: Vec<f32>,
    pub(super) shift: Vec<f32>,
    pub(super) mean: Vec<f32>,
    pub(super) variance: Vec<f32>,
}

/// What a convolution or a linear layer multiplies with, in PyTorch's order, and adds.
pub(super) struct Linear {
    pub(super) weight: Vec<f32>,
    pub(super) bias: Option<Vec<f32>>,
}

impl<'a> Numbers<'a> {
    pub(super) fn of(subject: &'a Subject, fold: bool) -> Self {
        let graph = &subject.graph;
        let taken = if fold { foldable(graph) } else { vec![None; graph.nodes().len()] };
        Numbers { graph, weights: subject.weights.to_host(), statistics: subject.statistics.to_host(), taken }
    }

    /// Whether a convolution has this norm taken in.
    pub(super) fn is_taken(&self, norm: usize) -> bool {
        self.taken.contains(&Some(norm))
    }

    /// A norm's.
    pub(super) fn norm(&self, node: &Node) -> Norm {
        let Layer::Norm { channels, affine, .. } = node.layer else { unreachable!("it is a norm") };
        let slot = self.statistics[node.place.slot].as_deref().expect("a norm has running statistics");
        let part = |from: usize| slot[node.place.statistics + from * channels..][..channels].to_vec();
        let [scale, shift] = match affine {
            true => self.learnt(node).try_into().expect("a norm learns a scale and a shift"),
            false => [vec![1.0; channels], vec![0.0; channels]],
        };
        Norm { scale, shift, mean: part(0), variance: part(1) }
    }

    /// Those of the convolution or the linear layer at a place, with the norm that it takes in.
    pub(super) fn linear(&self, layer: usize) -> Linear {
        let node = &self.graph.nodes()[layer];
        let mut learnt = self.learnt(node).into_iter();
        let weight = learnt.next().expect("it has a weight");
        let linear = Linear { weight, bias: learnt.next() };
        match self.taken[layer] {
            None => linear,
            Some(norm) => {
                let norm = &self.graph.nodes()[norm];
                let Layer::Norm { epsilon, .. } = norm.layer else { unreachable!("it is a norm") };
                folded(linear, &self.norm(norm), epsilon)
            }
        }
    }

    /// Each tensor that a layer learns, in PyTorch's order.
    fn learnt(&self, node: &Node) -> Vec<Vec<f32>> {
        let slot = self.weights[node.place.slot].as_deref().expect("a layer that learns has weights");
        let mut from = node.place.weights;
        let each = node.layer.learns().into_iter().map(|learnt| {
            let values = learnt.kind.to_pytorch(&slot[from..from + learnt.kind.len()]);
            from += learnt.kind.len();
            values
        });
        each.collect()
    }
}

/// By convolution, the norm that reads it directly and alone.
fn foldable(graph: &Graph) -> Vec<Option<usize>> {
    let nodes = graph.nodes();
    let mut readers: Vec<Vec<usize>> = vec![Vec::new(); nodes.len()];
    for (index, node) in nodes.iter().enumerate() {
        node.reads.iter().for_each(|read| readers[read.index()].push(index));
    }
    let norm = |(index, node): (usize, &Node)| match (&node.layer, &readers[index][..]) {
        (Layer::Convolution { .. }, &[reader]) if graph.output().index() != index => {
            matches!(nodes[reader].layer, Layer::Norm { .. }).then_some(reader)
        }
        _ => None,
    };
    nodes.iter().enumerate().map(norm).collect()
}

/// A convolution that gives what `norm` makes of it.
fn folded(Linear { weight, bias }: Linear, norm: &Norm, epsilon: f64) -> Linear {
    let outputs = norm.scale.len();
    let factors: Vec<f64> = norm
        .scale
        .iter()
        .zip(&norm.variance)
        .map(|(&scale, &variance)| f64::from(scale) / (f64::from(variance) + epsilon).sqrt())
        .collect();
    let row = weight.len() / outputs;
    let scaled = weight.iter().enumerate().map(|(at, &value)| (f64::from(value) * factors[at / row]) as f32).collect();
    let shifted = (0..outputs).map(|output| {
        let before = bias.as_ref().map_or(0.0, |bias| f64::from(bias[output]));
        (f64::from(norm.shift[output]) + (before - f64::from(norm.mean[output])) * factors[output]) as f32
    });
    Linear { weight: scaled, bias: Some(shifted.collect()) }
}
