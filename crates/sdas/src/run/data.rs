//! The pictures of a run.

use super::RunError;
use crate::recipe::Recipe;
use sdas_data::{Dataset, Statistics, load, split};
use serde::{Deserialize, Serialize};

/// Loaded pictures, and which of them a run uses.
#[derive(Debug, Clone)]
pub struct RunData {
    /// Pictures to train on.
    pub train: Dataset,
    /// Pictures to test on; never looked at before the end.
    pub test: Dataset,
    /// What the data set calls the latter.
    pub test_name: String,
    /// The training pictures that the recipe's limit leaves, by index.
    pub indices: Vec<usize>,
    /// What pictures are normalised by.
    pub statistics: Statistics,
}

/// What a checkpoint has to know of the pictures that it was made with.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DataIdentity {
    pub(crate) classes: Vec<String>,
    /// The classes of the training pictures that are used, and which those are, as a hash.
    pub(crate) pictures: u64,
}

impl RunData {
    pub(crate) fn identity(&self) -> DataIdentity {
        // FNV-1a: the same on every machine, which the standard library's hashes do not promise.
        let words = self.indices.iter().flat_map(|&index| [index as u64, u64::from(self.train.labels()[index])]);
        let pictures =
            words.fold(0xcbf2_9ce4_8422_2325, |hash: u64, word| (hash ^ word).wrapping_mul(0x0100_0000_01b3));
        DataIdentity { classes: self.train.classes().to_vec(), pictures }
    }
}

/// Loads the recipe's pictures; a mean and deviation that were measured are written into the recipe.
///
/// # Errors
///
/// Whatever is missing or broken in the data.
pub fn load_data(recipe: &mut Recipe, seed: u64) -> Result<RunData, RunError> {
    if let Some(path) = &mut recipe.data.path {
        // The run's folder may be used from elsewhere.
        *path = std::path::absolute(&*path).unwrap_or_else(|_| path.clone());
    }
    let splits = load(&recipe.data.source(), &|_, _| {})?;
    let indices = match recipe.data.limit {
        Some(limit) => split::subset(splits.train.labels(), limit, seed),
        None => (0..splits.train.len()).collect(),
    };
    let statistics = recipe.data.statistics().unwrap_or_else(|| splits.train.statistics(&indices));
    if statistics.mean.len() != splits.train.channels() {
        return Err(RunError::Setting {
            key: "data.mean",
            message: format!(
                "has {} numbers, but pictures have {} channels",
                statistics.mean.len(),
                splits.train.channels()
            ),
        });
    }
    recipe.data.measured |= recipe.data.statistics().is_none();
    recipe.data.mean.clone_from(&statistics.mean);
    recipe.data.std.clone_from(&statistics.std);
    Ok(RunData { train: splits.train, test: splits.test, test_name: splits.test_name, indices, statistics })
}
