//! The pictures of a run.

use super::RunError;
use crate::recipe::Recipe;
use sdas_data::{Dataset, Statistics, load, split};

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

/// Loads the recipe's pictures; a mean and deviation that were measured are written into the recipe.
///
/// # Errors
///
/// Whatever is missing or broken in the data.
pub fn load_data(recipe: &mut Recipe, seed: u64) -> Result<RunData, RunError> {
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
    recipe.data.mean.clone_from(&statistics.mean);
    recipe.data.std.clone_from(&statistics.std);
    Ok(RunData { train: splits.train, test: splits.test, test_name: splits.test_name, indices, statistics })
}
