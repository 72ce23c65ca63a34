//! Cells: preprocessing, edges between states, the output.

use super::block::{Block, BlockPass};
use super::stochastic::{DropPath, Noise, Rows};
use crate::space::CellKind;
use burn::tensor::Tensor;
use sdas_kernels::{Expression, Link};
use std::collections::HashMap;

/// A cell of a supernet or of a derived network, which differ only in what their edges run; or what lies between stages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cell {
    /// Normal or reduction; `None` for what no search changes.
    pub kind: Option<CellKind>,
    /// How many of the last outputs it reads.
    pub inputs: usize,
    /// Preprocessing of each of these, the oldest first; none where they are read as they are.
    pub preprocess: Vec<Block>,
    /// The edges that run, in the order of the topology.
    pub edges: Vec<CellEdge>,
    /// The states that are the output, side by side.
    pub concat: Vec<usize>,
    /// Parts that the states' channels are in, of which the edges work on the first; 1 where they work on all.
    pub share: usize,
}

/// An edge within a cell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CellEdge {
    /// The state it reads.
    pub from: usize,
    /// The node it ends in, from 0.
    pub node: usize,
    /// Its row in α while it mixes all operations; `None` once decided.
    pub mixed: Option<usize>,
    /// What it runs.
    pub block: Block,
}

impl Cell {
    /// From the two outputs before, `[N, T, H, W, C]`, of which it reads as many as it has inputs, to its own. `mixes` holds
    /// the factors of the kind's operations, a row an edge.
    pub(super) fn forward(
        &self,
        pass: &mut BlockPass<'_>,
        outputs: [Tensor<5>; 2],
        mixes: Option<&Tensor<2>>,
        drop_path: &mut Option<DropPath>,
    ) -> Tensor<5> {
        let inputs = outputs.into_iter().skip(2 - self.inputs);
        let inputs: Vec<Tensor<5>> = match self.preprocess.is_empty() {
            true => inputs.collect(),
            false => inputs.zip(&self.preprocess).map(|(input, block)| block.forward(pass, input)).collect(),
        };
        let rows = Rows::new(inputs[0].dims()[0], pass.part);
        let mut noises = self.noises(pass.noise, rows, &inputs);
        let mut links = Vec::with_capacity(self.edges.len());
        for edge in (0..self.nodes()).flat_map(|node| self.edges.iter().filter(move |edge| edge.node == node)) {
            let drop_path = drop_path.as_mut().filter(|_| self.kind.is_some() && !edge.block.is_identity());
            let link = Link {
                edge: &edge.block.edge,
                from: edge.from,
                node: edge.node,
                weights: pass.weights.get(edge.block.slot),
                mode: edge.block.mode(pass),
                mixed: edge.mixed,
                noise: noises.remove(&edge.block.slot),
                factors: drop_path.map(|drop_path| drop_path.factors(rows)),
            };
            links.push((&edge.block, link));
        }
        let (blocks, links): (Vec<_>, Vec<_>) = links.into_iter().unzip();
        let output = sdas_kernels::cell(inputs, links, mixes.cloned(), &self.concat, self.share);
        for (block, statistics) in blocks.into_iter().zip(output.statistics) {
            block.report(pass, statistics);
        }
        output.activation
    }

    /// What its operations that are nothing but noise give, by the slot of their edge.
    fn noises(&self, noise: Noise, rows: Rows, inputs: &[Tensor<5>]) -> HashMap<usize, Tensor<5>> {
        let is_noisy = |edge: &&CellEdge| edge.block.edge.operations.contains(&Expression::Noise);
        if !self.edges.iter().any(|edge| is_noisy(&edge)) {
            return HashMap::new();
        }
        let [_, t, h, w, _] = inputs[0].dims();
        // All nodes of a cell that is searched have one size, which its first edge, from an input, gives.
        let size = self.edges[0].block.edge.output_extent([t, h, w]);
        let drawn = |edge: &CellEdge| {
            let Block { slot, edge, .. } = &edge.block;
            noise.drawn(*slot, rows, size, edge.outputs, &inputs[0])
        };
        self.edges.iter().filter(is_noisy).map(|edge| (edge.block.slot, drawn(edge))).collect()
    }

    /// Number of nodes.
    pub fn nodes(&self) -> usize {
        self.edges.iter().map(|edge| edge.node + 1).max().unwrap_or(0)
    }

    /// Channels of its nodes.
    pub(super) fn channels(&self) -> usize {
        self.edges.first().map_or(0, |edge| edge.block.edge.outputs.saturating_mul(self.share))
    }

    /// All blocks, in the order of their slots.
    pub fn blocks(&self) -> impl Iterator<Item = &Block> {
        self.preprocess.iter().chain(self.edges.iter().map(|edge| &edge.block))
    }
}
