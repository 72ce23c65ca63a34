//! One step of the bilevel optimization (Liu, Simonyan, Yang, 2018): α on one half of the data, then the weights on the
//! other. What a half-step does not need is not tracked, so its gradient is never computed.

use crate::batch::{DeviceBatch, Tally, Unread, WeightStep, cross_entropy};
use crate::network::{Forward, Noise, Pass};
use crate::optimizer::{Ahead, Sgd, SgdSettings};
use crate::parameters::Parameters;
use crate::run::Ranks;
use crate::space::OperationKind;
use crate::supernet::{Alpha, Half, Mixing, Relaxed, Rows, Supernet};
use burn::tensor::{Gradients, Tensor};
use sdas_kernels::{Recorded, Values};
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
    /// What a graphics card has recorded of it.
    pub recorded: Recorded,
    /// Who has the other parts of the batches.
    pub ranks: Ranks,
}

impl SearchState {
    /// A search's beginning: alone, with nothing recorded, and α's mix as the defaults have it.
    pub fn new(supernet: Supernet, weights: Parameters, statistics: Parameters, alpha: Alpha) -> Self {
        SearchState {
            sgd: Sgd::new(&weights),
            supernet,
            weights,
            statistics,
            alpha,
            mixing: Mixing::default(),
            recorded: Recorded::default(),
            ranks: Ranks::alone(),
        }
    }
}

/// What a pass of the weights' half gives.
struct WeightGradients {
    gradients: Parameters,
    /// The batch's.
    statistics: Parameters,
    logits: Tensor<2>,
}

/// α's gradient, and the validation loss it was taken of.
pub struct AlphaGradient {
    /// By kind of cell.
    pub values: Vec<Rows<f64>>,
    /// On the batch of the second half.
    pub tally: Tally,
}

/// A step of the weights that is on its way.
pub(crate) struct BegunStep {
    numbers: Numbers,
    unread: Unread,
}

/// What such a step changes.
struct Numbers {
    weights: Parameters,
    momentum: Parameters,
    statistics: Parameters,
}

/// Share of the way that running statistics go towards a batch's (PyTorch's momentum).
const STATISTICS_SHARE: f64 = 0.1;

impl SearchState {
    /// α's gradient on `validation`; `training` and the weights' `rate` are used by [`Order::Second`] alone. All ranks have
    /// that of the whole batch.
    pub fn alpha_gradient(
        &self,
        order: Order,
        training: &DeviceBatch,
        validation: &DeviceBatch,
        rate: f64,
        settings: &SgdSettings,
    ) -> AlphaGradient {
        self.alpha_gradient_with(None, order, training, validation, rate, settings).0
    }

    /// The same behind a step of the weights that is on its way, of which it is learned what it came to when α's gradient
    /// is: of first order, the device is waited for once for both.
    pub(crate) fn alpha_gradient_behind(
        &mut self,
        step: BegunStep,
        order: Order,
        training: &DeviceBatch,
        validation: &DeviceBatch,
        rate: f64,
        settings: &SgdSettings,
    ) -> (AlphaGradient, WeightStep) {
        let BegunStep { mut numbers, unread } = step;
        self.swap(&mut numbers);
        let (gradient, done) = self.alpha_gradient_with(Some(unread), order, training, validation, rate, settings);
        let done = done.expect("there is a step");
        if !done.is_finite() {
            self.swap(&mut numbers);
        }
        (gradient, done)
    }

    fn alpha_gradient_with(
        &self,
        step: Option<Unread>,
        order: Order,
        training: &DeviceBatch,
        validation: &DeviceBatch,
        rate: f64,
        settings: &SgdSettings,
    ) -> (AlphaGradient, Option<WeightStep>) {
        // Once, so that all passes of the second order see the same.
        let relaxed = self.mixing.training(Half::Alpha, &self.alpha, &self.supernet);
        let (mut gradient, done) = match order {
            Order::First => self.alpha_gradient_at(&self.weights, validation, &relaxed, Half::Alpha, step),
            Order::Second => {
                let gradient = self.unrolled_alpha_gradient(training, validation, rate, settings, &relaxed);
                (gradient, step.map(Unread::read))
            }
        };
        self.ranks.sum_alpha(gradient.values.iter_mut().flatten().flatten(), &mut gradient.tally);
        let decay = self.mixing.decay();
        if decay > 0.0 {
            let values = gradient.values.iter_mut().flatten().flatten();
            let decays = self.alpha.beta_decay(decay, &self.supernet.candidates, &self.supernet.plans);
            values.zip(decays.iter().flatten().flatten()).for_each(|(value, decay)| *value += decay);
        }
        (gradient, done)
    }

    /// Updates the weights by one step of SGD on `training`; where loss or gradient is not finite, nothing changes.
    pub fn weight_step(&mut self, training: &DeviceBatch, rate: f64, settings: &SgdSettings) -> WeightStep {
        let step = self.begin_weight_step(training, rate, settings);
        self.end_weight_step(step)
    }

    /// Begins such a step. On a graphics card that is all the host has to do, until the step is ended.
    pub(crate) fn begin_weight_step(&self, training: &DeviceBatch, rate: f64, settings: &SgdSettings) -> BegunStep {
        let relaxed = self.mixing.training(Half::Weights, &self.alpha, &self.supernet);
        let WeightGradients { gradients, statistics, logits } =
            self.weight_gradients(&self.weights, training, &relaxed, Half::Weights);
        let statistics = match &relaxed.drawn {
            Some(drawn) => drawn.approach(&self.statistics, &statistics, STATISTICS_SHARE),
            None => self.statistics.approach(&statistics, STATISTICS_SHARE),
        };
        let ahead = |gradients: &Parameters| self.sgd.ahead(&self.weights, gradients, rate, settings);
        if self.ranks.is_alone() {
            let Ahead { weights, momentum, norm } = ahead(&gradients);
            let unread = Unread::new(norm, vec![(logits, training.host_labels.clone())]);
            return BegunStep { numbers: Numbers { weights, momentum, statistics }, unread };
        }
        let tally = Tally::of(logits, &training.host_labels);
        let ([gradients, statistics], tally) = self.ranks.sum_step([gradients, statistics], training.share(), tally);
        let Ahead { weights, momentum, norm } = ahead(&gradients);
        BegunStep { numbers: Numbers { weights, momentum, statistics }, unread: Unread::known(norm, tally) }
    }

    /// Waits for what a step came to, and takes it over.
    pub(crate) fn end_weight_step(&mut self, mut step: BegunStep) -> WeightStep {
        let done = step.unread.read();
        if done.is_finite() {
            self.swap(&mut step.numbers);
        }
        done
    }

    /// Takes these over, and leaves what was there in their place.
    fn swap(&mut self, numbers: &mut Numbers) {
        std::mem::swap(&mut self.weights, &mut numbers.weights);
        std::mem::swap(&mut self.sgd.momentum, &mut numbers.momentum);
        std::mem::swap(&mut self.statistics, &mut numbers.statistics);
    }

    /// Logits `[N, classes]` in evaluation mode.
    pub fn evaluate(&self, input: Tensor<5>) -> Tensor<2> {
        let relaxed = self.mixing.evaluation(&self.alpha, &self.supernet);
        let pass = |weights: &Parameters, statistics: &Parameters, mixes: Vec<Tensor<2>>, input: Tensor<5>| {
            let noise = Noise::fixed(self.mixing.seed);
            self.forward(Pass { noise, ..Pass::evaluation(weights, statistics) }, mixes, &relaxed, input).logits
        };
        let mixes = self.mixes(&input, &relaxed);
        if !self.is_repeated(&relaxed) {
            return pass(&self.weights, &self.statistics, mixes, input);
        }
        let shape = input.dims();
        let inputs = vec![self.weights.tensors(), self.statistics.tensors(), vec![input.flatten(0, 4)], flat(&mixes)];
        let compute = |inputs: Values| {
            let [weights, statistics, mut input, factors] = inputs.try_into().expect("these are the inputs");
            let input = input.remove(0).reshape(shape);
            let (weights, statistics) = (self.weights.with(weights), self.statistics.with(statistics));
            vec![flat(&[pass(&weights, &statistics, shaped(&mixes, factors), input)])]
        };
        let logits = self.recorded.run("evaluation", &self.supernet.plans, inputs, compute).remove(0).remove(0);
        let classes = logits.dims()[0] / shape[0];
        logits.reshape([shape[0], classes])
    }

    /// The factors of the mixes as constants, while anything is mixed.
    fn mixes(&self, input: &Tensor<5>, relaxed: &Relaxed) -> Vec<Tensor<2>> {
        if self.supernet.is_decided() {
            return Vec::new();
        }
        let factors = relaxed.factors(&self.alpha.tensors(&self.supernet.plans, input));
        factors.into_iter().map(|factors| factors.to_device(&input.device())).collect()
    }

    /// What operations that are nothing but noise give in a pass: other numbers in every step, and in every half of it.
    fn noise(&self, half: Half) -> Noise {
        Noise::fixed(self.mixing.seed).at(self.mixing.step, half as usize)
    }

    /// A pass of a half-step over a part of its batch.
    fn training<'a>(&self, weights: &'a Parameters, batch: &DeviceBatch, half: Half) -> Pass<'a> {
        let together = self.ranks.together(batch.part);
        Pass { noise: self.noise(half), part: Some(batch.part), together, ..Pass::training(weights) }
    }

    /// Through the whole network, or through what is drawn of it. No mixes stand for none.
    fn forward(&self, pass: Pass<'_>, mixes: Vec<Tensor<2>>, relaxed: &Relaxed, input: Tensor<5>) -> Forward {
        let pass = Pass { mixes: (!mixes.is_empty()).then_some(mixes), ..pass };
        let Some(drawn) = &relaxed.drawn else { return self.supernet.network.forward(pass, input) };
        let (weights, running) = (drawn.weights(pass.weights), pass.running.map(|running| drawn.statistics(running)));
        drawn.network.forward(Pass { weights: &weights, running: running.as_ref(), ..pass }, input)
    }

    /// Whether a pass is the same computation in every step until something is decided.
    fn is_repeated(&self, relaxed: &Relaxed) -> bool {
        relaxed.drawn.is_none() && !self.supernet.candidates.have(OperationKind::Noise)
    }

    /// The weights' gradient on `batch`, and what the pass gave.
    fn weight_gradients(
        &self,
        weights: &Parameters,
        batch: &DeviceBatch,
        relaxed: &Relaxed,
        half: Half,
    ) -> WeightGradients {
        let pass = |weights: &Parameters, batch: &DeviceBatch, mixes: Vec<Tensor<2>>| {
            let tracked = weights.tracked();
            let pass = self.training(&tracked, batch, half);
            let Forward { logits, statistics, .. } = self.forward(pass, mixes, relaxed, batch.input.clone());
            let mut gradients = batch.weighed(cross_entropy(logits.clone(), batch.labels.clone())).backward();
            WeightGradients { gradients: tracked.gradients(&mut gradients), statistics, logits: logits.inner() }
        };
        let mixes = self.mixes(&batch.input, relaxed);
        if !self.is_repeated(relaxed) {
            return pass(weights, batch, mixes);
        }
        let inputs = vec![weights.tensors(), batch.flat(), flat(&mixes)];
        let compute = |inputs: Values| {
            let [own, samples, factors] = inputs.try_into().expect("these are the inputs");
            let WeightGradients { gradients, statistics, logits } =
                pass(&weights.with(own), &batch.of_flat(samples), shaped(&mixes, factors));
            vec![gradients.tensors(), statistics.tensors(), flat(&[logits])]
        };
        let outputs = self.recorded.run("weights", &self.supernet.plans, inputs, compute);
        let [gradients, statistics, logits] = outputs.try_into().expect("these are the outputs");
        WeightGradients {
            gradients: weights.with(gradients),
            statistics: self.statistics.with(statistics),
            logits: batch.logits(logits),
        }
    }

    fn alpha_gradient_at(
        &self,
        weights: &Parameters,
        batch: &DeviceBatch,
        relaxed: &Relaxed,
        half: Half,
        step: Option<Unread>,
    ) -> (AlphaGradient, Option<WeightStep>) {
        let (alpha, factors) = self.tracked_alpha(batch, relaxed);
        let pass = |weights: &Parameters, batch: &DeviceBatch, mixes: Vec<Tensor<2>>| {
            let mixes: Vec<Tensor<2>> = mixes.into_iter().map(tracked).collect();
            let logits = self.logits_of(weights, batch, &mixes, relaxed, half);
            let mut gradients = batch.weighed(cross_entropy(logits.clone(), batch.labels.clone())).backward();
            (gradients_of(&mixes, &mut gradients), logits.inner())
        };
        let mixes = constants(&factors, batch);
        let (gradients, logits) = match self.is_repeated(relaxed) {
            false => pass(weights, batch, mixes),
            true => {
                let inputs = vec![weights.tensors(), batch.flat(), flat(&mixes)];
                let compute = |inputs: Values| {
                    let [own, samples, factors] = inputs.try_into().expect("these are the inputs");
                    let (gradients, logits) =
                        pass(&weights.with(own), &batch.of_flat(samples), shaped(&mixes, factors));
                    vec![flat(&gradients), flat(&[logits])]
                };
                let outputs = self.recorded.run("alpha", &self.supernet.plans, inputs, compute);
                let [gradients, logits] = outputs.try_into().expect("these are the outputs");
                (shaped(&mixes, gradients), batch.logits(logits))
            }
        };
        let (gradients, tally, done) = batch.read(gradients, logits, step);
        (AlphaGradient { values: self.take_alpha(alpha, factors, gradients), tally }, done)
    }

    /// α on the host, tracked, and the factors that depend on it.
    fn tracked_alpha(&self, batch: &DeviceBatch, relaxed: &Relaxed) -> (Vec<Tensor<2>>, Vec<Tensor<2>>) {
        let alpha = self.alpha.tensors(&self.supernet.plans, &batch.input);
        let alpha: Vec<Tensor<2>> = alpha.into_iter().map(tracked).collect();
        let factors = relaxed.factors(&alpha);
        (alpha, factors)
    }

    /// The logits with mixes that are tracked.
    fn logits_of(
        &self,
        weights: &Parameters,
        batch: &DeviceBatch,
        mixes: &[Tensor<2>],
        relaxed: &Relaxed,
        half: Half,
    ) -> Tensor<2> {
        let pass = self.training(weights, batch, half);
        let logits = self.forward(pass, mixes.to_vec(), relaxed, batch.input.clone()).logits;
        // Where `none` is drawn on every way through a network, its logits do not depend on α at all, and there would
        // be nothing to go back from.
        let zeros = mixes.iter().filter(|_| relaxed.drawn.is_some()).map(|factors| factors.clone().sum() * 0.0);
        zeros.fold(logits, |logits, zero| logits + zero.reshape([1, 1]))
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
        let WeightGradients { gradients, .. } = self.weight_gradients(&self.weights, training, relaxed, Half::Ahead);
        let (own, kept) = settings.shares();
        let direction = self
            .ranks
            .sum_gradients(gradients)
            .zip(&self.weights, |g, w| g + w * settings.weight_decay)
            .zip(&self.sgd.momentum, |d, m| d * own + m * kept);
        let unrolled = self.weights.zip(&direction, |w, d| w - d * rate);

        let ahead = unrolled.tracked();
        let (alpha, factors) = self.tracked_alpha(validation, relaxed);
        let mixes: Vec<Tensor<2>> = constants(&factors, validation).into_iter().map(tracked).collect();
        let logits = self.logits_of(&ahead, validation, &mixes, relaxed, Half::Alpha);
        let mut gradients = validation.weighed(cross_entropy(logits.clone(), validation.labels.clone())).backward();
        let v = self.ranks.sum_gradients(ahead.gradients(&mut gradients));
        let (of_mixes, tally, _) = validation.read(gradients_of(&mixes, &mut gradients), logits.inner(), None);
        let mut values = self.take_alpha(alpha, factors, of_mixes);

        let epsilon = 0.01 / v.norm().value();
        let shifted = |sign: f64| {
            let weights = self.weights.zip(&v, |w, v| w + v * (sign * epsilon));
            self.alpha_gradient_at(&weights, training, relaxed, Half::Ahead, None).0.values
        };
        let (plus, minus) = (shifted(1.0), shifted(-1.0));
        let numbers = |rows: &[Rows<f64>]| rows.iter().flatten().flatten().copied().collect::<Vec<f64>>();
        let shifts = numbers(&plus).into_iter().zip(numbers(&minus));
        for (value, (plus, minus)) in values.iter_mut().flatten().flatten().zip(shifts) {
            *value -= rate * (plus - minus) / (2.0 * epsilon);
        }
        AlphaGradient { values, tally }
    }

    /// α's gradient from those of the factors, on the host; zeros for a kind of cell whose α the loss does not depend on.
    fn take_alpha(&self, alpha: Vec<Tensor<2>>, factors: Vec<Tensor<2>>, gradients: Vec<Tensor<2>>) -> Vec<Rows<f64>> {
        let weighed = factors.into_iter().zip(gradients).map(|(factors, gradient)| {
            let gradient = gradient.autodiff();
            (factors * gradient).sum()
        });
        let mut gradients = weighed.reduce(|sum, more| sum + more).expect("there is a kind of cell").backward();
        let take = |(kind, alpha): (usize, Tensor<2>)| {
            let gradient = alpha.grad_remove(&mut gradients).unwrap_or_else(|| alpha.inner().zeros_like());
            self.alpha.rows(kind, &self.supernet.plans[kind], gradient)
        };
        alpha.into_iter().enumerate().map(take).collect()
    }
}

fn tracked(tensor: Tensor<2>) -> Tensor<2> {
    tensor.autodiff().require_grad()
}

/// Tracked factors as constants on the batch's device.
fn constants(factors: &[Tensor<2>], batch: &DeviceBatch) -> Vec<Tensor<2>> {
    let device = batch.input.device();
    factors.iter().map(|factors| factors.clone().inner().to_device(&device)).collect()
}

/// The gradients of tracked factors; zeros where the loss does not depend on them.
fn gradients_of(factors: &[Tensor<2>], gradients: &mut Gradients) -> Vec<Tensor<2>> {
    let take =
        |factors: &Tensor<2>| factors.grad_remove(gradients).unwrap_or_else(|| factors.clone().inner().zeros_like());
    factors.iter().map(take).collect()
}

fn flat(tensors: &[Tensor<2>]) -> Vec<Tensor<1>> {
    tensors.iter().map(|tensor| tensor.clone().flatten(0, 1)).collect()
}

/// Flat tensors in the shapes of others.
fn shaped(like: &[Tensor<2>], tensors: Vec<Tensor<1>>) -> Vec<Tensor<2>> {
    like.iter().zip(tensors).map(|(like, tensor)| tensor.reshape(like.dims())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::waits;
    use crate::search::curvature::tests::state;
    use sdas_kernels::portably;

    const RATE: f64 = 0.025;

    fn numbers(state: &SearchState) -> [Vec<Option<Vec<f32>>>; 3] {
        [&state.weights, &state.sgd.momentum, &state.statistics].map(Parameters::to_host)
    }

    /// A step of the weights, and α's gradient at what it leaves: one after the other, and behind it.
    #[test]
    fn what_a_step_came_to_is_learned_with_the_next_gradient() {
        portably(|| {
            let (mut apart, batch) = state();
            let mut behind = apart.clone();
            let settings = SgdSettings::default();
            for (order, expected) in [(Order::First, 1), (Order::Second, 4)] {
                let done = apart.weight_step(&batch, RATE, &settings);
                let gradient = apart.alpha_gradient(order, &batch, &batch, RATE, &settings);
                let begun = behind.begin_weight_step(&batch, RATE, &settings);
                let ((own, own_done), count) =
                    waits(|| behind.alpha_gradient_behind(begun, order, &batch, &batch, RATE, &settings));
                assert_eq!((own.values, own.tally, own_done), (gradient.values, gradient.tally, done), "{order:?}");
                assert_eq!(numbers(&apart), numbers(&behind), "{order:?}");
                assert_eq!(count, expected, "{order:?}");
            }
        });
    }

    #[test]
    fn a_step_that_is_no_number_changes_nothing_behind_it_either() {
        portably(|| {
            let (mut state, batch) = state();
            let before = numbers(&state);
            let broken = DeviceBatch { input: batch.input.clone() * f64::NAN, ..batch.clone() };
            let settings = SgdSettings::default();
            let begun = state.begin_weight_step(&broken, RATE, &settings);
            let (_, done) = state.alpha_gradient_behind(begun, Order::First, &batch, &batch, RATE, &settings);
            assert!(!done.is_finite());
            assert_eq!(numbers(&state), before);
        });
    }
}
