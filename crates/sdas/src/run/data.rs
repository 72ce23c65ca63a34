//! The samples of a run: pictures or clips.

use super::{Event, Observer, RunError, checksum};
use crate::recipe::Recipe;
use sdas_data::{
    Augmentation, Building, ClipSettings, Cropping, Dataset, Loader, LoaderSettings, Statistics, Views, load, split,
};
use serde::{Deserialize, Serialize};
use std::sync::{Mutex, PoisonError};

/// The most threads that decode for one loader, each of which holds two batches.
const MOST_DECODERS: usize = 8;

/// Loaded samples, and which of them a run uses.
#[derive(Debug, Clone)]
pub struct RunData {
    /// To train on.
    pub train: Dataset,
    /// To test on; never looked at before the end.
    pub test: Dataset,
    /// What the data set calls the latter.
    pub test_name: String,
    /// Those to train on that the recipe's limit leaves, by index.
    pub indices: Vec<usize>,
    /// What the network sees of a sample.
    pub seen: Seen,
}

/// What a network sees of a sample.
#[derive(Debug, Clone)]
pub struct Seen {
    /// Which frames, and how large.
    pub clip: ClipSettings,
    /// What pixels are normalised by.
    pub statistics: Statistics,
}

impl Seen {
    /// What a recipe, whose statistics are known, says.
    pub fn of(recipe: &Recipe) -> Option<Seen> {
        Some(Seen { clip: recipe.data.clip, statistics: recipe.data.statistics()? })
    }

    /// Channels of the network's input, for samples of so many.
    pub fn channels(&self, of_samples: usize) -> usize {
        of_samples * self.clip.stack
    }

    /// Batches to train on.
    pub(crate) fn training(
        &self,
        name: &str,
        seed: u64,
        batch: usize,
        (cropping, augmentation): (&Cropping, Augmentation),
    ) -> LoaderSettings {
        let settings = LoaderSettings::training(name, seed, batch, self.statistics.clone(), augmentation);
        LoaderSettings { clip: self.clip, cropping: cropping.clone(), ..settings }
    }

    /// Every sample once, or several views of each.
    pub(crate) fn evaluation(&self, batch: usize, views: Views) -> LoaderSettings {
        let settings = LoaderSettings::evaluation(batch, self.statistics.clone());
        LoaderSettings { clip: self.clip, views: Some(views), ..settings }
    }
}

/// Whether the data has the classes that a run knows.
pub(crate) fn check_classes(before: &[String], now: &[String]) -> Result<(), RunError> {
    if before == now {
        return Ok(());
    }
    Err(RunError::OtherClasses { before: before.join(", "), now: now.join(", ") })
}

/// Frames, height and width of what a loader delivers.
pub(crate) fn extent(loader: &Loader) -> [usize; 3] {
    let [frames, height, width, _] = loader.shape();
    [frames, height, width]
}

/// A loader, once its settings are known to be possible. What is decoded while it is used is decoded on several threads.
pub(crate) fn loader(dataset: &Dataset, indices: &[usize], settings: LoaderSettings) -> Result<Loader, RunError> {
    settings.shape(dataset)?;
    let threads = match dataset.is_undecoded() {
        true => std::thread::available_parallelism().map_or(1, |cores| cores.get().min(MOST_DECODERS)),
        false => settings.threads,
    };
    let settings = LoaderSettings { threads, ..settings };
    Ok(Loader::new(dataset, indices, settings))
}

/// Sizes of a network that the data decide.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sizes {
    /// Number of classes.
    pub(crate) classes: usize,
    /// Channels of its input.
    pub(crate) inputs: usize,
}

impl Sizes {
    pub(crate) fn of(data: &RunData) -> Self {
        Sizes { classes: data.train.classes().len(), inputs: data.seen.channels(data.train.channels()) }
    }
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
        let words = self.indices.iter().flat_map(|&index| [index as u64, u64::from(self.train.labels()[index])]);
        DataIdentity { classes: self.train.classes().to_vec(), pictures: checksum(words) }
    }
}

/// Loads the recipe's samples; a mean and deviation that were measured are written into the recipe.
///
/// # Errors
///
/// Whatever is missing or broken in the data.
pub fn load_data(recipe: &mut Recipe, seed: u64, observer: &mut dyn Observer) -> Result<RunData, RunError> {
    // The run's folder may be used from elsewhere.
    recipe.make_paths_absolute();
    let told = Mutex::new(observer);
    let progress = |building: &Building| {
        told.lock().unwrap_or_else(PoisonError::into_inner).notice(&Event::Loading(building));
    };
    let splits = load(&recipe.data.source(), &progress)?;
    let observer = told.into_inner().unwrap_or_else(PoisonError::into_inner);
    splits.remarks.all().for_each(|remark| observer.notice(&Event::Remark(&remark)));
    if let [only] = splits.train.classes() {
        return Err(RunError::OneClass { class: only.clone() });
    }
    let indices = match recipe.data.limit {
        Some(limit) => split::subset(splits.train.labels(), limit, seed),
        None => (0..splits.train.len()).collect(),
    };
    let statistics = recipe.data.statistics().unwrap_or_else(|| splits.train.statistics(&indices));
    if statistics.mean.len() != splits.train.channels() {
        return Err(RunError::Setting {
            key: "data.mean",
            message: format!(
                "has {} numbers, but samples have {} channels",
                statistics.mean.len(),
                splits.train.channels()
            ),
        });
    }
    recipe.data.measured |= recipe.data.statistics().is_none();
    recipe.data.mean.clone_from(&statistics.mean);
    recipe.data.std.clone_from(&statistics.std);
    let seen = Seen { clip: recipe.data.clip, statistics };
    Ok(RunData { train: splits.train, test: splits.test, test_name: splits.test_name, indices, seen })
}
