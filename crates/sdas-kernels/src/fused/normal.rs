//! Batch norms as numbers per channel: what a unit's result is multiplied by and shifted by, there and back.

use super::plan::{Plan, Unit};
use crate::lanes::{LANES, Lanes};

/// A unit's norm (Ioffe, Szegedy, 2015): `v = scale × u + shift`.
#[derive(Debug, Default)]
pub(crate) struct Normal {
    /// Scale and shift by block.
    lines: Vec<[Lanes; 2]>,
    /// Mean μ and 1/σ per channel, without the learnt scale; empty where there is no norm.
    mean: Vec<f64>,
    inverse: Vec<f64>,
}

/// The gradient of a unit's result: `p × g + q × u + r`, `g` being that of its normed result.
#[derive(Debug, Clone, Default)]
pub(crate) struct Back {
    /// p, q and r by block.
    planes: Vec<[Lanes; 3]>,
}

/// `Σ g` and `Σ g u` per channel over the whole batch, `[blocks × LANES]` each.
#[derive(Debug, Clone, Default)]
pub(crate) struct GradientSums {
    pub(crate) plain: Vec<f64>,
    pub(crate) with_result: Vec<f64>,
}

impl Normal {
    /// The norm by the given means and variances (biased), in the double precision that they were summed in.
    pub(crate) fn new(plan: &Plan, unit: &Unit, weights: &[f32], mean: Vec<f64>, variance: &[f64]) -> Self {
        let channels = plan.outputs;
        let epsilon = plan.epsilon.value();
        let inverse: Vec<f64> = variance.iter().map(|variance| 1.0 / (variance + epsilon).sqrt()).collect();
        let mut lines = vec![[Lanes::ZERO; 2]; plan.blocks()];
        for channel in 0..channels {
            let (gamma, beta) = unit.affine(weights, channel, channels);
            let (block, lane) = (channel / LANES, channel % LANES);
            let [scale, shift] = &mut lines[block];
            scale.0[lane] = (gamma * inverse[channel]) as f32;
            shift.0[lane] = (beta - gamma * inverse[channel] * mean[channel]) as f32;
        }
        plan.spread(lines.iter_mut().flatten());
        Normal { lines, mean, inverse }
    }

    /// No norm.
    pub(crate) fn absent(plan: &Plan) -> Self {
        Normal { lines: vec![[Lanes::filled(1.0), Lanes::ZERO]; plan.blocks()], mean: Vec::new(), inverse: Vec::new() }
    }

    /// Scale and shift of a block of channels.
    #[inline(always)]
    pub(crate) fn line(&self, block: usize) -> [Lanes; 2] {
        self.lines[block]
    }

    /// Blocks of channels.
    pub(crate) fn blocks(&self) -> usize {
        self.lines.len()
    }

    /// The way back. The gradient of the normed result is `factor × g`; where the batch's own statistics were used they
    /// depend on the results, too, and `elements` says how many there are per channel.
    ///
    /// With û = (u − μ)/σ and the normed result's gradient G: du = γ/σ (G − mean(G) − û mean(G û)).
    pub(crate) fn back(
        &self,
        (plan, unit): (&Plan, &Unit),
        weights: &[f32],
        factor: f64,
        sums: Option<(&GradientSums, f64)>,
    ) -> Back {
        let plane = |[scale, _]: &[Lanes; 2]| [scale.scaled(factor as f32), Lanes::ZERO, Lanes::ZERO];
        let mut back = Back { planes: self.lines.iter().map(plane).collect() };
        let Some((sums, elements)) = sums.filter(|_| !self.mean.is_empty()) else { return back };
        let channels = self.mean.len();
        for channel in 0..channels {
            let (block, lane) = (channel / LANES, channel % LANES);
            let (gamma, _) = unit.affine(weights, channel, channels);
            let [plain, with_normed] = self.gradient_means(sums, channel, factor / elements);
            let scale = gamma * self.inverse[channel];
            let slope = scale * self.inverse[channel] * with_normed;
            let [_, q, r] = &mut back.planes[block];
            q.0[lane] = -slope as f32;
            r.0[lane] = (slope * self.mean[channel] - scale * plain) as f32;
        }
        plan.spread(back.planes.iter_mut().flat_map(|[_, q, r]| [q, r]));
        back
    }

    /// Gradients of the learnt scale and shift of one channel.
    pub(crate) fn affine_gradients(&self, sums: &GradientSums, channel: usize, factor: f64) -> [f64; 2] {
        let [plain, with_normed] = self.gradient_means(sums, channel, factor);
        [with_normed, plain]
    }

    /// `factor × Σ g` and `factor × Σ g û`.
    fn gradient_means(&self, sums: &GradientSums, channel: usize, factor: f64) -> [f64; 2] {
        let (plain, with_result) = (sums.plain[channel], sums.with_result[channel]);
        let with_normed = self.inverse[channel] * (with_result - self.mean[channel] * plain);
        [factor * plain, factor * with_normed]
    }
}

impl Back {
    /// p, q and r of a block of channels.
    #[inline(always)]
    pub(crate) fn plane(&self, block: usize) -> [Lanes; 3] {
        self.planes[block]
    }
}

impl Unit {
    /// The norm's learnt scale γ and shift β of a channel.
    fn affine(&self, weights: &[f32], channel: usize, channels: usize) -> (f64, f64) {
        match self.scale {
            Some(at) => (f64::from(weights[at + channel]), f64::from(weights[at + channels + channel])),
            None => (1.0, 0.0),
        }
    }
}
