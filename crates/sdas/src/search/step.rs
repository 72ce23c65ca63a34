//! One step of the bilevel optimization (Liu, Simonyan, Yang, 2018): α on one half of the data, then the weights on the
//! other. What a half-step does not need is not tracked, so its gradient is never computed.

use crate::batch::{DeviceBatch, Tally, cross_entropy};
use crate::network::{Forward, Noise, Pass};
use crate::optimizer::{Sgd, SgdSettings};
use crate::parameters::Parameters;
use crate::supernet::{Alpha, Half, Mixing, Relaxed, Rows, Supernet};
use burn::tensor::{Gradients, Tensor};
use serde::{Deserialize, Serialize};

/// How α's gradient is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// At the weights as they are.
    First,
    /// At the weights after one step, through that step (equation 7 of the paper, with the finite differences of
    /// equation 8).
    Second,
}

/// What a step's mathematics reads and writes.
#[derive(Debug, Clone)]
pub struct SearchState {
    /// The structure.
    pub supernet: Supernet,
    /// Its weights.
    pub weights: Parameters,
    /// Running statistics of its norms.
    pub statistics: Parameters,
    /// The weights' optimizer.
    pub sgd: Sgd,
    /// α and its optimizer.
    pub alpha: Alpha,
    /// How α acts, and where the search stands.
    pub mixing: Mixing,
}

/// α's gradient, and the validation loss it was taken of.
pub struct AlphaGradient {
    /// By kind of cell.
    pub values: Vec<Rows<f64>>,
    /// On the batch of the second half.
    pub tally: Tally,
}

/// What a weight step did.
pub struct WeightStep {
    /// On the batch of the first half.
    pub tally: Tally,
    /// The gradient's norm before clipping.
    pub gradient_norm: f64,
}

/// Share of the way that running statistics go towards a batch's (PyTorch's momentum).
const STATISTICS_SHARE: f64 = 0.1;

impl SearchState {
    /// α's gradient on `validation`; `training` and the weights' `rate` are used by [`Order::Second`] alone.
    pub fn alpha_gradient(
        &self,
        order: Order,
        training: &DeviceBatch,
        validation: &DeviceBatch,
        rate: f64,
        settings: &SgdSettings,
    ) -> AlphaGradient {
        // Once, so that all passes of the second order see the same.
        let relaxed = self.mixing.training(Half::Alpha, &self.alpha, &self.supernet);
        let mut gradient = match order {
            Order::First => self.alpha_gradient_at(&self.weights, validation, &relaxed, Half::Alpha),
            Order::Second => self.unrolled_alpha_gradient(training, validation, rate, settings, &relaxed),
        };
        let decay = self.mixing.decay();
        if decay > 0.0 {
            let values = gradient.values.iter_mut().flatten().flatten();
            let decays = self.alpha.beta_decay(decay, &self.supernet.candidates, &self.supernet.plans);
            values.zip(decays.iter().flatten().flatten()).for_each(|(value, decay)| *value += decay);
        }
        gradient
    }

    /// Updates the weights by one step of SGD on `training`.
    pub fn weight_step(&mut self, training: &DeviceBatch, rate: f64, settings: &SgdSettings) -> WeightStep {
        let relaxed = self.mixing.training(Half::Weights, &self.alpha, &self.supernet);
        let (gradients, forward) = self.weight_gradients(&self.weights, training, &relaxed, Half::Weights);
        let (weights, gradient_norm) = self.sgd.step(&self.weights, &gradients, rate, settings);
        let tally = Tally::of(forward.logits.inner(), &training.host_labels);
        if tally.loss.is_finite() && gradient_norm.is_finite() {
            self.weights = weights;
            self.statistics = match &relaxed.drawn {
                Some(drawn) => drawn.approach(&self.statistics, &forward.statistics, STATISTICS_SHARE),
                None => self.statistics.approach(&forward.statistics, STATISTICS_SHARE),
            };
        }
        WeightStep { tally, gradient_norm }
    }

    /// Logits `[N, classes]` in evaluation mode.
    pub fn evaluate(&self, input: Tensor<5>) -> Tensor<2> {
        let relaxed = self.mixing.evaluation(&self.alpha, &self.supernet);
        let mixes = self.mixes(&input, &relaxed);
        let noise = Noise::fixed(self.mixing.seed);
        let pass = Pass { mixes, noise, ..Pass::evaluation(&self.weights, &self.statistics) };
        self.forward(pass, &relaxed, input).logits
    }

    /// The factors of the mixes as constants, while anything is mixed.
    fn mixes(&self, input: &Tensor<5>, relaxed: &Relaxed) -> Option<Vec<Tensor<2>>> {
        (!self.supernet.is_decided()).then(|| relaxed.factors(&self.alpha.tensors(&self.supernet.plans, input)))
    }

    /// What operations that are nothing but noise give in a pass: other numbers in every step, and in every half of it.
    fn noise(&self, half: Half) -> Noise {
        Noise::fixed(self.mixing.seed).at(self.mixing.step, half as usize)
    }

    /// Through the whole network, or through what is drawn of it.
    fn forward(&self, pass: Pass<'_>, relaxed: &Relaxed, input: Tensor<5>) -> Forward {
        let Some(drawn) = &relaxed.drawn else { return self.supernet.network.forward(pass, input) };
        let (weights, running) = (drawn.weights(pass.weights), pass.running.map(|running| drawn.statistics(running)));
        drawn.network.forward(Pass { weights: &weights, running: running.as_ref(), ..pass }, input)
    }

    fn weight_gradients(
        &self,
        weights: &Parameters,
        batch: &DeviceBatch,
        relaxed: &Relaxed,
        half: Half,
    ) -> (Parameters, Forward) {
        let tracked = weights.tracked();
        let mixes = self.mixes(&batch.input, relaxed);
        let pass = Pass { mixes, noise: self.noise(half), ..Pass::training(&tracked) };
        let forward = self.forward(pass, relaxed, batch.input.clone());
        let mut gradients = cross_entropy(forward.logits.clone(), batch.labels.clone()).backward();
        (tracked.gradients(&mut gradients), forward)
    }

    fn alpha_gradient_at(
        &self,
        weights: &Parameters,
        batch: &DeviceBatch,
        relaxed: &Relaxed,
        half: Half,
    ) -> AlphaGradient {
        let (alpha, logits) = self.pass_of_alpha(weights, batch, relaxed, half);
        let mut gradients = cross_entropy(logits.clone(), batch.labels.clone()).backward();
        let tally = Tally::of(logits.inner(), &batch.host_labels);
        AlphaGradient { values: self.take_alpha(alpha, &mut gradients), tally }
    }

    /// α, tracked, and the logits that depend on it.
    fn pass_of_alpha(
        &self,
        weights: &Parameters,
        batch: &DeviceBatch,
        relaxed: &Relaxed,
        half: Half,
    ) -> (Vec<Tensor<2>>, Tensor<2>) {
        let tracked = |alpha: Tensor<2>| alpha.autodiff().require_grad();
        let alpha: Vec<Tensor<2>> =
            self.alpha.tensors(&self.supernet.plans, &batch.input).into_iter().map(tracked).collect();
        let factors = relaxed.factors(&alpha);
        // Where `none` is drawn on every way through a network, its logits do not depend on α at all, and there would
        // be nothing to go back from.
        let zeros = factors.iter().filter(|_| relaxed.drawn.is_some()).map(|factors| factors.clone().sum() * 0.0);
        let zeros: Vec<Tensor<1>> = zeros.collect();
        let pass = Pass { mixes: Some(factors), noise: self.noise(half), ..Pass::training(weights) };
        let logits = self.forward(pass, relaxed, batch.input.clone()).logits;
        let logits = zeros.into_iter().fold(logits, |logits, zero| logits + zero.reshape([1, 1]));
        (alpha, logits)
    }

    /// w′ = w − ξ(momentum·m + ∇w L_train(w, α) + decay·w); v = ∇w′ L_val(w′, α); ε = 0.01/‖v‖;
    /// ∇α = ∇α L_val(w′, α) − ξ (∇α L_train(w + εv, α) − ∇α L_train(w − εv, α)) / 2ε.
    fn unrolled_alpha_gradient(
        &self,
        training: &DeviceBatch,
        validation: &DeviceBatch,
        rate: f64,
        settings: &SgdSettings,
        relaxed: &Relaxed,
    ) -> AlphaGradient {
        let (gradients, _) = self.weight_gradients(&self.weights, training, relaxed, Half::Ahead);
        let (own, kept) = settings.shares();
        let direction = gradients
            .zip(&self.weights, |g, w| g + w * settings.weight_decay)
            .zip(&self.sgd.momentum, |d, m| d * own + m * kept);
        let unrolled = self.weights.zip(&direction, |w, d| w - d * rate);

        let tracked = unrolled.tracked();
        let (alpha, logits) = self.pass_of_alpha(&tracked, validation, relaxed, Half::Alpha);
        let mut gradients = cross_entropy(logits.clone(), validation.labels.clone()).backward();
        let tally = Tally::of(logits.inner(), &validation.host_labels);
        let mut values = self.take_alpha(alpha, &mut gradients);
        let v = tracked.gradients(&mut gradients);

        let epsilon = 0.01 / v.norm();
        let shifted = |sign: f64| {
            let weights = self.weights.zip(&v, |w, v| w + v * (sign * epsilon));
            self.alpha_gradient_at(&weights, training, relaxed, Half::Ahead).values
        };
        let (plus, minus) = (shifted(1.0), shifted(-1.0));
        let numbers = |rows: &[Rows<f64>]| rows.iter().flatten().flatten().copied().collect::<Vec<f64>>();
        let shifts = numbers(&plus).into_iter().zip(numbers(&minus));
        for (value, (plus, minus)) in values.iter_mut().flatten().flatten().zip(shifts) {
            *value -= rate * (plus - minus) / (2.0 * epsilon);
        }
        AlphaGradient { values, tally }
    }

    /// Zeros for a kind of cell whose α the loss no longer depends on.
    fn take_alpha(&self, alpha: Vec<Tensor<2>>, gradients: &mut Gradients) -> Vec<Rows<f64>> {
        let take = |(kind, alpha): (usize, Tensor<2>)| {
            let gradient = alpha.grad_remove(gradients).unwrap_or_else(|| alpha.inner().zeros_like());
            self.alpha.rows(kind, &self.supernet.plans[kind], gradient)
        };
        alpha.into_iter().enumerate().map(take).collect()
    }
}
