//! The time of one step on random pictures, and what share of the device's best that is.

use crate::architecture::{Architecture, Model};
use crate::batch::{DeviceBatch, waits};
use crate::genotype::Genotype;
use crate::handmade::{Named, Sizes};
use crate::layers::ShapeError;
use crate::network::{Counts, Network, NetworkShape};
use crate::recipe::{SearchSettings, TrainSettings};
use crate::run::{RunError, StepSize, Work, peak_memory};
use crate::search::SearchState;
use crate::space::{Candidates, Space};
use crate::supernet::{Alpha, Relaxation, Supernet, SupernetShape};
use crate::train::{Position, TrainState};
use burn::tensor::Device;
use sdas_data::random::stream;
use sdas_kernels::Extent;
use serde::{Serialize, Serializer};
use std::time::Instant;

pub use sdas_kernels::Width;

/// What a step is of.
#[derive(Debug, Clone)]
pub enum Stepped {
    /// A search: α, then the weights, with nothing decided.
    Search {
        /// What is searched.
        space: &'static Space,
        /// Its sizes.
        shape: SupernetShape,
    },
    /// The training of a cell's network.
    Cells {
        /// The cell.
        genotype: Box<Genotype>,
        /// The network's sizes.
        shape: NetworkShape,
    },
    /// The training of a network that people made.
    Layers {
        /// The network.
        network: Named,
        /// What it is made for.
        sizes: Sizes,
    },
}

impl std::fmt::Display for Stepped {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Stepped::Search { space, shape: SupernetShape { channels, cells, share, .. } } => {
                write!(f, "a search of {}, {channels} channels, {cells} cells", space.name)?;
                if *share > 1 { write!(f, ", edges on one of {share} parts of the channels") } else { Ok(()) }
            }
            Stepped::Cells { shape: NetworkShape { channels, cells, .. }, .. } => {
                write!(f, "the training of a cell's network, {channels} channels, {cells} cells")
            }
            Stepped::Layers { network, sizes: Sizes { width, .. } } => {
                write!(f, "the training of {}, width {width}", network.name())
            }
        }
    }
}

impl Stepped {
    fn classes(&self) -> usize {
        match self {
            Stepped::Search { shape, .. } => shape.classes,
            Stepped::Cells { shape, .. } => shape.classes,
            Stepped::Layers { sizes, .. } => sizes.classes,
        }
    }

    /// How a graphics card goes about it.
    fn work(&self) -> Work {
        match self {
            Stepped::Search { space, shape: SupernetShape { share, .. } } => {
                let relaxation = relaxation(*share);
                Work::search(&SearchSettings { relaxation, ..SearchSettings::default() }, space)
            }
            Stepped::Cells { genotype, .. } => Work::training(&Architecture::Cell(genotype.clone())),
            Stepped::Layers { network, .. } => Work::training(&Architecture::Network(*network)),
        }
    }

    /// Channels and cells, of what has them.
    fn sizes(&self) -> [usize; 2] {
        match self {
            Stepped::Search { shape, .. } => [shape.channels, shape.cells],
            Stepped::Cells { shape, .. } => [shape.channels, shape.cells],
            Stepped::Layers { .. } => [0, 0],
        }
    }

    /// What it costs with so many channels and cells, of what has them, for samples of this size.
    fn counts(&self, channels: usize, cells: usize, extent: Extent) -> Result<Counts, ShapeError> {
        Ok(match self {
            Stepped::Search { space, shape } => Counts::of(cells, extent, |cells| {
                Network::supernet(&Candidates::whole(space), SupernetShape { channels, cells, ..*shape })
            }),
            Stepped::Cells { genotype, shape } => Counts::of(cells, extent, |cells| {
                Network::derived(genotype, NetworkShape { channels, cells, ..*shape })
            }),
            Stepped::Layers { network, sizes } => network.build(sizes).counts(extent)?,
        })
    }
}

/// The step to time.
#[derive(Debug, Clone, Serialize)]
pub struct StepSettings {
    /// What it is of.
    #[serde(serialize_with = "text")]
    pub of: Stepped,
    /// Frames, height and width of the samples.
    pub extent: Extent,
    /// Samples, of each half in a search.
    pub batch: usize,
    /// Steps that are timed, after one that is not.
    pub steps: usize,
    /// Whether the edges are made of Burn's own operations.
    pub portable: bool,
    /// The vectors that fused edges compute with.
    #[serde(serialize_with = "name")]
    pub vectors: Width,
}

fn text<S: Serializer>(of: &Stepped, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(of)
}

fn name<S: Serializer>(width: &Width, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(width.name())
}

/// What was measured.
#[derive(Debug, Clone, Serialize)]
pub struct StepTimes {
    /// Of what.
    pub settings: StepSettings,
    /// Median over the steps.
    pub median_seconds: f64,
    /// The fastest step.
    pub min_seconds: f64,
    /// Floating-point operations of convolutions and linear layers, in the least that a step needs: forward and the
    /// gradient of the activations for α, forward and both gradients for the weights. A multiply-add counts as two.
    pub operations: f64,
    /// Operations a second in the median step.
    pub operations_per_second: f64,
    /// What the device does in registers alone.
    pub peak_operations_per_second: f64,
    /// Bytes between memory and what computes, in the least that a step needs: what is kept for the way back is written, read
    /// by what comes next, and read on the way back. Caches may hold a part of it.
    pub bytes: f64,
    /// Those bytes a second in the median step.
    pub bandwidth: f64,
    /// Bytes a second between the device's memory and what computes, at best.
    pub peak_bandwidth: f64,
    /// The most bytes of memory that the process has had, where the system tells.
    pub peak_memory: Option<u64>,
    /// What it has of a graphics card, if it computes there.
    pub card: Option<CardUsage>,
}

/// What a step has of a graphics card.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct CardUsage {
    /// Kernels that a step launches where nothing is recorded yet.
    pub launches: usize,
    /// Kernels that the host launches one by one in the last step; the others are repeated from recordings.
    pub launches_by_host: usize,
    /// How often the host waits in the last step for what the card computes.
    pub waits: usize,
    /// Bytes of its memory that the process has taken after all steps.
    pub memory: u64,
}

/// Times steps on `device`.
///
/// # Errors
///
/// [`RunError::TooLarge`] for a step that the machine cannot have the memory for, [`RunError::Setting`] for samples that are
/// too small for the network.
///
/// # Panics
///
/// If the shape is none that a network can have (fewer than 3 cells, no samples), or the machine does not have the vectors.
pub fn step(settings: StepSettings, device: &Device) -> Result<StepTimes, RunError> {
    check_room(&settings, device)?;
    Ok(settings.vectors.within(|| measured(settings, device)))
}

fn measured(settings: StepSettings, device: &Device) -> StepTimes {
    let mut times =
        if settings.portable { sdas_kernels::portably(|| timed(&settings, device)) } else { timed(&settings, device) };
    // Before the device's own peaks, whose arrays are none of the step's memory.
    let peak_memory = peak_memory();
    let [launches, launches_by_host] = times.launches;
    let waits = times.waits;
    let card =
        sdas_kernels::device_memory(device).map(|memory| CardUsage { launches, launches_by_host, waits, memory });
    times.seconds.sort_by(f64::total_cmp);
    let median_seconds = times.seconds[times.seconds.len() / 2];
    StepTimes {
        settings,
        median_seconds,
        min_seconds: times.seconds[0],
        operations: times.operations,
        operations_per_second: times.operations / median_seconds,
        peak_operations_per_second: sdas_kernels::peak_operations(device),
        bytes: times.bytes,
        bandwidth: times.bytes / median_seconds,
        peak_bandwidth: sdas_kernels::peak_bandwidth(device),
        peak_memory,
        card,
    }
}

fn check_room(settings: &StepSettings, device: &Device) -> Result<(), RunError> {
    let StepSettings { of, extent, batch, .. } = settings;
    let [channels, cells] = of.sizes();
    if let Err(error) = of.counts(channels, cells, *extent) {
        return Err(RunError::Setting { key: "--size", message: format!("is too small: {error}") });
    }
    let keys = ["--channels", "--layers", "--batch", "--frames", "--size"];
    let size = StepSize { work: of.work(), keys, channels, cells, batch: *batch, extent: *extent };
    size.check(device, |channels, cells, extent| of.counts(channels, cells, extent).unwrap_or_default())?;
    Ok(())
}

struct Times {
    seconds: Vec<f64>,
    operations: f64,
    bytes: f64,
    /// Of the first step and of the last.
    launches: [usize; 2],
    /// Of the last step.
    waits: usize,
}

/// A step on the batches of both halves, of which a training takes the first.
type OneStep<'a> = Box<dyn FnMut(usize, [sdas_data::Batch; 2]) + 'a>;

/// How the edges of a search are mixed that work on one of so many parts of the channels.
fn relaxation(share: usize) -> Relaxation {
    if share > 1 { Relaxation::Partial { share } } else { Relaxation::default() }
}

fn search_step<'a>(space: &'static Space, shape: SupernetShape, device: &'a Device) -> OneStep<'a> {
    let supernet = Supernet::new(Candidates::whole(space), shape);
    let weights = supernet.network.initial_weights(1, device);
    let statistics = supernet.network.initial_statistics(device);
    let (mut alpha, relaxation) = (Alpha::new(&supernet.candidates, 1), relaxation(shape.share));
    if relaxation.weighs_edges() {
        alpha = alpha.weighing_edges(space, 1);
    }
    let mut state = SearchState::new(supernet, weights, statistics, alpha);
    state.mixing.relaxation = relaxation;
    let SearchSettings { order, weights, alpha, .. } = SearchSettings::default();
    let (mut begun, rate) = (None, weights.rate);
    // As a search has it, which learns what a step came to with α's next gradient.
    Box::new(move |_, halves| {
        let [training, validation] = halves.map(|half| DeviceBatch::new(half, device));
        let gradient = match begun.take() {
            Some(begun) => state.alpha_gradient_behind(begun, order, &training, &validation, rate, &weights).0,
            None => state.alpha_gradient(order, &training, &validation, rate, &weights),
        };
        state.alpha.update(&gradient.values, &state.supernet.plans, &alpha);
        begun = Some(state.begin_weight_step(&training, rate, &weights));
    })
}

fn training_step(model: Model, device: &Device) -> OneStep<'_> {
    let settings = TrainSettings { epochs: 1, ..TrainSettings::default() };
    let mut state = TrainState::new(model, &settings, device);
    Box::new(move |step, [batch, _]| {
        // The last epoch's drop path.
        let position = Position { epoch: 1, step, rate: settings.weights.rate };
        state.step(DeviceBatch::new(batch, device), position, &settings);
    })
}

fn timed(settings: &StepSettings, device: &Device) -> Times {
    let StepSettings { of, extent, batch, steps, .. } = settings;
    let (batch, extent) = (*batch, *extent);
    let [channels, cells] = of.sizes();
    let counts = of.counts(channels, cells, extent).expect("it was looked at before");
    let mut one = match of {
        Stepped::Search { space, shape } => search_step(space, *shape, device),
        Stepped::Cells { genotype, shape } => training_step(Model::Cells(Network::derived(genotype, *shape)), device),
        Stepped::Layers { network, sizes } => training_step(Model::Layers(network.build(sizes)), device),
    };
    let halves = |step| [0, 1].map(|half| random_batch(batch, extent, of.classes(), [step, half]));
    let mut time = |step| {
        let halves = halves(step);
        sdas_kernels::launches(|| {
            let start = Instant::now();
            let ((), waits) = waits(|| one(step, halves));
            device.sync().expect("a device that has just computed still does");
            (start.elapsed().as_secs_f64(), waits)
        })
    };
    let (_, first) = time(0);
    let steps: Vec<((f64, usize), usize)> = (1..=(*steps).max(1)).map(time).collect();
    let ((_, waits), last) = steps[steps.len() - 1];
    // Of the network, and of those the ones that go there and back.
    let (passes, both_ways) = match of {
        Stepped::Search { .. } => (2.0 + 3.0, 2.0),
        Stepped::Cells { .. } | Stepped::Layers { .. } => (3.0, 1.0),
    };
    Times {
        seconds: steps.iter().map(|((seconds, _), _)| *seconds).collect(),
        operations: 2.0 * passes * (batch * counts.multiply_adds) as f64,
        bytes: 3.0 * both_ways * (size_of::<f32>() * batch * counts.activations) as f64,
        launches: [first, last],
        waits,
    }
}

/// Uniform noise of mean 0 and variance 1, and random labels.
fn random_batch(count: usize, [t, h, w]: Extent, classes: usize, at: [usize; 2]) -> sdas_data::Batch {
    use rand::Rng as _;
    let mut random = stream(1, "bench", at.map(|at| at as u64));
    let shape = [count, t, h, w, 3];
    let side = 3f32.sqrt();
    sdas_data::Batch {
        pixels: (0..shape.iter().product()).map(|_| random.random_range(-side..side)).collect(),
        shape,
        labels: (0..count).map(|_| random.random_range(0..classes as i32)).collect(),
        samples: (0..count as u32).collect(),
        part: sdas_data::Part::whole(count),
    }
}
