//! A policy trained by policy gradients: REINFORCE (Williams, 1992), as NASNet's line of work searches (Zoph, Le, ICLR 2017).

use super::Questions;
use crate::table::Architecture;
use rand::Rng;
use sdas_data::random::{Stream, stream};
use serde::{Deserialize, Serialize};

/// REINFORCE as NAS-Bench-201's authors run it (Dong, Yang, ICLR 2020; `REINFORCE.sh` of their code): the policy is a softmax
/// on every edge instead of a recurrent network, one cell is drawn a step, its reward is its accuracy less a moving average
/// of all so far, and Adam does the steps (rate 0.001, average 0.9 of what it was).
///
/// The budget is that of Zoph and Le: 12,800 networks trained.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Reinforce {
    /// Accuracies to ask for.
    pub questions: usize,
    /// Adam's rate.
    pub rate: f64,
    /// How much of the average reward stays at a step.
    pub momentum: f64,
}

impl Default for Reinforce {
    fn default() -> Self {
        Reinforce { questions: 12_800, rate: 0.001, momentum: 0.9 }
    }
}

/// Adam's decay rates and what is added to its denominator (Kingma, Ba, 2014).
const BETAS: [f64; 2] = [0.9, 0.999];
const EPSILON: f64 = 1e-8;

/// The logarithms of the odds of every operation on every edge, row-major.
struct Policy {
    odds: Vec<f64>,
    operations: usize,
    /// Adam's moments and steps.
    moments: [Vec<f64>; 2],
    steps: i32,
}

impl Policy {
    /// By which every cell is as likely as another.
    fn uniform(edges: usize, operations: usize) -> Self {
        let zeros = || vec![0.0; edges * operations];
        Policy { odds: zeros(), operations, moments: [zeros(), zeros()], steps: 0 }
    }

    /// The probabilities of every edge's operations.
    fn probabilities(&self) -> Vec<Vec<f64>> {
        let softmax = |row: &[f64]| {
            let high = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let powers: Vec<f64> = row.iter().map(|odds| libm::exp(odds - high)).collect();
            let sum: f64 = powers.iter().sum();
            powers.into_iter().map(|power| power / sum).collect()
        };
        self.odds.chunks_exact(self.operations).map(softmax).collect()
    }

    fn draw(&self, stream: &mut Stream) -> Architecture {
        let operation = |row: Vec<f64>| {
            let mut left: f64 = stream.random();
            let place = row.iter().position(|probability| {
                left -= probability;
                left < 0.0
            });
            // Rounding may leave the sum a little below 1.
            place.unwrap_or(row.len() - 1) as u8
        };
        Architecture(self.probabilities().into_iter().map(operation).collect())
    }

    /// The gradient of the logarithm of a cell's probability: 1 − p for what is drawn, −p for what is not.
    fn score(&self, cell: &Architecture) -> Vec<f64> {
        let mut gradient: Vec<f64> =
            self.probabilities().into_iter().flatten().map(|probability| -probability).collect();
        for (edge, &operation) in cell.0.iter().enumerate() {
            gradient[edge * self.operations + usize::from(operation)] += 1.0;
        }
        gradient
    }

    /// A step of Adam up this gradient.
    fn climb(&mut self, gradient: &[f64], rate: f64) {
        self.steps += 1;
        let [bias1, bias2] = BETAS.map(|beta| 1.0 - libm::pow(beta, f64::from(self.steps)));
        let [first, second] = &mut self.moments;
        for (at, &gradient) in gradient.iter().enumerate() {
            first[at] = BETAS[0] * first[at] + (1.0 - BETAS[0]) * gradient;
            second[at] = BETAS[1] * second[at] + (1.0 - BETAS[1]) * gradient * gradient;
            self.odds[at] += rate * (first[at] / bias1) / ((second[at] / bias2).sqrt() + EPSILON);
        }
    }
}

impl Reinforce {
    pub(super) fn run(&self, questions: &mut Questions<'_>, seed: u64) {
        let mut stream = stream(seed, "table/reinforce", [0, 0]);
        let mut policy = Policy::uniform(questions.space.edges(), questions.space.operations());
        // Sums of rewards and of their weights: the average is not drawn to 0 at the beginning.
        let [mut rewards, mut weights] = [0.0; 2];
        loop {
            let cell = policy.draw(&mut stream);
            let Some(reward) = questions.ask(&cell) else { return };
            rewards = self.momentum * rewards + (1.0 - self.momentum) * reward;
            weights = self.momentum * weights + (1.0 - self.momentum);
            let advantage = reward - rewards / weights;
            let gradient: Vec<f64> = policy.score(&cell).into_iter().map(|score| advantage * score).collect();
            policy.climb(&gradient, self.rate);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::CellSpace;

    fn policy(space: &CellSpace) -> Policy {
        let mut policy = Policy::uniform(space.edges(), space.operations());
        policy.odds.iter_mut().enumerate().for_each(|(at, odds)| *odds = (at as f64 * 1.7).sin());
        policy
    }

    fn reward(number: usize) -> f64 {
        (number as f64 * 0.9).cos() * 30.0 + 60.0
    }

    /// Probability of a cell.
    fn probability(policy: &Policy, cell: &Architecture) -> f64 {
        policy.probabilities().iter().zip(&cell.0).map(|(row, &operation)| row[usize::from(operation)]).product()
    }

    #[test]
    fn the_gradient_is_that_of_the_expected_reward() {
        // Over all 27 cells: the mean of reward · score against differences of the expected reward. A baseline changes
        // nothing, since the mean score is 0.
        let space = CellSpace::new(&["none", "a", "b"], 3);
        let cells: Vec<_> = (0..space.cells()).map(|number| (number, space.architecture(number))).collect();
        let expected = |policy: &Policy| -> f64 {
            cells.iter().map(|(number, cell)| probability(policy, cell) * reward(*number)).sum()
        };
        let own = policy(&space);
        for baseline in [0.0, 55.0] {
            let mut gradient = vec![0.0; own.odds.len()];
            for (number, cell) in &cells {
                let weight = probability(&own, cell) * (reward(*number) - baseline);
                gradient.iter_mut().zip(own.score(cell)).for_each(|(sum, score)| *sum += weight * score);
            }
            for at in 0..own.odds.len() {
                let moved = |by: f64| {
                    let mut policy = policy(&space);
                    policy.odds[at] += by;
                    expected(&policy)
                };
                let difference = (moved(1e-5) - moved(-1e-5)) / 2e-5;
                assert!((gradient[at] - difference).abs() < 1e-6, "{at}: {} {difference}", gradient[at]);
            }
        }
    }

    #[test]
    fn cells_are_drawn_by_their_probabilities() {
        let space = CellSpace::new(&["none", "a", "b"], 2);
        let policy = policy(&space);
        let mut stream = stream(3, "test", [0, 0]);
        let mut count = [0.0; 3];
        for _ in 0..20_000 {
            count[usize::from(policy.draw(&mut stream).0[0])] += 1.0;
        }
        for (count, probability) in count.iter().zip(&policy.probabilities()[0]) {
            // Four deviations.
            let bound = 4.0 * (20_000.0 * probability * (1.0 - probability)).sqrt();
            assert!((count - 20_000.0 * probability).abs() < bound, "{count} {probability}");
        }
    }

    #[test]
    fn the_first_steps_of_adam_by_hand() {
        let mut policy = Policy::uniform(1, 2);
        policy.climb(&[2.0, -0.5], 0.01);
        // The first step is the rate, whatever the gradient's size.
        assert!((policy.odds[0] - 0.01).abs() < 1e-9 && (policy.odds[1] + 0.01).abs() < 1e-9, "{:?}", policy.odds);
        policy.climb(&[1.0, -0.5], 0.01);
        // First moment 0.9·0.2 + 0.1 = 0.28, over 0.19; second 0.999·0.004 + 0.001 = 0.004996, over 0.001999.
        let step = 0.01 * (0.28 / 0.19) / (0.004996f64 / 0.001999).sqrt();
        assert!((policy.odds[0] - 0.01 - step).abs() < 1e-9, "{:?}", policy.odds);
    }
}
