//! Cells: preprocessing, edges between states, concatenation.

use super::block::{Block, BlockPass};
use super::stochastic::DropPath;
use crate::space::{CellKind, INPUTS, NODES};
use burn::tensor::Tensor;
use sdas_kernels::{Onto, concatenate};

/// A cell of a supernet or of a derived network: they differ only in what their edges run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cell {
    /// Normal or reduction.
    pub kind: CellKind,
    /// Preprocessing of the outputs of the cell before the last one and of the last one.
    pub preprocess: [Block; INPUTS],
    /// The edges that run, in the order of the topology.
    pub edges: Vec<CellEdge>,
    /// The states whose concatenation is the output.
    pub concat: Vec<usize>,
}

/// An edge within a cell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CellEdge {
    /// The state it reads.
    pub from: usize,
    /// The node it ends in, 0 to 3.
    pub node: usize,
    /// Its row in α while it mixes all operations; `None` once decided.
    pub mixed: Option<usize>,
    /// What it runs.
    pub block: Block,
}

impl Cell {
    /// `[N, T, H, W, C]` of the two cells before to this cell's output. `mixes` holds the kind's softmax(α), a row an
    /// edge.
    pub(super) fn forward(
        &self,
        pass: &mut BlockPass<'_>,
        inputs: [Tensor<5>; INPUTS],
        mixes: Option<&Tensor<2>>,
        drop_path: &mut Option<DropPath>,
    ) -> Tensor<5> {
        let [before, last] = inputs;
        let mut states = Vec::with_capacity(INPUTS + NODES);
        states.push(self.preprocess[0].forward(pass, before));
        states.push(self.preprocess[1].forward(pass, last));
        for node in 0..NODES {
            let mut sum: Option<Tensor<5>> = None;
            for edge in self.edges.iter().filter(|edge| edge.node == node) {
                let mix = edge.mixed.map(|row| {
                    let mixes = mixes.expect("a mixed edge needs the architecture's weights");
                    let operations = mixes.dims()[1];
                    mixes.clone().slice([row..row + 1, 0..operations]).reshape([operations])
                });
                let input = states[edge.from].clone();
                let drop_path = drop_path.as_mut().filter(|_| !edge.block.is_identity());
                let factors = drop_path.map(|drop_path| drop_path.factors(input.dims()[0]));
                sum = Some(edge.block.forward_onto(pass, input, mix, Onto { sum, factors }));
            }
            states.push(sum.expect("every node has an edge"));
        }
        concatenate(self.concat.iter().map(|&state| states[state].clone()).collect())
    }

    /// All blocks, in the order of their slots.
    pub fn blocks(&self) -> impl Iterator<Item = &Block> {
        self.preprocess.iter().chain(self.edges.iter().map(|edge| &edge.block))
    }
}
