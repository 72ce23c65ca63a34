//! Exact counts from the structure alone, without building any tensor. Beyond what 64 bits hold they stop at the largest
//! number.

use super::{Cell, Network};
use sdas_kernels::{Edge, Extent};

/// What a network costs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Counts {
    /// Learnt numbers without the auxiliary head: weights of convolutions and linear layers, scales and shifts of norms.
    pub parameters: usize,
    /// Learnt numbers of the auxiliary head, which is not there once the network is trained.
    pub auxiliary_parameters: usize,
    /// Multiply-adds of all convolutions and linear layers for one sample, without the auxiliary head. Norms, pools,
    /// additions and activations are not counted.
    pub multiply_adds: usize,
    /// Values of one sample that a training step has to keep for the way back, at the least: the results of convolutions
    /// and the states of cells.
    pub activations: usize,
}

/// Cells up to which a network is built for its counts. Of a deeper one they follow from two of these.
const BUILT: usize = 24;

impl Counts {
    /// Counts of the network of `cells` cells that `build` makes, for samples of size `input`. All cells between two
    /// reductions are the same but for the first two, and three cells more are one more in each of the three parts: so every
    /// count grows evenly.
    pub fn of(cells: usize, input: Extent, build: impl Fn(usize) -> Network) -> Counts {
        if cells < BUILT {
            return build(cells).counts(input);
        }
        let few = BUILT - 6 + cells % 3;
        let [one, other] = [few, few + 3].map(|cells| build(cells).counts(input));
        let grown = |count: fn(&Counts) -> usize| {
            let [one, other] = [&one, &other].map(count);
            ((cells - few) / 3).saturating_mul(other - one).saturating_add(one)
        };
        Counts {
            parameters: grown(|counts| counts.parameters),
            auxiliary_parameters: grown(|counts| counts.auxiliary_parameters),
            multiply_adds: grown(|counts| counts.multiply_adds),
            activations: grown(|counts| counts.activations),
        }
    }

    /// Whether all are as they are, and not the largest number that there is in their place.
    pub fn are_exact(&self) -> bool {
        ![self.parameters, self.auxiliary_parameters, self.multiply_adds, self.activations].contains(&usize::MAX)
    }
}

fn volume(extent: Extent) -> usize {
    extent.into_iter().fold(1, usize::saturating_mul)
}

fn sum(counts: impl Iterator<Item = usize>) -> usize {
    counts.fold(0, usize::saturating_add)
}

impl Network {
    /// Counts for samples of size `input` (frames, height, width).
    pub fn counts(&self, input: Extent) -> Counts {
        let mut multiply_adds = self.classifier.inputs.saturating_mul(self.classifier.outputs);
        let mut activations = 0usize;
        let extents = self.walk(input, |edge, extent| {
            multiply_adds = multiply_adds.saturating_add(edge.multiply_adds(extent));
            activations = activations.saturating_add(edge.kept(extent));
        });
        for (cell, [input, output]) in self.cells.iter().zip(extents) {
            let values = |states: usize, extent| states.saturating_mul(cell.channels()).saturating_mul(volume(extent));
            // The inputs, once preprocessed; the nodes, of which nobody reads the last; and those of the output once more,
            // side by side.
            let (inputs, nodes) = (cell.preprocess.len(), cell.nodes() - 1 + cell.concat.len());
            let states = sum([values(inputs, input), values(nodes, output)].into_iter());
            activations = activations.saturating_add(states);
        }
        let blocks = self.stem.iter().chain(&self.second_stem).chain(self.cells.iter().flat_map(Cell::blocks));
        let blocks = blocks.chain(&self.closing);
        let weights = blocks.map(|block| block.edge.weight_count()).chain([self.classifier.weight_count()]);
        let parameters = sum(weights);
        let auxiliary_parameters = self.auxiliary.as_ref().map_or(0, |head| {
            let convolutions = head.convolutions.iter().map(|block| block.edge.weight_count());
            sum(convolutions.chain([head.classifier.weight_count()]))
        });
        Counts { parameters, auxiliary_parameters, multiply_adds, activations }
    }

    /// Size of the output of cell `index` for samples of size `input`.
    pub fn cell_extent(&self, index: usize, input: Extent) -> Extent {
        self.walk(input, |_, _| {})[index][1]
    }

    /// Shows every edge but those of the auxiliary head with the size of its input; gives the sizes of each cell's inputs,
    /// once preprocessed, and of its output.
    fn walk(&self, input: Extent, mut visit: impl FnMut(&Edge, Extent)) -> Vec<[Extent; 2]> {
        let mut run = |extent: Extent, edge: &Edge| {
            visit(edge, extent);
            edge.output_extent(extent)
        };
        let mut before = self.stem.iter().fold(input, |extent, block| run(extent, &block.edge));
        let mut last = self.second_stem.iter().fold(before, |extent, block| run(extent, &block.edge));
        let mut extents = Vec::with_capacity(self.cells.len());
        for cell in &self.cells {
            let read = [before, last].into_iter().skip(2 - cell.inputs);
            for (extent, block) in read.zip(&cell.preprocess) {
                run(extent, &block.edge);
            }
            // Preprocessing brings all inputs to the size of the last output.
            let (input, mut states) = (last, vec![last; cell.inputs]);
            for node in 0..cell.nodes() {
                for edge in cell.edges.iter().filter(|edge| edge.node == node) {
                    let extent = run(states[edge.from], &edge.block.edge);
                    states.truncate(cell.inputs + node);
                    states.push(extent);
                }
            }
            let output = states[cell.concat[0]];
            (before, last) = (last, output);
            extents.push([input, output]);
        }
        extents
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::genotype::published;
    use crate::network::{NetworkShape, Stem};
    use crate::space::{Candidates, IMAGE, NB201, VIDEO};
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
    fn deep_networks_are_counted_without_being_built() {
        let spaces = [&VIDEO, &NB201].map(Candidates::whole);
        let genotype = published("darts_v2").expect("a published cell");
        for cells in [BUILT - 1, BUILT, BUILT + 1, BUILT + 2, 64] {
            for candidates in &spaces {
                let supernet = |cells| {
                    let shape =
                        SupernetShape { channels: 3, cells, classes: 5, inputs: 3, stem_stride: [1, 2, 2], share: 1 };
                    Network::supernet(candidates, shape)
                };
                let counted = Counts::of(cells, [5, 33, 47], supernet);
                assert_eq!(counted, supernet(cells).counts([5, 33, 47]), "{}, {cells} cells", candidates.space);
            }
            let shape = |cells| NetworkShape {
                channels: 7,
                cells,
                classes: 3,
                inputs: 3,
                stem: Stem::Imagenet,
                auxiliary: true,
            };
            let derived = |cells| Network::derived(&genotype, shape(cells));
            assert_eq!(Counts::of(cells, [1, 99, 75], derived), derived(cells).counts([1, 99, 75]), "{cells} cells");
        }
    }

    #[test]
    fn counts_stop_at_the_largest_number() {
        let genotype = published("darts_v2").expect("a published cell");
        let counts = |channels, cells, side| {
            let shape =
                |cells| NetworkShape { channels, cells, classes: 10, inputs: 3, stem: Stem::Cifar, auxiliary: true };
            Counts::of(cells, [1, side, side], |cells| Network::derived(&genotype, shape(cells)))
        };
        assert!(counts(36, 20, 32).are_exact());
        // DARTS V2's cell is 3,349,342 parameters with 20 cells: with a million times as many, about as many millions.
        let deep = counts(36, 20_000_000, 32);
        assert!(deep.are_exact() && (2e12..5e12).contains(&(deep.parameters as f64)), "{deep:?}");
        assert_eq!(counts(usize::MAX / 2, 20, 32).parameters, usize::MAX);
        assert_eq!(counts(36, usize::MAX, 32).parameters, usize::MAX);
        assert_eq!(counts(36, 20, usize::MAX).multiply_adds, usize::MAX);
    }

    /// By hand, for 4 × 4 pixels, a normal cell of 4 channels and reductions to 2 × 2 and 1 of 8 and 16.
    #[test]
    fn activations_are_results_of_convolutions_and_states() {
        let genotype = crate::genotype::Genotype::parse(
            "Genotype(normal=[('skip_connect', 0), ('skip_connect', 1), ('skip_connect', 0), ('skip_connect', 1), \
             ('skip_connect', 0), ('skip_connect', 1), ('sep_conv_3x3', 0), ('max_pool_3x3', 1)], \
             normal_concat=[2, 3, 4, 5], reduce=[('skip_connect', 0), ('skip_connect', 1), ('skip_connect', 2), \
             ('max_pool_3x3', 1), ('max_pool_3x3', 0), ('dil_conv_3x3', 3), ('dil_conv_3x3', 0), ('skip_connect', 3)], \
             reduce_concat=[2, 3, 4, 5])",
        )
        .expect("a genotype");
        let shape = NetworkShape { channels: 4, cells: 3, classes: 2, inputs: 3, stem: Stem::Cifar, auxiliary: false };
        let stem = 12 * 16;
        // In each cell: two layers before it and their results; its convolutions; the other seven states.
        let normal = 4 * (2 * 16 + 2 * 16 + 2 * 16 + 7 * 16);
        // Skips of stride 2 are convolutions.
        let first = 8 * (2 * 16 + 2 * 16 + 4 * 4 + 7 * 4);
        let second = 16 * (2 * 4 + 2 * 4 + 4 + 7);
        assert_eq!(Network::derived(&genotype, shape).counts([1, 4, 4]).activations, stem + normal + first + second);
    }

    #[test]
    fn supernets_have_the_parameters_of_darts() {
        for (cells, parameters) in [(5, 1_275_834), (8, 1_930_618), (11, 2_585_146), (17, 3_894_202)] {
            let shape = SupernetShape { channels: 16, cells, classes: 10, inputs: 3, stem_stride: [1, 1, 1], share: 1 };
            let supernet = Supernet::new(Candidates::whole(&IMAGE), shape);
            assert_eq!(supernet.network.counts([1, 32, 32]).parameters, parameters, "{cells} cells");
        }
    }
}
