//! The architecture parameters α and their optimizer.

use crate::schedule::{EdgeState, Plan};
use crate::space::{CellKind, EDGES};
use burn::tensor::activation::softmax;
use burn::tensor::{Tensor, TensorData};
use rand::Rng;
use sdas_data::random::stream;
use serde::{Deserialize, Serialize};

/// α of both kinds of cell, with the state of Adam (Kingma, Ba, 2014). A few hundred numbers that the schedule reads at
/// every step: they live on the host.
#[derive(Debug, Clone, PartialEq)]
pub struct Alpha {
    /// α of the normal and the reduction cells, row-major `[edges, operations]`.
    pub values: [Vec<f32>; 2],
    /// Adam's first moments.
    pub first: [Vec<f32>; 2],
    /// Adam's second moments.
    pub second: [Vec<f32>; 2],
    /// Adam's steps.
    pub steps: usize,
    /// Number of candidate operations.
    pub operations: usize,
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

/// Added to Adam's denominator.
const EPSILON: f64 = 1e-8;

impl Alpha {
    /// α = 10⁻³ · a normal variate, from the stream "alpha".
    pub fn new(operations: usize, seed: u64) -> Self {
        let zeros = || [vec![0.0; EDGES * operations], vec![0.0; EDGES * operations]];
        let values = CellKind::ALL.map(|kind| {
            let mut stream = stream(seed, "alpha", [kind.index() as u64, 0]);
            (0..EDGES * operations).map(|_| (1e-3 * normal(&mut stream)) as f32).collect()
        });
        Alpha { values, first: zeros(), second: zeros(), steps: 0, operations }
    }

    /// softmax(α) of a kind of cell, a row an edge.
    pub fn mixes(&self, kind: CellKind) -> Vec<Vec<f64>> {
        self.values[kind.index()].chunks_exact(self.operations).map(softmax_row).collect()
    }

    /// Both α as tensors `[edges, operations]`, on the device and in the float type of the `input` that they will work on.
    pub fn tensors(&self, input: &Tensor<5>) -> [Tensor<2>; 2] {
        let upload = |values: &Vec<f32>| {
            let data = TensorData::new(values.clone(), [EDGES, self.operations]);
            Tensor::from_data(data, (&input.device(), input.dtype()))
        };
        [upload(&self.values[0]), upload(&self.values[1])]
    }

    /// softmax(α) of both kinds as tensors outside autodiff, otherwise as [`tensors`](Self::tensors) has them.
    pub fn mix_tensors(&self, input: &Tensor<5>) -> [Tensor<2>; 2] {
        self.tensors(input).map(|alpha| softmax(alpha, 1))
    }

    /// One step of Adam on the rows of undecided edges; the others keep their values and moments.
    pub fn update(&mut self, gradients: &[Vec<f64>; 2], plans: &[Plan; 2], settings: &AlphaSettings) {
        self.steps += 1;
        let [beta1, beta2] = settings.betas;
        let bias = [beta1, beta2].map(|beta| 1.0 - beta.powi(self.steps as i32));
        for kind in 0..2 {
            for (edge, state) in plans[kind].states().iter().enumerate() {
                if *state != EdgeState::Mixed {
                    continue;
                }
                for at in edge * self.operations..(edge + 1) * self.operations {
                    let value = f64::from(self.values[kind][at]);
                    let gradient = gradients[kind][at] + settings.weight_decay * value;
                    let first = beta1 * f64::from(self.first[kind][at]) + (1.0 - beta1) * gradient;
                    let second = beta2 * f64::from(self.second[kind][at]) + (1.0 - beta2) * gradient * gradient;
                    let step = settings.rate * (first / bias[0]) / ((second / bias[1]).sqrt() + EPSILON);
                    self.values[kind][at] = (value - step) as f32;
                    self.first[kind][at] = first as f32;
                    self.second[kind][at] = second as f32;
                }
            }
        }
    }
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

    #[test]
    fn decided_edges_are_left_alone() {
        let mut alpha = Alpha::new(3, 7);
        let before = alpha.clone();
        let mut states = [EdgeState::Mixed; EDGES];
        states[2] = EdgeState::Decided(1);
        states[3] = EdgeState::Pruned;
        let plan: Plan = serde_json::from_value(serde_json::to_value(states).unwrap()).unwrap();
        let gradients = [vec![0.5; EDGES * 3], vec![0.5; EDGES * 3]];
        alpha.update(&gradients, &[plan, Plan::default()], &AlphaSettings::default());
        for edge in 0..EDGES {
            let row = edge * 3..(edge + 1) * 3;
            let kept = alpha.values[0][row.clone()] == before.values[0][row.clone()];
            assert_eq!(kept, edge == 2 || edge == 3, "edge {edge}");
            assert_eq!(alpha.first[0][row.start] == 0.0, kept);
        }
        assert_ne!(alpha.values[1][6..9], before.values[1][6..9]);
    }

    #[test]
    fn the_first_step_of_adam_is_the_rate() {
        let mut alpha = Alpha::new(2, 1);
        let before = alpha.values.clone();
        let settings = AlphaSettings { weight_decay: 0.0, ..AlphaSettings::default() };
        alpha.update(&[vec![3.0; EDGES * 2], vec![-3.0; EDGES * 2]], &Default::default(), &settings);
        assert!((before[0][0] - alpha.values[0][0] - 3e-4).abs() < 1e-9);
        assert!((before[1][0] - alpha.values[1][0] + 3e-4).abs() < 1e-9);
    }
}
