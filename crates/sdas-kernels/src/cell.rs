//! The edges of a cell together: what they read and add to is known here, so that it need not be read and written once an
//! edge.

use crate::edge::is_portable;
use crate::{Edge, Mode, fused};
use burn::tensor::{Tensor, TensorData};

/// The states that a cell is given; its nodes follow them.
pub(crate) const INPUTS: usize = 2;

/// An edge at its place in a cell, and what it is given.
#[derive(Debug, Clone)]
pub struct Link<'a> {
    /// What it computes.
    pub edge: &'a Edge,
    /// The state it reads: 0 and 1 are the cell's inputs, the nodes follow.
    pub from: usize,
    /// The node that it is added to, from 0.
    pub node: usize,
    /// Its weights, as for [`Edge::forward`].
    pub weights: Option<Tensor<1>>,
    /// What its norms use.
    pub mode: Mode,
    /// Its row among the mixes; `None` sums its operations as they are.
    pub mixed: Option<usize>,
    /// What its result is multiplied by, a factor per sample: drop path.
    pub factors: Option<Vec<f32>>,
}

/// What a cell gives.
#[derive(Debug, Clone)]
pub struct CellOutput {
    /// The concatenated states, `[N, T', H', W', states × C]`.
    pub activation: Tensor<5>,
    /// By link, as an edge's [`Output`](crate::Output) has them.
    pub statistics: Vec<Option<Tensor<1>>>,
}

/// Computes a cell: every node is the sum of the links that end in it, and the output is the states of `concat` side by
/// side.
///
/// `inputs` are `[N, T, H, W, C]`; `links` come in the order of their nodes, and each node has one; `mixes`,
/// `[rows, operations]`, holds the factors of the mixed ones. Gradients are computed for the inputs, the mixes and the
/// weights if any of their kind is tracked.
///
/// # Panics
///
/// If a shape does not fit an edge, or a link reads a state that comes after its node.
pub fn cell(inputs: [Tensor<5>; INPUTS], links: Vec<Link>, mixes: Option<Tensor<2>>, concat: &[usize]) -> CellOutput {
    let samples = inputs[0].dims()[0];
    for link in &links {
        assert!(link.from < INPUTS + link.node, "node {} reads state {}, which comes later", link.node, link.from);
        if let Some(row) = link.mixed {
            let [rows, factors] = mixes.as_ref().expect("a mixed edge needs the architecture's weights").dims();
            assert!(row < rows && factors == link.edge.operations.len(), "one row per edge, one factor per operation");
        }
        assert!(link.factors.as_ref().is_none_or(|factors| factors.len() == samples), "one factor per sample");
    }
    if !is_portable() && fused::handles_cell(&inputs, &links, mixes.as_ref(), concat) {
        return fused::cell(inputs, links, mixes);
    }
    edge_by_edge(inputs, links, mixes, concat)
}

/// The cell out of single edges and Burn's sums.
fn edge_by_edge(
    inputs: [Tensor<5>; INPUTS],
    links: Vec<Link>,
    mixes: Option<Tensor<2>>,
    concat: &[usize],
) -> CellOutput {
    let mut states = inputs.to_vec();
    let mut statistics = Vec::with_capacity(links.len());
    let mut sum: Option<Tensor<5>> = None;
    for (index, link) in links.iter().enumerate() {
        let mix = link.mixed.map(|row| {
            let mixes = mixes.clone().expect("a mixed edge needs the architecture's weights");
            let operations = mixes.dims()[1];
            mixes.slice([row..row + 1, 0..operations]).reshape([operations])
        });
        let input = states[link.from].clone();
        let output = link.edge.forward(input, link.weights.clone(), mix, link.mode.clone());
        statistics.push(output.statistics);
        let mut term = output.activation;
        if let Some(factors) = &link.factors {
            let factors = TensorData::new(factors.clone(), [factors.len(), 1, 1, 1, 1]);
            let factors = Tensor::from_data(factors, (&term.device(), term.dtype()));
            term = term * factors;
        }
        let total = match sum.take() {
            Some(sum) => sum + term,
            None => term,
        };
        match links.get(index + 1) {
            Some(next) if next.node == link.node => sum = Some(total),
            _ => states.push(total),
        }
    }
    let activation = Tensor::cat(concat.iter().map(|&state| states[state].clone()).collect(), 4);
    CellOutput { activation, statistics }
}
