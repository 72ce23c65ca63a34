//! Whole search steps on a graphics card, or on what stands for one (Mesa's llvmpipe): that they repeat bit for bit, recorded
//! or not, and what they launch. Small pictures and few shapes: compiling a shader is what takes time there.
#![cfg(any(feature = "wgpu", feature = "cuda"))]

use burn::tensor::Device;
use rand::Rng;
use sdas::batch::{DeviceBatch, Tally};
use sdas::bench::{StepSettings, Width};
use sdas::optimizer::{Sgd, SgdSettings};
use sdas::parameters::Parameters;
use sdas::run::Phase;
use sdas::schedule::EdgeState;
use sdas::search::{Order, SearchState};
use sdas::space::{Candidates, CellKind, IMAGE};
use sdas::supernet::{Alpha, AlphaSettings, Mixing, Remains, Supernet, SupernetShape};
use sdas_data::random::stream;
use sdas_kernels::{Recorded, launches};
use std::sync::{Mutex, PoisonError};

/// Launches are counted of the whole process: one test after the other.
static ALONE: Mutex<()> = Mutex::new(());

/// The device under test: `SDAS_DEVICE=cuda` chooses where the build has several.
fn device() -> Device {
    let usual = if cfg!(feature = "wgpu") { "wgpu" } else { "cuda" };
    let name = std::env::var("SDAS_DEVICE").unwrap_or_else(|_| usual.to_owned());
    sdas::device::choose(&name).expect("a device of this build")
}

const CLASSES: usize = 4;

/// Of odd sides.
fn batch(step: u64, half: u64, device: &Device) -> DeviceBatch {
    let mut random = stream(5, "card", [step, half]);
    let shape = [3, 1, 9, 7, 3];
    let batch = sdas_data::Batch {
        pixels: (0..shape.iter().product()).map(|_| random.random_range(-1.5f32..1.5)).collect(),
        shape,
        labels: (0..shape[0]).map(|_| random.random_range(0..CLASSES as i32)).collect(),
        samples: (0..shape[0] as u32).collect(),
    };
    DeviceBatch::new(batch, device)
}

/// What a step leaves behind.
#[derive(Debug, PartialEq)]
struct Left {
    alpha_gradient: Vec<Vec<Vec<f64>>>,
    losses: [f64; 3],
    gradient_norm: f64,
    /// Weights, momentum and running statistics.
    tensors: [Vec<Option<Vec<f32>>>; 3],
}

struct Search {
    state: SearchState,
    device: Device,
    step: u64,
}

impl Search {
    fn new() -> Self {
        let device = device();
        let shape =
            SupernetShape { channels: 4, cells: 3, classes: CLASSES, inputs: 3, stem_stride: [1, 1, 1], share: 1 };
        let supernet = Supernet::new(Candidates::whole(&IMAGE), shape);
        let weights = supernet.network.initial_weights(1, &device);
        let statistics = supernet.network.initial_statistics(&device);
        let alpha = Alpha::new(&supernet.candidates, 1);
        let (sgd, mixing) = (Sgd::new(&weights), Mixing::default());
        let state = SearchState { sgd, supernet, weights, statistics, alpha, mixing, recorded: Recorded::default() };
        Search { state, device, step: 0 }
    }

    /// A step, and how many kernels the host launched for it.
    fn step(&mut self) -> (Left, usize) {
        let Search { state, device, step } = self;
        *step += 1;
        let [training, validation] = [0, 1].map(|half| batch(*step, half, device));
        let settings = SgdSettings::default();
        let (left, count) = launches(|| {
            let gradient = (!state.supernet.is_decided()).then(|| {
                let gradient = state.alpha_gradient(Order::First, &training, &validation, settings.rate, &settings);
                state.alpha.update(&gradient.values, &state.supernet.plans, &AlphaSettings::default());
                gradient
            });
            let done = state.weight_step(&training, settings.rate, &settings);
            let held_out = Tally::of(state.evaluate(validation.input.clone()), &validation.host_labels);
            (gradient, done, held_out)
        });
        let (gradient, done, held_out) = left;
        let (alpha_gradient, of_alpha) = gradient.map(|of| (of.values, of.tally)).unwrap_or_default();
        let left = Left {
            losses: [of_alpha.mean_loss(), done.tally.mean_loss(), held_out.mean_loss()],
            alpha_gradient,
            gradient_norm: done.gradient_norm,
            tensors: [&state.weights, &state.sgd.momentum, &state.statistics].map(Parameters::to_host),
        };
        (left, count)
    }

    /// Fixes edges and removes others, as a schedule does: some, or all that are left.
    fn decide(&mut self, all: bool) {
        let SearchState { supernet, weights, statistics, sgd, .. } = &mut self.state;
        let mut remains = Remains::default();
        let some: [(CellKind, &[(usize, &str)]); 2] = [
            (CellKind::Normal, &[(2, "sep_conv_3x3"), (3, "skip_connect")]),
            (CellKind::Reduction, &[(0, "dil_conv_5x5"), (1, "max_pool_3x3")]),
        ];
        for (kind, edges) in some {
            // Of every node, the first two edges are kept.
            let states: Vec<EdgeState> = (0..14)
                .map(|edge| match edges.iter().find(|(own, _)| *own == edge) {
                    Some((_, name)) => {
                        let operations = supernet.candidates.of(kind, edge);
                        let own = operations.iter().position(|operation| operation.name == *name);
                        EdgeState::Decided(own.expect("an operation"))
                    }
                    None if edge == 4 && (all || kind == CellKind::Normal) => EdgeState::Pruned,
                    None if !all => EdgeState::Mixed,
                    None if [0, 1, 2, 3, 5, 6, 9, 10].contains(&edge) => EdgeState::Decided(edge % 7),
                    None => EdgeState::Pruned,
                })
                .collect();
            let plan = serde_json::from_value(serde_json::to_value(states).unwrap()).unwrap();
            let before = std::mem::replace(&mut supernet.plans[kind.index()], plan);
            supernet.follow(kind, &before, &mut remains);
        }
        remains.apply(&mut [weights, &mut sgd.momentum], statistics);
    }
}

#[test]
fn steps_repeat_bit_for_bit_whether_they_are_recorded_or_not() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let [mut recorded, mut again, mut done] = [0; 3].map(|_| Search::new());
    for part in ["whole", "in part decided", "decided"] {
        for step in 1..=4 {
            let (left, launched) = recorded.step();
            assert!(left.losses.iter().all(|loss| loss.is_finite()) && left.gradient_norm > 0.0, "{left:?}");
            // Whole tensors are not worth reading.
            assert!(left == again.step().0, "{part}, step {step}: another run gave other bits");
            // Nothing is ever done twice, and so nothing recorded.
            done.state.recorded = Recorded::default();
            let (anew, launched_anew) = done.step();
            assert!(left == anew, "{part}, step {step}: what is recorded gives other bits");
            if step > 2 {
                assert!(10 * launched < launched_anew, "{part}, step {step}: {launched} launches of {launched_anew}");
            }
        }
        for search in [&mut recorded, &mut again, &mut done] {
            search.decide(part != "whole");
        }
    }
}

/// How many launches a step takes depends neither on the batch nor on the pictures' size: these are as small as they can be.
#[test]
fn a_full_size_step_takes_few_launches() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let settings = StepSettings {
        phase: Phase::Search,
        channels: 16,
        layers: 8,
        batch: 2,
        size: 8,
        frames: 1,
        steps: 2,
        portable: false,
        width: Width::current(),
    };
    let times = sdas::bench::step(settings, &device()).expect("there is room for a small step");
    let card = times.card.expect("it ran on a card");
    assert!((500..=2500).contains(&card.launches), "{card:?}");
    assert!((1..=100).contains(&card.launches_by_host), "{card:?}");
    // Weights and momentum at least.
    assert!(card.memory > 2 * 4 * 1_900_000, "{card:?}");
    assert!(times.peak_operations_per_second > times.operations_per_second, "{times:?}");
    assert!(times.peak_bandwidth > times.bandwidth, "{times:?}");
}
