//! Training a network: of a cell, or one that people made.

mod state;

pub(crate) use state::{Position, TrainState};

use crate::architecture::{Architecture, Model};
use crate::batch::{DeviceBatch, Tally, WeightStep};
use crate::draw;
use crate::export::WEIGHTS;
use crate::network::Pass;
use crate::recipe::{Recipe, TrainSettings};
use crate::report::tensorboard::Recorder;
use crate::run::{
    self, Checkpoint, Context, Ending, Estimate, Event, Folder, Phase, Ranks, RunData, RunError, Sizes, Standing,
    StepSize, Wait, Work, check_batch, check_norms, checksum, extent, forget_peak_memory, load_data, loader,
    peak_memory,
};
use crate::search::progress::{Clock, Progress};
use crate::weights::NamedTensors;
use sdas_data::{Loader, LoaderSettings, Views, split};
use sdas_kernels::Extent;
use std::path::Path;

/// Trains the network of `architecture` as `recipe` says, and writes everything into `folder`.
///
/// # Errors
///
/// See [`RunError`]; what was complete on disk stays valid.
pub fn train(
    recipe: Recipe,
    architecture: &Architecture,
    folder: &Path,
    context: Context<'_>,
) -> Result<Ending, RunError> {
    train_among(&Ranks::alone(), recipe, architecture, folder, context)
}

/// The same as one of several ranks, of which the first alone writes into `folder` and should be given someone to tell.
///
/// # Errors
///
/// See [`RunError`]; what was complete on disk stays valid.
pub fn train_among(
    ranks: &Ranks,
    mut recipe: Recipe,
    architecture: &Architecture,
    folder: &Path,
    mut context: Context<'_>,
) -> Result<Ending, RunError> {
    let seed = recipe.train.seed;
    let data = ranks.in_turn(|| {
        if ranks.is_first() {
            Folder::check_free(folder)?;
        }
        architecture.check_stem(&recipe)?;
        load_data(&mut recipe, seed, context.observer)
    })?;
    ranks.compare(&what_is_done(&recipe, architecture, &data))?;
    let training = ranks.all(Wait::Loading, || {
        let loaders = Loaders::new(&recipe, &data, ranks)?;
        let extent = extent(&loaders.training);
        architecture.fit(&mut recipe, Sizes::of(&data), extent)?;
        let mut state = initial(&recipe, architecture, Sizes::of(&data), extent, ranks, &mut context)?;
        check_auxiliary(&state.network, extent)?;
        if let Some(path) = &recipe.train.initial {
            state.begin_with(path, Sizes::of(&data), &mut context)?;
        }
        // Last: a run that cannot begin leaves no folder.
        let drawing = architecture.genotype().map(|genotype| ("cell.svg", draw::cell_pair(genotype, &recipe.recipe)));
        let files: Vec<_> = std::iter::once(architecture.file(extent)).chain(drawing).collect();
        let folder =
            if ranks.is_first() { Folder::create(folder, &recipe, &files)? } else { Folder::elsewhere(folder) };
        let progress = Progress::begin(Phase::Train, &recipe, &data);
        Training::new(recipe, architecture.clone(), loaders, folder, state, progress, context)
    })?;
    training.agree()?;
    training.run()
}

/// Trains the network of `architecture` as `recipe` says from wherever that stands in `folder`: begins, goes on, or takes what
/// is done.
///
/// # Errors
///
/// If there is a run of another recipe or another network; see [`RunError`].
pub fn complete(
    recipe: Recipe,
    architecture: &Architecture,
    folder: &Path,
    context: Context<'_>,
) -> Result<Ending, RunError> {
    complete_among(&Ranks::alone(), recipe, architecture, folder, context)
}

/// The same as one of several ranks, all of which look at the folder.
///
/// # Errors
///
/// If there is a run of another recipe or another network, or the ranks do not see the same; see [`RunError`].
pub fn complete_among(
    ranks: &Ranks,
    recipe: Recipe,
    architecture: &Architecture,
    folder: &Path,
    context: Context<'_>,
) -> Result<Ending, RunError> {
    let standing = run::standing(ranks, || {
        let standing = Folder::standing(folder, &recipe, Phase::Train)?;
        if !matches!(standing, Standing::Absent) {
            check_architecture(folder, architecture)?;
        }
        Ok(standing)
    })?;
    match standing {
        Standing::Absent => train_among(ranks, recipe, architecture, folder, context),
        Standing::Begun => resume_among(ranks, folder, context),
        Standing::Done(result) => Ok(Ending::Done(result)),
    }
}

/// Whether the training in `folder` is of this network.
fn check_architecture(folder: &Path, architecture: &Architecture) -> Result<(), RunError> {
    let [before, now] = [Architecture::read(&Folder::open(folder)?)?.0.text(), architecture.text()];
    match before == now {
        true => Ok(()),
        false => {
            let key = if architecture.genotype().is_some() { "genotype" } else { "network" };
            Err(RunError::OtherRecipe { path: folder.to_owned(), key: key.to_owned(), before, now })
        }
    }
}

/// Goes on with the training in `folder`, bit for bit as if it had never stopped.
///
/// # Errors
///
/// If there is no training to go on with; see [`RunError`].
pub fn resume(folder: &Path, context: Context<'_>) -> Result<Ending, RunError> {
    resume_among(&Ranks::alone(), folder, context)
}

/// The same as one of several ranks, however many it was before. All read the folder; the first alone writes into it.
///
/// # Errors
///
/// If there is no training to go on with; see [`RunError`].
pub fn resume_among(ranks: &Ranks, folder: &Path, mut context: Context<'_>) -> Result<Ending, RunError> {
    let (folder, last) = ranks.in_turn(|| Folder::resume_among(ranks, folder, Phase::Train, context.observer))?;
    let (recipe, architecture, progress, data) = ranks.in_turn(|| {
        let mut recipe = folder.recipe()?;
        let (architecture, _) = Architecture::read(&folder)?;
        let progress = last.as_ref().map(|(path, checkpoint)| checkpoint.state::<Progress>(path)).transpose()?;
        progress.iter().try_for_each(|progress| progress.check_sizes(&recipe))?;
        let seed = recipe.train.seed;
        let data = load_data(&mut recipe, seed, context.observer)?;
        progress.iter().try_for_each(|progress| progress.check(&data))?;
        Ok((recipe, architecture, progress, data))
    })?;
    ranks.compare(&what_is_done(&recipe, &architecture, &data))?;
    let training = ranks.all(Wait::Loading, || {
        let loaders = Loaders::new(&recipe, &data, ranks)?;
        let (sizes, extent) = (Sizes::of(&data), extent(&loaders.training));
        let (state, progress) = match last.zip(progress) {
            Some(((path, checkpoint), progress)) => {
                check_room(&recipe, &architecture, sizes, extent, ranks, &mut context)?;
                let network = architecture.model(&recipe, sizes, extent)?;
                check_norms(ranks, "train.sync_norm", recipe.train.sync_norm, &context.device)?;
                let state = TrainState::restore(network, &recipe.train, (&path, checkpoint), ranks, &context.device)?;
                (state, progress)
            }
            None => {
                let state = initial(&recipe, &architecture, sizes, extent, ranks, &mut context)?;
                (state, Progress::begin(Phase::Train, &recipe, &data))
            }
        };
        folder.cut("metrics.jsonl", progress.epoch)?;
        Training::new(recipe, architecture, loaders, folder, state, progress, context)
    })?;
    training.agree()?;
    training.run()
}

/// What a rank is about to do, by name.
fn what_is_done(recipe: &Recipe, architecture: &Architecture, data: &RunData) -> Vec<(String, String)> {
    let mut all = run::what_is_done(recipe, data);
    all.push(("the network".to_owned(), architecture.text()));
    all
}

/// The state of a training's newest checkpoint, for measuring it, and the classes that it knows.
pub(crate) fn load_state(
    recipe: &Recipe,
    inputs: usize,
    folder: &Folder,
    context: &mut Context<'_>,
) -> Result<(TrainState, Vec<String>), RunError> {
    let (architecture, extent) = Architecture::read(folder)?;
    let (path, checkpoint) = folder.last(context.observer)?.ok_or_else(|| folder.without_checkpoint())?;
    let progress: Progress = checkpoint.state(&path)?;
    progress.check_network(recipe)?;
    let classes = progress.data.classes;
    let sizes = Sizes { classes: classes.len(), inputs };
    let network = architecture.model(recipe, sizes, extent.unwrap_or_default())?;
    Ok((TrainState::restore(network, &recipe.train, (&path, checkpoint), &Ranks::alone(), &context.device)?, classes))
}

/// The weights in a file, in a folder for PyTorch, or those that another training has come to.
pub(crate) fn named_tensors(path: &Path, inputs: usize, context: &mut Context<'_>) -> Result<NamedTensors, RunError> {
    if !path.is_dir() {
        return Ok(NamedTensors::read(path)?);
    }
    let exported = path.join(WEIGHTS);
    if exported.is_file() && !path.join("config.toml").exists() {
        return Ok(NamedTensors::read(&exported)?);
    }
    let folder = Folder::open(path)?;
    if folder.phase()? != Phase::Train {
        let message = format!("{} is the folder of a search; weights are taken from trainings", path.display());
        return Err(RunError::Setting { key: "weights", message });
    }
    let (other, classes) = load_state(&folder.recipe()?, inputs, &folder, context)?;
    Ok(NamedTensors::of(path, classes, other.network.names(), other.measured()))
}

/// Says that the machine can have the memory for a step on samples of size `extent`, and what a graphics card needs.
fn check_room(
    recipe: &Recipe,
    architecture: &Architecture,
    sizes: Sizes,
    extent: Extent,
    ranks: &Ranks,
    context: &mut Context<'_>,
) -> Result<(), RunError> {
    let TrainSettings { channels, cells, batch, parts, .. } = recipe.train;
    let batch = batch.div_ceil(ranks.count());
    let keys = ["train.channels", "train.cells", "train.batch", "data.clip.frames", "data.size"];
    let size =
        StepSize { work: Work::training(architecture), keys, channels, cells, batch: batch.div_ceil(parts), extent };
    let room = size.check(&context.device, |channels, cells, extent| {
        architecture.counts(recipe, sizes, (channels, cells), extent)
    })?;
    if let Some(room) = room {
        context.observer.notice(&Event::Room(room));
    }
    Ok(())
}

/// The state at the beginning, for samples of size `extent`, if the machine can have the memory for it.
fn initial(
    recipe: &Recipe,
    architecture: &Architecture,
    sizes: Sizes,
    extent: Extent,
    ranks: &Ranks,
    context: &mut Context<'_>,
) -> Result<TrainState, RunError> {
    check_room(recipe, architecture, sizes, extent, ranks, context)?;
    let network = architecture.model(recipe, sizes, extent)?;
    check_norms(ranks, "train.sync_norm", recipe.train.sync_norm, &context.device)?;
    let mut state = TrainState::new(network, &recipe.train, &context.device);
    state.ranks = ranks.clone().with_sync_norm(recipe.train.sync_norm);
    Ok(state)
}

/// Whether the auxiliary head, if there is one, has anything left to look at.
fn check_auxiliary(network: &Model, extent: [usize; 3]) -> Result<(), RunError> {
    let Model::Cells(network) = network else { return Ok(()) };
    let Some(head) = &network.auxiliary else { return Ok(()) };
    if head.pooled(network.cell_extent(head.after, extent)).is_some() {
        return Ok(());
    }
    let [_, height, width] = extent;
    let message = format!("samples of {height}×{width} pixels are too small for the auxiliary head; set it to 0");
    Err(RunError::Setting { key: "train.auxiliary", message })
}

/// The training set as batches.
struct Loaders {
    training: Loader,
    /// What the recipe holds out of it.
    held_out: Option<Loader>,
}

impl Loaders {
    fn new(recipe: &Recipe, data: &RunData, ranks: &Ranks) -> Result<Self, RunError> {
        let (settings, share) = (&recipe.train, ranks.share());
        check_batch(ranks, "train.batch", settings.batch)?;
        let count = (settings.holdout * data.indices.len() as f64).round() as usize;
        let held = split::held_out(&data.indices, data.train.labels(), data.train.sources(), count, settings.seed);
        let mut used = data.indices.clone();
        used.retain(|index| held.binary_search(index).is_err());
        if used.len() < settings.batch {
            let message = format!("is {}, but there are {} training samples", settings.batch, used.len());
            return Err(RunError::Setting { key: "train.batch", message });
        }
        let change = (&settings.cropping, settings.augment);
        let training = data.seen.training("train", settings.seed, settings.batch, change);
        let training = LoaderSettings { share, ..training };
        let evaluation = LoaderSettings { share, ..data.seen.evaluation(settings.batch, Views::default()) };
        let held_out = || loader(&data.train, &held, evaluation);
        Ok(Loaders {
            training: loader(&data.train, &used, training)?,
            held_out: if held.is_empty() { None } else { Some(held_out()?) },
        })
    }
}

struct Training<'a> {
    recipe: Recipe,
    architecture: Architecture,
    folder: Folder,
    state: TrainState,
    progress: Progress,
    context: Context<'a>,
    loaders: Loaders,
    clock: Clock,
    /// Where the recipe wants it.
    recorder: Option<Recorder>,
}

impl<'a> Training<'a> {
    fn new(
        recipe: Recipe,
        architecture: Architecture,
        loaders: Loaders,
        folder: Folder,
        state: TrainState,
        progress: Progress,
        context: Context<'a>,
    ) -> Result<Self, RunError> {
        let (clock, recorder) = (Clock::new(progress.times), Recorder::of(&recipe, &folder)?);
        forget_peak_memory();
        Ok(Training { recipe, architecture, folder, state, progress, context, loaders, clock, recorder })
    }

    fn run(mut self) -> Result<Ending, RunError> {
        let epochs = self.recipe.train.epochs;
        let counts = self.state.network.counts(extent(&self.loaders.training));
        self.context.observer.notice(&Event::Started {
            phase: Phase::Train,
            folder: self.folder.path(),
            epoch: self.progress.epoch,
            step: self.progress.step_in_epoch,
            decided: None,
            decisions: 0,
            epochs,
            steps: self.loaders.training.batches(),
            parameters: counts.parameters,
            multiply_adds: counts.multiply_adds,
        });
        while self.progress.epoch < epochs {
            if !self.epoch()? {
                self.checkpoint()?;
                return Ok(Ending::Interrupted);
            }
        }
        let result = self.progress.result(Phase::Train, &self.architecture, counts, self.clock.times().run);
        let text = serde_json::to_string_pretty(&result).expect("a result is JSON");
        self.folder.write("result.json", text.as_bytes())?;
        self.record()?;
        Ok(Ending::Done(Box::new(result)))
    }

    fn seconds_left(&self) -> f64 {
        let steps = self.loaders.training.batches() * self.recipe.train.epochs - self.progress.step;
        steps as f64 * self.clock.seconds_per_step()
    }

    /// Runs to the end of the current epoch; false if stopped before.
    fn epoch(&mut self) -> Result<bool, RunError> {
        let (epoch, settings) = (self.progress.epoch, self.recipe.train.clone());
        let rate = settings.weights.rate_at(epoch, settings.epochs);
        let device = self.context.device.clone();
        let batches = self.loaders.training.epoch(epoch as u64, self.progress.step_in_epoch);
        let mut batches = batches.map(|batch| batch.map(|batch| DeviceBatch::new(batch, &device)));
        let mut moved = batches.next();
        while let Some(batch) = moved {
            if self.state.ranks.stops(self.context.stop) {
                return Ok(false);
            }
            let start = std::time::Instant::now();
            let position = Position { epoch, step: self.progress.step, rate };
            let begun = self.state.begin_step(batch?, &position, &settings);
            self.state.ranks.check()?;
            // Copied to the device while it works.
            moved = batches.next();
            let done = self.state.end_step(begun, &position, &settings);
            self.take(&done)?;
            self.clock.step(start.elapsed().as_secs_f64());
            if self.progress.step == 3 {
                let seconds_per_step = self.clock.seconds_per_step();
                let estimate = Estimate { seconds: self.seconds_left(), memory: peak_memory(), seconds_per_step };
                self.context.observer.notice(&Event::Estimate(estimate));
            }
            let report = self.progress.report(self.seconds_left());
            self.context.observer.notice(&Event::Step(report));
            if self.clock.is_checkpoint_due(self.recipe.run.checkpoint_minutes) {
                self.checkpoint()?;
            }
        }
        self.end_epoch(rate)
    }

    fn take(&mut self, done: &WeightStep) -> Result<(), RunError> {
        if !done.is_finite() {
            return Err(RunError::NotFinite {
                what: "the training loss or its gradient",
                epoch: self.progress.epoch + 1,
                step: self.progress.step,
                key: "train.weights.rate",
            });
        }
        self.progress.add(done);
        Ok(())
    }

    /// Sees to it that all ranks have come to the same, where rounding on other processors could lead them apart.
    fn agree(&self) -> Result<(), RunError> {
        let ranks = &self.state.ranks;
        if ranks.is_alone() {
            return Ok(());
        }
        let numbers = self.state.weights.to_host().into_iter().flatten().flatten();
        let words = numbers.map(|number| u64::from(number.to_bits())).chain([self.progress.step as u64]);
        let what = format!("the checksum of the weights after step {}", self.progress.step);
        Ok(ranks.compare(&[(what, format!("{:016x}", checksum(words)))])?)
    }

    /// Measures the held-out samples and closes the epoch; false if stopped before, all its steps done.
    fn end_epoch(&mut self, rate: f64) -> Result<bool, RunError> {
        let mut validation = Tally::default();
        for batch in self.loaders.held_out.iter().flat_map(|loader| loader.epoch(0, 0)) {
            if self.state.ranks.stops(self.context.stop) {
                return Ok(false);
            }
            let batch = batch?;
            // Of a small last batch, not everyone has a part.
            if batch.labels.is_empty() {
                continue;
            }
            let batch = DeviceBatch::new(batch, &self.context.device);
            let [weights, statistics] = self.state.measured();
            let pass = Pass::evaluation(weights, statistics);
            let logits = self.state.network.forward(pass, batch.input).logits;
            validation.add(Tally::of(logits, &batch.host_labels));
        }
        self.state.ranks.sum_tally(&mut validation);
        self.state.ranks.check()?;
        if self.state.ranks.stops(self.context.stop) && !self.state.ranks.is_alone() {
            return Ok(false);
        }
        self.agree()?;
        let counts = self.state.network.counts(extent(&self.loaders.training));
        let record = self.progress.record(
            rate,
            self.loaders.held_out.is_some().then_some(validation),
            self.clock.end_epoch(),
            (counts.parameters, counts.multiply_adds),
        );
        self.folder.append("metrics.jsonl", &record)?;
        self.progress.end_epoch(record.clone());
        self.checkpoint()?;
        self.record()?;
        self.context.observer.notice(&Event::Epoch(&record));
        Ok(true)
    }

    /// Writes for TensorBoard what is new.
    fn record(&mut self) -> Result<(), RunError> {
        self.recorder.as_mut().map_or(Ok(()), |recorder| recorder.follow(&self.folder))
    }

    fn checkpoint(&mut self) -> Result<(), RunError> {
        if self.folder.is_elsewhere() {
            return Ok(());
        }
        self.progress.times = self.clock.times();
        let mut checkpoint = Checkpoint::new(&self.progress);
        self.state.save(&mut checkpoint);
        let path = self.folder.save(self.progress.step, &checkpoint)?;
        self.clock.checkpoint();
        self.context.observer.notice(&Event::Checkpoint(&path));
        Ok(())
    }
}

#[cfg(test)]
mod tests;
