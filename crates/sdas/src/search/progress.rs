//! Where a run stands: what a checkpoint holds besides tensors.

use crate::batch::{Tally, WeightStep};
use crate::recipe::Recipe;
use crate::run::{
    DataIdentity, MetricRecord, Phase, RunData, RunError, StepReport, check_classes, forget_peak_memory, peak_memory,
};
use crate::schedule::{Plan, Watch};
use crate::supernet::Rows;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Instant;

/// Where a run stands.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Progress {
    pub(crate) phase: Phase,
    /// What it has seen.
    pub(crate) data: DataIdentity,
    /// The settings that it cannot go on without, by key; checkpoints of before have none.
    #[serde(default)]
    pub(crate) sizes: BTreeMap<String, String>,
    /// Epochs completed, and so lines of `metrics.jsonl`.
    pub(crate) epoch: usize,
    /// Steps done since the start.
    pub(crate) step: usize,
    /// Steps done in the epoch that is not complete.
    pub(crate) step_in_epoch: usize,
    /// Decisions taken, and so lines of `decisions.jsonl`.
    pub(crate) decisions: usize,
    /// What is decided, by kind of cell.
    pub(crate) plans: Vec<Plan>,
    /// Steps of α's optimizer.
    pub(crate) alpha_steps: usize,
    /// q of every edge at the end of the last epochs, of each kind of cell.
    pub(crate) history: Vec<Vec<Rows<f64>>>,
    /// What a collapse is told by.
    #[serde(default)]
    pub(crate) watch: Watch,
    /// The account of the epoch that is not complete.
    pub(crate) tally: Tally,
    /// Σ of its gradient norms.
    pub(crate) gradient_norms: f64,
    /// Times so far.
    pub(crate) times: Times,
    /// The last epoch's line.
    pub(crate) last: Option<MetricRecord>,
}

/// Times of a run, stops not counted.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub(crate) struct Times {
    /// Seconds since the run began.
    pub(crate) run: f64,
    /// Seconds of the epoch that is not complete.
    pub(crate) epoch: f64,
    /// Its steps, and their seconds.
    pub(crate) steps: (usize, f64),
}

/// Settings that make a network what it is.
fn network_keys(phase: Phase) -> &'static [&'static str] {
    match phase {
        Phase::Search => &[
            "search.channels",
            "search.cells",
            "search.stem_stride",
            "search.relaxation.share",
            "space.name",
            "space.operations",
        ],
        Phase::Train => &["train.stem", "train.channels", "train.cells", "train.width"],
    }
}

/// Settings that make a step what it is: what it sees, and how much of it, from which it also follows how many steps an
/// epoch has.
fn step_keys(phase: Phase) -> [&'static str; 8] {
    let batch = match phase {
        Phase::Search => "search.batch",
        Phase::Train => "train.batch",
    };
    [
        batch,
        "data.size",
        "data.resize",
        "data.input",
        "data.clip.frames",
        "data.clip.stride",
        "data.clip.stack",
        "data.clip.crop",
    ]
}

fn size(recipe: &Recipe, key: &str) -> String {
    recipe.value(key).unwrap_or_else(|| "not given".to_owned())
}

impl Progress {
    /// Where a run on `data` begins.
    pub(crate) fn begin(phase: Phase, recipe: &Recipe, data: &RunData) -> Self {
        Progress {
            phase,
            data: data.identity(),
            sizes: network_keys(phase)
                .iter()
                .chain(&step_keys(phase))
                .map(|key| (key.to_string(), size(recipe, key)))
                .collect(),
            epoch: 0,
            step: 0,
            step_in_epoch: 0,
            decisions: 0,
            plans: Vec::new(),
            alpha_steps: 0,
            history: recipe.space.name.kinds().iter().map(|_| Vec::new()).collect(),
            watch: Watch::default(),
            tally: Tally::default(),
            gradient_norms: 0.0,
            times: Times::default(),
            last: None,
        }
    }

    /// Checks that the recipe has the sizes that the run began with, as going on with it needs.
    pub(crate) fn check_sizes(&self, recipe: &Recipe) -> Result<(), RunError> {
        self.check_network(recipe)?;
        self.check_keys(&step_keys(self.phase), recipe)
    }

    /// Checks those of the network, as measuring it needs.
    pub(crate) fn check_network(&self, recipe: &Recipe) -> Result<(), RunError> {
        self.check_keys(network_keys(self.phase), recipe)
    }

    fn check_keys(&self, keys: &[&'static str], recipe: &Recipe) -> Result<(), RunError> {
        for &key in keys {
            // Checkpoints of before have no sizes.
            let Some(before) = self.sizes.get(key) else { continue };
            let now = size(recipe, key);
            if now != *before {
                return Err(RunError::OtherSizes { key, before: before.clone(), now });
            }
        }
        Ok(())
    }

    /// Checks that this is the progress of a run on these pictures.
    pub(crate) fn check(&self, data: &RunData) -> Result<(), RunError> {
        check_classes(&self.data.classes, data.train.classes())?;
        if self.data.pictures != data.identity().pictures { Err(RunError::OtherPictures) } else { Ok(()) }
    }

    /// Counts a step of the weights.
    pub(crate) fn add(&mut self, done: &WeightStep) {
        self.tally.add(done.tally);
        self.gradient_norms += done.gradient_norm;
        self.step += 1;
        self.step_in_epoch += 1;
    }

    /// Where the run stands.
    pub(crate) fn report(&self, seconds_left: f64) -> StepReport {
        StepReport {
            epoch: self.epoch + 1,
            step: self.step_in_epoch,
            train_loss: self.tally.mean_loss(),
            train_accuracy: self.tally.accuracy(),
            seconds_left,
        }
    }

    /// The most memory that the run has had, in bytes, what it had before a resume included.
    pub(crate) fn peak_memory(&self) -> Option<u64> {
        peak_memory().max(self.last.as_ref().and_then(|record| record.peak_memory))
    }

    /// The line of the epoch that is complete, what only a search knows left out. `parameters` and `multiply_adds` are
    /// those of the network as it is now.
    pub(crate) fn record(
        &self,
        rate: f64,
        validation: Option<Tally>,
        (seconds, seconds_per_step): (f64, f64),
        (parameters, multiply_adds): (usize, usize),
    ) -> MetricRecord {
        MetricRecord {
            phase: self.phase,
            epoch: self.epoch + 1,
            step: self.step,
            rate,
            train_loss: self.tally.mean_loss(),
            train_accuracy: self.tally.accuracy(),
            validation_loss: validation.map(|tally| tally.mean_loss()),
            validation_accuracy: validation.map(|tally| tally.accuracy()),
            gradient_norm: self.gradient_norms / self.step_in_epoch.max(1) as f64,
            decided: None,
            alpha_entropy: None,
            skips: None,
            pools: None,
            eigenvalue: None,
            parameters,
            multiply_adds,
            seconds,
            seconds_per_step,
            memory: peak_memory(),
            peak_memory: self.peak_memory(),
        }
    }

    /// Closes the epoch.
    pub(crate) fn end_epoch(&mut self, record: MetricRecord) {
        forget_peak_memory();
        self.epoch += 1;
        self.step_in_epoch = 0;
        self.tally = Tally::default();
        self.gradient_norms = 0.0;
        self.last = Some(record);
    }
}

/// Measures the times of a run.
pub(crate) struct Clock {
    before: Times,
    run: Instant,
    epoch: Instant,
    /// When the last checkpoint was written, or the run began.
    checkpoint: Instant,
    /// The last steps, for what is left: how many, and their seconds, both the less the longer ago.
    recent: (f64, f64),
}

/// Seconds in which a step comes to count for a third of what it did. Where other programs run, one step waits for its turn and
/// the next does not.
const FORGOTTEN: f64 = 5.0;

impl Clock {
    /// A clock that goes on from `before`.
    pub(crate) fn new(before: Times) -> Self {
        let now = Instant::now();
        Clock { before, run: now, epoch: now, checkpoint: now, recent: (0.0, 0.0) }
    }

    /// Whether so many minutes have passed without a checkpoint.
    pub(crate) fn is_checkpoint_due(&self, minutes: f64) -> bool {
        self.checkpoint.elapsed().as_secs_f64() >= 60.0 * minutes
    }

    /// A checkpoint was written.
    pub(crate) fn checkpoint(&mut self) {
        self.checkpoint = Instant::now();
    }

    /// Begins the epoch: what was computed so far is none of it.
    pub(crate) fn begin_epoch(&mut self) {
        self.epoch = Instant::now();
    }

    /// The times so far.
    pub(crate) fn times(&self) -> Times {
        Times {
            run: self.before.run + self.run.elapsed().as_secs_f64(),
            epoch: self.before.epoch + self.epoch.elapsed().as_secs_f64(),
            steps: self.before.steps,
        }
    }

    /// What a step takes before there was one.
    pub(crate) fn expect(&mut self, seconds_per_step: f64) {
        self.recent = (1.0, seconds_per_step);
    }

    /// What a step takes now.
    pub(crate) fn seconds_per_step(&self) -> f64 {
        self.recent.1 / self.recent.0.max(1.0)
    }

    /// Counts a step that took so long.
    pub(crate) fn step(&mut self, seconds: f64) {
        self.before.steps.0 += 1;
        self.before.steps.1 += seconds;
        let kept = (-seconds / FORGOTTEN).exp();
        self.recent = (kept * self.recent.0 + 1.0, kept * self.recent.1 + seconds);
    }

    /// Seconds of the epoch and mean seconds of its steps.
    pub(crate) fn end_epoch(&mut self) -> (f64, f64) {
        let Times { epoch, steps: (count, seconds), .. } = self.times();
        (self.before.epoch, self.before.steps) = (0.0, (0, 0.0));
        self.begin_epoch();
        (epoch, seconds / count.max(1) as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_that_had_to_wait_does_not_upset_what_is_left() {
        let mut clock = Clock::new(Times::default());
        clock.expect(0.1);
        // One in twenty waits: 6 ms each in the mean.
        for step in 0..20_000 {
            clock.step(if step % 20 == 0 { 0.101 } else { 0.001 });
            assert!(step < 5_000 || (clock.seconds_per_step() - 0.006).abs() < 5e-4, "{}", clock.seconds_per_step());
        }
        // And a search whose edges are decided is soon told by its faster steps.
        (0..10_000).for_each(|_| clock.step(0.002));
        assert!(clock.seconds_per_step() < 0.0022, "{}", clock.seconds_per_step());
    }
}
