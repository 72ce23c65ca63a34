//! Collapse: a search that runs into skip connections, or to where its loss is too curved to be discretized; how it is told,
//! and what is done about it.

use crate::space::CellKind;
use crate::supernet::Rows;
use serde::{Deserialize, Serialize};

/// `search.collapse`.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Collapse {
    /// What is done about it: `warn`, `decide` or `stop`.
    pub act: Act,
    /// What tells it, at the end of every epoch in which α learnt: `{ kind = "skips", … }` or `{ kind = "curvature", … }`.
    pub by: Measure,
}

/// What is done about a collapse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Act {
    /// It is told, once.
    #[default]
    Warn,
    /// All edges that are undecided are decided at once, from the last α that was good, and the search goes on.
    Decide,
    /// They are decided likewise, and the search ends there.
    Stop,
}

/// What tells a collapse.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Measure {
    /// Skip connections among the edges of a cell that the search would come to if it ended now.
    Skips {
        /// More than this share of a cell's edges.
        #[serde(default = "Measure::default_share")]
        share: f64,
    },
    /// The largest eigenvalue of the Hessian of the held-out loss in α grows too fast (Zela and others, 2020, section 4.3):
    /// its mean over `window` epochs `lag` epochs ago is less than `ratio` of that now. The last good α is that of `lag`
    /// epochs ago.
    Curvature {
        /// Less than this ratio, in (0, 1].
        #[serde(default = "Measure::default_ratio")]
        ratio: f64,
        /// Epochs between the two.
        #[serde(default = "Measure::default_epochs")]
        lag: usize,
        /// Epochs of a mean, fewer where there have not been as many.
        #[serde(default = "Measure::default_epochs")]
        window: usize,
    },
}

impl Default for Measure {
    fn default() -> Self {
        Measure::Skips { share: Measure::default_share() }
    }
}

impl Measure {
    /// Ours: what makes a cell of decided edges a collapsed one, too.
    fn default_share() -> f64 {
        0.75
    }

    fn default_ratio() -> f64 {
        0.75
    }

    fn default_epochs() -> usize {
        5
    }

    /// Epochs from the last good α to the one at whose end a collapse is told.
    fn lag(&self) -> usize {
        match *self {
            Measure::Skips { .. } => 1,
            Measure::Curvature { lag, .. } => lag,
        }
    }
}

impl Collapse {
    /// What is wrong with the numbers for a search in which α learns for `epochs` epochs, of candidates with skip connections
    /// or without, as (key below `search.collapse`, what would be right).
    pub fn fault(&self, epochs: usize, has_skips: bool) -> Option<(&'static str, String)> {
        match self.by {
            Measure::Skips { share } if !(0.0..1.0).contains(&share) => {
                Some(("by.share", format!("must be at least 0 and below 1, not {share}")))
            }
            Measure::Skips { .. } if self.act != Act::Warn && !has_skips => {
                Some(("by", "is skips, but space.operations has no skip connection; let it be curvature".to_owned()))
            }
            Measure::Curvature { ratio, .. } if !(ratio > 0.0 && ratio <= 1.0) => {
                Some(("by.ratio", format!("must be above 0 and at most 1, not {ratio}")))
            }
            Measure::Curvature { lag: 0, .. } => Some(("by.lag", "must be at least 1, not 0".to_owned())),
            Measure::Curvature { window: 0, .. } => Some(("by.window", "must be at least 1, not 0".to_owned())),
            Measure::Curvature { lag, .. } if lag >= epochs => {
                Some(("by.lag", format!("must be less than the {epochs} epochs in which α learns, not {lag}")))
            }
            Measure::Skips { .. } | Measure::Curvature { .. } => None,
        }
    }
}

/// A collapse as it is written down.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct CollapseRecord {
    /// The epoch at whose end it was told, from 1.
    pub epoch: usize,
    /// The epoch at whose end α was good; this one where none was.
    pub good: usize,
    /// What told it.
    pub cause: Cause,
    /// What was done about it.
    pub act: Act,
}

/// What told a collapse.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Cause {
    /// Skip connections.
    Skips {
        /// Of this kind of cell.
        cell: CellKind,
        /// Their share.
        share: f64,
    },
    /// The largest eigenvalue.
    Curvature {
        /// Its mean some epochs ago.
        before: f64,
        /// And now.
        now: f64,
    },
}

/// What is known at the end of an epoch.
pub(crate) struct Measured<'a> {
    /// The epoch, from 1.
    pub(crate) epoch: usize,
    /// Share of skip connections in each kind of cell.
    pub(crate) skips: &'a [(CellKind, f64)],
    /// The largest eigenvalue, where it is measured.
    pub(crate) eigenvalue: Option<f64>,
    /// α.
    pub(crate) alpha: &'a [Rows<f32>],
}

/// What a search remembers to tell a collapse by.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Watch {
    /// The last epochs that were good with their α, oldest first.
    good: Vec<(usize, Vec<Rows<f32>>)>,
    /// The last eigenvalues.
    eigenvalues: Vec<f64>,
    /// The collapse, once there was one.
    pub(crate) collapse: Option<CollapseRecord>,
}

impl Watch {
    /// Takes note of an epoch; says whether the search has collapsed with it, which it does once.
    pub(crate) fn note(&mut self, settings: &Collapse, measured: &Measured<'_>) -> Option<CollapseRecord> {
        let cause = match (settings.by, measured.eigenvalue) {
            (Measure::Skips { share: most }, _) => {
                let worst = measured.skips.iter().max_by(|(_, a), (_, b)| a.total_cmp(b));
                worst.filter(|(_, share)| *share > most).map(|&(cell, share)| Cause::Skips { cell, share })
            }
            (Measure::Curvature { ratio, lag, window }, Some(eigenvalue)) => {
                self.eigenvalues.push(eigenvalue);
                let excess = self.eigenvalues.len().saturating_sub(lag + window);
                self.eigenvalues.drain(..excess);
                self.growth(lag, window)
                    .filter(|(before, now)| *before < ratio * now)
                    .map(|(before, now)| Cause::Curvature { before, now })
            }
            (Measure::Curvature { .. }, None) => None,
        };
        if self.collapse.is_some() {
            return None;
        }
        self.collapse = cause.map(|cause| CollapseRecord {
            epoch: measured.epoch,
            good: self.good.first().map_or(measured.epoch, |(epoch, _)| *epoch),
            cause,
            act: settings.act,
        });
        if self.collapse.is_none() && settings.act != Act::Warn {
            self.good.push((measured.epoch, measured.alpha.to_vec()));
            let excess = self.good.len().saturating_sub(settings.by.lag());
            self.good.drain(..excess);
        }
        self.collapse
    }

    /// The mean eigenvalue `lag` epochs ago, and now.
    fn growth(&self, lag: usize, window: usize) -> Option<(f64, f64)> {
        let mean = |until: usize| {
            let last = &self.eigenvalues[until.saturating_sub(window)..until];
            last.iter().sum::<f64>() / last.len() as f64
        };
        let count = self.eigenvalues.len();
        (count > lag).then(|| (mean(count - lag), mean(count)))
    }

    /// The last α that was good, if any was.
    pub(crate) fn good(&self) -> Option<&[Rows<f32>]> {
        self.good.first().map(|(_, alpha)| alpha.as_slice())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CURVATURE: Measure = Measure::Curvature { ratio: 0.75, lag: 2, window: 2 };

    /// α that says which epoch it is of.
    fn alpha(epoch: usize) -> Vec<Rows<f32>> {
        vec![vec![vec![epoch as f32 / 10.0]]]
    }

    /// The collapse that these epochs come to, and the α that is then good.
    fn watched(settings: Collapse, epochs: &[(f64, f64)]) -> (Option<CollapseRecord>, Option<Vec<Rows<f32>>>) {
        let mut watch = Watch::default();
        for (epoch, &(skips, eigenvalue)) in (1..).zip(epochs) {
            // As a checkpoint has it.
            watch = serde_json::from_str(&serde_json::to_string(&watch).unwrap()).unwrap();
            let (skips, alpha) = ([(CellKind::Normal, 0.1), (CellKind::Reduction, skips)], alpha(epoch));
            let measured = Measured { epoch, skips: &skips, eigenvalue: Some(eigenvalue), alpha: &alpha };
            watch.note(&settings, &measured);
        }
        (watch.collapse, watch.good().map(<[_]>::to_vec))
    }

    #[test]
    fn too_many_skips_are_a_collapse_from_the_epoch_before() {
        let settings = Collapse { act: Act::Decide, by: Measure::Skips { share: 0.5 } };
        let (collapse, good) = watched(settings, &[(0.2, 0.0), (0.5, 0.0), (0.625, 0.0), (0.9, 0.0), (0.1, 0.0)]);
        let cause = Cause::Skips { cell: CellKind::Reduction, share: 0.625 };
        assert_eq!(collapse, Some(CollapseRecord { epoch: 3, good: 2, cause, act: Act::Decide }));
        assert_eq!(good, Some(alpha(2)));
        assert_eq!(watched(settings, &[(0.5, 0.0); 9]).0, None);
        // Where no epoch was good there is nothing better than what there is.
        let (collapse, good) = watched(settings, &[(0.6, 0.0)]);
        assert_eq!((collapse.map(|collapse| collapse.good), good), (Some(1), None));
    }

    #[test]
    fn an_eigenvalue_that_grows_too_fast_is_a_collapse_from_before_it_grew() {
        let settings = Collapse { act: Act::Stop, by: CURVATURE };
        let of = |values: &[f64]| watched(settings, &values.iter().map(|&value| (1.0, value)).collect::<Vec<_>>());
        // Means of two: 1, 1, 1.1, 1.25, then 1.4 against 1.1 is 0.79, and 1.7 against 1.25 is 0.735.
        let (collapse, good) = of(&[1.0, 1.0, 1.2, 1.3, 1.5, 1.9]);
        let Some(CollapseRecord { epoch: 6, good: 4, cause: Cause::Curvature { before, now }, .. }) = collapse else {
            panic!("{collapse:?}")
        };
        assert!((before - 1.25).abs() < 1e-12 && (now - 1.7).abs() < 1e-12);
        assert_eq!(good, Some(alpha(4)));
        assert_eq!(of(&[1.0, 1.0, 1.2, 1.3, 1.5]).0, None);
        // Of the third epoch on there is something to compare with: 1 with the mean of 1 and 2.
        assert_eq!(of(&[1.0, 1.0, 2.0]).0.map(|collapse| (collapse.epoch, collapse.good)), Some((3, 1)));
        assert_eq!(of(&[2.0, 1.0, 0.5, 0.1]).0, None);
    }

    #[test]
    fn a_warning_is_given_once() {
        let (mut watch, settings) = (Watch::default(), Collapse::default());
        let mut note = |epoch, share| {
            let measured = Measured { epoch, skips: &[(CellKind::Normal, share)], eigenvalue: None, alpha: &alpha(1) };
            watch.note(&settings, &measured).is_some()
        };
        assert_eq!([note(1, 0.75), note(2, 0.8), note(3, 0.9)], [false, true, false]);
    }

    #[test]
    fn what_makes_no_sense_is_a_fault() {
        let fault = |act, by, epochs, has_skips| Collapse { act, by }.fault(epochs, has_skips).map(|(key, _)| key);
        assert_eq!(fault(Act::Stop, Measure::default(), 1, true), None);
        assert_eq!(fault(Act::Stop, Measure::Skips { share: 1.0 }, 9, true), Some("by.share"));
        assert_eq!(fault(Act::Stop, Measure::Skips { share: f64::NAN }, 9, true), Some("by.share"));
        assert_eq!(fault(Act::Stop, Measure::default(), 9, false), Some("by"));
        assert_eq!(fault(Act::Warn, Measure::default(), 9, false), None);
        let curvature = |ratio, lag, window| fault(Act::Warn, Measure::Curvature { ratio, lag, window }, 9, false);
        assert_eq!(curvature(0.75, 8, 5), None);
        assert_eq!(curvature(0.0, 5, 5), Some("by.ratio"));
        assert_eq!(curvature(0.75, 0, 5), Some("by.lag"));
        assert_eq!(curvature(0.75, 5, 0), Some("by.window"));
        assert_eq!(curvature(0.75, 9, 5), Some("by.lag"));
    }
}
