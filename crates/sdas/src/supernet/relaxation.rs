//! Relaxations: how α becomes the factors that an edge's operations are summed with.

use super::alpha::{left, padded};
use super::{Alpha, Drawn, Rows, Supernet};
use crate::schedule::{EdgeState, Plan, strongest};
use crate::space::{Candidates, CellKind, Operation, OperationKind};
use burn::tensor::{Int, Tensor, TensorData};
use rand::Rng;
use sdas_data::random::stream;
use sdas_kernels::{log_softmax, softmax};
use serde::{Deserialize, Serialize};

/// How α becomes factors. Decisions and entropies look at softmax(α) with each of them.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Relaxation {
    /// softmax(α) (DARTS: Liu, Simonyan, Yang, 2018).
    Softmax {},
    /// softmax((log softmax(α) + g) / τ), g Gumbel variates drawn anew for each half of a step (SNAS: Xie et al., 2019,
    /// which has no halves: there one pass teaches weights and α). Held-out samples are measured with softmax(α).
    Gumbel {
        /// τ in the first epoch; 1 in the authors' code.
        #[serde(default = "one")]
        from: f64,
        /// τ in the last epoch, linearly from the first; 0.03 in the authors' code.
        #[serde(default = "snas_end")]
        to: f64,
    },
    /// Of each edge one operation alone, drawn by the largest of what `gumbel` has: forward it counts once, backward α
    /// learns through its share there (GDAS: Dong, Yang, 2019). Only what is drawn is computed. Held-out samples
    /// are measured with each edge's strongest operation alone.
    GumbelHard {
        /// τ in the first epoch; 10 in the authors' code.
        #[serde(default = "gdas_start")]
        from: f64,
        /// τ in the last epoch, linearly from the first; 0.1 in the authors' code.
        #[serde(default = "gdas_end")]
        to: f64,
    },
    /// softmax(α) over one of `share` parts of the channels, which the others pass by, and softmax(β) over the undecided
    /// edges that end in a node as a factor of each: edge normalisation (PC-DARTS: Xu et al., 2020). β learns beside α.
    Partial {
        /// Parts of the channels, at least 2; 4 in the authors' code.
        #[serde(default = "pc_darts_share")]
        share: usize,
    },
}

fn pc_darts_share() -> usize {
    4
}

fn one() -> f64 {
    1.0
}

fn snas_end() -> f64 {
    0.03
}

fn gdas_start() -> f64 {
    10.0
}

fn gdas_end() -> f64 {
    0.1
}

impl Default for Relaxation {
    fn default() -> Self {
        Relaxation::Softmax {}
    }
}

impl Relaxation {
    /// Parts that the channels of cells are in, of which edges work on one.
    pub(crate) fn share(&self) -> usize {
        match *self {
            Relaxation::Partial { share } => share,
            Relaxation::Softmax {} | Relaxation::Gumbel { .. } | Relaxation::GumbelHard { .. } => 1,
        }
    }

    /// Whether edges have factors of their own.
    pub(crate) fn weighs_edges(&self) -> bool {
        matches!(self, Relaxation::Partial { .. })
    }

    /// What is wrong with its numbers, as (key below `search.relaxation`, what would be right).
    pub fn fault(&self) -> Option<(&'static str, String)> {
        let (from, to) = match *self {
            Relaxation::Softmax {} => return None,
            Relaxation::Partial { share } => {
                return (share < 2).then(|| ("share", format!("must be at least 2, not {share}")));
            }
            Relaxation::Gumbel { from, to } | Relaxation::GumbelHard { from, to } => (from, to),
        };
        let is_wrong = |(_, value): &(&str, f64)| !(value.is_finite() && *value > 0.0);
        let wrong = [("from", from), ("to", to)].into_iter().find(is_wrong);
        wrong.map(|(key, value)| (key, format!("must be a temperature above 0, not {value}")))
    }
}

/// The half of a step that a pass belongs to. Each draws for itself, as in GDAS' code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Half {
    /// α's.
    Alpha,
    /// The weights'.
    Weights,
    /// The weights' step that α looks ahead by, there and along the difference: a part of α's half.
    Ahead,
}

/// How α acts on a search: its relaxation and its regularisers, and where the search stands, which they depend on.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Mixing {
    /// How α becomes factors.
    pub relaxation: Relaxation,
    /// λ of β-decay in the last epoch; see [`Alpha::beta_decay`].
    pub beta_decay: f64,
    /// The auxiliary skip connection's factor in the first epoch; it falls linearly to 0 in the last one (DARTS−: Chu
    /// et al., 2021). Where a skip connection has weights, for it reduces the size, both are the same.
    pub auxiliary_skip: f64,
    /// The seed of what is drawn.
    pub seed: u64,
    /// Share of the search's epochs that lie behind, in [0, 1]: 0 in the first epoch, 1 in the last.
    pub share: f64,
    /// Steps done.
    pub step: usize,
}

impl Mixing {
    /// Moves on to a step of epoch `epoch` (from 0) of `epochs`. All that changes over a search does so from epoch to
    /// epoch.
    pub fn go_to(&mut self, step: usize, epoch: usize, epochs: usize) {
        self.step = step;
        self.share = (epoch as f64 / epochs.saturating_sub(1).max(1) as f64).min(1.0);
    }

    /// λ now.
    pub(crate) fn decay(&self) -> f64 {
        self.beta_decay * self.share
    }

    /// How α acts in half of a training step.
    pub(crate) fn training(&self, half: Half, alpha: &Alpha, supernet: &Supernet) -> Relaxed {
        let softmax = self.expected(supernet);
        let temperature = |from: f64, to: f64| from + (to - from) * self.share;
        let left = |rows: &[Rows<f32>]| rows.iter().zip(&supernet.plans).map(|(rows, plan)| left(rows, plan)).collect();
        match self.relaxation {
            Relaxation::Softmax {} | Relaxation::Partial { .. } => softmax,
            Relaxation::Gumbel { from, to } => {
                let noise = Noise { values: left(&self.gumbel(half, alpha)), temperature: temperature(from, to) };
                Relaxed { noise: Some(noise), ..softmax }
            }
            Relaxation::GumbelHard { from, to } => {
                let variates = self.gumbel(half, alpha);
                let highest = |(p, g): (&Vec<f64>, &Vec<f32>)| {
                    let scores: Vec<f64> = p.iter().zip(g).map(|(&p, &g)| libm::log(p) + f64::from(g)).collect();
                    (0..scores.len()).fold(0, |best, at| if scores[at] > scores[best] { at } else { best })
                };
                let of = |((&kind, plan), g): ((&CellKind, &Plan), &Rows<f32>)| {
                    alpha.mixes_left(kind, plan).iter().zip(g).map(highest).collect()
                };
                let kinds = supernet.candidates.space.kinds().iter().zip(&supernet.plans);
                let choices = kinds.zip(&variates).map(of).collect();
                let noise = Noise { values: left(&variates), temperature: temperature(from, to) };
                Relaxed { noise: Some(noise), drawn: Some(Drawn::new(supernet, choices)), ..softmax }
            }
        }
    }

    /// How α acts where the search is measured.
    pub(crate) fn evaluation(&self, alpha: &Alpha, supernet: &Supernet) -> Relaxed {
        let drawn = matches!(self.relaxation, Relaxation::GumbelHard { .. }).then(|| {
            let of = |(&kind, plan): (&CellKind, &Plan)| {
                let edges = alpha.mixes(kind).into_iter().zip(supernet.candidates.never_chosen(kind));
                // Of edges that are not mixed, whatever it is that they had.
                let state = |state: &EdgeState| if state.is_open() { *state } else { EdgeState::Mixed };
                let edges = edges.zip(plan.states().iter().map(state));
                edges.map(|((p, never), state)| strongest(&p, never, state).0).collect()
            };
            let kinds = supernet.candidates.space.kinds().iter().zip(&supernet.plans);
            Drawn::new(supernet, kinds.map(of).collect())
        });
        Relaxed { drawn, ..self.expected(supernet) }
    }

    /// How α acts where nothing is drawn.
    fn expected(&self, supernet: &Supernet) -> Relaxed {
        let kinds = supernet.candidates.space.kinds().iter();
        let weighing =
            self.relaxation.weighs_edges().then(|| kinds.map(|&kind| Weighing::new(supernet, kind)).collect());
        Relaxed { noise: None, drawn: None, skips: self.skips(&supernet.candidates), weighing }
    }

    /// A standard Gumbel variate for every number of α. Decided edges draw, too, so that a decision shifts nothing.
    fn gumbel(&self, half: Half, alpha: &Alpha) -> Vec<Rows<f32>> {
        let name = match half {
            Half::Alpha | Half::Ahead => "gumbel/alpha",
            Half::Weights => "gumbel/weights",
        };
        let of = |(kind, rows): (usize, &Rows<f32>)| {
            let mut stream = stream(self.seed, name, [self.step as u64, kind as u64]);
            // 1 − u lies in (0, 1]; of 1 itself, the logarithm is 0 and has none.
            let mut variate = || -libm::log((-libm::log(1.0 - stream.random::<f64>())).max(f64::MIN_POSITIVE)) as f32;
            rows.iter().map(|row| row.iter().map(|_| variate()).collect()).collect()
        };
        alpha.values.iter().enumerate().map(of).collect()
    }

    /// The auxiliary skip's factor at the operation whose result it has.
    fn skips(&self, candidates: &Candidates) -> Option<Vec<Rows<f32>>> {
        let factor = (self.auxiliary_skip * (1.0 - self.share)) as f32;
        let of = |&kind| {
            let row = |operations: &Vec<&'static Operation>| {
                let is_skip = |operation: &&crate::space::Operation| operation.kind == OperationKind::Skip;
                operations.iter().map(|operation| if is_skip(operation) { factor } else { 0.0 }).collect()
            };
            candidates.edges(kind).iter().map(row).collect()
        };
        (factor > 0.0).then(|| candidates.space.kinds().iter().map(of).collect())
    }
}

/// Gumbel variates for every α, and the temperature.
struct Noise {
    values: Vec<Rows<f32>>,
    temperature: f64,
}

/// How α acts in one pass.
pub(crate) struct Relaxed {
    noise: Option<Noise>,
    /// The network that the pass goes through, where it is not the whole one.
    pub(crate) drawn: Option<Drawn>,
    skips: Option<Vec<Rows<f32>>>,
    /// By kind of cell.
    weighing: Option<Vec<Weighing>>,
}

/// Where β stands that the edges of a kind of cell are weighed with.
struct Weighing {
    /// By edge, its node.
    nodes: Vec<i64>,
    /// And its place among the edges that end there.
    places: Vec<i64>,
    /// 1 behind the operations of each edge, where what passes it by has its factor.
    passing: Rows<f32>,
}

impl Weighing {
    fn new(supernet: &Supernet, kind: CellKind) -> Self {
        let candidates = &supernet.candidates;
        let edges = || candidates.space.edges();
        let passing = |(operations, state): (&Vec<_>, &EdgeState)| {
            let count = if state.is_open() { state.left(operations.len()).count() } else { operations.len() };
            std::iter::repeat_n(0.0, count).chain([1.0]).collect()
        };
        let states = supernet.plans[kind.index()].states();
        Weighing {
            nodes: edges().map(|edge| edge.node as i64).collect(),
            // An edge comes from every state before its node.
            places: edges().map(|edge| edge.from as i64).collect(),
            passing: candidates.edges(kind).iter().zip(states).map(passing).collect(),
        }
    }

    /// softmax(α) × softmax(β), and softmax(β) for what passes by, of both as [`Alpha::tensors`] has them.
    fn weighed(&self, soft: Tensor<2>, passing: Tensor<2>) -> Tensor<2> {
        let (edges, device) = (self.nodes.len(), passing.device());
        let index = |values: &[i64]| Tensor::<1, Int>::from_data(TensorData::new(values.to_vec(), [edges]), &device);
        let beta = soft.clone().slice([edges..soft.dims()[0]]);
        let shares = beta.select(0, index(&self.nodes)).gather(1, index(&self.places).reshape([edges, 1]));
        (soft.slice([0..edges]) + passing) * shares
    }
}

impl Relaxed {
    /// The factors of α as [`Alpha::tensors`] has it: `[edges, most operations of an edge]`, with that of what passes an
    /// edge by behind them, or `[edges, 1]` where one operation of each is drawn.
    pub(crate) fn factors(&self, alpha: &[Tensor<2>]) -> Vec<Tensor<2>> {
        let of = |(kind, alpha): (usize, &Tensor<2>)| {
            let width = alpha.dims()[1];
            let like = |rows: &Rows<f32>| padded(rows, width, 0.0, &alpha.device().inner(), alpha.dtype());
            let soft = match &self.noise {
                None => softmax(alpha.clone()),
                Some(Noise { values, temperature }) => {
                    softmax((log_softmax(alpha.clone()) + like(&values[kind])) / *temperature)
                }
            };
            let factors = match &self.drawn {
                None => soft,
                Some(drawn) => {
                    let share = soft.gather(1, drawn.indices(kind, &alpha.device().inner()));
                    // Exactly 1, with the share's gradient.
                    share.clone() - share.detach() + 1.0
                }
            };
            let factors = match &self.skips {
                None => factors,
                Some(skips) => factors + like(&skips[kind]),
            };
            match &self.weighing {
                None => factors,
                Some(weighing) => weighing[kind].weighed(factors, like(&weighing[kind].passing)),
            }
        };
        alpha.iter().enumerate().map(of).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::space::NB201;
    use crate::supernet::SupernetShape;
    use burn::tensor::Device;

    fn values(tensor: Tensor<2>) -> Vec<f64> {
        tensor.into_data().iter::<f64>().collect()
    }

    fn are_near(values: &[f64], expected: &[f64]) -> bool {
        values.len() == expected.len() && values.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-6)
    }

    /// α = 0 and ln 3, so that softmax(α) is 1/4 and 3/4.
    fn alpha() -> Tensor<2> {
        Tensor::from_floats([[0.0, 3f32.ln()]], &Device::flex())
    }

    fn noise(values: [f32; 2], temperature: f64) -> Option<Noise> {
        Some(Noise { values: vec![vec![values.to_vec()]], temperature })
    }

    #[test]
    fn gumbel_factors_are_a_softmax_of_what_was_drawn() {
        // g = ln 3 makes up for the difference at any temperature.
        let even = Relaxed { noise: noise([3f32.ln(), 0.0], 0.3), drawn: None, skips: None, weighing: None };
        assert!(are_near(&values(even.factors(&[alpha()]).remove(0)), &[0.5, 0.5]));
        // At τ = 1/2, the squares of 1/4 and 3/4: 1 to 9.
        let cold = Relaxed {
            noise: noise([0.0, 0.0], 0.5),
            drawn: None,
            skips: Some(vec![vec![vec![0.25, 0.0]]]),
            weighing: None,
        };
        assert!(are_near(&values(cold.factors(&[alpha()]).remove(0)), &[0.1 + 0.25, 0.9]));
    }

    #[test]
    fn a_drawn_factor_is_one_with_the_gradient_of_its_share() {
        let shape = SupernetShape { channels: 2, cells: 3, classes: 2, inputs: 3, stem_stride: [1, 1, 1], share: 1 };
        let mut drawn = Drawn::new(&Supernet::new(Candidates::whole(&NB201), shape), vec![vec![1; 6]]);
        drawn.places = vec![vec![1]];
        let relaxed = Relaxed { noise: noise([0.0, 0.0], 0.5), drawn: Some(drawn), skips: None, weighing: None };
        let alpha = alpha().autodiff().require_grad();
        let factors = relaxed.factors(std::slice::from_ref(&alpha)).remove(0);
        assert_eq!(values(factors.clone().inner()), [1.0]);
        // The share is p = 0.9; dp/dα is p (1 − p) / τ.
        let gradient = alpha.grad(&factors.sum().backward()).unwrap();
        assert!(are_near(&values(gradient), &[-0.18, 0.18]));
    }

    #[test]
    fn everything_goes_linearly_from_the_first_epoch_to_the_last() {
        let mut mixing = Mixing { beta_decay: 50.0, auxiliary_skip: 1.0, ..Mixing::default() };
        let candidates = Candidates::whole(&NB201);
        // Of the first edge, the skip connection's.
        let mut at = |epoch| {
            mixing.go_to(7, epoch, 5);
            (mixing.decay(), mixing.skips(&candidates).map(|skips| skips[0][0].clone()))
        };
        assert_eq!(at(0), (0.0, Some(vec![0.0, 1.0, 0.0, 0.0, 0.0])));
        assert_eq!(at(3), (37.5, Some(vec![0.0, 0.25, 0.0, 0.0, 0.0])));
        assert_eq!(at(4), (50.0, None));
        mixing.go_to(0, 0, 1);
        assert_eq!(mixing.share, 0.0);
    }

    #[test]
    fn operations_are_drawn_as_often_as_softmax_says() {
        let shape = SupernetShape { channels: 2, cells: 3, classes: 2, inputs: 3, stem_stride: [1, 1, 1], share: 1 };
        let supernet = Supernet::new(Candidates::whole(&NB201), shape);
        let mut alpha = Alpha::new(&supernet.candidates, 1);
        // 1/8 each, and 1/2.
        alpha.values = vec![vec![vec![0.0, 0.0, 4f32.ln(), 0.0, 0.0]; 6]];
        let mut mixing = Mixing { relaxation: Relaxation::GumbelHard { from: 10.0, to: 0.1 }, ..Mixing::default() };
        let mut times = [0f64; 5];
        for step in 0..1000 {
            mixing.go_to(step, 0, 10);
            let drawn = mixing.training(Half::Weights, &alpha, &supernet).drawn.unwrap();
            drawn.places[0].iter().for_each(|&choice| times[choice] += 1.0 / 6000.0);
        }
        // Five standard deviations.
        assert!(times.iter().zip([0.125, 0.125, 0.5, 0.125, 0.125]).all(|(a, b)| (a - b).abs() < 0.03), "{times:?}");
        let choices = |half| mixing.training(half, &alpha, &supernet).drawn.unwrap().places;
        assert_eq!(choices(Half::Alpha), choices(Half::Alpha));
        assert_ne!(choices(Half::Alpha), choices(Half::Weights));
    }
}
