//! The edges of a cell together: what they read and add to is known here, so that it need not be read and written once an
//! edge.

use crate::edge::is_portable;
use crate::expression::Extent;
use crate::portable::{largest, shuffle};
use crate::{Edge, Mode, Output, fused};
use burn::tensor::{Tensor, TensorData};

/// An edge at its place in a cell, and what it is given.
#[derive(Debug, Clone)]
pub struct Link<'a> {
    /// What it computes.
    pub edge: &'a Edge,
    /// The state it reads: first come the cell's inputs, the nodes follow.
    pub from: usize,
    /// The node that it is added to, from 0.
    pub node: usize,
    /// Its weights, as for [`Edge::forward`].
    pub weights: Option<Tensor<1>>,
    /// What its norms use.
    pub mode: Mode,
    /// Its row among the mixes, which begins with a factor per operation, followed by that of what passes it by where
    /// anything does; `None` takes all as they are.
    pub mixed: Option<usize>,
    /// What its [`Expression::Noise`](crate::Expression::Noise) gives, in the shape of its result.
    pub noise: Option<Tensor<5>>,
    /// What its result is multiplied by, a factor per sample: drop path.
    pub factors: Option<Vec<f32>>,
}

/// What a cell gives.
#[derive(Debug, Clone)]
pub struct CellOutput {
    /// The concatenated states, `[N, T', H', W', channels of all]`.
    pub activation: Tensor<5>,
    /// By link, as an edge's [`Output`](crate::Output) has them.
    pub statistics: Vec<Option<Tensor<1>>>,
}

/// Computes a cell: every node is the sum of the links that end in it, and the output is the states of `concat` side by
/// side.
///
/// `inputs` are `[N, T, H, W, C]`, of any sizes; `links` come in the order of their nodes, and each node has one at least,
/// which may be a [`Expression::Zero`](crate::Expression::Zero); `mixes`, `[rows, operations]`, holds the factors of the
/// mixed ones, in a row that may be longer than the operations of its link. Gradients are computed for the inputs, the
/// mixes and the weights if any of their kind is tracked.
///
/// # Panics
///
/// If a shape does not fit an edge, a node has no link, or a link reads a state that comes after its node.
pub fn cell(
    inputs: Vec<Tensor<5>>,
    links: Vec<Link>,
    mixes: Option<Tensor<2>>,
    concat: &[usize],
    share: usize,
) -> CellOutput {
    let samples = inputs.first().expect("a cell has an input").dims()[0];
    let mut nodes = 0;
    for link in &links {
        let Link { node, from, .. } = *link;
        assert!(node == nodes || node + 1 == nodes, "node {node} comes after {nodes} nodes: links come in their order");
        nodes = node + 1;
        assert!(from < inputs.len() + node, "node {node} reads state {from}, which comes later");
        if let Some(row) = link.mixed {
            let [rows, factors] = mixes.as_ref().expect("a mixed edge needs the architecture's weights").dims();
            let needed = link.edge.operations.len() + usize::from(share > 1);
            assert!(row < rows && factors >= needed, "one row per edge, one factor per operation");
        }
        assert!(link.factors.as_ref().is_none_or(|factors| factors.len() == samples), "one factor per sample");
    }
    let is_narrow = |link: &Link| link.edge.inputs == link.edge.outputs;
    assert!(
        share == 1 || links.iter().all(is_narrow),
        "what passes an edge by has as many channels behind it as before"
    );
    assert!(concat.iter().all(|&state| state < inputs.len() + nodes) && !concat.is_empty(), "the output is of states");
    if !is_portable() && fused::handles_cell(&inputs, &links, mixes.as_ref(), concat, share) {
        return fused::cell(inputs, links, mixes, concat, share);
    }
    edge_by_edge(inputs, links, mixes, concat, share)
}

/// The cell out of single edges and Burn's sums.
fn edge_by_edge(
    inputs: Vec<Tensor<5>>,
    links: Vec<Link>,
    mixes: Option<Tensor<2>>,
    concat: &[usize],
    share: usize,
) -> CellOutput {
    let mut states = inputs;
    let mut statistics = Vec::with_capacity(links.len());
    let mut sum: Option<Tensor<5>> = None;
    for (index, link) in links.iter().enumerate() {
        let input = states[link.from].clone();
        if link.edge.computes() || link.noise.is_some() || share > 1 {
            let (term, own) = term(link, input.clone(), mixes.as_ref(), share);
            statistics.push(own);
            sum = Some(match sum.take() {
                Some(sum) => sum + term,
                None => term,
            });
        } else {
            statistics.push(None);
        }
        if links.get(index + 1).is_none_or(|next| next.node != link.node) {
            states.push(sum.take().unwrap_or_else(|| {
                let [n, t, h, w, _] = input.dims();
                let [t, h, w]: Extent = link.edge.output_extent([t, h, w]);
                Tensor::zeros([n, t, h, w, link.edge.outputs * share], (&input.device(), input.dtype()))
            }));
        }
    }
    let activation = Tensor::cat(concat.iter().map(|&state| states[state].clone()).collect(), 4);
    CellOutput { activation, statistics }
}

/// What a link adds to its node, and its statistics.
fn term(link: &Link, input: Tensor<5>, mixes: Option<&Tensor<2>>, share: usize) -> (Tensor<5>, Option<Tensor<1>>) {
    let operations = link.edge.operations.len();
    let row = link.mixed.map(|row| {
        let mixes = mixes.cloned().expect("a mixed edge needs the architecture's weights");
        let [_, factors] = mixes.dims();
        mixes.slice([row..row + 1, 0..factors]).reshape([factors])
    });
    let mix = row.clone().map(|row| row.slice([0..operations]));
    let own = link.edge.inputs;
    let passing = (share > 1).then(|| input.clone().narrow(4, own, (share - 1) * own));
    let input = if share > 1 { input.narrow(4, 0, own) } else { input };
    let output = link.edge.forward(input, link.weights.clone(), mix.clone(), link.mode.clone());
    let Output { mut activation, statistics } = output;
    if let Some(noise) = link.noise.clone() {
        let at = link.edge.noise();
        let factor = mix.map(|mix| mix.slice([at..at + 1]).reshape([1, 1, 1, 1, 1]));
        activation = activation
            + match factor {
                Some(factor) => noise * factor,
                None => noise,
            };
    }
    if let Some(passing) = passing {
        let passing = largest(passing, link.edge.stride);
        let passing = match row {
            Some(row) => passing * row.slice([operations..operations + 1]).reshape([1, 1, 1, 1, 1]),
            None => passing,
        };
        activation = shuffle(Tensor::cat(vec![activation, passing], 4), share);
    }
    let term = match &link.factors {
        Some(factors) => {
            let factors = TensorData::new(factors.clone(), [factors.len(), 1, 1, 1, 1]);
            let factors = Tensor::from_data(factors, (&activation.device(), activation.dtype()));
            activation * factors
        }
        None => activation,
    };
    (term, statistics)
}
