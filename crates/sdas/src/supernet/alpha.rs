//! The architecture parameters α and their optimizer.

use crate::schedule::{EdgeState, Plan};
use crate::space::{Candidates, CellKind, Space};
use burn::tensor::{DType, Device, Tensor, TensorData};
use rand::Rng;
use sdas_data::random::stream;
use serde::{Deserialize, Serialize};

/// Numbers of one kind of cell: a row an edge, one for each of its candidate operations; where edges are weighed, a row a
/// node behind them, one for each of the edges that end in it.
pub type Rows<T> = Vec<Vec<T>>;

/// α of every kind of cell, and β where edges are weighed (PC-DARTS: Xu et al., 2020), with the state of Adam (Kingma, Ba,
/// 2014). A few hundred numbers that the schedule reads at every step: they live on the host.
#[derive(Debug, Clone, PartialEq)]
pub struct Alpha {
    /// α by kind of cell, and β.
    pub values: Vec<Rows<f32>>,
    /// Adam's first moments.
    pub first: Vec<Rows<f32>>,
    /// Adam's second moments.
    pub second: Vec<Rows<f32>>,
    /// Adam's steps.
    pub steps: usize,
    /// Rows of β in every kind: the nodes, or none where edges are not weighed.
    pub weighed: usize,
}

/// How α is optimized.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AlphaSettings {
    /// Adam's rate.
    pub rate: f64,
    /// Adam's decay rates of the first and the second moment.
    pub betas: [f64; 2],
    /// Weight decay, added to the gradient.
    pub weight_decay: f64,
}

impl Default for AlphaSettings {
    fn default() -> Self {
        AlphaSettings { rate: 3e-4, betas: [0.5, 0.999], weight_decay: 1e-3 }
    }
}

/// Where a row of α has no operation.
const ABSENT: f32 = -1e9;
/// Added to Adam's denominator.
const EPSILON: f64 = 1e-8;

impl Alpha {
    /// α = 10⁻³ · a normal variate, from the stream "alpha".
    pub fn new(candidates: &Candidates, seed: u64) -> Self {
        let kinds = || candidates.space.kinds().iter();
        let drawn = |kind: &CellKind| {
            let mut stream = stream(seed, "alpha", [kind.index() as u64, 0]);
            let mut row = |operations: usize| (0..operations).map(|_| (1e-3 * normal(&mut stream)) as f32).collect();
            candidates.edges(*kind).iter().map(|operations| row(operations.len())).collect()
        };
        let values: Vec<Rows<f32>> = kinds().map(drawn).collect();
        let zeros: Vec<Rows<f32>> =
            values.iter().map(|rows| rows.iter().map(|row| vec![0.0; row.len()]).collect()).collect();
        Alpha { values, first: zeros.clone(), second: zeros, steps: 0, weighed: 0 }
    }

    /// With β = 10⁻³ · a normal variate beside it, from the stream "beta".
    pub fn weighing_edges(mut self, space: &Space, seed: u64) -> Self {
        for (kind, rows) in self.values.iter_mut().enumerate() {
            let mut stream = stream(seed, "beta", [kind as u64, 0]);
            for node in 0..space.nodes {
                let row: Vec<f32> = space.edges_into(node).map(|_| (1e-3 * normal(&mut stream)) as f32).collect();
                self.first[kind].push(vec![0.0; row.len()]);
                self.second[kind].push(vec![0.0; row.len()]);
                rows.push(row);
            }
        }
        self.weighed = space.nodes;
        self
    }

    /// The rows of α, and those of β.
    fn parts<'a, T>(&self, rows: &'a [Vec<T>]) -> (&'a [Vec<T>], &'a [Vec<T>]) {
        rows.split_at(rows.len() - self.weighed)
    }

    /// softmax(α) of a kind of cell over what its edges have, a row an edge, with 0 for what they have lost. Edges that are
    /// decided or pruned are as they were before they lost anything.
    pub fn mixes_left(&self, kind: CellKind, plan: &Plan) -> Rows<f64> {
        let of = |(mut row, state): (Vec<f64>, &EdgeState)| {
            if let EdgeState::Left(operations) = state {
                let sum: f64 = operations.iter().map(|operation| row[operation]).sum();
                let own =
                    |(operation, p): (usize, &mut f64)| *p = if operations.has(operation) { *p / sum } else { 0.0 };
                row.iter_mut().enumerate().for_each(own);
            }
            row
        };
        self.mixes(kind).into_iter().zip(plan.states()).map(of).collect()
    }

    /// softmax(α) of a kind of cell as a run writes it down: of edges that still mix, over what they have, to four digits.
    pub(crate) fn mixes_written(&self, kind: CellKind, plan: &Plan) -> Rows<f64> {
        let written = |(row, state): (Vec<f64>, &EdgeState)| match state.is_open() {
            true => row.into_iter().map(|p| (1e4 * p).round() / 1e4).collect(),
            false => Vec::new(),
        };
        self.mixes_left(kind, plan).into_iter().zip(plan.states()).map(written).collect()
    }

    /// softmax(α) of a kind of cell over all operations that an edge began with, a row an edge.
    pub fn mixes(&self, kind: CellKind) -> Rows<f64> {
        self.parts(&self.values[kind.index()]).0.iter().map(|row| softmax_row(row)).collect()
    }

    /// By edge of a kind of cell, softmax(β) over the undecided edges of its node as a multiple of an even share; 1 for
    /// others, and where edges are not weighed.
    pub fn edge_weights(&self, kind: CellKind, plan: &Plan) -> Vec<f64> {
        if self.weighed == 0 {
            return vec![1.0; plan.states().len()];
        }
        let weights = |row: Vec<f32>| {
            let open = row.iter().filter(|&&beta| beta > ABSENT).count();
            let weight = |(beta, share): (&f32, f64)| if *beta > ABSENT { open as f64 * share } else { 1.0 };
            row.iter().zip(softmax_row(&row)).map(weight).collect::<Vec<f64>>()
        };
        self.beta_of_undecided(kind.index(), plan).into_iter().flat_map(weights).collect()
    }

    /// β of a kind, of undecided edges alone. As a node's edges are numbered one after another, so are all of β.
    fn beta_of_undecided(&self, kind: usize, plan: &Plan) -> Rows<f32> {
        let mut states = plan.states().iter();
        let masked = |(&beta, state): (&f32, &EdgeState)| if state.is_open() { beta } else { ABSENT };
        let (_, rows) = self.parts(&self.values[kind]);
        rows.iter().map(|row| row.iter().zip(states.by_ref()).map(masked).collect()).collect()
    }

    /// α by kind as tensors `[edges, most operations of an edge]` on the host, in the float type of the `input` that they will
    /// work on. A row begins with the numbers of what its edge has, in their order. Where edges are weighed, β is
    /// in further rows, and there is a column more, for what passes edges by. The rest of a row, and β of edges that are
    /// decided, are so far below all others that softmax leaves nothing of them.
    pub fn tensors(&self, plans: &[Plan], input: &Tensor<5>) -> Vec<Tensor<2>> {
        let of = |(kind, plan): (usize, &Plan)| {
            let mut rows = left(self.parts(&self.values[kind]).0, plan);
            rows.extend(self.beta_of_undecided(kind, plan));
            padded(&rows, self.width(kind), ABSENT, &Device::flex(), input.dtype())
        };
        plans.iter().enumerate().map(of).collect()
    }

    /// Columns of a kind's tensor.
    fn width(&self, kind: usize) -> usize {
        let most = self.values[kind].iter().map(Vec::len).max().unwrap_or(0);
        most + usize::from(self.weighed > 0)
    }

    /// Which numbers of a kind learn: those of undecided edges, of what they have, unless that is one operation alone.
    pub(crate) fn learning(&self, kind: usize, plan: &Plan) -> Rows<bool> {
        let (alpha, beta) = self.parts(&self.values[kind]);
        let of_alpha = alpha.iter().zip(plan.states()).map(|(row, state)| {
            let learns = state.is_open() && state.left(row.len()).count() > 1;
            (0..row.len()).map(|operation| learns && state.has(operation)).collect()
        });
        let mut states = plan.states().iter();
        let of_beta = beta.iter().map(|row| states.by_ref().take(row.len()).map(EdgeState::is_open).collect());
        of_alpha.chain(of_beta).collect()
    }

    /// β-decay (β-DARTS: Ye et al., 2022) adds λ · the mean over a kind's edges of log Σ exp α to α's loss;
    /// its gradient is λ · softmax(α) / edges, both over what an edge has. The number of edges is that of the topology, so that no decision changes
    /// how strongly the others are held.
    pub fn beta_decay(&self, lambda: f64, candidates: &Candidates, plans: &[Plan]) -> Vec<Rows<f64>> {
        let of = |(&kind, plan): (&CellKind, &Plan)| {
            let (alpha, beta) = self.parts(&self.values[kind.index()]);
            let share = lambda / alpha.len() as f64;
            let mut rows = self.mixes_left(kind, plan);
            rows.iter_mut().flatten().for_each(|p| *p *= share);
            rows.extend(beta.iter().map(|row| vec![0.0; row.len()]));
            rows
        };
        candidates.space.kinds().iter().zip(plans).map(of).collect()
    }

    /// A kind's numbers out of a tensor as [`tensors`](Self::tensors) has them, with 0 for what edges have lost.
    pub(crate) fn rows(&self, kind: usize, plan: &Plan, tensor: Tensor<2>) -> Rows<f64> {
        let width = tensor.dims()[1];
        let values: Vec<f64> = tensor.into_data().iter::<f64>().collect();
        let mut states = plan.states().iter();
        let of = |(row, own): (&Vec<f32>, &[f64])| match states.next() {
            Some(EdgeState::Left(operations)) => {
                let of = |operation| operations.place(operation).map_or(0.0, |place| own[place]);
                (0..row.len()).map(of).collect()
            }
            _ => own[..row.len()].to_vec(),
        };
        self.values[kind].iter().zip(values.chunks(width)).map(of).collect()
    }

    /// One step of Adam on the numbers of undecided edges; the others keep their values and moments.
    pub fn update(&mut self, gradients: &[Rows<f64>], plans: &[Plan], settings: &AlphaSettings) {
        self.steps += 1;
        let [beta1, beta2] = settings.betas;
        let bias = [beta1, beta2].map(|beta| 1.0 - libm::pow(beta, self.steps as f64));
        for (kind, plan) in plans.iter().enumerate() {
            for (row, learning) in self.learning(kind, plan).into_iter().enumerate() {
                for (at, gradient) in gradients[kind][row].iter().enumerate().filter(|(at, _)| learning[*at]) {
                    let number = [&mut self.values, &mut self.first, &mut self.second];
                    let [value, first, second] = number.map(|all| &mut all[kind][row][at]);
                    let before = f64::from(*value);
                    let gradient = gradient + settings.weight_decay * before;
                    let mean = beta1 * f64::from(*first) + (1.0 - beta1) * gradient;
                    let square = beta2 * f64::from(*second) + (1.0 - beta2) * gradient * gradient;
                    let step = settings.rate * (mean / bias[0]) / ((square / bias[1]).sqrt() + EPSILON);
                    (*value, *first, *second) = ((before - step) as f32, mean as f32, square as f32);
                }
            }
        }
    }
}

/// Of a number an operation, a row an edge, those of what the edges have, in their order.
pub(super) fn left<T: Copy>(rows: &[Vec<T>], plan: &Plan) -> Rows<T> {
    let of = |(row, state): (&Vec<T>, &EdgeState)| match state {
        EdgeState::Left(operations) => operations.iter().map(|operation| row[operation]).collect(),
        _ => row.clone(),
    };
    rows.iter().zip(plan.states()).map(of).collect()
}

/// Rows of different lengths as a tensor of so many columns, the rest of each filled up.
pub(super) fn padded(rows: &[Vec<f32>], width: usize, rest: f32, device: &Device, dtype: DType) -> Tensor<2> {
    let padded = rows.iter().flat_map(|row| row.iter().copied().chain(std::iter::repeat_n(rest, width - row.len())));
    let data = TensorData::new(padded.collect::<Vec<f32>>(), [rows.len(), width]);
    Tensor::from_data(data, (device, dtype))
}

fn softmax_row(row: &[f32]) -> Vec<f64> {
    let high = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let powers: Vec<f64> = row.iter().map(|&a| libm::exp(f64::from(a - high))).collect();
    let sum: f64 = powers.iter().sum();
    powers.iter().map(|power| power / sum).collect()
}

/// A standard normal variate (Box, Muller, 1958).
fn normal(stream: &mut impl Rng) -> f64 {
    let radius = (-2.0 * libm::log(1.0 - stream.random::<f64>())).sqrt();
    radius * libm::cos(std::f64::consts::TAU * stream.random::<f64>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::space::{IMAGE, NB201, S2};
    use burn::tensor::activation::softmax;

    #[test]
    fn decided_edges_are_left_alone() {
        let candidates = Candidates::whole(&S2);
        let mut alpha = Alpha::new(&candidates, 7);
        let before = alpha.clone();
        let mut states = [EdgeState::Mixed; 14];
        states[2] = EdgeState::Decided(1);
        states[3] = EdgeState::Pruned;
        let plan: Plan = serde_json::from_value(serde_json::to_value(states).unwrap()).unwrap();
        let gradients = vec![vec![vec![0.5; 2]; 14]; 2];
        alpha.update(&gradients, &[plan, Plan::new(&S2)], &AlphaSettings::default());
        for edge in 0..14 {
            let kept = alpha.values[0][edge] == before.values[0][edge];
            assert_eq!(kept, edge == 2 || edge == 3, "edge {edge}");
            assert_eq!(alpha.first[0][edge][0] == 0.0, kept);
        }
        assert_ne!(alpha.values[1][3], before.values[1][3]);
    }

    #[test]
    fn the_first_step_of_adam_is_the_rate() {
        let mut alpha = Alpha::new(&Candidates::whole(&S2), 1);
        let before = alpha.values.clone();
        let settings = AlphaSettings { weight_decay: 0.0, ..AlphaSettings::default() };
        let gradients = [3.0, -3.0].map(|gradient| vec![vec![gradient; 2]; 14]);
        alpha.update(&gradients, &[Plan::new(&S2), Plan::new(&S2)], &settings);
        assert!((before[0][0][0] - alpha.values[0][0][0] - 3e-4).abs() < 1e-9);
        assert!((before[1][0][0] - alpha.values[1][0][0] + 3e-4).abs() < 1e-9);
    }

    #[test]
    fn rows_may_have_different_lengths() {
        let mut alpha = Alpha::new(&Candidates::whole(&IMAGE), 1);
        alpha.values = vec![vec![vec![0.0, 0.0, 0.0], vec![0.0, 3f32.ln()]]];
        let input = Tensor::<5>::zeros([1; 5], &burn::tensor::Device::flex());
        let mixes = softmax(alpha.tensors(&[Plan::new(&IMAGE)], &input).remove(0), 1);
        let values: Vec<f32> = mixes.clone().into_data().iter::<f32>().collect();
        assert!(
            values.iter().zip([1.0 / 3.0, 1.0 / 3.0, 1.0 / 3.0, 0.25, 0.75, 0.0]).all(|(a, b)| (a - b).abs() < 1e-6)
        );
        assert_eq!(values[5], 0.0);
        let rows = alpha.rows(0, &Plan::new(&IMAGE), mixes);
        assert_eq!(rows.iter().map(Vec::len).collect::<Vec<_>>(), [3, 2]);
    }

    /// Nodes of one, two and three edges: softmax(β) is 1; 1/4 and 3/4; 1/5, 1/5 and 3/5, and 1/4 and 3/4 once the second is
    /// decided.
    #[test]
    fn edges_are_weighed_among_the_undecided_ones_of_their_node() {
        let mut alpha = Alpha::new(&Candidates::whole(&NB201), 1).weighing_edges(&NB201, 1);
        assert_eq!(alpha.values[0].iter().map(Vec::len).collect::<Vec<_>>(), [5, 5, 5, 5, 5, 5, 1, 2, 3]);
        let three = 3f32.ln();
        alpha.values[0].splice(6.., [vec![2.0], vec![0.0, three], vec![0.0, 0.0, three]]);
        let weights = |plan: &Plan| alpha.edge_weights(CellKind::Normal, plan);
        let are_near = |own: Vec<f64>, expected: [f64; 6]| own.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-6);
        assert!(are_near(weights(&Plan::new(&NB201)), [1.0, 0.5, 1.5, 0.6, 0.6, 1.8]));
        let mut states = [EdgeState::Mixed; 6];
        (states[0], states[4]) = (EdgeState::Decided(1), EdgeState::Decided(1));
        let plan: Plan = serde_json::from_value(serde_json::to_value(states).unwrap()).unwrap();
        assert!(are_near(weights(&plan), [1.0, 0.5, 1.5, 0.5, 1.0, 1.5]));
        assert_eq!(Alpha::new(&Candidates::whole(&NB201), 1).edge_weights(CellKind::Normal, &plan), [1.0; 6]);

        // Those of undecided edges learn, and β-decay leaves them alone.
        let before = alpha.clone();
        let gradients: Vec<Rows<f64>> =
            alpha.values.iter().map(|rows| rows.iter().map(|row| vec![1.0; row.len()]).collect()).collect();
        alpha.update(&gradients, &[plan], &AlphaSettings::default());
        let moved = |row: usize, at: usize| alpha.values[0][row][at] != before.values[0][row][at];
        assert_eq!([moved(6, 0), moved(7, 0), moved(7, 1)], [false, true, true]);
        assert_eq!([moved(8, 0), moved(8, 1), moved(8, 2), moved(4, 0)], [true, false, true, false]);
        assert!(
            alpha.beta_decay(6.0, &Candidates::whole(&NB201), &[Plan::new(&NB201)])[0][6..]
                .iter()
                .flatten()
                .all(|&gradient| gradient == 0.0)
        );
    }

    #[test]
    fn beta_decay_pulls_at_what_is_large() {
        let mut alpha = Alpha::new(&Candidates::whole(&S2), 1);
        // softmax is 1/4 and 3/4, and 1/2 each; two edges share λ = 6.
        alpha.values = vec![vec![vec![0.0, 3f32.ln()], vec![0.0, 0.0]]];
        let expected = [0.75, 2.25, 1.5, 1.5];
        let plan: Plan = serde_json::from_value(serde_json::to_value([EdgeState::Mixed; 2]).unwrap()).unwrap();
        let values = alpha.beta_decay(6.0, &Candidates::whole(&NB201), &[plan]).concat().concat();
        assert!(values.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-6), "{values:?}");
    }
}
