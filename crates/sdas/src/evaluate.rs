//! Evaluating a run's final network on the test set.

use crate::batch::{DeviceBatch, Tally};
use crate::network::Pass;
use crate::run::{Context, Folder, Phase, RunError, load_data};
use crate::{search, train};
use sdas_data::{Loader, LoaderSettings};
use serde::Serialize;
use std::path::{Path, PathBuf};

/// Measured on the test set.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Evaluation {
    /// What the data set calls it.
    pub split: String,
    /// Pictures.
    pub count: usize,
    /// Share whose best class is right.
    pub top1: f64,
    /// Share whose class is among the best five.
    pub top5: f64,
    /// Mean cross-entropy in nats.
    pub loss: f64,
    /// Each class.
    pub classes: Vec<ClassAccuracy>,
}

/// One class of the test set.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ClassAccuracy {
    /// Its name.
    pub name: String,
    /// Pictures.
    pub count: usize,
    /// Share whose best class is right.
    pub accuracy: f64,
}

/// Evaluates the network of the run in `folder`, by its newest checkpoint; `data` replaces the recipe's data folder.
///
/// # Errors
///
/// If there is no run, or its data cannot be loaded.
pub fn evaluate(folder: &Path, data: Option<PathBuf>, context: Context<'_>) -> Result<Evaluation, RunError> {
    let folder = Folder::open(folder)?;
    let mut recipe = folder.recipe()?;
    if data.is_some() {
        recipe.data.path = data;
    }
    let phase = folder.phase()?;
    let (seed, batch) = match phase {
        Phase::Search => (recipe.search.seed, recipe.search.batch),
        Phase::Train => (recipe.train.seed, recipe.train.batch),
    };
    let data = load_data(&mut recipe, seed)?;
    let run: Box<dyn Fn(DeviceBatch) -> burn::tensor::Tensor<2>> = match phase {
        Phase::Search => {
            let state = search::load_state(&recipe, &data, &folder, &context)?;
            Box::new(move |batch| state.evaluate(batch.input))
        }
        Phase::Train => {
            let state = train::load_state(&recipe, &data, &folder, &context)?;
            Box::new(move |batch| {
                let pass = Pass::evaluation(&state.weights, &state.statistics);
                state.network.forward(pass, batch.input).logits
            })
        }
    };
    let indices: Vec<usize> = (0..data.test.len()).collect();
    let loader = Loader::new(&data.test, &indices, LoaderSettings::evaluation(batch, data.statistics.clone()));
    let names = data.test.classes();
    let mut tallies = vec![Tally::default(); names.len()];
    for batch in loader.epoch(0, 0) {
        let batch = DeviceBatch::new(batch, &context.device);
        let labels = batch.host_labels.clone();
        let logits: Vec<f32> = run(batch).into_data().convert::<f32>().iter::<f32>().collect();
        for (row, label) in logits.chunks_exact(names.len()).zip(labels) {
            tallies[label].add_sample(row, label);
        }
    }
    let mut all = Tally::default();
    for tally in &tallies {
        all.add(*tally);
    }
    Ok(Evaluation {
        split: data.test_name,
        count: all.count,
        top1: all.accuracy(),
        top5: all.top5_accuracy(),
        loss: all.mean_loss(),
        classes: names
            .iter()
            .zip(&tallies)
            .map(|(name, tally)| ClassAccuracy { name: name.clone(), count: tally.count, accuracy: tally.accuracy() })
            .collect(),
    })
}
