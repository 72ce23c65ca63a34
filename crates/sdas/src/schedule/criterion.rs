//! Which undecided edge goes next.

use rand::Rng;
use sdas_data::random::Stream;
use serde::{Deserialize, Serialize};

/// How candidate edges are ranked; the highest score goes next. With p = softmax(α) of an edge and q = p over the
/// operations that a decision can take, renormalised: all but `none` in spaces where an edge is left out by keeping others,
/// all in the others. Where edges are weighed, b is an edge's softmax(β) over the undecided edges of its node, as a multiple
/// of an even share, so that p · b ranks a node's edges as p · softmax(β) does and nodes of different numbers of edges are
/// alike; elsewhere it is 1. An edge's importance has it as a factor, as has a score that is of q alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Criterion {
    /// b max q.
    Confidence,
    /// b times the largest of q minus the second largest.
    Margin,
    /// b (1 − H(q)/ln m), m the number of operations in q.
    Certainty,
    /// b max p over the operations in q: DARTS' own ranking of edges (Liu, Simonyan, Yang, 2018, section 2.4).
    Strength,
    /// N(importance)·N(certainty) (SGAS, Li et al., 2020, equation 5): importance is b Σ p over the operations in q,
    /// N the min-max over all edges of the cell.
    Sgas1,
    /// sgas1·N(stability) (SGAS, equation 7): stability is the mean over the last four epochs of Σ min(q then, q now).
    Sgas2,
    /// Uniformly random: the control.
    Random,
}

/// What criteria look at, for one kind of cell.
pub struct Scores<'a> {
    /// softmax(α), a row an edge.
    pub mixes: &'a [Vec<f64>],
    /// By edge, b.
    pub weights: &'a [f64],
    /// By edge, the index of the operation that is never chosen, if there is one.
    pub never: &'a [Option<usize>],
    /// q of every edge at the end of each of the last four epochs, oldest first; fewer at the start.
    pub history: &'a [Vec<Vec<f64>>],
}

impl Criterion {
    /// The score of each edge, decided ones included (they take part in the min-max).
    pub fn scores(self, seen: &Scores<'_>, stream: &mut Stream) -> Vec<f64> {
        let q: Vec<Vec<f64>> = seen.mixes.iter().zip(seen.never).map(|(p, &never)| others(p, never)).collect();
        let each = |score: fn(&[f64]) -> f64| q.iter().map(|q| score(q)).collect::<Vec<f64>>();
        let weighed = |scores: Vec<f64>| product(&scores, seen.weights);
        match self {
            Criterion::Confidence => weighed(each(largest)),
            Criterion::Margin => weighed(each(margin)),
            Criterion::Certainty => weighed(each(certainty)),
            Criterion::Strength => seen.importances().iter().zip(&q).map(|(share, q)| share * largest(q)).collect(),
            Criterion::Sgas1 => product(&normalised(seen.importances()), &normalised(each(certainty))),
            Criterion::Sgas2 => {
                product(&Criterion::Sgas1.scores(seen, stream), &normalised(stabilities(&q, seen.history)))
            }
            Criterion::Random => q.iter().map(|_| stream.random()).collect(),
        }
    }
}

impl Scores<'_> {
    /// b Σ p over the operations that can be chosen, of each edge.
    fn importances(&self) -> Vec<f64> {
        let shares = self.mixes.iter().zip(self.never).map(|(p, never)| 1.0 - never.map_or(0.0, |never| p[never]));
        product(&shares.collect::<Vec<f64>>(), self.weights)
    }
}

/// q: p over the operations other than the one that is never chosen, renormalised.
pub fn others(p: &[f64], never: Option<usize>) -> Vec<f64> {
    let kept: Vec<f64> = p.iter().enumerate().filter(|&(index, _)| Some(index) != never).map(|(_, &p)| p).collect();
    let sum: f64 = kept.iter().sum();
    if sum > 0.0 {
        kept.iter().map(|p| p / sum).collect()
    } else {
        // All of p lies on what is never chosen, beyond what floating point can tell apart.
        vec![1.0 / kept.len() as f64; kept.len()]
    }
}

fn largest(q: &[f64]) -> f64 {
    q.iter().copied().fold(0.0, f64::max)
}

fn margin(q: &[f64]) -> f64 {
    let mut sorted = q.to_vec();
    sorted.sort_by(|a, b| b.total_cmp(a));
    sorted[0] - sorted[1]
}

/// 1 − H(q)/ln m: 0 for a uniform q, 1 where one operation has all of it.
pub fn certainty(q: &[f64]) -> f64 {
    let entropy: f64 = -q.iter().filter(|&&q| q > 0.0).map(|&q| q * libm::log(q)).sum::<f64>();
    1.0 - entropy / libm::log(q.len() as f64)
}

/// Mean over the remembered epochs of the overlap of q then and q now; 1 before there is anything to remember.
fn stabilities(q: &[Vec<f64>], history: &[Vec<Vec<f64>>]) -> Vec<f64> {
    let overlap = |then: &[f64], now: &[f64]| then.iter().zip(now).map(|(a, b)| a.min(*b)).sum::<f64>();
    q.iter()
        .enumerate()
        .map(|(edge, now)| {
            if history.is_empty() {
                return 1.0;
            }
            history.iter().map(|then| overlap(&then[edge], now)).sum::<f64>() / history.len() as f64
        })
        .collect()
}

/// Min-max normalisation; where all are equal they tell nothing apart, and all are 1.
fn normalised(values: Vec<f64>) -> Vec<f64> {
    let low = values.iter().copied().fold(f64::INFINITY, f64::min);
    let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if high > low { values.iter().map(|v| (v - low) / (high - low)).collect() } else { vec![1.0; values.len()] }
}

fn product(a: &[f64], b: &[f64]) -> Vec<f64> {
    a.iter().zip(b).map(|(a, b)| a * b).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use sdas_data::random::stream;

    /// Fourteen edges: the first three as given (`none` first), the rest uniform over four operations.
    fn table(rows: [[f64; 4]; 3]) -> Vec<Vec<f64>> {
        let mut mixes = vec![vec![0.25; 4]; 14];
        for (edge, row) in rows.into_iter().enumerate() {
            mixes[edge] = row.to_vec();
        }
        mixes
    }

    fn scores(criterion: Criterion, mixes: &[Vec<f64>], history: &[Vec<Vec<f64>>]) -> Vec<f64> {
        let seen = Scores { mixes, weights: &[1.0; 14], never: &[Some(0); 14], history };
        criterion.scores(&seen, &mut stream(1, "test", [0, 0]))
    }

    fn close(ours: f64, expected: f64) {
        assert!((ours - expected).abs() < 1e-9, "{ours} is not {expected}");
    }

    /// q of the three rows by hand: (0.5, 0.25, 0.25), (0.6, 0.4, 0), (0.8, 0.1, 0.1).
    const ROWS: [[f64; 4]; 3] = [[0.2, 0.4, 0.2, 0.2], [0.5, 0.3, 0.2, 0.0], [0.0, 0.8, 0.1, 0.1]];

    #[test]
    fn edges_that_are_weighed_are_ranked_by_both_factors() {
        let (mixes, never) = (table(ROWS), [Some(0); 14]);
        let mut weights = [1.0; 14];
        (weights[0], weights[1]) = (2.0, 0.5);
        let seen = Scores { mixes: &mixes, weights: &weights, never: &never, history: &[] };
        for (criterion, expected) in [
            (Criterion::Confidence, [1.0, 0.3, 0.8]),
            (Criterion::Margin, [0.5, 0.1, 0.7]),
            (Criterion::Strength, [0.8, 0.15, 0.8]),
        ] {
            let own = criterion.scores(&seen, &mut stream(1, "test", [0, 0]));
            own.iter().zip(expected).for_each(|(own, expected)| close(*own, expected));
        }
        // Importances are 1.6, 0.25, 1, and 0.75 of all the others; certainties those of q.
        let certainty = normalised(scores(Criterion::Certainty, &mixes, &[]));
        let own = Criterion::Sgas1.scores(&seen, &mut stream(1, "test", [0, 0]));
        for (edge, importance) in [1.6, 0.25, 1.0, 0.75].into_iter().enumerate() {
            close(own[edge], (importance - 0.25) / 1.35 * certainty[edge]);
        }
    }

    #[test]
    fn simple_criteria_follow_their_formulas() {
        let mixes = table(ROWS);
        let confidence = scores(Criterion::Confidence, &mixes, &[]);
        let margin = scores(Criterion::Margin, &mixes, &[]);
        let strength = scores(Criterion::Strength, &mixes, &[]);
        let certainty = scores(Criterion::Certainty, &mixes, &[]);
        for (edge, expected) in [[0.5, 0.25, 0.4], [0.6, 0.2, 0.3], [0.8, 0.7, 0.8]].into_iter().enumerate() {
            close(confidence[edge], expected[0]);
            close(margin[edge], expected[1]);
            close(strength[edge], expected[2]);
        }
        // Entropies over ln 3: 1.5·ln 2, −0.6·ln 0.6 − 0.4·ln 0.4, −0.8·ln 0.8 − 0.2·ln 0.1.
        close(certainty[0], 1.0 - 1.5 * 2f64.ln() / 3f64.ln());
        close(certainty[1], 1.0 - 0.673_011_667_009_256_4 / 3f64.ln());
        close(certainty[2], 1.0 - 0.639_031_859_650_177_3 / 3f64.ln());
        close(certainty[3], 0.0);
    }

    #[test]
    fn sgas1_multiplies_normalised_importance_and_certainty() {
        let mixes = table(ROWS);
        let sgas1 = scores(Criterion::Sgas1, &mixes, &[]);
        let certainty = scores(Criterion::Certainty, &mixes, &[]);
        // Importances: 0.8, 0.5, 1.0, then 0.75 everywhere: N maps them to 0.6, 0, 1 and 0.5. The largest certainty is
        // that of edge 2, the smallest 0.
        close(sgas1[0], 0.6 * certainty[0] / certainty[2]);
        close(sgas1[1], 0.0);
        close(sgas1[2], 1.0);
        close(sgas1[3], 0.0);
    }

    #[test]
    fn sgas2_also_asks_for_stability() {
        let mixes = table(ROWS);
        let uniform: Vec<Vec<f64>> = vec![vec![1.0 / 3.0; 3]; 14];
        let mut turned = uniform.clone();
        turned[2] = vec![0.1, 0.1, 0.8];
        let sgas1 = scores(Criterion::Sgas1, &mixes, &[]);
        close(scores(Criterion::Sgas2, &mixes, &[])[0], sgas1[0]);
        // Overlap with the two remembered epochs: edge 0 has 1/3 + 1/4 + 1/4 = 5/6 twice; edge 2 has 1/3 + 0.1 + 0.1 and
        // 0.1 + 0.1 + 0.1, the smallest mean; uniform edges have 1.
        let sgas2 = scores(Criterion::Sgas2, &mixes, &[uniform, turned]);
        let smallest = (1.0 / 3.0 + 0.2 + 0.3) / 2.0;
        close(sgas2[0], sgas1[0] * (5.0 / 6.0 - smallest) / (1.0 - smallest));
        close(sgas2[2], 0.0);
    }

    #[test]
    fn random_is_a_function_of_its_stream() {
        let mixes = table(ROWS);
        assert_eq!(scores(Criterion::Random, &mixes, &[]), scores(Criterion::Random, &mixes, &[]));
    }

    #[test]
    fn all_on_none_is_survived() {
        assert_eq!(others(&[1.0, 0.0, 0.0], Some(0)), [0.5, 0.5]);
    }
}
