//! Where a run stands: what a checkpoint holds besides tensors.

use crate::batch::Tally;
use crate::run::{MetricRecord, Phase};
use crate::schedule::Plan;
use serde::{Deserialize, Serialize};
use std::time::Instant;

/// Where a run stands.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Progress {
    pub(crate) phase: Phase,
    /// Epochs completed, and so lines of `metrics.jsonl`.
    pub(crate) epoch: usize,
    /// Steps done since the start.
    pub(crate) step: usize,
    /// Steps done in the epoch that is not complete.
    pub(crate) step_in_epoch: usize,
    /// Decisions taken, and so lines of `decisions.jsonl`.
    pub(crate) decisions: usize,
    /// What is decided.
    pub(crate) plans: [Plan; 2],
    /// Steps of α's optimizer.
    pub(crate) alpha_steps: usize,
    /// q of every edge at the end of the last epochs, of each kind of cell.
    pub(crate) history: [Vec<Vec<Vec<f64>>>; 2],
    /// The account of the epoch that is not complete.
    pub(crate) tally: Tally,
    /// Σ of its gradient norms.
    pub(crate) gradient_norms: f64,
    /// Seconds of computing so far.
    pub(crate) seconds: f64,
    /// The last epoch's line.
    pub(crate) last: Option<MetricRecord>,
}

impl Default for Progress {
    fn default() -> Self {
        Progress {
            phase: Phase::Search,
            epoch: 0,
            step: 0,
            step_in_epoch: 0,
            decisions: 0,
            plans: Default::default(),
            alpha_steps: 0,
            history: Default::default(),
            tally: Tally::default(),
            gradient_norms: 0.0,
            seconds: 0.0,
            last: None,
        }
    }
}

impl Progress {
    /// Closes the epoch.
    pub(crate) fn end_epoch(&mut self, record: MetricRecord) {
        self.epoch += 1;
        self.step_in_epoch = 0;
        self.tally = Tally::default();
        self.gradient_norms = 0.0;
        self.last = Some(record);
    }
}

/// Times of a run.
pub(crate) struct Clock {
    before: f64,
    start: Instant,
    epoch: Instant,
    steps: (usize, f64),
    /// Of the last steps, for what is left.
    pub(crate) seconds_per_step: f64,
}

impl Clock {
    /// A clock that goes on after `before` seconds.
    pub(crate) fn new(before: f64) -> Self {
        let now = Instant::now();
        Clock { before, start: now, epoch: now, steps: (0, 0.0), seconds_per_step: 0.0 }
    }

    /// Seconds since the run began, stops not counted.
    pub(crate) fn seconds(&self) -> f64 {
        self.before + self.start.elapsed().as_secs_f64()
    }

    pub(crate) fn step(&mut self, seconds: f64) {
        self.steps.0 += 1;
        self.steps.1 += seconds;
        self.seconds_per_step = match self.seconds_per_step > 0.0 {
            true => 0.8 * self.seconds_per_step + 0.2 * seconds,
            false => seconds,
        };
    }

    /// Seconds of the epoch and mean seconds of its steps.
    pub(crate) fn end_epoch(&mut self) -> (f64, f64) {
        let now = Instant::now();
        let seconds = now.duration_since(self.epoch).as_secs_f64();
        let mean = self.steps.1 / self.steps.0.max(1) as f64;
        self.epoch = now;
        self.steps = (0, 0.0);
        (seconds, mean)
    }
}
