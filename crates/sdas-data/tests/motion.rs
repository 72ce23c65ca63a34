//! The built-in set of clips: only motion tells its classes apart, and motion does.

use std::sync::Mutex;

use sdas_data::{DataError, Dataset, Kind, Motion, Source, Splits, load};

const CLASSES: usize = 8;
const SIDE: usize = 32;
const FRAMES: usize = 8;
/// As correct answers on the test clips go by chance: a share of 1/8 of 512, and four standard
/// deviations, √(512 · 1/8 · 7/8) = 7.48, more. One classifier in 30,000 that knows nothing exceeds it.
const CHANCE: f32 = (64.0 + 4.0 * 7.48) / 512.0;

fn motion(motion: Motion) -> Splits {
    load(&Source { motion, ..Source::new(Kind::Motion) }, &|_| {}).unwrap()
}

#[test]
fn default_set_is_balanced_and_announced() {
    let calls = Mutex::new(vec![]);
    let splits =
        load(&Source::new(Kind::Motion), &|building| calls.lock().unwrap().push((building.done, building.total)))
            .unwrap();
    assert_eq!((splits.train.len(), splits.test.len(), splits.test_name.as_str()), (2048, 512, "test"));
    for data in [&splits.train, &splits.test] {
        assert_eq!((data.common_size(), data.channels(), data.classes().len()), (Some([32, 32]), 3, CLASSES));
        assert!((0..data.len()).all(|i| data.frames(i) == FRAMES && data.label(i) == i % CLASSES));
    }
    let calls = calls.into_inner().unwrap();
    assert!(calls.is_sorted() && calls.last() == Some(&(2560, 2560)), "{calls:?}");
}

#[test]
fn a_clip_depends_on_seed_split_and_number_only() {
    let set = |train, seed| motion(Motion { train, test: 8, frames: 3, seed });
    let [few, many, other] = [set(8, 1), set(300, 1), set(8, 2)];
    assert!((0..8).all(|i| few.train.pixels(i) == many.train.pixels(i)));
    assert!((0..8).all(|i| few.train.pixels(i) != few.test.pixels(i)));
    assert!((0..8).all(|i| few.train.pixels(i) != other.train.pixels(i)));
}

/// Sums, products and square roots only; these were made on x86-64.
#[test]
fn clips_are_the_same_everywhere() {
    let splits = motion(Motion { train: 64, test: 8, frames: 8, seed: 0 });
    let bytes: Vec<u8> = (0..64).flat_map(|i| splits.train.pixels(i)).copied().collect();
    assert_eq!(crc32fast::hash(&bytes), 1941905610);
}

#[test]
fn impossible_settings_are_errors() {
    let set = |motion, size| load(&Source { motion, size, ..Source::new(Kind::Motion) }, &|_| {});
    let few = Motion { train: 8, test: 8, frames: 2, seed: 0 };
    assert_eq!(set(few, Some(40)).unwrap().train.size(), [40, 40]);
    let text = |motion, size| set(motion, size).unwrap_err().to_string();
    assert!(text(few, Some(8)).contains("from 16 to"));
    assert!(text(Motion { frames: 1, ..few }, None).contains("`data.motion.frames`"));
    assert!(matches!(set(Motion { test: 7, ..few }, None), Err(DataError::TooFew { split: "test", count: 7, .. })));
    assert_eq!("motion".parse::<Kind>().unwrap(), Kind::Motion);
    assert_eq!(Kind::Motion.to_string(), "motion");
}

#[test]
fn a_cache_holds_the_same_clips() {
    let folder = tempfile::tempdir().unwrap();
    let settings = Motion { train: 16, test: 8, frames: 3, seed: 0 };
    let plain = motion(settings);
    let source = Source { motion: settings, cache: Some(folder.path().into()), ..Source::new(Kind::Motion) };
    for _ in 0..2 {
        let cached = load(&source, &|_| {}).unwrap();
        assert!(cached.train.is_mapped());
        for (cached, plain) in [(&cached.train, &plain.train), (&cached.test, &plain.test)] {
            assert!((0..plain.len()).all(|i| cached.frames(i) == 3 && cached.pixels(i) == plain.pixels(i)));
        }
    }
    load(&Source { motion: Motion { seed: 1, ..settings }, ..source }, &|_| {}).unwrap();
    assert_eq!(folder.path().read_dir().unwrap().count(), 2);
}

/// A frame as numbers from 0 to 1: the mean of its channels' distances from their means, with the
/// sign of the channel that varies most, so that a texture shows whatever its colour.
fn gray(frame: &[u8]) -> Vec<f32> {
    let planes: Vec<Vec<f32>> = (0..3)
        .map(|channel| {
            let plane: Vec<f32> = frame[channel..].iter().step_by(3).map(|&value| f32::from(value) / 255.0).collect();
            let mean = plane.iter().sum::<f32>() / plane.len() as f32;
            plane.iter().map(|value| value - mean).collect()
        })
        .collect();
    let energy = |plane: &Vec<f32>| plane.iter().map(|value| value * value).sum::<f32>();
    planes.into_iter().max_by(|a, b| energy(a).total_cmp(&energy(b))).unwrap()
}

/// Of all places inside a frame: value, derivatives to the right and down, and the place from the
/// middle.
fn slopes(frame: &[f32]) -> impl Iterator<Item = [f32; 5]> {
    (1..SIDE - 1).flat_map(move |y| {
        (1..SIDE - 1).map(move |x| {
            let at = |x: usize, y: usize| frame[y * SIDE + x];
            let [right, down] = [at(x + 1, y) - at(x - 1, y), at(x, y + 1) - at(x, y - 1)].map(|step| step / 2.0);
            [at(x, y), right, down, x as f32 - 15.5, y as f32 - 15.5]
        })
    })
}

/// Mean, variance, energy of the gradient, of its radial and of its angular part, and what the outer
/// half has of the gradient's.
fn measures(frame: &[u8]) -> [f32; 6] {
    let mean = frame.iter().map(|&value| f32::from(value)).sum::<f32>() / frame.len() as f32;
    let mut sums = [mean, 0.0, 0.0, 0.0, 0.0, 0.0];
    for [value, right, down, x, y] in slopes(&gray(frame)) {
        let (square, radius) = (right * right + down * down, x * x + y * y);
        let radial = (right * x + down * y) * (right * x + down * y) / radius;
        let outer = if radius > 130.0 { square } else { 0.0 };
        for (sum, more) in sums[1..].iter_mut().zip([value * value, square, radial, square - radial, outer]) {
            *sum += more;
        }
    }
    sums
}

/// Of every clip, of every frame.
fn measured(data: &Dataset) -> Vec<Vec<[f32; 6]>> {
    (0..data.len()).map(|i| (0..FRAMES).map(|t| measures(data.frame(i, t))).collect()).collect()
}

/// Analysis of variance: how much more the classes' means differ than by chance; 1 on average if
/// the class says nothing.
fn f_statistic(values: &[f32]) -> f64 {
    let group = |class: usize| values.iter().skip(class).step_by(CLASSES).map(|&value| f64::from(value));
    let each = values.len() / CLASSES;
    let means: Vec<f64> = (0..CLASSES).map(|class| group(class).sum::<f64>() / each as f64).collect();
    let mean = means.iter().sum::<f64>() / CLASSES as f64;
    let between: f64 = means.iter().map(|group| (group - mean) * (group - mean)).sum::<f64>() * each as f64;
    let within: f64 = (0..CLASSES)
        .flat_map(|class| group(class).map(move |value| (value, class)))
        .map(|(value, class)| (value - means[class]).powi(2))
        .sum();
    between / (CLASSES - 1) as f64 / (within / (values.len() - CLASSES) as f64)
}

/// No measure of any frame, first to last, differs between the classes: F with 7 and 2,040 degrees
/// of freedom exceeds 4.2 once in 8,000, and there are 48 of them.
#[test]
fn no_measure_of_a_frame_differs_between_the_classes() {
    let clips = measured(&motion(Motion::default()).train);
    let mut all = vec![];
    for t in 0..FRAMES {
        for measure in 0..6 {
            all.push(f_statistic(&clips.iter().map(|clip| clip[t][measure]).collect::<Vec<_>>()));
        }
    }
    println!("F statistics: {all:.2?}");
    assert!(all.iter().all(|&f| f < 4.2), "{all:?}");
    // The test itself: the tiniest difference would show.
    let shifted: Vec<f32> = clips.iter().enumerate().map(|(i, clip)| clip[0][0] + (i % CLASSES) as f32).collect();
    assert!(f_statistic(&shifted) > 4.2);
}

/// Nor do opposite classes differ in their frames taken together without their order: spread and
/// largest of every measure over a clip. The difference of two means of 256 exceeds 4.2 standard
/// deviations once in 37,000, and there are 48.
#[test]
fn frames_without_their_order_do_not_tell_opposites_apart() {
    let clips = measured(&motion(Motion::default()).train);
    let mut all = vec![];
    for measure in 0..6 {
        let times = |clip: &Vec<[f32; 6]>| clip.iter().map(|measures| f64::from(measures[measure])).collect::<Vec<_>>();
        let largest = |times: &[f64]| times.iter().copied().fold(f64::MIN, f64::max);
        for of in [|times: &[f64]| moments(times)[1].sqrt(), largest] {
            for pair in 0..CLASSES / 2 {
                let [one, other] = [2 * pair, 2 * pair + 1].map(|class| {
                    let values = clips.iter().skip(class).step_by(CLASSES).map(|clip| of(&times(clip)));
                    moments(&values.collect::<Vec<_>>())
                });
                let each = (clips.len() / CLASSES) as f64;
                all.push((one[0] - other[0]) / ((one[1] + other[1]) / each).sqrt());
            }
        }
    }
    println!("in standard deviations: {all:.2?}");
    assert!(all.iter().all(|difference| difference.abs() < 4.2), "{all:?}");
}

/// Mean and variance.
fn moments(values: &[f64]) -> [f64; 2] {
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    [mean, values.iter().map(|value| (value - mean) * (value - mean)).sum::<f64>() / count]
}

#[test]
fn a_linear_classifier_of_single_frames_stays_at_chance() {
    let splits = motion(Motion::default());
    for t in [0, 3, 7] {
        let accuracy = best_linear_accuracy(&splits, |data, i| {
            data.frame(i, t).iter().map(|&value| (f32::from(value) - 127.5) / 40.0).collect()
        });
        println!("frame {t}: {accuracy}");
        assert!(accuracy < CHANCE, "{accuracy}");
    }
}

/// Also of the squares of a frame's slopes, which see textures and not only colours, and of the
/// intensity histograms of all frames.
#[test]
fn a_linear_classifier_of_appearance_stays_at_chance() {
    let splits = motion(Motion::default());
    let accuracy = best_linear_accuracy(&splits, |data, i| {
        let frame = gray(data.frame(i, FRAMES - 1));
        slopes(&frame)
            .flat_map(|[value, right, down, ..]| [value * value * 10.0, right * right * 100.0, down * down * 100.0])
            .collect()
    });
    println!("squares: {accuracy}");
    assert!(accuracy < CHANCE, "{accuracy}");
    let histograms = |data: &Dataset, i: usize| {
        (0..FRAMES)
            .flat_map(|t| {
                let mut bins = vec![0.0f32; 48];
                data.frame(i, t)
                    .iter()
                    .enumerate()
                    .for_each(|(at, &value)| bins[at % 3 * 16 + usize::from(value) / 16] += 1.0 / 64.0);
                bins
            })
            .collect::<Vec<_>>()
    };
    let accuracy = best_linear_accuracy(&splits, histograms);
    println!("histograms: {accuracy}");
    assert!(accuracy < CHANCE, "{accuracy}");
    // The classifier itself: one pixel of 1,024 more or less in a bin that says the class is found.
    let accuracy = best_linear_accuracy(&splits, |data, i| {
        let mut bins = histograms(data, i);
        bins[data.label(i)] += 2.0;
        bins
    });
    assert!(accuracy > 0.4, "{accuracy}");
}

/// What a pixel gains from one frame to the next is what the motion brings there: the motion's
/// velocity, negated, times the slope. Of the four that are possible, the one it follows most.
#[test]
fn a_detector_of_motion_tells_the_classes_apart() {
    let data = motion(Motion::default()).test;
    let mut right = [0; CLASSES];
    for i in 0..data.len() {
        // Of the gain with each of four slopes: products, squares of the slope.
        let mut sums = [[0.0f32; 2]; 4];
        for t in 1..FRAMES {
            let [before, after] = [gray(data.frame(i, t - 1)), gray(data.frame(i, t))];
            let middle: Vec<f32> = before.iter().zip(&after).map(|(a, b)| (a + b) / 2.0).collect();
            let gain: Vec<f32> = before.iter().zip(&after).map(|(a, b)| b - a).collect();
            for ([_, to_right, down, x, y], [gain, ..]) in slopes(&middle).zip(slopes(&gain)) {
                let along = [to_right, down, x * to_right + y * down, x * down - y * to_right];
                for (sums, slope) in sums.iter_mut().zip(along) {
                    *sums = [sums[0] - gain * slope, sums[1] + slope * slope];
                }
            }
        }
        let follows = sums.map(|[product, square]| product / square.sqrt());
        let [x, y, radial, angular] = follows;
        let classes = [-x, x, -y, y, radial, -radial, angular, -angular];
        let best = (0..CLASSES).max_by(|&a, &b| classes[a].total_cmp(&classes[b])).unwrap();
        right[data.label(i)] += usize::from(best == data.label(i));
    }
    println!("right of 64 each: {right:?}");
    assert!(right.iter().all(|&right| right > 50), "{right:?}");
    assert!(right.iter().sum::<usize>() * 10 > data.len() * 9, "{right:?}");
}

/// Softmax regression on features of clips, by gradient descent with momentum. The share of test
/// clips that it classifies, when training is done.
fn best_linear_accuracy(splits: &Splits, features: impl Fn(&Dataset, usize) -> Vec<f32>) -> f32 {
    const EPOCHS: usize = 10;
    const BATCH: usize = 64;
    let prepare = |data: &Dataset| -> Vec<Vec<f32>> {
        (0..data.len()).map(|i| features(data, i).into_iter().chain([1.0]).collect()).collect()
    };
    let [train, test] = [&splits.train, &splits.test].map(prepare);
    let width = train[0].len();
    let power = train.iter().flatten().map(|value| value * value).sum::<f32>() / train.len() as f32;
    let mut weights = vec![0.0f32; CLASSES * width];
    let mut velocity = weights.clone();
    for epoch in 0..EPOCHS {
        let rate = 0.5 / power * (1.0 - epoch as f32 / EPOCHS as f32);
        for (step, batch) in train.chunks(BATCH).enumerate() {
            let mut gradient = vec![0.0; weights.len()];
            for (i, row) in batch.iter().enumerate() {
                let scores = scores(&weights, row);
                let largest = scores.iter().copied().fold(f32::MIN, f32::max);
                let powers: Vec<f32> = scores.iter().map(|score| (score - largest).exp()).collect();
                let sum: f32 = powers.iter().sum();
                for (class, gradient) in gradient.chunks_exact_mut(width).enumerate() {
                    let wanted = f32::from(class == splits.train.label(step * BATCH + i));
                    let error = powers[class] / sum - wanted;
                    gradient.iter_mut().zip(row).for_each(|(gradient, value)| *gradient += error * value);
                }
            }
            for ((weight, velocity), gradient) in weights.iter_mut().zip(&mut velocity).zip(gradient) {
                *velocity = 0.9 * *velocity + gradient;
                *weight -= rate * *velocity;
            }
        }
    }
    let share = |rows: &[Vec<f32>], data: &Dataset| {
        let right = rows.iter().enumerate().filter(|(i, row)| {
            let scores = scores(&weights, row);
            (0..CLASSES).max_by(|&a, &b| scores[a].total_cmp(&scores[b])) == Some(data.label(*i))
        });
        right.count() as f32 / rows.len() as f32
    };
    println!("training: {}", share(&train, &splits.train));
    share(&test, &splits.test)
}

fn scores(weights: &[f32], row: &[f32]) -> Vec<f32> {
    // Eight sums at a time, or the compiler must add one by one.
    let dot = |weights: &[f32]| {
        let mut sums = [0.0; 8];
        for (weights, row) in weights.chunks(8).zip(row.chunks(8)) {
            sums.iter_mut().zip(weights).zip(row).for_each(|((sum, weight), value)| *sum += weight * value);
        }
        sums.iter().sum()
    };
    weights.chunks_exact(row.len()).map(dot).collect()
}
