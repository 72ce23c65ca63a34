//! What is told while a run goes on.

use super::{CheckpointError, Room, RunError};
use crate::compare::{Found, Outcome};
use crate::draw::Picture;
use crate::schedule::{CollapseRecord, Decision};
use crate::space::CellKind;
use crate::weights::Mismatch;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// The two kinds of run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// A search.
    Search,
    /// Training of a derived network.
    Train,
}

impl std::fmt::Display for Phase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Phase::Search => "search",
            Phase::Train => "train",
        })
    }
}

/// What is done with each method and seed of a comparison, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// Its search.
    Search,
    /// Training what was found.
    Train,
    /// Measuring that on the test set.
    Test,
}

impl std::fmt::Display for Stage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Stage::Search => "search",
            Stage::Train => "training",
            Stage::Test => "test",
        })
    }
}

/// Something that happened.
#[derive(Debug)]
pub enum Event<'a> {
    /// Samples are being decoded, or their flow computed.
    Loading(&'a sdas_data::Building),
    /// There is something to say of the samples: of what is left out, as the recipe allows, and the like.
    Remark(&'a sdas_data::Remark),
    /// A checkpoint is damaged, and an older one is taken instead.
    FellBack {
        /// What is wrong with it.
        fault: &'a CheckpointError,
        /// The one that is taken.
        instead: &'a Path,
        /// What the damaged one is called from now on; absent where the run is only read.
        aside: Option<&'a Path>,
    },
    /// A training begins with weights from elsewhere.
    Loaded {
        /// A file, or another training's folder.
        path: &'a Path,
        /// How many tensors were taken.
        taken: usize,
        /// What was not.
        differences: &'a [Mismatch],
    },
    /// The run will compute on a graphics card, and this is what it needs of its memory.
    Room(Room),
    /// The run begins, or goes on after `epoch` epochs and some steps.
    Started {
        /// Which kind.
        phase: Phase,
        /// Where it writes.
        folder: &'a Path,
        /// Epochs already done.
        epoch: usize,
        /// Steps already done in the next.
        step: usize,
        /// Edges decided of each kind of cell, normal first; `None` in training.
        decided: Option<Vec<usize>>,
        /// Edges of a kind of cell that a search decides in all; 0 in training.
        decisions: usize,
        /// Epochs in all.
        epochs: usize,
        /// Steps an epoch.
        steps: usize,
        /// Learnt numbers.
        parameters: usize,
        /// Multiply-adds for one sample.
        multiply_adds: usize,
    },
    /// What the rest will take, after timing a few steps.
    Estimate(Estimate),
    /// A step is done.
    Step(StepReport),
    /// A decision was taken; `picture` is the cells as they stand now.
    Decided {
        /// The decision.
        decision: &'a Decision,
        /// Edges decided of each kind of cell, normal first.
        decided: &'a [usize],
        /// The cells.
        picture: Picture,
    },
    /// An epoch is done.
    Epoch(&'a MetricRecord),
    /// A checkpoint was written.
    Checkpoint(&'a Path),
    /// Most decided edges of a kind of cell run nothing that learns.
    Collapsed {
        /// The kind.
        cell: CellKind,
        /// Of its edges, those that learn nothing: skip connections, pools, none.
        edges: usize,
    },
    /// By the measure that the recipe names, a search collapses, and what it says about that is done.
    Collapse(&'a CollapseRecord),
    /// A comparison comes to a stage, or finds it done.
    Part {
        /// The method.
        method: &'a str,
        /// Its seed.
        seed: u64,
        /// The stage.
        stage: Stage,
        /// Which method and seed this is, from 1, and how many there are.
        part: [u64; 2],
    },
    /// Somebody else decodes the samples, and that is waited for.
    Waiting {
        /// Where they are put.
        cache: &'a Path,
        /// Who does so.
        holder: &'a str,
    },
    /// A part of a comparison is passed over: another process does it, or it failed.
    Passed {
        /// The method.
        method: &'a str,
        /// Its seed.
        seed: u64,
        /// Which of the two, and who or why.
        fault: &'a RunError,
    },
    /// A comparison is done with a method and seed.
    Measured {
        /// What came out.
        outcome: &'a Outcome,
        /// What is left of the comparison, estimated from what is done of it.
        seconds_left: f64,
    },
    /// A comparison has looked up what a search found.
    LookedUp {
        /// Where that stands.
        found: &'a Found,
    },
}

/// What a run will take.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Estimate {
    /// Seconds left.
    pub seconds: f64,
    /// Memory that it needs, in bytes, where the system tells.
    pub memory: Option<u64>,
    /// Seconds a step takes now.
    pub seconds_per_step: f64,
}

/// Where a run stands.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StepReport {
    /// The epoch, from 1.
    pub epoch: usize,
    /// Steps done in this epoch.
    pub step: usize,
    /// Mean training loss of this epoch so far.
    pub train_loss: f64,
    /// Training accuracy of this epoch so far.
    pub train_accuracy: f64,
    /// Seconds left, estimated.
    pub seconds_left: f64,
}

/// One epoch: a line of `metrics.jsonl`. Losses are mean cross-entropies in nats, accuracies shares in [0, 1], memory in
/// bytes, times in seconds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MetricRecord {
    /// Search or training.
    pub phase: Phase,
    /// The epoch, from 1.
    pub epoch: usize,
    /// Steps done since the start.
    pub step: usize,
    /// The weights' rate.
    pub rate: f64,
    /// On the training pictures.
    pub train_loss: f64,
    /// On the training pictures.
    pub train_accuracy: f64,
    /// On held-out pictures in evaluation mode; absent where nothing is held out.
    pub validation_loss: Option<f64>,
    /// On held-out pictures in evaluation mode; absent where nothing is held out.
    pub validation_accuracy: Option<f64>,
    /// Mean norm of the weights' gradient before clipping.
    pub gradient_norm: f64,
    /// Edges decided of each kind of cell, normal first; absent in training.
    pub decided: Option<Vec<usize>>,
    /// Mean entropy of softmax(α) over undecided edges of each kind, in nats; absent where nothing is undecided.
    pub alpha_entropy: Option<Vec<f64>>,
    /// Share of skip connections in the cells that the search would come to if it ended now, of each kind; absent in
    /// training.
    pub skips: Option<Vec<f64>>,
    /// Share of pools there.
    pub pools: Option<Vec<f64>>,
    /// Largest eigenvalue of the Hessian of the held-out loss in α; absent where it is not measured.
    pub eigenvalue: Option<f64>,
    /// Learnt numbers still alive.
    pub parameters: usize,
    /// Multiply-adds for one sample.
    pub multiply_adds: usize,
    /// Of this epoch, validation included.
    pub seconds: f64,
    /// Mean of this epoch's steps.
    pub seconds_per_step: f64,
    /// The most in use during this epoch, where the system tells.
    pub memory: Option<u64>,
    /// The most the run has had, where the system tells.
    pub peak_memory: Option<u64>,
}

/// The cells of an epoch: a line of `cells.jsonl`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CellRecord {
    /// The epoch, from 1.
    pub epoch: usize,
    /// The cells that the search would come to if it ended now, as their literature writes them
    /// ([`Genotype::to_text`](crate::genotype::Genotype::to_text)).
    pub genotype: String,
    /// By kind of cell, softmax(α) of every edge at the end of the epoch, over what the edge has; empty of edges that mix
    /// nothing. Runs of before have none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mixes: Vec<Vec<Vec<f64>>>,
}

/// Who is told.
pub trait Observer: Send {
    /// Takes note of an event.
    fn notice(&mut self, event: &Event<'_>);
}

/// Takes note of nothing.
impl Observer for () {
    fn notice(&mut self, _: &Event<'_>) {}
}
