//! Regularised, or aging, evolution (Real, Aggarwal, Huang, Le, AAAI 2019, algorithm 1).

use super::{Questions, drawn};
use crate::table::{Architecture, CellSpace};
use rand::Rng;
use sdas_data::random::{Stream, stream};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// Regularised evolution: the best of a sample has a child, which differs from it in one edge's operation, and the oldest of
/// the population dies.
///
/// The paper has 100 individuals, samples 25 and trains 20,000, more than NAS-Bench-201 has cells. The defaults are those
/// that this benchmark's authors ran it with (Dong, Yang, ICLR 2020; `R-EA.sh` of their code): a population of 10, samples of
/// 3, 100 children.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Evolution {
    /// Accuracies to ask for, the first population's among them.
    pub questions: usize,
    /// Individuals alive.
    pub population: usize,
    /// Individuals drawn, one after another from all, of which the best has a child.
    pub sample: usize,
}

impl Default for Evolution {
    fn default() -> Self {
        Evolution { questions: 110, population: 10, sample: 3 }
    }
}

/// Those alive, the oldest in front.
struct Population {
    alive: VecDeque<(Architecture, f64)>,
    size: usize,
}

impl Population {
    /// Takes in the youngest; where there is no room, the oldest goes, however good it is.
    fn take(&mut self, cell: Architecture, accuracy: f64) {
        self.alive.push_back((cell, accuracy));
        if self.alive.len() > self.size {
            self.alive.pop_front();
        }
    }

    /// The best of so many, each drawn from all.
    fn parent(&self, sample: usize, stream: &mut Stream) -> &Architecture {
        let drawn = (0..sample).map(|_| &self.alive[stream.random_range(0..self.alive.len())]);
        let (cell, _) = drawn.max_by(|a, b| a.1.total_cmp(&b.1)).expect("a sample has at least one");
        cell
    }
}

/// The cell with another operation on one edge, both drawn uniformly.
fn mutated(cell: &Architecture, space: &CellSpace, stream: &mut Stream) -> Architecture {
    let mut child = cell.clone();
    let operation = &mut child.0[stream.random_range(0..space.edges())];
    let other = stream.random_range(0..space.operations() as u8 - 1);
    *operation = if other < *operation { other } else { other + 1 };
    child
}

impl Evolution {
    pub(super) fn run(&self, questions: &mut Questions<'_>, seed: u64) {
        let mut stream = stream(seed, "table/evolution", [0, 0]);
        let mut population = Population { alive: VecDeque::new(), size: self.population };
        let space = questions.space;
        loop {
            let cell = match population.alive.len() < self.population {
                true => drawn(space, &mut stream),
                false => mutated(population.parent(self.sample, &mut stream), space, &mut stream),
            };
            let Some(accuracy) = questions.ask(&cell) else { return };
            population.take(cell, accuracy);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_dies_even_if_it_is_the_best() {
        let mut population = Population { alive: VecDeque::new(), size: 3 };
        for (operation, accuracy) in [(0, 99.0), (1, 1.0), (2, 2.0), (3, 3.0)] {
            population.take(Architecture(vec![operation]), accuracy);
        }
        let alive: Vec<u8> = population.alive.iter().map(|(cell, _)| cell.0[0]).collect();
        assert_eq!(alive, [1, 2, 3]);
        // A sample as large as can be finds the best of those alive.
        assert_eq!(population.parent(200, &mut stream(1, "test", [0, 0])).0, [3]);
    }

    #[test]
    fn a_child_differs_in_one_edge_and_every_child_is_possible() {
        let space = CellSpace::new(&["none", "a", "b", "c"], 3);
        let parent = Architecture(vec![0, 2, 3]);
        let mut stream = stream(5, "test", [0, 0]);
        let mut count = std::collections::HashMap::new();
        for _ in 0..9000 {
            let child = mutated(&parent, &space, &mut stream);
            assert_eq!(child.0.iter().zip(&parent.0).filter(|(own, other)| own != other).count(), 1);
            *count.entry(child).or_insert(0) += 1;
        }
        // Three edges, three other operations each: 1000 expected, deviation 30.
        assert_eq!(count.len(), 9);
        assert!(count.values().all(|count| (850..1150).contains(count)), "{count:?}");
    }
}
