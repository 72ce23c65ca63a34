//! The loader: the same batches however they are made, all of the pictures, and a clean end.

use std::time::{Duration, Instant};

use proptest::prelude::*;
use sdas_data::{Augmentation, Batch, Dataset, Last, Loader, LoaderSettings, Order, Part, Share, Statistics};

/// Pictures of 4×4×3 that can be told apart by their label.
fn numbered(count: usize) -> Dataset {
    let pixels = (0..count).flat_map(|i| (0..48).map(move |j| (i * 7 + j * 3) as u8)).collect();
    let classes = (0..count).map(|i| i.to_string()).collect();
    Dataset::new(pixels, (0..count as u16).collect(), classes, [4, 4], 3).unwrap()
}

fn statistics() -> Statistics {
    Statistics { mean: vec![0.4, 0.5, 0.6], std: vec![0.2, 0.3, 0.4] }
}

fn training(batch: usize) -> LoaderSettings {
    let augmentation = Augmentation { crop_padding: 1, flip: true, cutout: 2, ..Augmentation::none() };
    LoaderSettings::training("weights", 7, batch, statistics(), augmentation)
}

fn loader(data: &Dataset, settings: LoaderSettings) -> Loader {
    let all: Vec<_> = (0..data.len()).collect();
    Loader::new(data, &all, settings)
}

fn epoch(loader: &Loader, epoch: u64, first: usize) -> Vec<Batch> {
    let batches: Vec<_> = loader.epoch(epoch, first).map(Result::unwrap).collect();
    assert_eq!(batches.len(), loader.batches().saturating_sub(first));
    for batch in &batches {
        assert_eq!(batch.pixels.len(), batch.shape.iter().product::<usize>());
        assert_eq!(batch.labels.len(), batch.shape[0]);
        assert_eq!(batch.shape[1..], [1, 4, 4, 3]);
    }
    batches
}

fn labels(batches: &[Batch]) -> Vec<i32> {
    batches.iter().flat_map(|batch| batch.labels.clone()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn threads_and_interruptions_change_nothing(
        count in 1usize..70, batch in 1usize..20, threads in 0usize..5, prefetch in 0usize..6, first in 0usize..12,
        number: u64, keep: bool, batches in prop::option::of(1usize..9),
    ) {
        let data = numbered(count);
        let last = if keep { Last::Keep } else { Last::Drop };
        let settings = LoaderSettings { last, batches, ..training(batch) };
        let whole = epoch(&loader(&data, settings.clone()), number, 0);
        let part = epoch(&loader(&data, LoaderSettings { threads, prefetch, ..settings }), number, first);
        prop_assert_eq!(&whole[first.min(whole.len())..], part);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn shares_side_by_side_are_the_whole_batch(
        count in 1usize..40, batch in 1usize..13, of in 1usize..6, keep: bool, batches in prop::option::of(1usize..5),
    ) {
        let data = numbered(count);
        let last = if keep { Last::Keep } else { Last::Drop };
        let settings = LoaderSettings { last, batches, ..training(batch) };
        let whole = epoch(&loader(&data, settings.clone()), 3, 0);
        let share = |number| LoaderSettings { share: Share { number, of }, ..settings.clone() };
        let shares: Vec<_> = (0..of).map(|number| epoch(&loader(&data, share(number)), 3, 0)).collect();
        for (at, whole) in whole.into_iter().enumerate() {
            let parts: Vec<_> = shares.iter().map(|share| &share[at]).collect();
            let sizes: Vec<_> = parts.iter().map(|part| part.labels.len()).collect();
            prop_assert!(sizes.iter().max().unwrap() - sizes.iter().min().unwrap() <= 1);
            let mut first = 0;
            for (part, size) in parts.iter().zip(sizes) {
                prop_assert_eq!(part.part, Part { first, of: whole.labels.len() });
                first += size;
            }
            prop_assert_eq!(parts.iter().flat_map(|part| part.pixels.clone()).collect::<Vec<_>>(), whole.pixels);
            prop_assert_eq!(parts.iter().flat_map(|part| part.samples.clone()).collect::<Vec<_>>(), whole.samples);
            prop_assert_eq!(parts.iter().flat_map(|part| part.labels.clone()).collect::<Vec<_>>(), whole.labels);
        }
    }
}

#[test]
fn an_epoch_has_every_picture_once_in_another_order() {
    let data = numbered(50);
    let loader = loader(&data, training(5));
    let [one, two] = [0, 1].map(|number| labels(&epoch(&loader, number, 0)));
    assert_ne!(one, two);
    for mut labels in [one, two] {
        labels.sort();
        assert!(labels.into_iter().eq(0..50));
    }
}

#[test]
fn seed_name_and_epoch_matter() {
    let data = numbered(20);
    let batches = |settings, number| epoch(&loader(&data, settings), number, 0);
    let base = batches(training(20), 0);
    assert_eq!(base, batches(training(20), 0));
    assert_ne!(base, batches(training(20), 1));
    assert_ne!(base, batches(LoaderSettings { seed: 8, ..training(20) }, 0));
    assert_ne!(base, batches(LoaderSettings { name: "architecture".into(), ..training(20) }, 0));
    // Augmentation differs between epochs even where the order does not.
    let in_order = LoaderSettings { order: Order::InOrder, ..training(20) };
    let [one, two] = [0, 1].map(|number| batches(in_order.clone(), number));
    assert_eq!(labels(&one), labels(&two));
    assert_ne!(one, two);
}

#[test]
fn evaluation_is_everything_as_it_is() {
    let data = numbered(7);
    let loader = Loader::new(&data, &[6, 0, 2, 3, 4], LoaderSettings::evaluation(2, statistics()));
    let batches = epoch(&loader, 0, 0);
    assert_eq!(labels(&batches), [6, 0, 2, 3, 4]);
    assert_eq!(batches[2].shape[0], 1);
    for (j, value) in batches[1].pixels[..48].iter().enumerate() {
        let expected = (f32::from(data.pixels(2)[j]) / 255.0 - statistics().mean[j % 3]) / statistics().std[j % 3];
        assert!((value - expected).abs() < 1e-5);
    }
}

#[test]
fn a_short_last_batch_is_dropped_unless_it_is_the_only_one() {
    let sizes = |count, settings| -> Vec<usize> {
        epoch(&loader(&numbered(count), settings), 0, 0).iter().map(|batch| batch.shape[0]).collect()
    };
    assert_eq!(sizes(11, training(4)), [4, 4]);
    assert_eq!(sizes(12, training(4)), [4, 4, 4]);
    assert_eq!(sizes(3, training(4)), [3]);
    assert_eq!(sizes(11, LoaderSettings { last: Last::Keep, ..training(4) }), [4, 4, 3]);
    assert_eq!(sizes(0, training(4)), [0; 0]);
}

#[test]
fn a_loader_keeps_step_with_a_larger_one() {
    // Halves of 8 and 7, batches of 4: two and one by themselves.
    let data = numbered(15);
    let indices: Vec<_> = (8..15).collect();
    let settings = LoaderSettings { batches: Some(2), ..training(4) };
    let batches = epoch(&Loader::new(&data, &indices, settings), 0, 0);
    let labels = labels(&batches);
    assert_eq!(labels.len(), 8);
    assert_eq!(labels[7], labels[0]);
    let mut seen = labels[..7].to_vec();
    seen.sort();
    assert!(seen.into_iter().eq(8..15));
}

#[test]
fn dropping_an_epoch_early_stops_its_threads() {
    let data = numbered(1000);
    let loader = loader(&data, LoaderSettings { batches: Some(usize::MAX / 8), threads: 3, ..training(4) });
    let start = Instant::now();
    let mut epoch = loader.epoch(0, 0);
    assert_eq!(epoch.next().unwrap().unwrap().shape[0], 4);
    drop(epoch);
    drop(loader.epoch(1, 5));
    assert!(start.elapsed() < Duration::from_secs(5));
}

#[test]
fn chosen_pictures_only() {
    let data = numbered(10);
    let loader = Loader::new(&data, &[1, 3, 5], training(3));
    let mut labels = labels(&epoch(&loader, 4, 0));
    labels.sort();
    assert_eq!((loader.pictures(), labels), (3, vec![1, 3, 5]));
}

#[test]
#[should_panic(expected = "indices are below 3")]
fn an_index_without_a_picture_is_refused_at_once() {
    Loader::new(&numbered(3), &[0, 3], training(1));
}

/// A published run must come out again: whatever else the loader learns to do, batches of pictures
/// stay what they were before it could deliver clips. Sums and products only, so they are the same
/// on every machine.
#[test]
fn batches_of_pictures_are_the_same_everywhere() {
    let pixels = (0..30u32 * 9 * 11 * 3).map(|i| (i.wrapping_mul(2654435761) >> 24) as u8).collect();
    let classes = (0..30).map(|i| i.to_string()).collect();
    let data = Dataset::new(pixels, (0..30).collect(), classes, [9, 11], 3).unwrap();
    let checksum = |settings: LoaderSettings| {
        let mut hasher = crc32fast::Hasher::new();
        for number in 0..2 {
            for batch in loader(&data, settings.clone()).epoch(number, 0).map(Result::unwrap) {
                batch.pixels.iter().for_each(|value| hasher.update(&value.to_bits().to_le_bytes()));
                batch.labels.iter().for_each(|label| hasher.update(&label.to_le_bytes()));
            }
        }
        hasher.finalize()
    };
    let training = |augmentation| LoaderSettings::training("weights", 7, 8, statistics(), augmentation);
    let checksums = [
        training(Augmentation { crop_padding: 4, flip: true, cutout: 5, ..Augmentation::none() }),
        training(Augmentation { crop_padding: 2, flip: false, cutout: 0, ..Augmentation::none() }),
        training(Augmentation { crop_padding: 0, flip: true, cutout: 16, ..Augmentation::none() }),
        LoaderSettings::evaluation(8, statistics()),
    ]
    .map(checksum);
    assert_eq!(checksums, [3543341266, 3036592086, 3526453072, 170458535]);
}
