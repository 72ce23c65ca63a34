//! A step of training by hand.

use super::*;
use crate::genotype::published;
use crate::network::{NamedWeight, Network, NetworkShape};
use crate::optimizer::SgdSettings;
use crate::parameters::Parameters;
use crate::space::Stem;
use burn::tensor::Device;
use sdas_data::{Part, Share};

fn settings() -> TrainSettings {
    TrainSettings { drop_path: 0.0, auxiliary: 0.0, epochs: 2, ..TrainSettings::default() }
}

fn state(settings: &TrainSettings) -> TrainState {
    let genotype = published("darts_v2").unwrap();
    let shape = NetworkShape { channels: 2, cells: 3, classes: 3, inputs: 3, stem: Stem::Cifar, auxiliary: false };
    TrainState::new(Model::Cells(Network::derived(&genotype, shape)), settings, &Device::flex())
}

/// So many samples, the first three again and again.
fn batch(count: usize) -> DeviceBatch {
    let sample = |index: usize| (0..8 * 8 * 3).map(move |at| ((at * 7 + index % 3 * 31) % 17) as f32 / 8.0 - 1.0);
    let pixels = (0..count).flat_map(sample).collect();
    let labels = (0..count).map(|index| (index % 3) as i32).collect();
    DeviceBatch::new(
        sdas_data::Batch {
            pixels,
            shape: [count, 1, 8, 8, 3],
            labels,
            samples: (0..count as u32).collect(),
            part: Part::whole(count),
        },
        &Device::flex(),
    )
}

fn values(parameters: &Parameters) -> Vec<f32> {
    parameters.to_host().into_iter().flatten().flatten().collect()
}

fn distance(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

fn at(step: usize) -> Position {
    Position { epoch: 0, step, rate: 0.1 }
}

#[test]
fn parts_take_the_gradient_of_the_whole() {
    // All parts are alike, so that norms see the same in each as in the whole.
    let (whole, parts) = (settings(), TrainSettings { parts: 4, ..settings() });
    let (mut one, mut four) = (state(&whole), state(&parts));
    let (a, b) = (one.step(batch(12), at(0), &whole), four.step(batch(12), at(0), &parts));
    assert_eq!((a.tally.count, b.tally.count), (12, 12));
    assert!((a.tally.loss - b.tally.loss).abs() < 1e-4 && (a.gradient_norm - b.gradient_norm).abs() < 1e-3);
    let before = values(&state(&whole).weights);
    let moved = distance(&values(&one.weights), &before);
    let off = distance(&values(&one.weights), &values(&four.weights));
    assert!(off < 1e-3 * moved, "{off} of {moved}");
    // Sizes that do not divide: 12 = 2 + 2 + 3 + 2 + 3, each with its share.
    let sizes: Vec<usize> = batch(12).parts(5, Share::WHOLE).iter().map(|part| part.host_labels.len()).collect();
    assert_eq!(sizes, [2, 2, 3, 2, 3]);
    // Two ranks' shares, of 6 and 7, in parts: each part is of what both have in its place.
    let of_rank = |number| {
        let share = Share { number, of: 2 };
        let (own, whole) = (share.range(13), Part { first: share.range(13).start, of: 13 });
        let batch = DeviceBatch { part: whole, ..batch(own.len()) };
        batch.parts(3, share).iter().map(|part| (part.part.first, part.part.of)).collect::<Vec<_>>()
    };
    assert_eq!([of_rank(0), of_rank(1)], [[(0, 4), (0, 4), (0, 5)], [(2, 4), (2, 4), (2, 5)]]);
}

#[test]
fn norms_and_biases_do_not_decay_where_the_recipe_says_so() {
    let decaying = |decay_norms| {
        let settings = TrainSettings { decay_norms, ..settings() };
        let state = state(&settings);
        let before = state.weights.clone();
        let nothing = before.zeros_like();
        let decay = SgdSettings { weight_decay: 0.1, ..SgdSettings::default() };
        let after = state.sgd.ahead(&before, &nothing, 0.5, &decay).weights;
        let changed = |weight: &NamedWeight| {
            let [before, after] = [&before, &after].map(|numbers| {
                numbers.get(weight.slot).unwrap().slice([weight.range.clone()]).to_data().iter::<f32>().collect()
            });
            let (before, after): (Vec<f32>, Vec<f32>) = (before, after);
            distance(&before, &after) > 0.0
        };
        let is_norm = |weight: &&NamedWeight| weight.kind.fan_in().is_none();
        let (all, _) = state.network.names();
        let (norms, others): (Vec<&NamedWeight>, Vec<&NamedWeight>) = all.iter().partition(is_norm);
        [norms, others].map(|weights| (weights.iter().filter(|weight| changed(weight)).count(), weights.len()))
    };
    let [(norms, _), (others, all)] = decaying(false);
    assert!(norms == 0 && others == all && all > 20, "{norms} norms, {others} of {all} others");
    let [(norms, _), (others, all)] = decaying(true);
    assert!(norms > 10 && others == all, "{norms} norms, {others} of {all} others");
}

#[test]
fn the_average_follows_and_is_what_is_measured() {
    let settings = TrainSettings { average: 0.5, ..settings() };
    let mut state = state(&settings);
    let mut expected = values(&state.weights);
    for step in 0..12 {
        state.step(batch(6), at(step), &settings);
        let kept = 0.5f32.min((1 + step) as f32 / (10 + step) as f32);
        let now = values(&state.weights);
        expected.iter_mut().zip(&now).for_each(|(average, now)| *average = kept * *average + (1.0 - kept) * now);
    }
    let [weights, statistics] = state.measured();
    assert!(distance(&values(weights), &expected) < 1e-5);
    assert!(distance(&values(weights), &values(&state.weights)) > 1e-3);
    assert!(distance(&values(statistics), &values(&state.statistics)) > 1e-3);
}
