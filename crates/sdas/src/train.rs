//! Training a derived network.

use crate::batch::{DeviceBatch, Tally, cross_entropy};
use crate::draw;
use crate::genotype::Genotype;
use crate::network::{Counts, DropPath, Dropout, Network, NetworkShape, Noise, Pass};
use crate::optimizer::Sgd;
use crate::parameters::Parameters;
use crate::recipe::{Recipe, TrainSettings};
use crate::run::{
    Checkpoint, CheckpointError, Context, Ending, Estimate, Event, Folder, Phase, RunData, RunError, Sizes, StepSize,
    extent, forget_peak_memory, load_data, loader, peak_memory,
};
use crate::search::WeightStep;
use crate::search::progress::{Clock, Progress};
use burn::tensor::Device;
use sdas_data::random::stream;
use sdas_data::{Loader, Views, split};
use sdas_kernels::Extent;
use std::path::Path;
use std::sync::atomic::Ordering;

/// Share of the way that running statistics go towards a batch's (PyTorch's momentum).
const STATISTICS_SHARE: f64 = 0.1;

/// A derived network with its numbers.
#[derive(Debug, Clone)]
pub(crate) struct TrainState {
    pub(crate) network: Network,
    pub(crate) weights: Parameters,
    pub(crate) statistics: Parameters,
    sgd: Sgd,
}

/// Trains the network that `genotype` describes as `recipe` says, and writes everything into `folder`.
///
/// # Errors
///
/// See [`RunError`]; what was complete on disk stays valid.
pub fn train(mut recipe: Recipe, genotype: &Genotype, folder: &Path, context: Context<'_>) -> Result<Ending, RunError> {
    Folder::check_free(folder)?;
    let seed = recipe.train.seed;
    let stem = genotype.space.check_stem(recipe.train.stem);
    stem.map_err(|message| RunError::Setting { key: "train.stem", message })?;
    let data = load_data(&mut recipe, seed, context.observer)?;
    let loaders = Loaders::new(&recipe, &data)?;
    let state = initial(&recipe, genotype, Sizes::of(&data), extent(&loaders.training), &context)?;
    check_auxiliary(&state.network, extent(&loaders.training))?;
    // Last: a run that cannot begin leaves no folder.
    let files = [("genotype.json", genotype.to_json()), ("cell.svg", draw::cell_pair(genotype, &recipe.recipe))];
    let folder = Folder::create(folder, &recipe, &files)?;
    let progress = Progress::begin(Phase::Train, &recipe, &data);
    Training::new(recipe, genotype.clone(), loaders, folder, state, progress, context).run()
}

/// Goes on with the training in `folder`, bit for bit as if it had never stopped.
///
/// # Errors
///
/// If there is no training to go on with; see [`RunError`].
pub fn resume(folder: &Path, context: Context<'_>) -> Result<Ending, RunError> {
    let (folder, last) = Folder::resume(folder, Phase::Train, context.observer)?;
    let mut recipe = folder.recipe()?;
    let genotype = Genotype::read(folder.file("genotype.json"))?;
    let progress = last.as_ref().map(|(path, checkpoint)| checkpoint.state::<Progress>(path)).transpose()?;
    progress.iter().try_for_each(|progress| progress.check_sizes(&recipe))?;
    let seed = recipe.train.seed;
    let data = load_data(&mut recipe, seed, context.observer)?;
    progress.iter().try_for_each(|progress| progress.check(&data))?;
    let loaders = Loaders::new(&recipe, &data)?;
    let (state, progress) = match last.zip(progress) {
        Some(((path, checkpoint), progress)) => {
            let network = Network::derived(&genotype, shape(&recipe, Sizes::of(&data)));
            (TrainState::restore(network, (&path, checkpoint), &context.device)?, progress)
        }
        None => {
            let state = initial(&recipe, &genotype, Sizes::of(&data), extent(&loaders.training), &context)?;
            (state, Progress::begin(Phase::Train, &recipe, &data))
        }
    };
    folder.cut("metrics.jsonl", progress.epoch)?;
    Training::new(recipe, genotype, loaders, folder, state, progress, context).run()
}

/// The state of a training's newest checkpoint, for measuring it, and the classes that it knows.
pub(crate) fn load_state(
    recipe: &Recipe,
    inputs: usize,
    folder: &Folder,
    context: &mut Context<'_>,
) -> Result<(TrainState, Vec<String>), RunError> {
    let genotype = Genotype::read(folder.file("genotype.json"))?;
    let (path, checkpoint) = folder.last(context.observer)?.ok_or_else(|| folder.without_checkpoint())?;
    let progress: Progress = checkpoint.state(&path)?;
    progress.check_network(recipe)?;
    let classes = progress.data.classes;
    let network = Network::derived(&genotype, shape(recipe, Sizes { classes: classes.len(), inputs }));
    Ok((TrainState::restore(network, (&path, checkpoint), &context.device)?, classes))
}

/// The network of the recipe's training.
pub(crate) fn shape(recipe: &Recipe, sizes: Sizes) -> NetworkShape {
    let settings = &recipe.train;
    NetworkShape {
        channels: settings.channels,
        cells: settings.cells,
        classes: sizes.classes,
        inputs: sizes.inputs,
        stem: settings.stem,
        auxiliary: settings.auxiliary > 0.0,
    }
}

/// The state at the beginning, for samples of size `extent`, if the machine can have the memory for it.
fn initial(
    recipe: &Recipe,
    genotype: &Genotype,
    sizes: Sizes,
    extent: Extent,
    context: &Context<'_>,
) -> Result<TrainState, RunError> {
    let (shape, TrainSettings { channels, cells, batch, seed, .. }) = (shape(recipe, sizes), &recipe.train);
    let keys = ["train.channels", "train.cells", "train.batch", "data.clip.frames", "data.size"];
    let size = StepSize { keys, channels: *channels, cells: *cells, batch: *batch, extent };
    size.check(&context.device, |channels, cells, extent| {
        let build = |cells| Network::derived(genotype, NetworkShape { channels, cells, ..shape });
        Counts::of(cells, extent, build)
    })?;
    Ok(TrainState::new(Network::derived(genotype, shape), *seed, &context.device))
}

/// Whether the auxiliary head, if there is one, has anything left to look at.
fn check_auxiliary(network: &Network, extent: [usize; 3]) -> Result<(), RunError> {
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
    pub(crate) fn new(network: Network, seed: u64, device: &Device) -> Self {
        let weights = network.initial_weights(seed, device);
        let statistics = network.initial_statistics(device);
        TrainState { sgd: Sgd::new(&weights), network, weights, statistics }
    }

    /// Updates the weights by one step of SGD on `batch`; where loss or gradient is not finite, nothing changes.
    pub(crate) fn step(&mut self, batch: &DeviceBatch, position: Position, settings: &TrainSettings) -> WeightStep {
        let at = [position.step as u64, 0];
        let drop = settings.drop_path * position.epoch as f64 / settings.epochs as f64;
        let tracked = self.weights.tracked();
        let pass = Pass {
            drop_path: (drop > 0.0).then(|| DropPath { rate: drop, stream: stream(settings.seed, "drop_path", at) }),
            dropout: (settings.dropout > 0.0)
                .then(|| Dropout { rate: settings.dropout, stream: stream(settings.seed, "dropout", at) }),
            noise: Noise::fixed(settings.seed).at(position.step, 0),
            ..Pass::training(&tracked)
        };
        let forward = self.network.forward(pass, batch.input.clone());
        let mut loss = cross_entropy(forward.logits.clone(), batch.labels.clone());
        if let Some(logits) = forward.auxiliary {
            loss = loss + cross_entropy(logits, batch.labels.clone()) * settings.auxiliary;
        }
        let gradients = tracked.gradients(&mut loss.backward());
        let tally = Tally::of(forward.logits.inner(), &batch.host_labels);
        let (weights, gradient_norm) = self.sgd.step(&self.weights, &gradients, position.rate, &settings.weights);
        if tally.loss.is_finite() && gradient_norm.is_finite() {
            self.weights = weights;
            self.statistics = self.statistics.approach(&forward.statistics, STATISTICS_SHARE);
        }
        WeightStep { tally, gradient_norm }
    }

    /// Those of a checkpoint.
    fn restore(
        network: Network,
        (path, mut checkpoint): (&Path, Checkpoint),
        device: &Device,
    ) -> Result<Self, CheckpointError> {
        let (weights, statistics) = (network.weight_counts(), network.statistic_counts());
        let mut take = |prefix: &str, counts: &[usize]| checkpoint.take(prefix, counts, path, device);
        let (momentum, weights) = (take("momentum", &weights)?, take("weights", &weights)?);
        let statistics = take("statistics", &statistics)?;
        checkpoint.finish(path)?;
        Ok(TrainState { network, weights, statistics, sgd: Sgd { momentum } })
    }
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
    genotype: Genotype,
    folder: Folder,
    state: TrainState,
    progress: Progress,
    context: Context<'a>,
    loaders: Loaders,
    clock: Clock,
}

impl<'a> Training<'a> {
    fn new(
        recipe: Recipe,
        genotype: Genotype,
        loaders: Loaders,
        folder: Folder,
        state: TrainState,
        progress: Progress,
        context: Context<'a>,
    ) -> Self {
        let clock = Clock::new(progress.times);
        forget_peak_memory();
        Training { recipe, genotype, folder, state, progress, context, loaders, clock }
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
        let result = self.progress.result(Phase::Train, &self.genotype, counts, self.clock.times().run);
        let text = serde_json::to_string_pretty(&result).expect("a result is JSON");
        self.folder.write("result.json", text.as_bytes())?;
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
        for batch in self.loaders.training.epoch(epoch as u64, self.progress.step_in_epoch) {
            if self.context.stop.load(Ordering::SeqCst) {
                return Ok(false);
            }
            let start = std::time::Instant::now();
            let batch = DeviceBatch::new(batch?, &self.context.device);
            self.step(&batch, rate)?;
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

    fn step(&mut self, batch: &DeviceBatch, rate: f64) -> Result<(), RunError> {
        let settings = &self.recipe.train;
        let position = Position { epoch: self.progress.epoch, step: self.progress.step, rate };
        let done = self.state.step(batch, position, settings);
        if !done.tally.loss.is_finite() || !done.gradient_norm.is_finite() {
            return Err(RunError::NotFinite {
                what: "the training loss or its gradient",
                epoch: self.progress.epoch + 1,
                step: self.progress.step,
                key: "train.weights.rate",
            });
        }
        self.progress.add(&done);
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
            let pass = Pass::evaluation(&self.state.weights, &self.state.statistics);
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
        self.context.observer.notice(&Event::Epoch(&record));
        Ok(true)
    }

    fn checkpoint(&mut self) -> Result<(), RunError> {
        self.progress.times = self.clock.times();
        let mut checkpoint = Checkpoint::new(&self.progress);
        checkpoint.put("weights", &self.state.weights);
        checkpoint.put("momentum", &self.state.sgd.momentum);
        checkpoint.put("statistics", &self.state.statistics);
        let path = self.folder.save(self.progress.step, &checkpoint)?;
        self.context.observer.notice(&Event::Checkpoint(&path));
        Ok(())
    }
}
