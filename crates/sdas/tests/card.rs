//! Whole search steps on a graphics card, or on what stands for one (Mesa's llvmpipe): that they repeat bit for bit, recorded
//! or not, and what they launch. Small pictures and few shapes: compiling a shader is what takes time there.
#![cfg(any(feature = "wgpu", feature = "cuda"))]

use burn::tensor::{Device, Tensor};
use rand::Rng;
use sdas::batch::{DeviceBatch, Tally};
use sdas::bench::{StepSettings, Stepped, Width};
use sdas::optimizer::SgdSettings;
use sdas::parameters::Parameters;
use sdas::schedule::EdgeState;
use sdas::search::{Order, SearchState};
use sdas::space::{Candidates, CellKind, IMAGE, NB201, S4, Space};
use sdas::supernet::{Alpha, AlphaSettings, Remains, Supernet, SupernetShape};
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
        part: sdas_data::Part::whole(shape[0]),
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
    fn new(space: &'static Space, device: Device) -> Self {
        let shape =
            SupernetShape { channels: 4, cells: 3, classes: CLASSES, inputs: 3, stem_stride: [1, 1, 1], share: 1 };
        let supernet = Supernet::new(Candidates::whole(space), shape);
        let weights = supernet.network.initial_weights(1, &device);
        let statistics = supernet.network.initial_statistics(&device);
        let alpha = Alpha::new(&supernet.candidates, 1);
        Search { state: SearchState::new(supernet, weights, statistics, alpha), device, step: 0 }
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
        let some: [(CellKind, &[(usize, &str)]); 2] = [
            (CellKind::Normal, &[(2, "sep_conv_3x3"), (3, "skip_connect")]),
            (CellKind::Reduction, &[(0, "dil_conv_5x5"), (1, "max_pool_3x3")]),
        ];
        for (kind, edges) in some {
            // Of every node, the first two edges are kept.
            let states: Vec<EdgeState> = (0..14)
                .map(|edge| match edges.iter().find(|(own, _)| *own == edge) {
                    Some((_, name)) => {
                        let operations = self.state.supernet.candidates.of(kind, edge);
                        let own = operations.iter().position(|operation| operation.name == *name);
                        EdgeState::Decided(own.expect("an operation"))
                    }
                    None if edge == 4 && (all || kind == CellKind::Normal) => EdgeState::Pruned,
                    None if !all => EdgeState::Mixed,
                    None if [0, 1, 2, 3, 5, 6, 9, 10].contains(&edge) => EdgeState::Decided(edge % 7),
                    None => EdgeState::Pruned,
                })
                .collect();
            self.settle(kind, &states);
        }
    }

    /// Gives the edges of a kind of cell these states.
    fn settle(&mut self, kind: CellKind, states: &[EdgeState]) {
        let SearchState { supernet, weights, statistics, sgd, .. } = &mut self.state;
        let mut remains = Remains::default();
        let plan = serde_json::from_value(serde_json::to_value(states).unwrap()).unwrap();
        let before = std::mem::replace(&mut supernet.plans[kind.index()], plan);
        supernet.follow(kind, &before, &mut remains);
        remains.apply(&mut [weights, &mut sgd.momentum], statistics);
    }
}

#[test]
fn steps_repeat_bit_for_bit_whether_they_are_recorded_or_not() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let [mut recorded, mut again, mut done] = [0; 3].map(|_| Search::new(&IMAGE, device()));
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

/// A last batch of fewer samples may come second, or when the others are recorded.
#[test]
fn a_batch_of_another_size_is_computed_beside_what_is_recorded() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let mut search = Search::new(&IMAGE, device());
    let whole = batch(1, 0, &search.device).input;
    let part = whole.clone().narrow(0, 1, 2);
    let logits = |search: &Search, input: &Tensor<5>| {
        search.state.evaluate(input.clone()).into_data().iter::<f32>().collect::<Vec<_>>()
    };
    let expected = [&whole, &part].map(|input| {
        search.state.recorded = Recorded::default();
        logits(&search, input)
    });
    search.state.recorded = Recorded::default();
    for _ in 0..3 {
        assert_eq!([&whole, &part].map(|input| logits(&search, input)), expected);
    }
}

impl Left {
    /// How far its numbers are from another's, as a share of their size: the largest, with the name of what it is of.
    fn distance(&self, other: &Left) -> (f64, &'static str) {
        let flat = |left: &Left| {
            let [weights, momentum, statistics] = left
                .tensors
                .each_ref()
                .map(|tensors| tensors.iter().flatten().flatten().map(|value| f64::from(*value)).collect::<Vec<f64>>());
            let numbers = left.losses.iter().chain([&left.gradient_norm]).copied().collect();
            [left.alpha_gradient.concat().concat(), numbers, weights, momentum, statistics]
        };
        let names = ["α's gradient", "losses and norm", "weights", "momentum", "statistics"];
        let norm = |values: &mut dyn Iterator<Item = f64>| values.map(|value| value * value).sum::<f64>().sqrt();
        let share = |(own, other): (Vec<f64>, Vec<f64>)| {
            assert_eq!(own.len(), other.len());
            let size = norm(&mut other.iter().copied());
            norm(&mut own.iter().zip(&other).map(|(own, other)| own - other)) / size.max(f64::MIN_POSITIVE)
        };
        let shares = flat(self).into_iter().zip(flat(other)).map(share).zip(names);
        shares.max_by(|one, other| one.0.total_cmp(&other.0)).expect("there are five")
    }
}

/// The benchmark's supernet, with its residual blocks: nothing decided, in part, and all, `none` and averages among it.
#[test]
fn steps_of_the_benchmark_are_those_of_the_processor_and_repeat_bit_for_bit() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let processor = sdas::device::choose("cpu").expect("every machine has one");
    let [mut ours, mut again] = [0; 2].map(|_| Search::new(&NB201, device()));
    let mut reference = Search::new(&NB201, processor);
    use EdgeState::{Decided, Mixed};
    for states in [
        None,
        Some([Decided(3), Mixed, Decided(0), Mixed, Decided(4), Mixed]),
        Some([Decided(3), Decided(2), Decided(0), Decided(1), Decided(4), Decided(3)]),
    ] {
        if let Some(states) = &states {
            for search in [&mut ours, &mut again, &mut reference] {
                search.settle(CellKind::Normal, states);
            }
        }
        // The second step is recorded, the third repeated.
        for step in 1..=3 {
            let ((left, _), (expected, _)) = (ours.step(), reference.step());
            let (distance, of) = left.distance(&expected);
            assert!(distance < 2e-3, "{states:?}, step {step}: {of} off by {distance:.2e}");
            assert!(left == again.step().0, "{states:?}, step {step}: another run gave other bits");
        }
    }
}

/// How many launches a step takes depends neither on the batch nor on the pictures' size: these are as small as they can be.
#[test]
fn a_full_size_step_takes_few_launches() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    for (space, cells, share, parameters) in
        [(&IMAGE, 8, 1, 1_900_000), (&NB201, 15, 1, 1_700_000), (&IMAGE, 8, 4, 290_000), (&S4, 8, 1, 600_000)]
    {
        let shape = SupernetShape { channels: 16, cells, classes: 10, inputs: 3, stem_stride: [1, 1, 1], share };
        let settings = StepSettings {
            of: Stepped::Search { space, shape },
            extent: [1, 8, 8],
            batch: 2,
            steps: 2,
            portable: false,
            vectors: Width::current(),
        };
        let times = sdas::bench::step(settings, &device()).expect("there is room for a small step");
        let card = times.card.expect("it ran on a card");
        assert!((500..=2500).contains(&card.launches), "{card:?}");
        // What brings noise from the host is not recorded.
        let most = if *space == S4 { card.launches } else { 100 };
        assert!((1..=most).contains(&card.launches_by_host), "{card:?}");
        assert_eq!(card.waits, 1, "{card:?}");
        // Weights and momentum at least.
        assert!(card.memory > 2 * 4 * parameters, "{card:?}");
        assert!(times.peak_operations_per_second > times.operations_per_second, "{times:?}");
        assert!(times.peak_bandwidth > times.bandwidth, "{times:?}");
    }
}
