//! Networks: a stem, cells, heads. A supernet and a derived network are the same structure; they differ in what the
//! cells' edges run.

mod auxiliary;
mod block;
mod build;
mod cell;
mod counts;
mod names;
mod stochastic;

pub use auxiliary::Auxiliary;
pub use block::{Block, Linear};
pub use build::{Builder, NetworkShape};
pub use cell::{Cell, CellEdge};
pub use counts::Counts;
pub use names::{NamedStatistic, NamedWeight};
pub use stochastic::{DropPath, Dropout, Noise};

pub use crate::space::Stem;

use crate::parameters::Parameters;
use block::BlockPass;
use burn::tensor::activation::relu;
use burn::tensor::{Device, Tensor};
use sdas_data::Part;
use sdas_data::random::stream;
use sdas_kernels::Together;

/// The structure of a network; its numbers lie in [`Parameters`] beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Network {
    /// From the picture to the first cell's first input.
    pub stem: Vec<Block>,
    /// From there to the output that the first cell reads last; empty where both are the same.
    pub second_stem: Vec<Block>,
    /// The cells, and what lies between stages.
    pub cells: Vec<Cell>,
    /// A second classifier at two thirds of the cells, used in training only.
    pub auxiliary: Option<Auxiliary>,
    /// The norm between the last cell and the average, before a ReLU, where the space has one.
    pub closing: Option<Block>,
    /// From the averaged features to the logits.
    pub classifier: Linear,
    /// Number of slots that [`Parameters`] of this network have.
    pub slots: usize,
}

/// How a forward pass runs.
pub struct Pass<'a> {
    /// The weights.
    pub weights: &'a Parameters,
    /// Running statistics: evaluation. `None`: training, which normalises by the batch.
    pub running: Option<&'a Parameters>,
    /// The factors of the operations by kind of cell, `[edges, operations]` each, for a supernet with mixed edges:
    /// softmax(α).
    pub mixes: Option<Vec<Tensor<2>>>,
    /// What operations that are nothing but noise give.
    pub noise: Noise,
    /// Drop path, in training.
    pub drop_path: Option<DropPath>,
    /// Dropout before the classifier, in training.
    pub dropout: Option<Dropout>,
    /// Where the samples stand in a batch of which others have a part; `None` where they are all of it.
    pub part: Option<Part>,
    /// Who has the others, if the norms of training go by all samples.
    pub together: Option<Together>,
}

impl<'a> Pass<'a> {
    /// Training mode without anything random but noise, which is always the same.
    pub fn training(weights: &'a Parameters) -> Self {
        let noise = Noise::fixed(0);
        Pass { weights, running: None, mixes: None, noise, drop_path: None, dropout: None, part: None, together: None }
    }

    /// Evaluation mode.
    pub fn evaluation(weights: &'a Parameters, running: &'a Parameters) -> Self {
        Pass { running: Some(running), ..Pass::training(weights) }
    }
}

/// What a forward pass gives.
pub struct Forward {
    /// `[N, classes]`.
    pub logits: Tensor<2>,
    /// Logits of the auxiliary head `[N, classes]`, in training.
    pub auxiliary: Option<Tensor<2>>,
    /// The batch's statistics by slot, in training.
    pub statistics: Parameters,
}

impl Network {
    /// Runs the network on pictures or clips `[N, T, H, W, C]`.
    ///
    /// # Panics
    ///
    /// If the input's channels are not the stem's, or `pass` lacks the mixes that the cells need.
    pub fn forward(&self, pass: Pass<'_>, input: Tensor<5>) -> Forward {
        let Pass { weights, running, mixes, noise, mut drop_path, dropout, part, together } = pass;
        let statistics = Parameters::empty(self.slots);
        let mut blocks = BlockPass { weights, running, noise, part, together, statistics };
        let mut before = self.stem.iter().fold(input, |x, block| block.forward(&mut blocks, x));
        let mut last = self.second_stem.iter().fold(before.clone(), |x, block| block.forward(&mut blocks, x));
        let mut auxiliary = None;
        for (index, cell) in self.cells.iter().enumerate() {
            let mixes = mixes.as_ref().zip(cell.kind).map(|(mixes, kind)| &mixes[kind.index()]);
            let output = cell.forward(&mut blocks, [before, last.clone()], mixes, &mut drop_path);
            (before, last) = (last, output);
            if let Some(head) = self.auxiliary.as_ref().filter(|head| running.is_none() && head.after == index) {
                auxiliary = Some(head.forward(&mut blocks, last.clone()));
            }
        }
        if let Some(block) = &self.closing {
            last = relu(block.forward(&mut blocks, last));
        }
        let mut features = average(last);
        if let Some(mut dropout) = dropout {
            features = dropout.apply(features, part);
        }
        Forward { logits: self.classifier.forward(weights, features), auxiliary, statistics: blocks.statistics }
    }

    /// Every block, in the order of their slots.
    pub fn blocks(&self) -> impl Iterator<Item = &Block> {
        let head = self.auxiliary.iter().flat_map(|head| &head.convolutions);
        let cells = self.cells.iter().flat_map(Cell::blocks);
        self.stem.iter().chain(&self.second_stem).chain(cells).chain(head).chain(&self.closing)
    }

    /// Every linear layer: the auxiliary head's, then the classifier.
    pub fn linears(&self) -> impl Iterator<Item = &Linear> {
        self.auxiliary.iter().map(|head| &head.classifier).chain([&self.classifier])
    }

    /// Initial weights from the stream "weights", one position a slot, so that a block's do not depend on the others'.
    pub fn initial_weights(&self, seed: u64, device: &Device) -> Parameters {
        let at = |slot: usize| stream(seed, "weights", [slot as u64, 0]);
        let mut slots = vec![None; self.slots];
        for block in self.blocks() {
            slots[block.slot] = block.initial_weights(&mut at(block.slot));
        }
        for linear in self.linears() {
            slots[linear.slot] = Some(linear.initial_weights(&mut at(linear.slot)));
        }
        Parameters::from_host(slots, device)
    }

    /// Initial running statistics: means 0, variances 1.
    pub fn initial_statistics(&self, device: &Device) -> Parameters {
        let mut slots = vec![None; self.slots];
        for block in self.blocks() {
            slots[block.slot] = block.initial_statistics();
        }
        Parameters::from_host(slots, device)
    }

    /// Learnt numbers in every slot.
    pub fn weight_counts(&self) -> Vec<usize> {
        let mut counts = vec![0; self.slots];
        self.blocks().for_each(|block| counts[block.slot] = block.edge.weight_count());
        self.linears().for_each(|linear| counts[linear.slot] = linear.weight_count());
        counts
    }

    /// Running statistics in every slot.
    pub fn statistic_counts(&self) -> Vec<usize> {
        let mut counts = vec![0; self.slots];
        self.blocks().for_each(|block| counts[block.slot] = block.edge.statistic_count());
        counts
    }

    /// A name for every slot, as PyTorch would name the module.
    pub fn slot_names(&self) -> Vec<String> {
        let mut names = vec![String::new(); self.slots];
        for block in self.blocks() {
            names[block.slot] = match block.first_layer {
                0 => block.name.clone(),
                layer => format!("{}.{layer}", block.name),
            };
        }
        for linear in self.linears() {
            names[linear.slot] = linear.name.clone();
        }
        names
    }
}

/// Global average pool: `[N, T, H, W, C]` to `[N, C]`.
fn average(x: Tensor<5>) -> Tensor<2> {
    let [n, t, h, w, c] = x.dims();
    x.reshape([n, t * h * w, c]).mean_dim(1).reshape([n, c])
}
