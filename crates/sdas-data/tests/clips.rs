//! The loader on clips: the right frames, the same change for all of them, and views of every
//! sample.

use proptest::prelude::*;
use sdas_data::{
    Augmentation, Batch, ClipSettings, Cropping, Dataset, Last, Loader, LoaderSettings, Normalization, Order, Sampling,
    Statistics, Views,
};

/// Clips with these shapes; a byte is 10 × its frame, plus what tells its place.
fn clips(shapes: &[[usize; 3]], channels: usize) -> Dataset {
    let bytes = |&[frames, height, width]: &[usize; 3]| {
        let frame = height * width * channels;
        (0..frames * frame).map(move |i| (i / frame * 10 + i % frame * 7 % 10) as u8)
    };
    let labels = (0..shapes.len() as u16).collect();
    let classes = (0..shapes.len()).map(|i| i.to_string()).collect();
    Dataset::clips(shapes.iter().flat_map(bytes).collect(), shapes, labels, classes, channels).unwrap()
}

/// A value v comes out as v.
fn plain(channels: usize) -> Statistics {
    Statistics { mean: vec![0.0; channels], std: vec![1.0 / 255.0; channels] }
}

fn training(channels: usize, clip: ClipSettings) -> LoaderSettings {
    LoaderSettings { clip, ..LoaderSettings::training("test", 3, 4, plain(channels), Augmentation::none()) }
}

fn testing(channels: usize, clip: ClipSettings, views: Views) -> LoaderSettings {
    LoaderSettings { clip, views: Some(views), ..LoaderSettings::evaluation(4, plain(channels)) }
}

fn batches(data: &Dataset, settings: LoaderSettings) -> Vec<Batch> {
    let all: Vec<_> = (0..data.len()).collect();
    let loader = Loader::new(data, &all, settings);
    let batches: Vec<_> = loader.epoch(0, 0).map(Result::unwrap).collect();
    for batch in &batches {
        assert_eq!(batch.pixels.len(), batch.shape.iter().product::<usize>());
        assert_eq!([batch.labels.len(), batch.samples.len()], [batch.shape[0]; 2]);
        assert_eq!(batch.shape[1..], loader.shape());
    }
    batches
}

/// What is seen of the only sample in one view.
fn seen(data: &Dataset, settings: LoaderSettings) -> Vec<i32> {
    batches(data, settings)[0].pixels.iter().map(|value| value.round() as i32).collect()
}

fn any_settings() -> impl Strategy<Value = LoaderSettings> {
    let cropping = prop_oneof![
        Just(Cropping::Centre {}),
        Just(Cropping::Corners { scales: vec![1.0, 0.8, 0.5] }),
        Just(Cropping::RandomResized { area: [0.1, 1.0], aspect: [0.75, 1.5] }),
    ];
    let views = prop_oneof![
        Just(None),
        (1usize..4, prop_oneof![Just(1usize), Just(3), Just(10)], 0.3..1.0f64)
            .prop_map(|(clips, crops, scale)| Some(Views { clips, crops, scale }))
    ];
    let clip = (1usize..6, 1usize..4, any::<bool>(), 1usize..4, 1usize..9, any::<bool>());
    let augmentation = (0usize..3, any::<bool>(), 0usize..4);
    let batch = (1usize..7, any::<bool>(), prop::option::of(1usize..9));
    (clip, cropping, views, augmentation, batch).prop_map(|(clip, cropping, views, augmentation, batch)| {
        let (frames, stride, segments, stack, crop, own) = clip;
        let (crop_padding, flip, cutout) = augmentation;
        let (batch, keep, batches) = batch;
        LoaderSettings {
            clip: ClipSettings {
                frames,
                stride,
                sampling: if segments { Sampling::Segments } else { Sampling::Clip },
                stack,
                crop: Some(crop),
                normalization: if own { Normalization::PerClip } else { Normalization::Dataset },
            },
            cropping,
            views,
            augmentation: Augmentation { crop_padding, flip, cutout, ..Augmentation::none() },
            batch,
            last: if keep { Last::Keep } else { Last::Drop },
            batches,
            ..training(2, ClipSettings::default())
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]
    #[test]
    fn threads_and_interruptions_change_nothing(
        settings in any_settings(), threads in 1usize..4, prefetch in 0usize..5, first in 0usize..9,
        shapes in prop::collection::vec(prop::array::uniform3(1usize..12), 1..8),
    ) {
        let data = clips(&shapes, 2);
        let all: Vec<_> = (0..data.len()).collect();
        let whole: Vec<_> = Loader::new(&data, &all, settings.clone()).epoch(1, 0).map(Result::unwrap).collect();
        let part: Vec<_> =
            Loader::new(&data, &all, LoaderSettings { threads, prefetch, ..settings }).epoch(1, first).map(Result::unwrap).collect();
        prop_assert!(whole.iter().all(|batch| batch.pixels.iter().all(|value| value.is_finite())));
        prop_assert_eq!(&whole[first.min(whole.len())..], part);
    }
}

#[test]
fn a_picture_is_a_clip_of_one_frame() {
    let pixels: Vec<u8> = (0..6 * 75).map(|i| (i * 31 % 256) as u8).collect();
    let classes = vec!["a".to_string()];
    let pictures = Dataset::new(pixels.clone(), vec![0; 6], classes.clone(), [5, 5], 3).unwrap();
    let clips = Dataset::clips(pixels, &[[1, 5, 5]; 6], vec![0; 6], classes, 3).unwrap();
    let augmentation = Augmentation { crop_padding: 2, flip: true, cutout: 2, ..Augmentation::none() };
    let settings = LoaderSettings { augmentation, ..training(3, ClipSettings::default()) };
    assert_eq!(batches(&pictures, settings.clone()), batches(&clips, settings));
}

#[test]
fn short_clips_are_looped_and_long_ones_cut_from_the_middle() {
    let view = |frames, stride, count| {
        let data = clips(&[[count, 1, 1]], 1);
        seen(&data, testing(1, ClipSettings { frames, stride, ..ClipSettings::default() }, Views::default()))
    };
    assert_eq!(view(5, 1, 3), [0, 10, 20, 0, 10]);
    assert_eq!(view(4, 2, 3), [0, 20, 10, 0]);
    assert_eq!(view(3, 1, 1), [0, 0, 0]);
    assert_eq!(view(3, 2, 8), [10, 30, 50]);
}

#[test]
fn flow_is_stacked_and_mirrored() {
    // Three fields of two pixels: x y, x y.
    let pixels = vec![1, 2, 3, 4, 11, 12, 13, 14, 21, 22, 23, 24];
    let data = Dataset::clips(pixels, &[[3, 1, 2]], vec![0], vec!["a".into()], 2).unwrap();
    let clip = ClipSettings { frames: 2, stack: 2, crop: None, ..ClipSettings::default() };
    let views = Views { crops: 10, ..Views::default() };
    let batches = batches(&data, LoaderSettings { batch: 10, ..testing(2, clip, views) });
    assert_eq!(batches[0].shape, [10, 2, 1, 2, 4]);
    let rows: Vec<Vec<i32>> =
        batches[0].pixels.chunks(16).map(|row| row.iter().map(|value| value.round() as i32).collect()).collect();
    // x1 y1 x2 y2 of the left pixel, then of the right; then the second time step.
    assert_eq!(rows[0], [1, 2, 11, 12, 3, 4, 13, 14, 11, 12, 21, 22, 13, 14, 23, 24]);
    assert_eq!(rows[5], [252, 4, 242, 14, 254, 2, 244, 12, 242, 14, 232, 24, 244, 12, 234, 22]);
}

#[test]
fn flow_is_scaled_without_being_taken_for_transparency() {
    let data = Dataset::clips([200, 0].repeat(35), &[[1, 5, 7]], vec![0], vec!["a".into()], 2).unwrap();
    for crop in [2, 3, 9] {
        let clip = ClipSettings { crop: Some(crop), ..ClipSettings::default() };
        assert_eq!(seen(&data, testing(2, clip, Views::default())), [200, 0].repeat(crop * crop));
    }
}

#[test]
fn all_frames_of_a_clip_are_changed_alike() {
    // Eight frames that are all one noise.
    let frame: Vec<u8> = (0..9 * 13 * 3).map(|i: u32| (i.wrapping_mul(2654435761) >> 24) as u8).collect();
    let shapes = [[8, 9, 13]; 40];
    let data = Dataset::clips(frame.repeat(8 * 40), &shapes, vec![0; 40], vec!["a".into()], 3).unwrap();
    for cropping in [
        Cropping::Corners { scales: vec![1.0, 0.7] },
        Cropping::RandomResized { area: [0.2, 1.0], aspect: [0.8, 1.25] },
    ] {
        let clip = ClipSettings { frames: 3, crop: Some(6), ..ClipSettings::default() };
        let augmentation = Augmentation { crop_padding: 2, flip: true, cutout: 3, ..Augmentation::none() };
        let mut seen = vec![];
        for batch in batches(&data, LoaderSettings { cropping, augmentation, ..training(3, clip) }) {
            for row in batch.pixels.chunks(3 * 6 * 6 * 3) {
                let (first, rest) = row.split_at(6 * 6 * 3);
                assert!(rest.chunks(6 * 6 * 3).all(|frame| frame == first));
                seen.push(first.to_vec());
            }
        }
        seen.sort_by(|a, b| a.partial_cmp(b).unwrap());
        seen.dedup();
        assert!(seen.len() > 35, "{} changes", seen.len());
    }
}

#[test]
fn a_window_of_the_size_seen_is_copied() {
    // 3×5, seen as 3×3: columns 1 to 3.
    let data = Dataset::clips((0..15).collect(), &[[1, 3, 5]], vec![0], vec!["a".into()], 1).unwrap();
    let clip = ClipSettings { crop: Some(3), ..ClipSettings::default() };
    assert_eq!(seen(&data, testing(1, clip, Views::default())), [1, 2, 3, 6, 7, 8, 11, 12, 13]);
    // Without `crop` all is seen, and a part of it is brought to the whole size.
    assert_eq!(seen(&data, testing(1, ClipSettings::default(), Views::default())), Vec::from_iter(0..15));
    let flat = Dataset::clips(vec![77; 15], &[[1, 3, 5]], vec![0], vec!["a".into()], 1).unwrap();
    let scale = Views { scale: 0.5, ..Views::default() };
    assert_eq!(seen(&flat, testing(1, ClipSettings::default(), scale)), [77; 15]);
}

#[test]
fn scaling_is_bilinear_of_the_window_alone_in_place() {
    // A ramp along x, 0 to 70: bilinear scaling of the middle 4 of 8 columns to 2 gives their halves'
    // means, 25 and 45, whatever lies outside counts little.
    let row: Vec<u8> = (0..8).map(|x| x * 10).collect();
    let data = Dataset::clips(row.repeat(4), &[[1, 4, 8]], vec![0], vec!["a".into()], 1).unwrap();
    let clip = ClipSettings { crop: Some(2), ..ClipSettings::default() };
    let seen = seen(&data, testing(1, clip, Views::default()));
    for (value, expected) in seen.iter().zip([25, 45, 25, 45]) {
        assert!((value - expected).abs() <= 1, "{seen:?}");
    }
}

#[test]
fn views_come_in_order_and_name_their_sample() {
    let data = clips(&[[9, 4, 6], [2, 4, 6], [5, 4, 6]], 1);
    let clip = ClipSettings { frames: 2, crop: Some(4), ..ClipSettings::default() };
    let views = Views { clips: 2, crops: 3, scale: 1.0 };
    let loader = Loader::new(&data, &[2, 0], testing(1, clip, views));
    assert_eq!((loader.pictures(), loader.batches()), (2, 3));
    let batches: Vec<_> = loader.epoch(0, 0).map(Result::unwrap).collect();
    let all = |part: fn(&Batch) -> Vec<i32>| batches.iter().flat_map(part).collect::<Vec<_>>();
    assert_eq!(batches.iter().map(|batch| batch.shape[0]).collect::<Vec<_>>(), [4, 4, 4]);
    assert_eq!(all(|batch| batch.samples.iter().map(|&sample| sample as i32).collect()), [[2; 6], [0; 6]].concat());
    assert_eq!(all(|batch| batch.labels.clone()), [[2; 6], [0; 6]].concat());
    // The corner of the first frame of each row: 10 × the frame, plus 7 × the column modulo 10.
    let corners = all(|batch| batch.pixels.chunks(32).map(|row| row[0].round() as i32).collect());
    assert_eq!(corners, [0, 7, 4, 30, 37, 34, 0, 7, 4, 70, 77, 74]);
}

#[test]
fn normalised_by_itself_a_dark_clip_is_a_bright_one() {
    let bright: Vec<u8> = (0..4 * 9).map(|i| (i * 37 % 100 * 2 + 50) as u8).collect();
    let dark = bright.iter().map(|value| value / 2).collect();
    let clip =
        ClipSettings { frames: 4, normalization: Normalization::PerClip, crop: Some(3), ..ClipSettings::default() };
    let [bright, dark] = [bright, dark].map(|pixels| {
        let data = Dataset::clips(pixels, &[[4, 3, 3]], vec![0], vec!["a".into()], 1).unwrap();
        batches(&data, testing(1, clip, Views::default()))[0].pixels.clone()
    });
    assert!(bright.iter().zip(&dark).all(|(bright, dark)| (bright - dark).abs() < 1e-4));
    let mean = bright.iter().sum::<f32>() / 36.0;
    let square = bright.iter().map(|value| value * value).sum::<f32>() / 36.0;
    assert!(mean.abs() < 1e-5 && (square - 1.0).abs() < 1e-4, "{mean} {square}");
}

#[test]
fn normalised_by_itself_a_mirrored_flow_is_the_same_the_other_way_round() {
    // All goes to the right: far from 127.5, which is no motion.
    let pixels: Vec<u8> = (0..3 * 4 * 2).map(|i| (i * 37 % 60 + 180) as u8).collect();
    let data = Dataset::clips(pixels, &[[3, 2, 2]], vec![0], vec!["a".into()], 2).unwrap();
    let clip = ClipSettings { frames: 3, normalization: Normalization::PerClip, ..ClipSettings::default() };
    let views = Views { crops: 10, ..Views::default() };
    let rows = batches(&data, LoaderSettings { batch: 10, ..testing(2, clip, views) })[0].pixels.clone();
    let [plain, mirrored] = [0, 5].map(|view| &rows[view * 24..][..24]);
    // Of each line of two pixels (x y, x y), the other pixel.
    for (place, value) in plain.iter().enumerate() {
        let other = mirrored[place ^ 2];
        let expected = if place % 2 == 0 { -value } else { *value };
        assert!((other - expected).abs() < 1e-4, "{place}: {other} is not {expected}");
    }
}

#[test]
fn every_epoch_sees_other_frames() {
    let data = clips(&[[20, 1, 1]; 30], 1);
    let all: Vec<_> = (0..30).collect();
    for sampling in [Sampling::Clip, Sampling::Segments] {
        let clip = ClipSettings { frames: 3, sampling, ..ClipSettings::default() };
        let settings = LoaderSettings { order: Order::InOrder, batch: 30, ..training(1, clip) };
        let loader = Loader::new(&data, &all, settings);
        let [one, two] = [0, 1].map(|epoch| loader.epoch(epoch, 0).next().unwrap().unwrap());
        assert_ne!(one.pixels, two.pixels);
        assert_eq!(one.labels, two.labels);
        assert!(one.pixels.chunks(3).all(|times| times.is_sorted()));
    }
}

#[test]
fn settings_are_recipe_keys() {
    let clip: ClipSettings = serde_json::from_str(
        r#"{"frames": 16, "stride": 2, "sampling": "segments", "stack": 5, "crop": 112, "normalization": "per_clip"}"#,
    )
    .unwrap();
    let text = serde_json::to_string(&clip).unwrap();
    assert_eq!(serde_json::from_str::<ClipSettings>(&text).unwrap(), clip);
    assert_eq!(serde_json::from_str::<ClipSettings>("{}").unwrap(), ClipSettings::default());
    assert!(serde_json::from_str::<ClipSettings>(r#"{"frame": 16}"#).is_err());
    let corners: Cropping = serde_json::from_str(r#"{"kind": "corners"}"#).unwrap();
    assert_eq!(corners, Cropping::Corners { scales: vec![1.0, 0.875, 0.75, 0.66] });
}

#[test]
fn what_does_not_fit_the_dataset_is_an_error() {
    let data = clips(&[[2, 3, 3], [2, 3, 4]], 3);
    let error = training(3, ClipSettings::default()).shape(&data).unwrap_err();
    assert!(error.to_string().contains("`data.clip.crop`"), "{error}");
    let clip = ClipSettings { crop: Some(2), ..ClipSettings::default() };
    assert_eq!(training(3, clip).shape(&data).unwrap(), [1, 2, 2, 3]);
    let error = training(2, clip).shape(&data).unwrap_err();
    assert!(error.to_string().contains("`data.mean`"), "{error}");
    let views = Views { crops: 4, ..Views::default() };
    assert!(testing(3, clip, views).shape(&data).unwrap_err().to_string().contains("`eval.crops`"));
    let five = clips(&[[2, 3, 3]], 5);
    assert!(training(5, clip).shape(&five).unwrap_err().to_string().contains("`data.clip.crop`"));
    assert!(training(5, ClipSettings::default()).shape(&five).is_ok());
}
