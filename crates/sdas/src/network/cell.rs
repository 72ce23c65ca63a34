//! Cells: preprocessing, edges between states, concatenation.

use super::block::{Block, BlockPass};
use super::stochastic::DropPath;
use crate::space::{CellKind, INPUTS, NODES};
use burn::tensor::Tensor;
use sdas_kernels::Link;

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
        let inputs = [self.preprocess[0].forward(pass, before), self.preprocess[1].forward(pass, last)];
        let samples = inputs[0].dims()[0];
        let mut links = Vec::with_capacity(self.edges.len());
        for edge in (0..NODES).flat_map(|node| self.edges.iter().filter(move |edge| edge.node == node)) {
            let drop_path = drop_path.as_mut().filter(|_| !edge.block.is_identity());
            let link = Link {
                edge: &edge.block.edge,
                from: edge.from,
                node: edge.node,
                weights: pass.weights.get(edge.block.slot),
                mode: edge.block.mode(pass),
                mixed: edge.mixed,
                factors: drop_path.map(|drop_path| drop_path.factors(samples)),
            };
            links.push((&edge.block, link));
        }
        let (blocks, links): (Vec<_>, Vec<_>) = links.into_iter().unzip();
        let output = sdas_kernels::cell(inputs.to_vec(), links, mixes.cloned(), &self.concat);
        for (block, statistics) in blocks.into_iter().zip(output.statistics) {
            block.report(pass, statistics);
        }
        output.activation
    }

    /// All blocks, in the order of their slots.
    pub fn blocks(&self) -> impl Iterator<Item = &Block> {
        self.preprocess.iter().chain(self.edges.iter().map(|edge| &edge.block))
    }
}
