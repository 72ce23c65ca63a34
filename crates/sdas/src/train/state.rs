//! What a training computes: a step's gradient and what it leaves, and what of it a checkpoint has.

use super::named_tensors;
use crate::architecture::Model;
use crate::batch::{DeviceBatch, Tally, Unread, WeightStep, smoothed_cross_entropy};
use crate::network::{DropPath, Forward, NamedWeight, Noise, Pass};
use crate::optimizer::{Ahead, Sgd};
use crate::parameters::Parameters;
use crate::recipe::TrainSettings;
use crate::run::{Checkpoint, CheckpointError, Context, Event, Ranks, RunError, Sizes};
use burn::tensor::{Device, Tensor};
use sdas_data::random::stream;
use sdas_kernels::WeightKind;
use std::ops::Range;
use std::path::Path;

/// Share of the way that running statistics go towards a batch's (PyTorch's momentum).
const STATISTICS_SHARE: f64 = 0.1;

/// A network with its numbers.
#[derive(Debug, Clone)]
pub(crate) struct TrainState {
    pub(crate) network: Model,
    pub(crate) weights: Parameters,
    pub(crate) statistics: Parameters,
    pub(super) sgd: Sgd,
    average: Option<Average>,
    /// Who has the other parts of the batches.
    pub(super) ranks: Ranks,
}

/// A step that is on its way.
pub(super) struct BegunStep {
    weights: Parameters,
    momentum: Parameters,
    statistics: Parameters,
    unread: Unread,
}

/// A moving average of weights and running statistics.
#[derive(Debug, Clone)]
struct Average {
    weights: Parameters,
    statistics: Parameters,
}

impl Average {
    /// After step `step` (from 0) of the weights the average keeps `kept` of itself, or (1 + step) / (10 + step) where that
    /// is less, so that it soon forgets where it began (as TensorFlow's with `num_updates`).
    fn follow(&mut self, weights: &Parameters, statistics: &Parameters, step: usize, kept: f64) {
        let share = 1.0 - kept.min((1 + step) as f64 / (10 + step) as f64);
        self.weights = self.weights.approach(weights, share);
        self.statistics = self.statistics.approach(statistics, share);
    }
}

/// Where in a training a step is taken.
pub(crate) struct Position {
    pub(crate) epoch: usize,
    /// Steps since the start.
    pub(crate) step: usize,
    pub(crate) rate: f64,
}

impl TrainState {
    /// Weights, statistics and optimizer of a network at the start.
    pub(crate) fn new(network: Model, settings: &TrainSettings, device: &Device) -> Self {
        let weights = network.initial_weights(settings.seed, device);
        let statistics = network.initial_statistics(device);
        let average =
            (settings.average > 0.0).then(|| Average { weights: weights.clone(), statistics: statistics.clone() });
        let sgd = Sgd { undecayed: undecayed(&network, settings), ..Sgd::new(&weights) };
        TrainState { sgd, network, weights, statistics, average, ranks: Ranks::alone() }
    }

    /// Begins with the weights of a file or of another training, and tells what of them is left to chance.
    pub(super) fn begin_with(&mut self, path: &Path, sizes: Sizes, context: &mut Context<'_>) -> Result<(), RunError> {
        let tensors = named_tensors(path, sizes.inputs, context)?;
        let own = [&self.weights, &self.statistics];
        let loaded = tensors.into_numbers(self.network.names(), own, &context.device)?.for_training(sizes.classes)?;
        context.observer.notice(&Event::Loaded { path, taken: loaded.taken, differences: &loaded.differences });
        (self.weights, self.statistics) = (loaded.weights, loaded.statistics);
        if let Some(average) = &mut self.average {
            (average.weights, average.statistics) = (self.weights.clone(), self.statistics.clone());
        }
        Ok(())
    }

    /// Updates the weights by one step of SGD on `batch`; where loss or gradient is not finite, nothing changes.
    pub(crate) fn step(&mut self, batch: DeviceBatch, position: Position, settings: &TrainSettings) -> WeightStep {
        let step = self.begin_step(batch, &position, settings);
        self.end_step(step, &position, settings)
    }

    /// Begins such a step. On a graphics card that is all the host has to do, until the step is ended.
    pub(super) fn begin_step(&self, batch: DeviceBatch, position: &Position, settings: &TrainSettings) -> BegunStep {
        let whole = batch.part.of;
        let share = batch.share();
        let (mut logits, mut statistics) = (Vec::new(), self.statistics.clone());
        let mut sum: Option<Parameters> = None;
        for (index, part) in batch.parts(settings.parts, self.ranks.share()).into_iter().enumerate() {
            let share = part.part.of as f64 / whole as f64;
            let (gradients, forward) = self.gradients(&part, index, position, settings);
            logits.push((forward.logits.inner(), part.host_labels));
            statistics = statistics.approach(&forward.statistics, STATISTICS_SHARE);
            sum = Some(match sum {
                // All of it in one part: not even a multiplication.
                None if share == 1.0 => gradients,
                None => gradients.map(|gradient| gradient * share),
                Some(sum) => sum.zip(&gradients, |sum, gradient| sum + gradient * share),
            });
        }
        let gradients = sum.expect("a batch has samples");
        let ahead = |gradients: &Parameters| self.sgd.ahead(&self.weights, gradients, position.rate, &settings.weights);
        if self.ranks.is_alone() {
            let Ahead { weights, momentum, norm } = ahead(&gradients);
            return BegunStep { unread: Unread::new(norm, logits), weights, momentum, statistics };
        }
        let mut tally = Tally::default();
        logits.into_iter().for_each(|(logits, labels)| tally.add(Tally::of(logits, &labels)));
        let ([gradients, statistics], tally) = self.ranks.sum_step([gradients, statistics], share, tally);
        let Ahead { weights, momentum, norm } = ahead(&gradients);
        BegunStep { unread: Unread::known(norm, tally), weights, momentum, statistics }
    }

    /// Waits for what a step came to, and takes it over.
    pub(super) fn end_step(&mut self, step: BegunStep, position: &Position, settings: &TrainSettings) -> WeightStep {
        let done = step.unread.read();
        if done.is_finite() {
            (self.weights, self.statistics, self.sgd.momentum) = (step.weights, step.statistics, step.momentum);
            if let Some(average) = &mut self.average {
                average.follow(&self.weights, &self.statistics, position.step, settings.average);
            }
        }
        done
    }

    /// The loss's gradient on a part of a step's batch, and what the pass gave.
    fn gradients(
        &self,
        part: &DeviceBatch,
        index: usize,
        position: &Position,
        settings: &TrainSettings,
    ) -> (Parameters, Forward) {
        let at = [position.step as u64, index as u64];
        let drop = settings.drop_path * position.epoch as f64 / settings.epochs as f64;
        let tracked = self.weights.tracked();
        let pass = Pass {
            drop_path: (drop > 0.0).then(|| DropPath { rate: drop, stream: stream(settings.seed, "drop_path", at) }),
            dropout: self.network.dropout(settings.dropout, stream(settings.seed, "dropout", at)),
            noise: Noise::fixed(settings.seed).at(position.step, index),
            part: Some(part.part),
            together: self.ranks.together(part.part),
            ..Pass::training(&tracked)
        };
        let forward = self.network.forward(pass, part.input.clone());
        let loss = |logits: Tensor<2>| smoothed_cross_entropy(logits, part.labels.clone(), settings.label_smoothing);
        let mut total = loss(forward.logits.clone());
        if let Some(logits) = forward.auxiliary.clone() {
            total = total + loss(logits) * settings.auxiliary;
        }
        (tracked.gradients(&mut part.weighed(total).backward()), forward)
    }

    /// What is measured, and what the training ends with: weights and running statistics.
    pub(crate) fn measured(&self) -> [&Parameters; 2] {
        match &self.average {
            Some(Average { weights, statistics }) => [weights, statistics],
            None => [&self.weights, &self.statistics],
        }
    }

    /// Those of a checkpoint.
    pub(super) fn restore(
        network: Model,
        settings: &TrainSettings,
        (path, mut checkpoint): (&Path, Checkpoint),
        ranks: &Ranks,
        device: &Device,
    ) -> Result<Self, CheckpointError> {
        let counts = [network.weight_counts(), network.statistic_counts()];
        let mut take = |prefix: &str, counts: &[usize]| checkpoint.take(prefix, counts, path, device);
        let (momentum, weights) = (take("momentum", &counts[0])?, take("weights", &counts[0])?);
        let statistics = take("statistics", &counts[1])?;
        let average = match settings.average > 0.0 {
            true => Some(Average {
                weights: take("average.weights", &counts[0])?,
                statistics: take("average.statistics", &counts[1])?,
            }),
            false => None,
        };
        checkpoint.finish(path)?;
        let sgd = Sgd { momentum, undecayed: undecayed(&network, settings) };
        let ranks = ranks.clone().with_sync_norm(settings.sync_norm);
        Ok(TrainState { network, weights, statistics, sgd, average, ranks })
    }

    /// Puts it into a checkpoint.
    pub(super) fn save(&self, checkpoint: &mut Checkpoint) {
        checkpoint.put("weights", &self.weights);
        checkpoint.put("momentum", &self.sgd.momentum);
        checkpoint.put("statistics", &self.statistics);
        if let Some(average) = &self.average {
            checkpoint.put("average.weights", &average.weights);
            checkpoint.put("average.statistics", &average.statistics);
        }
    }
}

/// Where norms' numbers and biases lie, by slot, if these do not decay.
fn undecayed(network: &Model, settings: &TrainSettings) -> Vec<Vec<Range<usize>>> {
    let mut ranges = vec![Vec::new(); network.weight_counts().len()];
    if !settings.decay_norms {
        let is_exempt = |weight: &NamedWeight| matches!(weight.kind, WeightKind::Scale(_) | WeightKind::Shift(_));
        for weight in network.names().0.into_iter().filter(is_exempt) {
            ranges[weight.slot].push(weight.range);
        }
    }
    ranges
}
