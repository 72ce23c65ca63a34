//! The architecture parameters α and their optimizer.

use crate::schedule::{EdgeState, Plan};
use crate::space::{Candidates, CellKind};
use burn::tensor::{DType, Device, Tensor, TensorData};
use rand::Rng;
use sdas_data::random::stream;
use serde::{Deserialize, Serialize};

/// Numbers of one kind of cell: a row an edge, one for each of its candidate operations.
pub type Rows<T> = Vec<Vec<T>>;

/// α of every kind of cell, with the state of Adam (Kingma, Ba, 2014). A few hundred numbers that the schedule reads at
/// every step: they live on the host.
#[derive(Debug, Clone, PartialEq)]
pub struct Alpha {
    /// α by kind of cell.
    pub values: Vec<Rows<f32>>,
    /// Adam's first moments.
    pub first: Vec<Rows<f32>>,
    /// Adam's second moments.
    pub second: Vec<Rows<f32>>,
    /// Adam's steps.
    pub steps: usize,
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
        Alpha { values, first: zeros.clone(), second: zeros, steps: 0 }
    }

    /// softmax(α) of a kind of cell, a row an edge.
    pub fn mixes(&self, kind: CellKind) -> Rows<f64> {
        self.values[kind.index()].iter().map(|row| softmax_row(row)).collect()
    }

    /// α by kind as tensors `[edges, most operations of an edge]`, on the device and in the float type of the `input` that
    /// they will work on. Where a row has fewer operations, the rest of it is so far below all others that softmax leaves
    /// nothing of it.
    pub fn tensors(&self, input: &Tensor<5>) -> Vec<Tensor<2>> {
        self.values.iter().map(|rows| padded(rows, ABSENT, &input.device(), input.dtype())).collect()
    }

    /// β-decay (β-DARTS: Ye et al., 2022) adds λ · the mean over a kind's edges of log Σ exp α to α's loss;
    /// its gradient is λ · softmax(α) / edges. The number of edges is that of the topology, so that no decision changes
    /// how strongly the others are held.
    pub fn beta_decay(&self, lambda: f64) -> Vec<Rows<f64>> {
        let of = |rows: &Rows<f32>| {
            let share = lambda / rows.len() as f64;
            rows.iter().map(|row| softmax_row(row).into_iter().map(|p| share * p).collect()).collect()
        };
        self.values.iter().map(of).collect()
    }

    /// A kind's numbers out of a tensor as [`tensors`](Self::tensors) has them.
    pub(crate) fn rows(&self, kind: usize, tensor: Tensor<2>) -> Rows<f64> {
        let width = tensor.dims()[1];
        let values: Vec<f64> = tensor.into_data().iter::<f64>().collect();
        self.values[kind].iter().zip(values.chunks(width)).map(|(row, own)| own[..row.len()].to_vec()).collect()
    }

    /// One step of Adam on the rows of undecided edges; the others keep their values and moments.
    pub fn update(&mut self, gradients: &[Rows<f64>], plans: &[Plan], settings: &AlphaSettings) {
        self.steps += 1;
        let [beta1, beta2] = settings.betas;
        let bias = [beta1, beta2].map(|beta| 1.0 - beta.powi(self.steps as i32));
        for (kind, plan) in plans.iter().enumerate() {
            for (edge, state) in plan.states().iter().enumerate() {
                if *state != EdgeState::Mixed {
                    continue;
                }
                for (at, gradient) in gradients[kind][edge].iter().enumerate() {
                    let number = [&mut self.values, &mut self.first, &mut self.second];
                    let [value, first, second] = number.map(|all| &mut all[kind][edge][at]);
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

/// Rows of different lengths as a tensor, the rest of each filled up.
pub(super) fn padded(rows: &Rows<f32>, rest: f32, device: &Device, dtype: DType) -> Tensor<2> {
    let width = rows.iter().map(Vec::len).max().unwrap_or(0);
    let padded = rows.iter().flat_map(|row| row.iter().copied().chain(std::iter::repeat_n(rest, width - row.len())));
    let data = TensorData::new(padded.collect::<Vec<f32>>(), [rows.len(), width]);
    Tensor::from_data(data, (device, dtype))
}

fn softmax_row(row: &[f32]) -> Vec<f64> {
    let high = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let powers: Vec<f64> = row.iter().map(|&a| f64::from(a - high).exp()).collect();
    let sum: f64 = powers.iter().sum();
    powers.iter().map(|power| power / sum).collect()
}

/// A standard normal variate (Box, Muller, 1958).
fn normal(stream: &mut impl Rng) -> f64 {
    let radius = (-2.0 * (1.0 - stream.random::<f64>()).ln()).sqrt();
    radius * (std::f64::consts::TAU * stream.random::<f64>()).cos()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::space::{IMAGE, S2};
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
        let mixes = softmax(alpha.tensors(&input).remove(0), 1);
        let values: Vec<f32> = mixes.clone().into_data().iter::<f32>().collect();
        assert!(
            values.iter().zip([1.0 / 3.0, 1.0 / 3.0, 1.0 / 3.0, 0.25, 0.75, 0.0]).all(|(a, b)| (a - b).abs() < 1e-6)
        );
        assert_eq!(values[5], 0.0);
        let rows = alpha.rows(0, mixes);
        assert_eq!(rows.iter().map(Vec::len).collect::<Vec<_>>(), [3, 2]);
    }
    #[test]
    fn beta_decay_pulls_at_what_is_large() {
        let mut alpha = Alpha::new(&Candidates::whole(&S2), 1);
        // softmax is 1/4 and 3/4, and 1/2 each; two edges share λ = 6.
        alpha.values = vec![vec![vec![0.0, 3f32.ln()], vec![0.0, 0.0]]];
        let expected = [0.75, 2.25, 1.5, 1.5];
        let values = alpha.beta_decay(6.0).concat().concat();
        assert!(values.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-6), "{values:?}");
    }
}
