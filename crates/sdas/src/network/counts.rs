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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::genotype::published;
    use crate::network::{NetworkShape, Stem};
    use crate::space::{Space, SpaceName};
    use crate::supernet::{Supernet, SupernetShape};

    fn derived(name: &str, stem: Stem) -> Counts {
        let genotype = published(name).expect("a published cell");
        let (channels, cells, classes, side) = match stem {
            Stem::Imagenet => (48, 14, 1000, 224),
            _ => (36, 20, 10, 32),
        };
        let shape = NetworkShape { channels, cells, classes, inputs: 3, stem, auxiliary: true };
        Network::derived(&genotype, shape).counts([1, side, side])
    }

    /// As PyTorch counts them in the authors' networks, without the auxiliary head.
    #[test]
    fn published_cells_have_the_parameters_they_are_known_for() {
        for (name, cifar, imagenet) in [
            ("darts_v1", 3_169_414, 4_510_432),
            ("darts_v2", 3_349_342, 4_718_752),
            ("pdarts", 3_433_798, 4_944_352),
            ("pc_darts_cifar", 3_634_678, 5_270_560),
            ("pc_darts_imagenet", 3_721_510, 5_342_464),
            ("snas_mild", 2_661_382, 3_939_328),
            ("sgas_cri1", 3_795_166, 5_285_440),
            ("sgas_cri2", 4_094_110, 5_697_664),
        ] {
            assert_eq!(derived(name, Stem::Cifar).parameters, cifar, "{name}");
            assert_eq!(derived(name, Stem::Imagenet).parameters, imagenet, "{name}");
        }
        assert_eq!(derived("darts_v2", Stem::Cifar).auxiliary_parameters, 476_426);
    }

    /// As counted over the convolutions and linear layers of the same networks in PyTorch.
    #[test]
    fn multiply_adds_are_those_of_pytorch() {
        assert_eq!(derived("darts_v2", Stem::Cifar).multiply_adds, 528_359_040);
        assert_eq!(derived("darts_v2", Stem::Imagenet).multiply_adds, 529_911_552);
    }

    #[test]
    fn supernets_have_the_parameters_of_darts() {
        for (cells, parameters) in [(5, 1_275_834), (8, 1_930_618), (11, 2_585_146), (17, 3_894_202)] {
            let shape = SupernetShape { channels: 16, cells, classes: 10, inputs: 3, stem_stride: [1, 1, 1] };
            let supernet = Supernet::new(Space::whole(SpaceName::Image), shape);
            assert_eq!(supernet.network.counts([1, 32, 32]).parameters, parameters, "{cells} cells");
        }
    }
}
