//! Exact counts from the structure alone, without building any tensor.

use super::{Block, Cell, Network};
use sdas_kernels::Extent;

/// What a network costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct Counts {
    /// Learnt numbers without the auxiliary head: weights of convolutions and linear layers, scales and shifts of norms.
    pub parameters: usize,
    /// Learnt numbers of the auxiliary head, which is not there once the network is trained.
    pub auxiliary_parameters: usize,
    /// Multiply-adds of all convolutions and linear layers for one sample, without the auxiliary head. Norms, pools,
    /// additions and activations are not counted.
    pub multiply_adds: usize,
}

impl Network {
    /// Counts for samples of size `input` (frames, height, width).
    pub fn counts(&self, input: Extent) -> Counts {
        let mut multiply_adds = self.classifier.inputs * self.classifier.outputs;
        let mut run = |blocks: &[Block], extent: Extent| {
            blocks.iter().fold(extent, |extent, block| {
                multiply_adds += block.edge.multiply_adds(extent);
                block.edge.output_extent(extent)
            })
        };
        let mut before = run(&self.stem, input);
        let mut last = run(&self.second_stem, before);
        for cell in &self.cells {
            let (output, cost) = cell_cost(cell, before, last);
            multiply_adds += cost;
            (before, last) = (last, output);
        }
        let all: usize = self.blocks().map(|block| block.edge.weight_count()).sum::<usize>()
            + self.linears().map(|linear| linear.weight_count()).sum::<usize>();
        let auxiliary_parameters = self.auxiliary.as_ref().map_or(0, |head| {
            let convolutions = head.convolutions.iter().map(|block| block.edge.weight_count());
            convolutions.sum::<usize>() + head.classifier.weight_count()
        });
        Counts { parameters: all - auxiliary_parameters, auxiliary_parameters, multiply_adds }
    }

    /// Size of the output of cell `index` for samples of size `input`.
    pub fn cell_extent(&self, index: usize, input: Extent) -> Extent {
        let run = |blocks: &[Block], extent: Extent| {
            blocks.iter().fold(extent, |extent, block| block.edge.output_extent(extent))
        };
        let mut before = run(&self.stem, input);
        let mut last = run(&self.second_stem, before);
        for cell in &self.cells[..=index] {
            (before, last) = (last, cell_cost(cell, before, last).0);
        }
        last
    }
}

/// Size of a cell's output and its multiply-adds, for inputs of sizes `before` and `last`.
fn cell_cost(cell: &Cell, before: Extent, last: Extent) -> (Extent, usize) {
    let [first, second] = &cell.preprocess;
    let mut cost = first.edge.multiply_adds(before) + second.edge.multiply_adds(last);
    let input = second.edge.output_extent(last);
    let output =
        cell.edges.iter().find(|edge| edge.from < 2).map_or(input, |edge| edge.block.edge.output_extent(input));
    for edge in &cell.edges {
        cost += edge.block.edge.multiply_adds(if edge.from < 2 { input } else { output });
    }
    (output, cost)
}
