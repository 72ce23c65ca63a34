//! The schedule: when edges are decided, which one goes next, and what a decision is.
//!
//! A search is a schedule × a criterion: DAS decides everything at the end, SDAS one edge after another while the search
//! runs. Both are values in a recipe.

mod budget;
mod collapse;
mod criterion;
mod decision;
mod plan;

pub(crate) use budget::Room;
pub use budget::{Budget, Costs, Spending};
pub use collapse::{Act, Cause, Collapse, CollapseRecord, Measure};
pub(crate) use collapse::{Measured, Watch};
pub use criterion::{Criterion, Scores, certainty, others};
pub(crate) use decision::strongest;
pub use decision::{Candidate, Decision, Refused, Settled};
pub use plan::{EdgeState, Operations, Plan};

use crate::space::{Candidates, CellKind};
use serde::{Deserialize, Serialize};

/// What a decision is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// An edge gets one of its operations, and all others go.
    #[default]
    Edge,
    /// The weakest operation of all edges goes: the progressive shrinking of P-DARTS (Chen et al., 2019) and DrNAS (Chen et
    /// al., 2021) as a schedule.
    Operation,
}

impl Unit {
    fn is_edge(&self) -> bool {
        *self == Unit::Edge
    }

    /// Decisions of a kind of cell until nothing is left to decide.
    pub fn decisions(self, candidates: &Candidates, kind: CellKind) -> usize {
        let edges = candidates.space.decisions();
        let choices = || (0..candidates.space.edge_count()).map(|edge| candidates.choices(kind, edge).count());
        match self {
            Unit::Edge => edges,
            Unit::Operation => choices().sum::<usize>() - edges,
        }
    }

    /// Those that have been taken where a kind of cell has come to `plan`.
    pub fn taken(self, candidates: &Candidates, kind: CellKind, plan: &Plan) -> usize {
        match self {
            Unit::Edge => plan.decided(),
            Unit::Operation => plan.lost(candidates, kind),
        }
    }
}

/// How many decisions must be taken at a given progress of the search, and of what. Our reading of SDAS; the paper's own schedule is not
/// public.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Schedule {
    /// Evenly between two points: decision k of n at `start + (end − start)·k/n`.
    Linear {
        /// Progress from which decisions fall, in [0, 1].
        #[serde(default = "Schedule::default_start")]
        start: f64,
        /// Progress at which the last one falls, in [0, 1].
        #[serde(default = "Schedule::default_end")]
        end: f64,
        /// What a decision is of.
        #[serde(default)]
        unit: Unit,
    },
    /// As `linear`, along half a cosine: slowly, then fast, then slowly.
    Cosine {
        /// Progress from which decisions fall, in [0, 1].
        #[serde(default = "Schedule::default_start")]
        start: f64,
        /// Progress at which the last one falls, in [0, 1].
        #[serde(default = "Schedule::default_end")]
        end: f64,
        /// What a decision is of.
        #[serde(default)]
        unit: Unit,
    },
    /// One after epoch `from`, then one every `every` epochs (the pattern of SGAS).
    Step {
        /// Epochs between decisions, at least 1.
        every: usize,
        /// Epochs completed before the first decision.
        from: usize,
        /// What a decision is of.
        #[serde(default)]
        unit: Unit,
    },
    /// Each decision of a kind of cell at a point of its own, by whatever rule they were made.
    Points {
        /// Progress at which each falls, in [0, 1], rising, one for every decision.
        at: Vec<f64>,
        /// What a decision is of.
        #[serde(default)]
        unit: Unit,
    },
    /// All at the end: DAS.
    AtEnd {},
}

/// A moment of a search.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// Steps done.
    pub step: usize,
    /// Steps of an epoch.
    pub steps_per_epoch: usize,
    /// Epochs of the search.
    pub epochs: usize,
}

impl Moment {
    /// Share of the search that is done, in [0, 1].
    pub fn progress(&self) -> f64 {
        self.step as f64 / (self.steps_per_epoch * self.epochs) as f64
    }
}

/// Slack for schedules' comparisons, so that 0.1 + 0.2 reaches 0.3; far below one step of any search.
const SLACK: f64 = 1e-9;

impl Default for Schedule {
    fn default() -> Self {
        Schedule::Linear { start: Schedule::default_start(), end: Schedule::default_end(), unit: Unit::Edge }
    }
}

impl Schedule {
    fn default_start() -> f64 {
        0.1
    }

    fn default_end() -> f64 {
        0.7
    }

    /// What a decision is of. At the end all is decided in one moment, in which taking the weakest operations away one after
    /// another would leave the strongest, the same as deciding edges.
    pub fn unit(&self) -> Unit {
        match *self {
            Schedule::Linear { unit, .. }
            | Schedule::Cosine { unit, .. }
            | Schedule::Step { unit, .. }
            | Schedule::Points { unit, .. } => unit,
            Schedule::AtEnd {} => Unit::Edge,
        }
    }

    /// How many of a kind of cell's `decisions` must have been taken at `moment`.
    pub fn due(&self, moment: Moment, decisions: usize) -> usize {
        let between = |start: f64, end: f64| {
            let progress = moment.progress();
            if progress + SLACK >= end { 1.0 } else { ((progress - start) / (end - start)).clamp(0.0, 1.0) }
        };
        let of_all = |share: f64| (share * decisions as f64 + SLACK).floor() as usize;
        match *self {
            Schedule::Points { ref at, .. } => at.iter().filter(|&&point| moment.progress() + SLACK >= point).count(),
            Schedule::Linear { start, end, .. } => of_all(between(start, end)),
            Schedule::Cosine { start, end, .. } => {
                of_all((1.0 - libm::cos(std::f64::consts::PI * between(start, end))) / 2.0)
            }
            Schedule::Step { every, from, .. } => {
                let completed = moment.step / moment.steps_per_epoch;
                completed.checked_sub(from).map_or(0, |since| (1 + since / every).min(decisions))
            }
            Schedule::AtEnd {} => usize::from(moment.progress() + SLACK >= 1.0) * decisions,
        }
    }

    /// What is wrong with the schedule's numbers for a search of `epochs` epochs and so many decisions of each kind of cell,
    /// as (key below `search.schedule`, what would be right).
    pub fn fault(&self, epochs: usize, decisions: usize) -> Option<(&'static str, String)> {
        let unit = 0.0..=1.0;
        match *self {
            Schedule::Linear { start, end, .. } | Schedule::Cosine { start, end, .. } => {
                if !unit.contains(&start) {
                    Some(("start", format!("must lie in 0 to 1, not {start}")))
                } else if !unit.contains(&end) {
                    Some(("end", format!("must lie in 0 to 1, not {end}")))
                } else if start > end {
                    Some(("end", format!("must not come before start = {start}, but is {end}")))
                } else {
                    None
                }
            }
            Schedule::Points { ref at, .. } => {
                let rises = at.windows(2).all(|pair| pair[0] <= pair[1]) && at.iter().all(|point| unit.contains(point));
                let right = format!("must be the points of all {decisions} decisions of a cell, rising within 0 to 1");
                (!rises || at.len() != decisions).then(|| ("at", format!("{right}, not {at:?}")))
            }
            Schedule::Step { every: 0, .. } => Some(("every", "must be at least 1".to_owned())),
            Schedule::Step { every, from, .. } => {
                let last = from + (decisions - 1) * every;
                (last > epochs).then(|| {
                    let needed =
                        format!("the last of the {decisions} decisions would fall after epoch {last} of {epochs}");
                    ("every", format!("is too large: {needed}; decide from an earlier epoch, or more often"))
                })
            }
            Schedule::AtEnd {} => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of eight decisions, those due after each tenth of a search of ten epochs of ten steps.
    fn by_tenths(schedule: Schedule) -> Vec<usize> {
        (0..=10).map(|tenth| schedule.due(Moment { step: tenth * 10, steps_per_epoch: 10, epochs: 10 }, 8)).collect()
    }

    #[test]
    fn linear_spreads_decisions_evenly() {
        // 8·(p − 0.2)/0.6, rounded down: 0.3 gives 1.33, 0.4 gives 2.67, 0.5 gives 4.
        assert_eq!(
            by_tenths(Schedule::Linear { start: 0.2, end: 0.8, unit: Unit::Edge }),
            [0, 0, 0, 1, 2, 4, 5, 6, 8, 8, 8]
        );
        assert_eq!(
            by_tenths(Schedule::Linear { start: 0.5, end: 0.5, unit: Unit::Edge }),
            [0, 0, 0, 0, 0, 8, 8, 8, 8, 8, 8]
        );
        assert_eq!(
            by_tenths(Schedule::Linear { start: 0.0, end: 1.0, unit: Unit::Edge }),
            [0, 0, 1, 2, 3, 4, 4, 5, 6, 7, 8]
        );
    }

    #[test]
    fn cosine_starts_and_ends_slowly() {
        // 8·(1 − cos πp)/2: 0.1 → 0.20, 0.2 → 0.76, 0.3 → 1.65, 0.4 → 2.76, 0.5 → 4, and symmetric.
        assert_eq!(
            by_tenths(Schedule::Cosine { start: 0.0, end: 1.0, unit: Unit::Edge }),
            [0, 0, 0, 1, 2, 4, 5, 6, 7, 7, 8]
        );
    }

    #[test]
    fn step_decides_after_whole_epochs() {
        assert_eq!(
            by_tenths(Schedule::Step { from: 2, every: 1, unit: Unit::Edge }),
            [0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 8]
        );
        let schedule = Schedule::Step { from: 9, every: 5, unit: Unit::Edge };
        let due = |step| schedule.due(Moment { step, steps_per_epoch: 10, epochs: 50 }, 8);
        assert_eq!([due(89), due(90), due(139), due(140), due(440), due(500)], [0, 1, 1, 2, 8, 8]);
    }

    #[test]
    fn a_schedule_spreads_as_many_decisions_as_there_are() {
        let schedule = Schedule::Linear { start: 0.0, end: 1.0, unit: Unit::Edge };
        let due = |step| schedule.due(Moment { step, steps_per_epoch: 10, epochs: 6 }, 6);
        assert_eq!([due(9), due(10), due(35), due(60)], [0, 1, 3, 6]);
        // The last of six falls after epoch 2 + 5.
        let step = Schedule::Step { from: 2, every: 1, unit: Unit::Edge };
        assert_eq!((step.fault(7, 6), step.fault(7, 8).is_some()), (None, true));
    }

    fn points(at: &[f64]) -> Schedule {
        Schedule::Points { at: at.to_vec(), unit: Unit::Edge }
    }

    #[test]
    fn points_are_where_they_are_said_to_be() {
        let schedule = points(&[0.1, 0.1, 0.35, 0.4, 0.4, 0.4, 0.85, 0.9]);
        assert_eq!(by_tenths(schedule), [0, 2, 2, 2, 6, 6, 6, 6, 6, 8, 8]);
    }

    #[test]
    fn at_end_decides_nothing_before() {
        assert_eq!(by_tenths(Schedule::AtEnd {}), [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 8]);
    }

    #[test]
    fn every_schedule_that_has_no_fault_decides_all_by_the_end() {
        let schedules = [
            Schedule::Linear { start: 0.3, end: 0.3, unit: Unit::Edge },
            Schedule::Linear { start: 1.0, end: 1.0, unit: Unit::Edge },
            Schedule::Cosine { start: 0.1, end: 0.9, unit: Unit::Edge },
            Schedule::Step { from: 3, every: 1, unit: Unit::Edge },
            points(&[0.0, 0.1, 0.1, 0.5, 0.6, 0.7, 0.9, 1.0]),
            Schedule::AtEnd {},
        ];
        for schedule in schedules {
            assert_eq!(schedule.fault(10, 8), None, "{schedule:?}");
            let due = by_tenths(schedule.clone());
            assert!(due[10] == 8 && due.is_sorted(), "{schedule:?}: {due:?}");
        }
    }

    #[test]
    fn impossible_numbers_are_faults() {
        let key = |schedule: Schedule| schedule.fault(10, 8).map(|(key, _)| key);
        assert_eq!(key(Schedule::Linear { start: -0.1, end: 0.5, unit: Unit::Edge }), Some("start"));
        assert_eq!(key(Schedule::Cosine { start: 0.5, end: 0.4, unit: Unit::Edge }), Some("end"));
        assert_eq!(key(Schedule::Step { from: 9, every: 5, unit: Unit::Edge }), Some("every"));
        assert_eq!(key(Schedule::Step { from: 0, every: 0, unit: Unit::Edge }), Some("every"));
        let seven = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7];
        for last in [&[][..], &[0.65], &[1.1], &[f64::NAN], &[0.8, 0.9]] {
            assert_eq!(key(points(&[&seven, last].concat())), Some("at"), "{last:?}");
        }
    }
}
