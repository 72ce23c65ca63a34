//! The time of one step on random pictures, and what share of the device's best that is.

use crate::architecture::Model;
use crate::batch::DeviceBatch;
use crate::genotype::published;
use crate::network::{Counts, Network, NetworkShape, Stem};
use crate::optimizer::Sgd;
use crate::recipe::{SearchSettings, TrainSettings};
use crate::run::{Phase, Ranks, RunError, StepSize, Work, peak_memory};
use crate::search::SearchState;
use crate::space::{Candidates, Space};
use crate::supernet::{Alpha, Mixing, Supernet, SupernetShape};
use crate::train::{Position, TrainState};
use burn::tensor::Device;
use sdas_data::random::stream;
use sdas_kernels::{Extent, Recorded};
use serde::{Serialize, Serializer};
use std::time::Instant;

pub use sdas_kernels::Width;

/// The step to time.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct StepSettings {
    /// A step of a search (α, then the weights, nothing decided) or of the training of DARTS V2's network.
    pub phase: Phase,
    /// What is searched.
    pub space: &'static Space,
    /// Channels of the first cells' nodes.
    pub channels: usize,
    /// Number of cells.
    pub layers: usize,
    /// Samples, of each half in a search.
    pub batch: usize,
    /// Side in pixels.
    pub size: usize,
    /// Frames; of more than one, a search's stem halves the side.
    pub frames: usize,
    /// Steps that are timed, after one that is not.
    pub steps: usize,
    /// Whether the edges are made of Burn's own operations.
    pub portable: bool,
    /// The vectors that fused edges compute with.
    #[serde(serialize_with = "name")]
    pub width: Width,
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
    /// Bytes of its memory that the process has taken after all steps.
    pub memory: u64,
}

/// Times steps on `device`.
///
/// # Errors
///
/// [`RunError::TooLarge`] for a step that the machine cannot have the memory for.
///
/// # Panics
///
/// If the shape is none that a network can have (fewer than 3 cells, no samples, a training step on clips), or the machine
/// does not have the width.
pub fn step(settings: StepSettings, device: &Device) -> Result<StepTimes, RunError> {
    check_room(settings, device)?;
    Ok(settings.width.within(|| measured(settings, device)))
}

fn measured(settings: StepSettings, device: &Device) -> StepTimes {
    let mut times =
        if settings.portable { sdas_kernels::portably(|| timed(settings, device)) } else { timed(settings, device) };
    // Before the device's own peaks, whose arrays are none of the step's memory.
    let peak_memory = peak_memory();
    let [launches, launches_by_host] = times.launches;
    let card = sdas_kernels::device_memory(device).map(|memory| CardUsage { launches, launches_by_host, memory });
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

fn check_room(settings: StepSettings, device: &Device) -> Result<(), RunError> {
    let StepSettings { phase, channels, layers: cells, batch, size, frames, .. } = settings;
    let keys = ["--channels", "--layers", "--batch", "--frames", "--size"];
    let work = match phase {
        Phase::Search => Work::search(&SearchSettings::default(), settings.space),
        Phase::Train => phase.into(),
    };
    let size = StepSize { work, keys, channels, cells, batch, extent: [frames, size, size] };
    size.check(device, |channels, cells, extent| {
        Counts::of(cells, extent, |cells| network(settings, channels, cells))
    })?;
    Ok(())
}

/// The network whose step is timed.
fn network(settings: StepSettings, channels: usize, cells: usize) -> Network {
    match settings.phase {
        Phase::Search => Network::supernet(&Candidates::whole(settings.space), searched(settings, channels, cells)),
        Phase::Train => {
            let genotype = published("darts_v2").expect("DARTS V2 is published");
            let shape =
                NetworkShape { channels, cells, classes: CLASSES, inputs: 3, stem: Stem::Cifar, auxiliary: false };
            Network::derived(&genotype, shape)
        }
    }
}

/// The sizes of the network that is searched.
fn searched(settings: StepSettings, channels: usize, cells: usize) -> SupernetShape {
    let stem_stride: Extent = if settings.frames > 1 { [1, 2, 2] } else { [1, 1, 1] };
    SupernetShape { channels, cells, classes: CLASSES, inputs: 3, stem_stride, share: 1 }
}

struct Times {
    seconds: Vec<f64>,
    operations: f64,
    bytes: f64,
    /// Of the first step and of the last.
    launches: [usize; 2],
}

const CLASSES: usize = 10;

fn timed(settings: StepSettings, device: &Device) -> Times {
    let StepSettings { phase, channels, layers: cells, batch, size, frames, steps, .. } = settings;
    let extent = [frames, size, size];
    let counts: Counts;
    let mut one: Box<dyn FnMut(usize, [sdas_data::Batch; 2])> = match phase {
        Phase::Search => {
            let shape = searched(settings, channels, cells);
            let supernet = Supernet::new(Candidates::whole(settings.space), shape);
            counts = supernet.network.counts(extent);
            let weights = supernet.network.initial_weights(1, device);
            let statistics = supernet.network.initial_statistics(device);
            let alpha = Alpha::new(&supernet.candidates, 1);
            let (sgd, mixing) = (Sgd::new(&weights), Mixing::default());
            let mut state = SearchState {
                sgd,
                supernet,
                weights,
                statistics,
                alpha,
                mixing,
                recorded: Recorded::default(),
                ranks: Ranks::alone(),
            };
            let SearchSettings { order, weights, alpha, .. } = SearchSettings::default();
            Box::new(move |_, halves| {
                let [training, validation] = halves.map(|half| DeviceBatch::new(half, device));
                let gradient = state.alpha_gradient(order, &training, &validation, weights.rate, &weights);
                state.alpha.update(&gradient.values, &state.supernet.plans, &alpha);
                state.weight_step(&training, weights.rate, &weights);
            })
        }
        Phase::Train => {
            assert_eq!(frames, 1, "a training step is timed on pictures");
            let network = network(settings, channels, cells);
            counts = network.counts(extent);
            let settings = TrainSettings { epochs: 1, ..TrainSettings::default() };
            let mut state = TrainState::new(Model::Cells(network), &settings, device);
            Box::new(move |step, [batch, _]| {
                let batch = DeviceBatch::new(batch, device);
                // The last epoch's drop path.
                state.step(batch, Position { epoch: 1, step, rate: settings.weights.rate }, &settings);
            })
        }
    };
    let halves = |step| [0, 1].map(|half| random_batch(batch, extent, [step, half]));
    let mut time = |step| {
        let halves = halves(step);
        sdas_kernels::launches(|| {
            let start = Instant::now();
            one(step, halves);
            device.sync().expect("a device that has just computed still does");
            start.elapsed().as_secs_f64()
        })
    };
    let (_, first) = time(0);
    let (seconds, launches): (Vec<f64>, Vec<usize>) = (1..=steps.max(1)).map(time).unzip();
    let last = launches[launches.len() - 1];
    // Of the network, and of those the ones that go there and back.
    let (passes, both_ways) = match phase {
        Phase::Search => (2.0 + 3.0, 2.0),
        Phase::Train => (3.0, 1.0),
    };
    Times {
        seconds,
        operations: 2.0 * passes * (batch * counts.multiply_adds) as f64,
        bytes: 3.0 * both_ways * (size_of::<f32>() * batch * counts.activations) as f64,
        launches: [first, last],
    }
}

/// Uniform noise of mean 0 and variance 1, and random labels.
fn random_batch(count: usize, [t, h, w]: [usize; 3], at: [usize; 2]) -> sdas_data::Batch {
    use rand::Rng as _;
    let mut random = stream(1, "bench", at.map(|at| at as u64));
    let shape = [count, t, h, w, 3];
    let side = 3f32.sqrt();
    sdas_data::Batch {
        pixels: (0..shape.iter().product()).map(|_| random.random_range(-side..side)).collect(),
        shape,
        labels: (0..count).map(|_| random.random_range(0..CLASSES as i32)).collect(),
        samples: (0..count as u32).collect(),
        part: sdas_data::Part::whole(count),
    }
}
