//! The built-in set: what it promises.

use std::sync::Mutex;

use sdas_data::{DataError, Dataset, Kind, Shapes, Source, Splits, load};

fn shapes(train: usize, test: usize, seed: u64) -> Splits {
    let source = Source { shapes: Shapes { train, test, seed }, ..Source::new(Kind::Shapes) };
    load(&source, &|_| {}).unwrap()
}

fn all(data: &Dataset) -> Vec<usize> {
    (0..data.len()).collect()
}

#[test]
fn default_set_is_balanced_and_announced() {
    let calls = Mutex::new(vec![]);
    let splits =
        load(&Source::new(Kind::Shapes), &|building| calls.lock().unwrap().push((building.done, building.total)))
            .unwrap();
    assert_eq!((splits.train.len(), splits.test.len(), splits.test_name.as_str()), (4000, 1000, "test"));
    for data in [&splits.train, &splits.test] {
        assert_eq!((data.size(), data.channels(), data.classes().len()), ([32, 32], 3, 10));
        assert!((0..10).all(|class| data.labels().iter().filter(|&&label| label == class).count() * 10 == data.len()));
    }
    let calls = calls.into_inner().unwrap();
    assert!(calls.is_sorted() && calls.last() == Some(&(5000, 5000)), "{calls:?}");
}

#[test]
fn a_picture_depends_on_seed_split_and_number_only() {
    let [few, many, other] = [shapes(10, 10, 1), shapes(700, 10, 1), shapes(10, 10, 2)];
    assert!((0..10).all(|i| few.train.pixels(i) == many.train.pixels(i)));
    assert!((0..10).all(|i| few.train.pixels(i) != few.test.pixels(i)));
    assert!((0..10).all(|i| few.train.pixels(i) != other.train.pixels(i)));
}

/// Formulas without sine and cosine give the same bytes on every machine; these were made on x86-64.
#[test]
fn pictures_are_the_same_everywhere() {
    let splits = shapes(1000, 10, 0);
    let bytes: Vec<u8> = (0..1000).flat_map(|i| splits.train.pixels(i)).copied().collect();
    assert_eq!(crc32fast::hash(&bytes), 632485716);
}

#[test]
fn any_size_of_16_or_more() {
    let mut source = Source { shapes: Shapes { train: 10, test: 10, seed: 0 }, ..Source::new(Kind::Shapes) };
    source.size = Some(48);
    assert_eq!(load(&source, &|_| {}).unwrap().train.size(), [48, 48]);
    source.size = Some(8);
    let error = load(&source, &|_| {}).unwrap_err();
    assert!(error.to_string().contains("from 16 to"), "{error}");
}

#[test]
fn fewer_pictures_than_classes_are_an_error() {
    let source = Source { shapes: Shapes { train: 100, test: 9, seed: 0 }, ..Source::new(Kind::Shapes) };
    let error = load(&source, &|_| {}).unwrap_err();
    assert!(matches!(error, DataError::TooFew { split: "test", count: 9, .. }));
    assert!(error.to_string().contains("at least 10"), "{error}");
}

/// A linear classifier stays under 60 %. Softmax regression on normalised pixels, by gradient
/// descent with momentum, for several strengths of weight decay; what counts is its best moment on
/// the test pictures themselves, so more than it could have been chosen for.
#[test]
fn a_linear_classifier_stays_under_60_percent() {
    let splits = shapes(2000, 500, 0);
    let best = [0.0, 0.01, 0.1].map(|decay| best_linear_accuracy(&splits, decay));
    println!("best test accuracies of linear classifiers: {best:?}");
    assert!(best.iter().all(|accuracy| (0.1..0.6).contains(accuracy)), "{best:?}");
}

/// The same classifier does learn what is linear, so its failure above says something about the
/// pictures.
#[test]
fn the_linear_classifier_of_this_test_can_learn() {
    let splits = shapes(1000, 200, 0);
    // A corner as bright as the label is high, and as dark elsewhere: separable by weights on its
    // pixels.
    let marked = |data: &Dataset| {
        let mut pixels: Vec<u8> = all(data).iter().flat_map(|&i| data.pixels(i)).copied().collect();
        for (i, picture) in pixels.chunks_exact_mut(32 * 32 * 3).enumerate() {
            picture[..30].fill(0);
            picture[data.label(i) * 3] = 255;
        }
        Dataset::new(pixels, data.labels().to_vec(), data.classes().to_vec(), [32, 32], 3).unwrap()
    };
    let splits = Splits { train: marked(&splits.train), test: marked(&splits.test), ..splits };
    let accuracy = best_linear_accuracy(&splits, 0.0);
    assert!(accuracy > 0.9, "{accuracy}");
}

fn best_linear_accuracy(splits: &Splits, decay: f32) -> f32 {
    const CLASSES: usize = 10;
    const EPOCHS: usize = 30;
    const BATCH: usize = 50;
    let statistics = splits.train.statistics(&all(&splits.train));
    let prepare = |data: &Dataset| -> Vec<Vec<f32>> {
        let normal =
            |(i, &value): (usize, &u8)| (f32::from(value) / 255.0 - statistics.mean[i % 3]) / statistics.std[i % 3];
        all(data).iter().map(|&i| data.pixels(i).iter().enumerate().map(normal).chain([1.0]).collect()).collect()
    };
    let [train, test] = [&splits.train, &splits.test].map(prepare);
    let width = train[0].len();
    let mut weights = vec![0.0f32; CLASSES * width];
    let mut velocity = weights.clone();
    let mut best = 0.0f32;
    for epoch in 0..EPOCHS {
        let rate = 2e-3 * (1.0 - epoch as f32 / EPOCHS as f32);
        for (step, batch) in train.chunks(BATCH).enumerate() {
            let mut gradient: Vec<f32> = weights.iter().map(|weight| decay * weight).collect();
            for (i, pixels) in batch.iter().enumerate() {
                let scores = scores(&weights, pixels);
                let largest = scores.iter().copied().fold(f32::MIN, f32::max);
                let powers: Vec<f32> = scores.iter().map(|score| (score - largest).exp()).collect();
                let sum: f32 = powers.iter().sum();
                let label = splits.train.label(step * BATCH + i);
                for (class, row) in gradient.chunks_exact_mut(width).enumerate() {
                    let error = (powers[class] / sum - f32::from(class == label)) / batch.len() as f32;
                    row.iter_mut().zip(pixels).for_each(|(gradient, pixel)| *gradient += error * pixel);
                }
            }
            for ((weight, velocity), gradient) in weights.iter_mut().zip(&mut velocity).zip(gradient) {
                *velocity = 0.9 * *velocity + gradient;
                *weight -= rate * *velocity;
            }
        }
        best = best.max(accuracy(&weights, &test, &splits.test));
    }
    println!("decay {decay}: training accuracy {}", accuracy(&weights, &train, &splits.train));
    best
}

fn scores(weights: &[f32], pixels: &[f32]) -> Vec<f32> {
    // Eight sums at a time, or the compiler must add one by one.
    let dot = |row: &[f32]| {
        let mut sums = [0.0; 8];
        for (row, pixels) in row.chunks(8).zip(pixels.chunks(8)) {
            sums.iter_mut().zip(row).zip(pixels).for_each(|((sum, weight), pixel)| *sum += weight * pixel);
        }
        sums.iter().sum()
    };
    weights.chunks_exact(pixels.len()).map(dot).collect()
}

fn accuracy(weights: &[f32], pictures: &[Vec<f32>], data: &Dataset) -> f32 {
    let right = pictures.iter().enumerate().filter(|(i, pixels)| {
        let scores = scores(weights, pixels);
        (0..scores.len()).max_by(|&a, &b| scores[a].total_cmp(&scores[b])) == Some(data.label(*i))
    });
    right.count() as f32 / pictures.len() as f32
}
