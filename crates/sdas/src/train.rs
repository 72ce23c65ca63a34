//! Training a network: of a cell, or one that people made.

use crate::architecture::{Architecture, Model};
use crate::batch::{DeviceBatch, Tally, Unread, smoothed_cross_entropy};
use crate::draw;
use crate::network::{DropPath, Forward, NamedWeight, Noise, Pass};
use crate::optimizer::Sgd;
use crate::parameters::Parameters;
use crate::recipe::{Recipe, TrainSettings};
use crate::report::tensorboard::Recorder;
use crate::run::{
    Checkpoint, CheckpointError, Context, Ending, Estimate, Event, Folder, Phase, RunData, RunError, Sizes, StepSize,
    Work, extent, forget_peak_memory, load_data, loader, peak_memory,
};
use crate::search::WeightStep;
use crate::search::progress::{Clock, Progress};
use crate::weights::NamedTensors;
use burn::tensor::{Device, Tensor};
use sdas_data::random::stream;
use sdas_data::{Loader, Views, split};
use sdas_kernels::{Extent, WeightKind};
use std::ops::Range;
use std::path::Path;
use std::sync::atomic::Ordering;

/// Share of the way that running statistics go towards a batch's (PyTorch's momentum).
const STATISTICS_SHARE: f64 = 0.1;

/// A network with its numbers.
#[derive(Debug, Clone)]
pub(crate) struct TrainState {
    pub(crate) network: Model,
    pub(crate) weights: Parameters,
    pub(crate) statistics: Parameters,
    sgd: Sgd,
    average: Option<Average>,
}

/// A step that is on its way.
struct BegunStep {
    weights: Parameters,
    momentum: Parameters,
    statistics: Parameters,
    unread: Unread,
}

/// A moving average of weights and running statistics.
#[derive(Debug, Clone)]
struct Average {
    weights: Parameters,
    statistics: Parameters,
}

impl Average {
    /// After step `step` (from 0) of the weights the average keeps `kept` of itself, or (1 + step) / (10 + step) where that
    /// is less, so that it soon forgets where it began (as TensorFlow's with `num_updates`).
    fn follow(&mut self, weights: &Parameters, statistics: &Parameters, step: usize, kept: f64) {
        let share = 1.0 - kept.min((1 + step) as f64 / (10 + step) as f64);
        self.weights = self.weights.approach(weights, share);
        self.statistics = self.statistics.approach(statistics, share);
    }
}

/// Trains the network of `architecture` as `recipe` says, and writes everything into `folder`.
///
/// # Errors
///
/// See [`RunError`]; what was complete on disk stays valid.
pub fn train(
    mut recipe: Recipe,
    architecture: &Architecture,
    folder: &Path,
    mut context: Context<'_>,
) -> Result<Ending, RunError> {
    Folder::check_free(folder)?;
    let seed = recipe.train.seed;
    architecture.check_stem(&recipe)?;
    let data = load_data(&mut recipe, seed, context.observer)?;
    let loaders = Loaders::new(&recipe, &data)?;
    let extent = extent(&loaders.training);
    architecture.fit(&mut recipe, Sizes::of(&data), extent)?;
    let mut state = initial(&recipe, architecture, Sizes::of(&data), extent, &mut context)?;
    check_auxiliary(&state.network, extent)?;
    if let Some(path) = &recipe.train.initial {
        state.begin_with(path, Sizes::of(&data), &mut context)?;
    }
    // Last: a run that cannot begin leaves no folder.
    let drawing = architecture.genotype().map(|genotype| ("cell.svg", draw::cell_pair(genotype, &recipe.recipe)));
    let files: Vec<_> = std::iter::once(architecture.file(extent)).chain(drawing).collect();
    let folder = Folder::create(folder, &recipe, &files)?;
    let progress = Progress::begin(Phase::Train, &recipe, &data);
    Training::new(recipe, architecture.clone(), loaders, folder, state, progress, context)?.run()
}

/// Goes on with the training in `folder`, bit for bit as if it had never stopped.
///
/// # Errors
///
/// If there is no training to go on with; see [`RunError`].
pub fn resume(folder: &Path, mut context: Context<'_>) -> Result<Ending, RunError> {
    let (folder, last) = Folder::resume(folder, Phase::Train, context.observer)?;
    let mut recipe = folder.recipe()?;
    let (architecture, _) = Architecture::read(&folder)?;
    let progress = last.as_ref().map(|(path, checkpoint)| checkpoint.state::<Progress>(path)).transpose()?;
    progress.iter().try_for_each(|progress| progress.check_sizes(&recipe))?;
    let seed = recipe.train.seed;
    let data = load_data(&mut recipe, seed, context.observer)?;
    progress.iter().try_for_each(|progress| progress.check(&data))?;
    let loaders = Loaders::new(&recipe, &data)?;
    let (state, progress) = match last.zip(progress) {
        Some(((path, checkpoint), progress)) => {
            let (sizes, extent) = (Sizes::of(&data), extent(&loaders.training));
            check_room(&recipe, &architecture, sizes, extent, &mut context)?;
            let network = architecture.model(&recipe, sizes, extent)?;
            (TrainState::restore(network, &recipe.train, (&path, checkpoint), &context.device)?, progress)
        }
        None => {
            let state = initial(&recipe, &architecture, Sizes::of(&data), extent(&loaders.training), &mut context)?;
            (state, Progress::begin(Phase::Train, &recipe, &data))
        }
    };
    folder.cut("metrics.jsonl", progress.epoch)?;
    Training::new(recipe, architecture, loaders, folder, state, progress, context)?.run()
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
    Ok((TrainState::restore(network, &recipe.train, (&path, checkpoint), &context.device)?, classes))
}

/// The weights in a file, or those that another training has come to.
pub(crate) fn named_tensors(path: &Path, inputs: usize, context: &mut Context<'_>) -> Result<NamedTensors, RunError> {
    if !path.is_dir() {
        return Ok(NamedTensors::read(path)?);
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
    context: &mut Context<'_>,
) -> Result<(), RunError> {
    let TrainSettings { channels, cells, batch, parts, .. } = recipe.train;
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
    context: &mut Context<'_>,
) -> Result<TrainState, RunError> {
    check_room(recipe, architecture, sizes, extent, context)?;
    let network = architecture.model(recipe, sizes, extent)?;
    Ok(TrainState::new(network, &recipe.train, &context.device))
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

/// Where in a training a step is taken.
pub(crate) struct Position {
    pub(crate) epoch: usize,
    /// Steps since the start.
    pub(crate) step: usize,
    pub(crate) rate: f64,
}

impl TrainState {
    /// Weights, statistics and optimizer of a network at the start.
    pub(crate) fn new(network: Model, settings: &TrainSettings, device: &Device) -> Self {
        let weights = network.initial_weights(settings.seed, device);
        let statistics = network.initial_statistics(device);
        let average =
            (settings.average > 0.0).then(|| Average { weights: weights.clone(), statistics: statistics.clone() });
        let sgd = Sgd { undecayed: undecayed(&network, settings), ..Sgd::new(&weights) };
        TrainState { sgd, network, weights, statistics, average }
    }

    /// Begins with the weights of a file or of another training, and tells what of them is left to chance.
    fn begin_with(&mut self, path: &Path, sizes: Sizes, context: &mut Context<'_>) -> Result<(), RunError> {
        let tensors = named_tensors(path, sizes.inputs, context)?;
        let own = [&self.weights, &self.statistics];
        let loaded = tensors.into_numbers(self.network.names(), own, &context.device)?.for_training(sizes.classes)?;
        context.observer.notice(&Event::Loaded { path, taken: loaded.taken, differences: &loaded.differences });
        (self.weights, self.statistics) = (loaded.weights, loaded.statistics);
        if let Some(average) = &mut self.average {
            (average.weights, average.statistics) = (self.weights.clone(), self.statistics.clone());
        }
        Ok(())
    }

    /// Updates the weights by one step of SGD on `batch`; where loss or gradient is not finite, nothing changes.
    pub(crate) fn step(&mut self, batch: DeviceBatch, position: Position, settings: &TrainSettings) -> WeightStep {
        let step = self.begin_step(batch, &position, settings);
        self.end_step(step, &position, settings)
    }

    /// Begins such a step. On a graphics card that is all the host has to do, until the step is ended.
    fn begin_step(&self, batch: DeviceBatch, position: &Position, settings: &TrainSettings) -> BegunStep {
        let count = batch.host_labels.len();
        let (mut logits, mut statistics) = (Vec::new(), self.statistics.clone());
        let mut sum: Option<Parameters> = None;
        for (index, part) in batch.parts(settings.parts).into_iter().enumerate() {
            let share = part.host_labels.len() as f64 / count as f64;
            let (gradients, forward) = self.gradients(&part, index, position, settings);
            logits.push((forward.logits.inner(), part.host_labels));
            statistics = statistics.approach(&forward.statistics, STATISTICS_SHARE);
            sum = Some(match sum {
                // All of it in one part: not even a multiplication.
                None if share == 1.0 => gradients,
                None => gradients.map(|gradient| gradient * share),
                Some(sum) => sum.zip(&gradients, |sum, gradient| sum + gradient * share),
            });
        }
        let gradients = sum.expect("a batch has samples");
        let ahead = self.sgd.ahead(&self.weights, &gradients, position.rate, &settings.weights);
        BegunStep {
            unread: Unread::new(ahead.norm, logits),
            weights: ahead.weights,
            momentum: ahead.momentum,
            statistics,
        }
    }

    /// Waits for what a step came to, and takes it over.
    fn end_step(&mut self, step: BegunStep, position: &Position, settings: &TrainSettings) -> WeightStep {
        let (gradient_norm, tally) = step.unread.read();
        if tally.loss.is_finite() && gradient_norm.is_finite() {
            (self.weights, self.statistics, self.sgd.momentum) = (step.weights, step.statistics, step.momentum);
            if let Some(average) = &mut self.average {
                average.follow(&self.weights, &self.statistics, position.step, settings.average);
            }
        }
        WeightStep { tally, gradient_norm }
    }

    /// The loss's gradient on a part of a step's batch, and what the pass gave.
    fn gradients(
        &self,
        part: &DeviceBatch,
        index: usize,
        position: &Position,
        settings: &TrainSettings,
    ) -> (Parameters, Forward) {
        let at = [position.step as u64, index as u64];
        let drop = settings.drop_path * position.epoch as f64 / settings.epochs as f64;
        let tracked = self.weights.tracked();
        let pass = Pass {
            drop_path: (drop > 0.0).then(|| DropPath { rate: drop, stream: stream(settings.seed, "drop_path", at) }),
            dropout: self.network.dropout(settings.dropout, stream(settings.seed, "dropout", at)),
            noise: Noise::fixed(settings.seed).at(position.step, index),
            ..Pass::training(&tracked)
        };
        let forward = self.network.forward(pass, part.input.clone());
        let loss = |logits: Tensor<2>| smoothed_cross_entropy(logits, part.labels.clone(), settings.label_smoothing);
        let mut total = loss(forward.logits.clone());
        if let Some(logits) = forward.auxiliary.clone() {
            total = total + loss(logits) * settings.auxiliary;
        }
        (tracked.gradients(&mut total.backward()), forward)
    }

    /// What is measured, and what the training ends with: weights and running statistics.
    pub(crate) fn measured(&self) -> [&Parameters; 2] {
        match &self.average {
            Some(Average { weights, statistics }) => [weights, statistics],
            None => [&self.weights, &self.statistics],
        }
    }

    /// Those of a checkpoint.
    fn restore(
        network: Model,
        settings: &TrainSettings,
        (path, mut checkpoint): (&Path, Checkpoint),
        device: &Device,
    ) -> Result<Self, CheckpointError> {
        let counts = [network.weight_counts(), network.statistic_counts()];
        let mut take = |prefix: &str, counts: &[usize]| checkpoint.take(prefix, counts, path, device);
        let (momentum, weights) = (take("momentum", &counts[0])?, take("weights", &counts[0])?);
        let statistics = take("statistics", &counts[1])?;
        let average = match settings.average > 0.0 {
            true => Some(Average {
                weights: take("average.weights", &counts[0])?,
                statistics: take("average.statistics", &counts[1])?,
            }),
            false => None,
        };
        checkpoint.finish(path)?;
        let sgd = Sgd { momentum, undecayed: undecayed(&network, settings) };
        Ok(TrainState { network, weights, statistics, sgd, average })
    }

    /// Puts it into a checkpoint.
    fn save(&self, checkpoint: &mut Checkpoint) {
        checkpoint.put("weights", &self.weights);
        checkpoint.put("momentum", &self.sgd.momentum);
        checkpoint.put("statistics", &self.statistics);
        if let Some(average) = &self.average {
            checkpoint.put("average.weights", &average.weights);
            checkpoint.put("average.statistics", &average.statistics);
        }
    }
}

/// Where norms' numbers and biases lie, by slot, if these do not decay.
fn undecayed(network: &Model, settings: &TrainSettings) -> Vec<Vec<Range<usize>>> {
    let mut ranges = vec![Vec::new(); network.weight_counts().len()];
    if !settings.decay_norms {
        let is_exempt = |weight: &NamedWeight| matches!(weight.kind, WeightKind::Scale(_) | WeightKind::Shift(_));
        for weight in network.names().0.into_iter().filter(is_exempt) {
            ranges[weight.slot].push(weight.range);
        }
    }
    ranges
}

/// The training set as batches.
struct Loaders {
    training: Loader,
    /// What the recipe holds out of it.
    held_out: Option<Loader>,
}

impl Loaders {
    fn new(recipe: &Recipe, data: &RunData) -> Result<Self, RunError> {
        let settings = &recipe.train;
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
        let held_out = || loader(&data.train, &held, data.seen.evaluation(settings.batch, Views::default()));
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
        steps as f64 * self.clock.seconds_per_step
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
            if self.context.stop.load(Ordering::SeqCst) {
                return Ok(false);
            }
            let start = std::time::Instant::now();
            let position = Position { epoch, step: self.progress.step, rate };
            let begun = self.state.begin_step(batch?, &position, &settings);
            // Copied to the device while it works.
            moved = batches.next();
            let done = self.state.end_step(begun, &position, &settings);
            self.take(&done)?;
            self.clock.step(start.elapsed().as_secs_f64());
            if self.progress.step == 3 {
                let seconds_per_step = self.clock.seconds_per_step;
                let estimate = Estimate { seconds: self.seconds_left(), memory: peak_memory(), seconds_per_step };
                self.context.observer.notice(&Event::Estimate(estimate));
            }
            let report = self.progress.report(self.seconds_left());
            self.context.observer.notice(&Event::Step(report));
        }
        self.end_epoch(rate)
    }

    fn take(&mut self, done: &WeightStep) -> Result<(), RunError> {
        if !done.tally.loss.is_finite() || !done.gradient_norm.is_finite() {
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

    /// Measures the held-out samples and closes the epoch; false if stopped before, all its steps done.
    fn end_epoch(&mut self, rate: f64) -> Result<bool, RunError> {
        let mut validation = Tally::default();
        for batch in self.loaders.held_out.iter().flat_map(|loader| loader.epoch(0, 0)) {
            if self.context.stop.load(Ordering::SeqCst) {
                return Ok(false);
            }
            let batch = DeviceBatch::new(batch?, &self.context.device);
            let [weights, statistics] = self.state.measured();
            let pass = Pass::evaluation(weights, statistics);
            let logits = self.state.network.forward(pass, batch.input).logits;
            validation.add(Tally::of(logits, &batch.host_labels));
        }
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
        self.progress.times = self.clock.times();
        let mut checkpoint = Checkpoint::new(&self.progress);
        self.state.save(&mut checkpoint);
        let path = self.folder.save(self.progress.step, &checkpoint)?;
        self.context.observer.notice(&Event::Checkpoint(&path));
        Ok(())
    }
}

#[cfg(test)]
mod tests;
