//! Runs: a folder on disk, what is written there, and what is told while a run goes on.

mod checkpoint;
mod data;
mod error;
mod event;
mod folder;
mod lock;
mod memory;
mod ranks;
mod room;
mod sharing;

pub use checkpoint::{Checkpoint, CheckpointError};
pub(crate) use data::{DataIdentity, Sizes, check_classes, extent, loader};
pub use data::{RunData, Seen, load_data};
pub use error::RunError;
pub use event::{CellRecord, Estimate, Event, MetricRecord, Observer, Phase, Stage, StepReport};
pub use folder::Folder;
pub(crate) use folder::Standing;
pub(crate) use lock::{busy, worker};
pub use memory::peak_memory;
pub(crate) use memory::{StepSize, forget_peak_memory, memory_limit};
pub use ranks::{Link, RankError, Ranks, Wait};
pub use room::Room;
pub(crate) use room::Work;
pub(crate) use sharing::{check_batch, check_norms, checksum, standing, what_is_done};

use crate::genotype::Genotype;
use crate::schedule::{CollapseRecord, Spending};
use burn::tensor::Device;
use serde::{Deserialize, Serialize};
use std::sync::atomic::AtomicBool;

/// What every run is given besides its recipe.
pub struct Context<'a> {
    /// Where it computes.
    pub device: Device,
    /// Who is told of its progress.
    pub observer: &'a mut dyn Observer,
    /// Set from outside (Ctrl-C, SIGTERM and others): finish the step, write a checkpoint, leave.
    pub stop: &'a AtomicBool,
}

impl<'a> Context<'a> {
    /// On a device, with someone who is told of its progress; `stop` may be set from outside.
    pub fn new(device: Device, observer: &'a mut dyn Observer, stop: &'a AtomicBool) -> Self {
        Context { device, observer, stop }
    }
}

impl Context<'_> {
    /// The same once more, for a run within this one.
    pub(crate) fn again(&mut self) -> Context<'_> {
        Context { device: self.device.clone(), observer: &mut *self.observer, stop: self.stop }
    }
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Ending<T = RunResult> {
    /// All is done.
    Done(Box<T>),
    /// Stopped from outside after a checkpoint; resume to go on.
    Interrupted,
}

/// What a run came to: `result.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunResult {
    /// Search or training.
    pub phase: Phase,
    /// Epochs done.
    pub epochs: usize,
    /// Seconds of computing, those before a resume included.
    pub seconds: f64,
    /// The most memory the run has had, in bytes, where the system tells.
    pub peak_memory: Option<u64>,
    /// Mean cross-entropy on the training pictures of the last epoch.
    pub train_loss: f64,
    /// Accuracy there.
    pub train_accuracy: f64,
    /// Mean cross-entropy on held-out training pictures, if there are any.
    pub validation_loss: Option<f64>,
    /// Accuracy there.
    pub validation_accuracy: Option<f64>,
    /// Learnt numbers of the final network.
    pub parameters: usize,
    /// Multiply-adds of the final network for one sample.
    pub multiply_adds: usize,
    /// What the found cell takes of the budget, where a search has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget: Option<Spending>,
    /// The search's collapse, where it was told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub collapse: Option<CollapseRecord>,
    /// The cell, as its file's JSON, if the network is of one.
    #[serde(default, skip_serializing_if = "serde_json::Value::is_null")]
    pub genotype: serde_json::Value,
    /// The network's name, if people made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<String>,
}

impl RunResult {
    /// The cell, if the network is of one.
    pub fn genotype(&self) -> Option<Genotype> {
        Genotype::from_json(&self.genotype.to_string()).ok()
    }
}
