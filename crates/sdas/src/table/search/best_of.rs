//! Random search: cells drawn by chance, of which the best is kept (Bergstra, Bengio, 2012).

use super::Questions;
use rand::Rng;
use sdas_data::random::stream;
use serde::{Deserialize, Serialize};

/// Random search.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BestOf {
    /// Accuracies to ask for. No paper sets them: as many as evolution's by default. No cell is asked about twice, so that
    /// there are at most as many as there are cells.
    pub questions: usize,
}

impl Default for BestOf {
    fn default() -> Self {
        BestOf { questions: super::Evolution::default().questions }
    }
}

impl BestOf {
    pub(super) fn run(&self, questions: &mut Questions<'_>, seed: u64) {
        let mut stream = stream(seed, "table/best_of", [0, 0]);
        let mut cells: Vec<usize> = (0..questions.space.cells()).collect();
        // Fisher, Yates, as far as it is needed.
        for place in 0..cells.len() {
            let other = stream.random_range(place..cells.len());
            cells.swap(place, other);
            if questions.ask(&questions.space.architecture(cells[place])).is_none() {
                return;
            }
        }
    }
}
