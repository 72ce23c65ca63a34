//! The weights' optimizer: SGD with momentum under one norm bound, and its rate over the epochs.

use crate::parameters::Parameters;
use sdas_kernels::{Descending, Descent, GradientNorm};
use serde::{Deserialize, Serialize};
use std::ops::Range;

/// SGD with momentum and weight decay; gradients clipped by the norm over all weights together.
#[derive(Debug, Clone)]
pub struct Sgd {
    /// The momentum buffers; zeros before the first step.
    pub momentum: Parameters,
    /// What does not decay, by slot: ranges of its elements. Slots beyond the last decay as a whole.
    pub undecayed: Vec<Vec<Range<usize>>>,
}

/// Numbers of [`Sgd`] that stay the same over a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SgdSettings {
    /// The rate at the start.
    pub rate: f64,
    /// The rate that the course ends at, or does not fall below.
    pub rate_end: f64,
    /// How the rate moves over the epochs: `cosine`, `linear`, `steps` or `exponential`.
    pub course: Course,
    /// Epochs at the start in which the rate rises linearly to what the course says.
    pub warmup: usize,
    /// Momentum.
    pub momentum: f64,
    /// Nesterov's momentum.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub nesterov: bool,
    /// Weight decay, added to the clipped gradient.
    pub weight_decay: f64,
    /// Bound of the gradient's norm over all weights; 0 does not clip.
    pub clip: f64,
}

/// How the rate moves over the epochs. It stays the same within one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Course {
    /// Half a cosine from `rate` to `rate_end` (Loshchilov, Hutter, 2016, equation 5).
    Cosine {},
    /// A line from `rate` to `rate_end`.
    Linear {},
    /// `rate` times `factor` from each of these epochs on, counted from 0: [30, 60] of 90 are the literature's on ImageNet.
    Steps {
        /// The epochs, rising.
        at: Vec<usize>,
        /// What each multiplies the rate by.
        #[serde(default = "tenth")]
        factor: f64,
    },
    /// `rate` times `factor` after every epoch: 0.97 in DARTS' training on ImageNet.
    Exponential {
        /// What each epoch multiplies the rate by.
        factor: f64,
    },
}

fn tenth() -> f64 {
    0.1
}

impl Default for Course {
    fn default() -> Self {
        Course::Cosine {}
    }
}

impl Course {
    /// What is wrong with its numbers in a run of so many epochs, as (key below `course`, what would be right).
    pub fn fault(&self, epochs: usize) -> Option<(&'static str, String)> {
        if let Course::Steps { at, .. } = self {
            let rises = at.windows(2).all(|pair| pair[0] < pair[1]);
            if !rises || at.is_empty() || at[0] == 0 || at[at.len() - 1] >= epochs {
                return Some(("at", format!("must be rising epochs from 1 to {}, not {at:?}", epochs - 1)));
            }
        }
        let (Course::Steps { factor, .. } | Course::Exponential { factor }) = *self else { return None };
        let is_share = factor > 0.0 && factor <= 1.0;
        (!is_share).then(|| ("factor", format!("must be above 0 and at most 1, not {factor}")))
    }
}

impl Default for SgdSettings {
    fn default() -> Self {
        SgdSettings {
            rate: 0.025,
            rate_end: 0.001,
            course: Course::default(),
            warmup: 0,
            momentum: 0.9,
            nesterov: false,
            weight_decay: 3e-4,
            clip: 5.0,
        }
    }
}

impl SgdSettings {
    /// The rate in epoch `epoch` (from 0) of `epochs`, as PyTorch's schedulers step it. In the warm-up it is (epoch + 1) / (warm-up + 1)
    /// of what the course says, so that the first epoch after it is the first with the whole.
    pub fn rate_at(&self, epoch: usize, epochs: usize) -> f64 {
        let (done, span) = (epoch as f64 / epochs as f64, self.rate - self.rate_end);
        let rate = match &self.course {
            Course::Cosine {} => self.rate_end + span * (1.0 + libm::cos(std::f64::consts::PI * done)) / 2.0,
            Course::Linear {} => self.rate - span * done,
            Course::Steps { at, factor } => {
                let steps = at.iter().filter(|&&step| step <= epoch).count();
                (self.rate * libm::pow(*factor, steps as f64)).max(self.rate_end)
            }
            Course::Exponential { factor } => (self.rate * libm::pow(*factor, epoch as f64)).max(self.rate_end),
        };
        if epoch < self.warmup { rate * (epoch + 1) as f64 / (self.warmup + 1) as f64 } else { rate }
    }

    /// The shares of this step's direction and of the momentum before it in what the weights move along.
    pub(crate) fn shares(&self) -> (f64, f64) {
        let momentum = self.momentum;
        if self.nesterov { (1.0 + momentum, momentum * momentum) } else { (1.0, momentum) }
    }
}

impl Sgd {
    /// An optimizer of `weights` that has not taken a step.
    pub fn new(weights: &Parameters) -> Self {
        Sgd { momentum: weights.zeros_like(), undecayed: Vec::new() }
    }

    /// One step: `m ← momentum·m + clip(g) + decay·w`, `w ← w − rate·m` (see [`Descent`]). Nothing is taken over yet, nor
    /// waited for.
    pub fn ahead(&self, weights: &Parameters, gradients: &Parameters, rate: f64, settings: &SgdSettings) -> Ahead {
        let norm = gradients.norm();
        let descent = Descent {
            clip: settings.clip,
            weight_decay: settings.weight_decay as f32,
            momentum: settings.momentum as f32,
            rate: rate as f32,
            nesterov: settings.nesterov,
        };
        let used: Vec<usize> = (0..weights.slots()).filter(|&slot| weights.get(slot).is_some()).collect();
        let at = |slot: usize| {
            let (weights, momentum) = (weights.get(slot)?, self.momentum.get(slot)?);
            let undecayed = self.undecayed.get(slot).cloned().unwrap_or_default();
            Some(Descending { weights, momentum, gradient: gradients.get(slot)?, undecayed })
        };
        let descending =
            used.iter().map(|&slot| at(slot).expect("weights, momentum and gradients have the same slots"));
        let after = descent.step(descending.collect(), &norm);
        let [mut moved, mut momentum] = [0; 2].map(|_| Parameters::empty(weights.slots()));
        for (&slot, [own_weights, own_momentum]) in used.iter().zip(after) {
            moved.set(slot, Some(own_weights));
            momentum.set(slot, Some(own_momentum));
        }
        Ahead { weights: moved, momentum, norm }
    }
}

/// Where a step leads.
#[derive(Debug, Clone)]
pub struct Ahead {
    /// The weights after it.
    pub weights: Parameters,
    /// The momentum after it.
    pub momentum: Parameters,
    /// The gradients' norm before clipping. Where it is not finite, nothing else is worth anything.
    pub norm: GradientNorm,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_falls_along_a_cosine() {
        let settings = SgdSettings { rate: 0.025, rate_end: 0.001, ..SgdSettings::default() };
        assert!((settings.rate_at(0, 50) - 0.025).abs() < 1e-12);
        assert!((settings.rate_at(25, 50) - 0.013).abs() < 1e-12);
        // PyTorch's CosineAnnealingLR(T_max = 50, eta_min = 0.001) at epoch 10: 0.001 + 0.012·(1 + cos 36°).
        assert!((settings.rate_at(10, 50) - 0.022_708_203_932_499_37).abs() < 1e-12);
    }

    #[test]
    fn other_courses_and_the_warm_up() {
        let rates = |course: Course, warmup: usize, epochs: &[usize]| -> Vec<f64> {
            let settings = SgdSettings { rate: 0.8, rate_end: 0.01, course, warmup, ..SgdSettings::default() };
            epochs.iter().map(|&epoch| (settings.rate_at(epoch, 90) * 1e9).round() / 1e9).collect()
        };
        let steps = Course::Steps { at: vec![30, 60], factor: 0.1 };
        assert_eq!(rates(steps.clone(), 0, &[0, 29, 30, 59, 60]), [0.8, 0.8, 0.08, 0.08, 0.01]);
        assert_eq!(rates(Course::Linear {}, 0, &[0, 45, 90]), [0.8, 0.405, 0.01]);
        assert_eq!(rates(Course::Exponential { factor: 0.5 }, 0, &[0, 1, 3, 50]), [0.8, 0.4, 0.1, 0.01]);
        assert_eq!(rates(steps, 3, &[0, 1, 2, 3]), [0.2, 0.4, 0.6, 0.8]);
        let fault = |at: &[usize], factor| Course::Steps { at: at.to_vec(), factor }.fault(90).map(|(key, _)| key);
        assert_eq!(fault(&[30, 89], 1.0), None);
        for at in [&[][..], &[0, 3], &[30, 30], &[30, 90]] {
            assert_eq!(fault(at, 0.1), Some("at"), "{at:?}");
        }
        assert_eq!(fault(&[30], 0.0), Some("factor"));
        assert_eq!(Course::Exponential { factor: f64::NAN }.fault(90).map(|(key, _)| key), Some("factor"));
    }
}
