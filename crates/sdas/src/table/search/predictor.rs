//! A progressive search with a predictor, in the manner of PNAS (Liu and others, ECCV 2018, algorithm 1).

use super::Questions;
use crate::table::{Architecture, CellSpace};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// Cells grow: first all that have the space's first operation, `none`, on every edge but one, then, level by level, those
/// with another edge more. From the second level on a predictor, fitted to all answers so far, says which are worth asking
/// about. PNAS grows by blocks, its predictors are small networks; here it is by edges, and ridge regression on the
/// operations of every edge and of every pair of edges, which needs no chance.
///
/// 256 cells a level and 1,160 in all are the paper's (section 5.3: 136 + 4 · 256). Six edges make six levels, so that the
/// last one has what is left.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Predictor {
    /// Accuracies to ask for, at most: when the cells are whole, the search ends.
    pub questions: usize,
    /// Cells a level to ask about.
    pub beam: usize,
    /// The weight of the predictor's own squared weights beside the squared errors, in answers.
    pub ridge: f64,
}

impl Default for Predictor {
    fn default() -> Self {
        Predictor { questions: 1160, beam: 256, ridge: 1.0 }
    }
}

/// Whether an edge runs an operation, and whether a pair of edges runs a pair of them: what the predictor sees of a cell.
struct Features {
    operations: usize,
    edges: usize,
}

/// Linear in the features.
struct Fit {
    mean: f64,
    weights: Vec<f64>,
}

impl Features {
    fn of(space: &CellSpace) -> Self {
        Features { operations: space.operations(), edges: space.edges() }
    }

    fn count(&self) -> usize {
        let single = self.edges * self.operations;
        single + self.edges * (self.edges - 1) / 2 * self.operations * self.operations
    }

    /// The places of a cell's features, all of which are 1; the others are 0.
    fn places(&self, cell: &Architecture) -> Vec<usize> {
        let own: Vec<usize> = cell.0.iter().map(|&operation| usize::from(operation)).collect();
        let mut places: Vec<usize> =
            own.iter().enumerate().map(|(edge, operation)| edge * self.operations + operation).collect();
        let mut start = self.edges * self.operations;
        for second in 1..self.edges {
            for first in 0..second {
                places.push(start + own[first] * self.operations + own[second]);
                start += self.operations * self.operations;
            }
        }
        places
    }
}

impl Fit {
    /// Minimises Σ (mean + w·x − y)² + ridge · |w|².
    fn of(features: &Features, answers: &[(Architecture, f64)], ridge: f64) -> Fit {
        let mean = answers.iter().map(|(_, accuracy)| accuracy).sum::<f64>() / answers.len() as f64;
        let count = features.count();
        let mut matrix = vec![0.0; count * count];
        let mut right = vec![0.0; count];
        for (cell, accuracy) in answers {
            let places = features.places(cell);
            for &row in &places {
                right[row] += accuracy - mean;
                places.iter().for_each(|&column| matrix[row * count + column] += 1.0);
            }
        }
        (0..count).for_each(|at| matrix[at * count + at] += ridge);
        solve(&mut matrix, &mut right);
        Fit { mean, weights: right }
    }

    fn predict(&self, features: &Features, cell: &Architecture) -> f64 {
        self.mean + features.places(cell).into_iter().map(|place| self.weights[place]).sum::<f64>()
    }
}

/// Solves for a symmetric positive definite matrix, in place, by Cholesky's decomposition.
fn solve(matrix: &mut [f64], right: &mut [f64]) {
    let count = right.len();
    for row in 0..count {
        for column in 0..=row {
            let [own, other] = [row, column].map(|row| &matrix[row * count..][..column]);
            let dot: f64 = own.iter().zip(other).map(|(a, b)| a * b).sum();
            let rest = matrix[row * count + column] - dot;
            let divided = || rest / matrix[column * count + column];
            matrix[row * count + column] = if column < row { divided() } else { rest.sqrt() };
        }
    }
    for row in 0..count {
        let dot: f64 = (0..row).map(|column| matrix[row * count + column] * right[column]).sum();
        right[row] = (right[row] - dot) / matrix[row * count + row];
    }
    for row in (0..count).rev() {
        let dot: f64 = (row + 1..count).map(|below| matrix[below * count + row] * right[below]).sum();
        right[row] = (right[row] - dot) / matrix[row * count + row];
    }
}

/// Cells that run something else than the first operation on one edge more.
fn grown(cells: &[Architecture], space: &CellSpace) -> BTreeSet<Vec<u8>> {
    let mut grown = BTreeSet::new();
    for cell in cells {
        for edge in (0..space.edges()).filter(|&edge| cell.0[edge] == 0) {
            for operation in 1..space.operations() as u8 {
                let mut child = cell.0.clone();
                child[edge] = operation;
                grown.insert(child);
            }
        }
    }
    grown
}

impl Predictor {
    pub(super) fn run(&self, questions: &mut Questions<'_>) {
        let space = questions.space;
        let features = Features::of(space);
        let mut answers: Vec<(Architecture, f64)> = Vec::new();
        let mut beam = vec![space.architecture(0)];
        for level in 1..=space.edges() {
            let mut candidates: Vec<Architecture> = grown(&beam, space).into_iter().map(Architecture).collect();
            if level > 1 {
                let fit = Fit::of(&features, &answers, self.ridge);
                // Of equals, the first in the order of their operations.
                candidates.sort_by_cached_key(|cell| Descending(fit.predict(&features, cell)));
                candidates.truncate(self.beam);
            }
            for cell in &candidates {
                let Some(accuracy) = questions.ask(cell) else { return };
                answers.push((cell.clone(), accuracy));
            }
            beam = candidates;
        }
    }
}

/// A number in the order from the highest to the lowest.
#[derive(PartialEq)]
struct Descending(f64);

impl Eq for Descending {}

impl PartialOrd for Descending {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Descending {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        other.0.total_cmp(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::hill;
    use super::super::{Questions, Searcher};
    use super::*;
    use crate::table::VALIDATION;

    #[test]
    fn a_system_by_hand() {
        // [[4, 2], [2, 3]] x = [2, 5]: x = [−0.5, 2].
        let mut right = [2.0, 5.0];
        solve(&mut [4.0, 2.0, 2.0, 3.0], &mut right);
        assert!((right[0] + 0.5).abs() < 1e-12 && (right[1] - 2.0).abs() < 1e-12, "{right:?}");
    }

    #[test]
    fn what_pairs_of_edges_make_is_predicted() {
        // The hill, and a price on one pair of operations: linear in the features. Fitted to four fifths of the cells, the
        // others are predicted.
        let table = hill();
        let (space, column) = (table.space(), table.column(VALIDATION).unwrap());
        let accuracy = |number: usize| {
            let cell = space.architecture(number);
            column.value(number) - if (cell.0[1], cell.0[4]) == (2, 1) { 7.0 } else { 0.0 }
        };
        let features = Features::of(space);
        assert_eq!(features.count(), 6 * 3 + 15 * 9);
        let answers = (0..space.cells()).filter(|number| number % 5 > 0);
        let answers: Vec<_> = answers.map(|number| (space.architecture(number), accuracy(number))).collect();
        let fit = Fit::of(&features, &answers, 1e-6);
        for number in (0..space.cells()).step_by(5) {
            let predicted = fit.predict(&features, &space.architecture(number));
            assert!((predicted - accuracy(number)).abs() < 1e-3, "{number}: {predicted} {}", accuracy(number));
        }
    }

    #[test]
    fn cells_grow_edge_by_edge_and_the_beam_is_kept() {
        let table = hill();
        let column = table.column(VALIDATION).unwrap();
        let own = Predictor { questions: 1000, beam: 5, ridge: 1.0 };
        let mut questions =
            Questions { space: table.space(), accuracies: column, left: 1000, best: None, course: Vec::new() };
        own.run(&mut questions);
        // Six edges of two other operations, then five levels of five.
        assert_eq!(questions.course.len(), 12 + 5 * 5);
        let whole = Searcher::Predictor(Predictor { beam: 1000, ..own }).run(table.space(), column, 0);
        // Every cell but the one that has nothing on any edge.
        assert_eq!(whole.0.len(), 728);
    }
}
