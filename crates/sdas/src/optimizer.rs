//! The weights' optimizer: SGD with momentum under one norm bound, and its rate over the epochs.

use crate::parameters::Parameters;
use sdas_kernels::{Descending, Descent};
use serde::{Deserialize, Serialize};

/// SGD with momentum and weight decay; gradients clipped by the norm over all weights together.
#[derive(Debug, Clone)]
pub struct Sgd {
    /// The momentum buffers; zeros before the first step.
    pub momentum: Parameters,
}

/// Numbers of [`Sgd`] that stay the same over a run.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SgdSettings {
    /// The rate at the start.
    pub rate: f64,
    /// The rate that the cosine ends at.
    pub rate_end: f64,
    /// Momentum.
    pub momentum: f64,
    /// Weight decay, added to the clipped gradient.
    pub weight_decay: f64,
    /// Bound of the gradient's norm over all weights; 0 does not clip.
    pub clip: f64,
}

impl Default for SgdSettings {
    fn default() -> Self {
        SgdSettings { rate: 0.025, rate_end: 0.001, momentum: 0.9, weight_decay: 3e-4, clip: 5.0 }
    }
}

impl SgdSettings {
    /// The rate in epoch `epoch` (from 0) of `epochs`: half a cosine from `rate` to `rate_end` (Loshchilov, Hutter, 2016,
    /// equation 5), constant within an epoch, as PyTorch's scheduler steps it.
    pub fn rate_at(&self, epoch: usize, epochs: usize) -> f64 {
        let done = epoch as f64 / epochs as f64;
        self.rate_end + (self.rate - self.rate_end) * (1.0 + (std::f64::consts::PI * done).cos()) / 2.0
    }
}

impl Sgd {
    /// An optimizer of `weights` that has not taken a step.
    pub fn new(weights: &Parameters) -> Self {
        Sgd { momentum: weights.zeros_like() }
    }

    /// One step: `m ← momentum·m + clip(g) + decay·w`, `w ← w − rate·m`. Returns the new weights and the gradient's norm
    /// before clipping; where that is not finite, nothing changes.
    pub fn step(
        &mut self,
        weights: &Parameters,
        gradients: &Parameters,
        rate: f64,
        settings: &SgdSettings,
    ) -> (Parameters, f64) {
        let norm = gradients.norm();
        if !norm.is_finite() {
            return (weights.clone(), norm);
        }
        let scale = if settings.clip > 0.0 { (settings.clip / (norm + 1e-6)).min(1.0) } else { 1.0 };
        let descent = Descent {
            scale: scale as f32,
            weight_decay: settings.weight_decay as f32,
            momentum: settings.momentum as f32,
            rate: rate as f32,
        };
        let used: Vec<usize> = (0..weights.slots()).filter(|&slot| weights.get(slot).is_some()).collect();
        let at = |slot: usize| {
            let (weights, momentum) = (weights.get(slot)?, self.momentum.get(slot)?);
            Some(Descending { weights, momentum, gradient: gradients.get(slot)? })
        };
        let descending =
            used.iter().map(|&slot| at(slot).expect("weights, momentum and gradients have the same slots"));
        let after = descent.step(descending.collect());
        let mut moved = Parameters::empty(weights.slots());
        for (&slot, [weights, momentum]) in used.iter().zip(after) {
            moved.set(slot, Some(weights));
            self.momentum.set(slot, Some(momentum));
        }
        (moved, norm)
    }
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
}
