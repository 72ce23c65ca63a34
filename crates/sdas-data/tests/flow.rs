//! Optical flow against OpenCV's, against known motion, and in odd places.

use std::path::Path;

use safetensors::SafeTensors;
use sdas_data::flow::{Flow, TvL1};

#[path = "../../../golden/reader.rs"]
mod golden;

/// A smooth texture without period or axis, as a function of the place.
fn texture(x: f64, y: f64) -> f64 {
    let waves = [(0.31, 0.17, 0.3), (-0.21, 0.37, 1.1), (0.47, -0.11, 2.0), (0.13, 0.53, 0.7), (0.71, 0.43, 1.9)];
    let sum: f64 = waves.iter().map(|(a, b, phase)| (a * x + b * y + phase).sin()).sum();
    127.5 + 24.0 * sum
}

/// The texture, moved by `by` (x, y).
fn frame([height, width]: [usize; 2], by: [f64; 2]) -> Vec<u8> {
    let value = |x: usize, y: usize| texture(x as f64 - by[0], y as f64 - by[1]).round() as u8;
    (0..height).flat_map(|y| (0..width).map(move |x| value(x, y))).collect()
}

/// Distances between two flows' displacements, pixel by pixel.
fn errors<'a>(flow: &'a Flow, x: &'a [f32], y: &'a [f32]) -> impl Iterator<Item = f64> + 'a {
    assert_eq!([flow.x.len(), flow.y.len()], [x.len(), y.len()]);
    let differences = flow.x.iter().zip(x).zip(flow.y.iter().zip(y));
    differences.map(|((a, b), (c, d))| f64::from(a - b).hypot(f64::from(c - d)))
}

/// Mean error over the pixels further than `margin` from the border, where what moved in or out of the frame is out of
/// reach.
fn mean_error_inside(flow: &Flow, truth: [f64; 2], margin: usize) -> f64 {
    let [height, width] = flow.size;
    let inside: Vec<_> = (margin..height - margin)
        .flat_map(|y| (margin..width - margin).map(move |x| y * width + x))
        .map(|i| (f64::from(flow.x[i]) - truth[0]).hypot(f64::from(flow.y[i]) - truth[1]))
        .collect();
    inside.iter().sum::<f64>() / inside.len() as f64
}

/// Displacement, in pixels, from which on a place counts as moving: what the flow of a known shift may be off by.
const MOTION: f32 = 0.05;

/// Holds every pair of a golden file against our own flow; returns how many there were.
fn compare(path: &Path, most: f64) -> usize {
    let bytes = std::fs::read(path).unwrap();
    let (_, header) = SafeTensors::read_metadata(&bytes).unwrap();
    let settings: serde_json::Value = match header.metadata().as_ref().and_then(|metadata| metadata.get("settings")) {
        Some(text) => serde_json::from_str(text).unwrap(),
        None => serde_json::Value::Null,
    };
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let floats = |name: &str| -> Vec<f32> {
        let data = file.tensor(name).unwrap().data();
        data.chunks_exact(4).map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap())).collect()
    };
    let mut names: Vec<_> = file.names().into_iter().filter_map(|name| name.strip_suffix(".flow")).collect();
    names.sort();
    for name in &names {
        let [a, b] = ["a", "b"].map(|which| file.tensor(&format!("{name}.{which}")).unwrap());
        let size = [a.shape()[0], a.shape()[1]];
        let tvl1 = settings.get(*name).map_or(TvL1::default(), |own| serde_json::from_value(own.clone()).unwrap());
        let flow = tvl1.flow(a.data(), b.data(), size);

        let expected = floats(&format!("{name}.flow"));
        let (x, y) = expected.split_at(size[0] * size[1]);
        let errors: Vec<_> = errors(&flow, x, y).collect();
        let mean = errors.iter().sum::<f64>() / errors.len() as f64;
        let worst = errors.iter().copied().fold(0.0, f64::max);
        eprintln!("{name}: mean error {mean:.5}, worst {worst:.5}");
        assert!(mean <= most, "{name}: mean endpoint error against OpenCV is {mean}");
        let moving = errors.iter().zip(x.iter().zip(y)).filter(|(_, (x, y))| x.hypot(**y) > MOTION);
        let moving: Vec<f64> = moving.map(|(error, _)| *error).collect();
        let mean = moving.iter().sum::<f64>() / moving.len().max(1) as f64;
        assert!(mean <= 0.1, "{name}: where something moves, the mean endpoint error against OpenCV is {mean}");

        if let Ok(truth) = file.tensor(&format!("{name}.true")) {
            let truth: Vec<f32> =
                truth.data().chunks_exact(4).map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap())).collect();
            let (x, y) = truth.split_at(size[0] * size[1]);
            let mean = self::errors(&flow, x, y).sum::<f64>() / x.len() as f64;
            eprintln!("{name}: mean error against the truth {mean:.5}");
            assert!(mean <= 0.05, "{name}: mean endpoint error against the truth is {mean}");
        }
    }
    names.len()
}

#[test]
fn synthetic_pairs_are_as_opencv_has_them() {
    // `golden/make_flow.py` says what the pairs are and how the file was made.
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/flow.safetensors");
    assert_eq!(compare(&path, 0.001), 5);
}

#[test]
fn real_pairs_are_as_opencv_has_them() {
    let path = golden::folder().join("flow_tvl1.safetensors");
    if !path.exists() {
        eprintln!("skipped: {} is not there", path.display());
        return;
    }
    // Two are nearly still and ill-conditioned: noise of 0.0003 gray levels moves OpenCV's own result by 0.016 pixels.
    assert!(compare(&path, 0.03) >= 4);
}

#[test]
fn no_motion_is_exactly_zero() {
    for size in [[60, 80], [33, 47]] {
        let picture = frame(size, [0.0, 0.0]);
        let flow = TvL1::default().flow(&picture, &picture, size);
        assert_eq!(flow.size, size);
        assert!(flow.x.iter().chain(&flow.y).all(|&value| value == 0.0));
    }
}

#[test]
fn shifts_are_recovered() {
    // Whole pixels, parts of one, both directions, more than a pixel of the coarsest scale.
    for truth in [[2.0, 0.0], [0.0, 3.0], [0.4, -0.3], [-1.75, 0.5], [-3.0, -2.0]] {
        let size = [70, 90];
        let flow = TvL1::default().flow(&frame(size, [0.0; 2]), &frame(size, truth), size);
        let error = mean_error_inside(&flow, truth, 8);
        assert!(error < 0.05, "{truth:?}: mean error {error}");
    }
}

#[test]
fn constant_frames_have_no_flow() {
    for (from, to) in [(0, 0), (128, 128), (0, 255), (200, 199)] {
        let flow = TvL1::default().flow(&[from; 40 * 50], &[to; 40 * 50], [40, 50]);
        assert!(flow.x.iter().chain(&flow.y).all(|&value| value == 0.0), "{from} to {to}");
    }
}

#[test]
fn frames_of_any_size_have_flow() {
    for size in [[1, 1], [1, 9], [9, 1], [2, 2], [3, 5], [15, 17], [16, 16], [17, 200], [201, 16], [31, 33]] {
        let flow = TvL1::default().flow(&frame(size, [0.0; 2]), &frame(size, [1.0, 0.0]), size);
        assert_eq!([flow.x.len(), flow.y.len()], [size[0] * size[1]; 2]);
        assert!(flow.x.iter().chain(&flow.y).all(|value| value.is_finite() && value.abs() < 20.0), "{size:?}");
        if size[0] > 8 && size[1] > 8 {
            let error = mean_error_inside(&flow, [1.0, 0.0], 3);
            assert!(error < 0.1, "{size:?}: mean error {error}");
        }
    }
    let flow = TvL1::default().flow(&[], &[], [0, 7]);
    assert!(flow.x.is_empty() && flow.y.is_empty());
}

#[test]
fn noise_stays_finite() {
    // Worst for the solver: every pixel black or white, nothing in common.
    let noise = |seed: u32| -> Vec<u8> {
        (0..64 * 64u32).map(|i| ((i ^ seed).wrapping_mul(2_654_435_761) >> 31) as u8 * 255).collect()
    };
    let flow = TvL1::default().flow(&noise(1), &noise(77), [64, 64]);
    assert!(flow.x.iter().chain(&flow.y).all(|value| value.is_finite()));
}

#[test]
fn threads_do_not_change_a_bit() {
    // Large enough for several bands, the last of them lower than the others.
    let size = [151, 203];
    let (from, to) = (frame(size, [0.0; 2]), frame(size, [1.3, -0.6]));
    let tvl1 = TvL1 { warps: 2, outer_iterations: 2, ..TvL1::default() };
    let within = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| tvl1.flow(&from, &to, size))
    };
    let bits = |flow: Flow| -> Vec<u32> { flow.x.iter().chain(&flow.y).map(|value| value.to_bits()).collect() };
    let one = bits(within(1));
    for threads in [2, 3] {
        assert!(one == bits(within(threads)), "{threads} threads");
    }
}

#[test]
fn pairs_can_run_beside_each_other() {
    use rayon::prelude::*;
    let size = [120, 160];
    let tvl1 = TvL1 { warps: 1, ..TvL1::default() };
    let frames: Vec<_> = (0..4).map(|i| frame(size, [f64::from(i), 0.0])).collect();
    let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap();
    let beside: Vec<_> =
        pool.install(|| frames.par_windows(2).map(|pair| tvl1.flow(&pair[0], &pair[1], size)).collect());
    let alone: Vec<_> = frames.windows(2).map(|pair| tvl1.flow(&pair[0], &pair[1], size)).collect();
    assert_eq!(beside, alone);
}

#[test]
fn impossible_settings_are_named() {
    assert!(TvL1::default().check().is_ok());
    for (settings, key) in [
        (TvL1 { tau: 0.3, ..TvL1::default() }, "tau"),
        (TvL1 { lambda: 0.0, ..TvL1::default() }, "lambda"),
        (TvL1 { theta: f64::NAN, ..TvL1::default() }, "theta"),
        (TvL1 { scales: 0, ..TvL1::default() }, "scales"),
        (TvL1 { scale_step: 1.0, ..TvL1::default() }, "scale_step"),
        (TvL1 { warps: 0, ..TvL1::default() }, "warps"),
        (TvL1 { epsilon: -1.0, ..TvL1::default() }, "epsilon"),
        (TvL1 { outer_iterations: 0, ..TvL1::default() }, "outer_iterations"),
        (TvL1 { inner_iterations: 0, ..TvL1::default() }, "inner_iterations"),
        (TvL1 { median: 4, ..TvL1::default() }, "median"),
    ] {
        let message = settings.check().unwrap_err().to_string();
        assert!(message.contains(&format!("`{key}` = ")) && message.contains("remedy: "), "{message}");
    }
}
