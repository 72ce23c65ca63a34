//! What a search sees: the halves of the training set as batches.

use crate::recipe::Recipe;
use crate::run::{Ranks, RunData, RunError, check_batch, extent, loader};
use crate::schedule::Measure;
use sdas_data::{Augmentation, Cropping, Loader, LoaderSettings, Views, split};

/// The halves of the training set as batches.
pub(super) struct Loaders {
    /// The first half: what the weights learn from.
    pub(super) training: Loader,
    /// The second half: what α learns from.
    pub(super) validation: Loader,
    /// The second half again, as it is.
    pub(super) evaluation: Loader,
    /// A batch of it to measure the curvature on, where that is asked for.
    pub(super) curvature: Option<Loader>,
}

impl Loaders {
    pub(super) fn new(recipe: &Recipe, data: &RunData, ranks: &Ranks) -> Result<Self, RunError> {
        let settings = &recipe.search;
        let [first, second] = split::halves_of(&data.indices, data.train.labels(), data.train.sources(), settings.seed);
        check_batch(ranks, "search.batch", settings.batch.min(second.len()))?;
        let share = ranks.share();
        if first.len() < settings.batch || second.is_empty() {
            let message = format!("is {}, but half of the training set has {} samples", settings.batch, first.len());
            return Err(RunError::Setting { key: "search.batch", message });
        }
        let batches = |name: &str, indices: &[usize], batches: Option<usize>| {
            let change = (&settings.cropping, settings.augment);
            let training = data.seen.training(name, settings.seed, settings.batch, change);
            loader(&data.train, indices, LoaderSettings { batches, share, ..training })
        };
        let training = batches("train", &first, None)?;
        let validation = batches("alpha", &second, Some(training.batches()))?;
        let evaluation = LoaderSettings { share, ..data.seen.evaluation(settings.batch, Views::default()) };
        let curvature = || {
            let change = (&Cropping::default(), Augmentation::default());
            let one = data.seen.training("curvature", settings.seed, settings.batch, change);
            loader(&data.train, &second, LoaderSettings { batches: Some(1), share, ..one })
        };
        Ok(Loaders {
            training,
            validation,
            evaluation: loader(&data.train, &second, evaluation)?,
            curvature: matches!(settings.collapse.by, Measure::Curvature { .. }).then(curvature).transpose()?,
        })
    }

    /// Size of a sample.
    pub(super) fn extent(&self) -> [usize; 3] {
        extent(&self.training)
    }
}
