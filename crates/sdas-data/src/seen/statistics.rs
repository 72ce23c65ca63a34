//! Mean and standard deviation of pixels: what samples are normalised by.

use serde::{Deserialize, Serialize};

use crate::keep::Dataset;
use rayon::prelude::*;

/// How many clips, or samples that are not kept, are looked at, and how many frames of a clip.
const SAMPLES: usize = 4096;
const FRAMES: usize = 4;

/// Mean and standard deviation per channel of pixels on the scale 0–1: what samples are normalised
/// by.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Statistics {
    /// Mean of each channel.
    pub mean: Vec<f32>,
    /// Standard deviation of each channel (of the population); 1 for a channel that never varies,
    /// so that normalising by it stays finite.
    pub std: Vec<f32>,
}

impl Statistics {
    /// Of all pixels of `frames`, each with its channels side by side.
    pub(crate) fn measure<'a>(frames: impl IntoIterator<Item = &'a [u8]>, channels: usize) -> Self {
        Histograms::of(frames, channels).statistics()
    }
}

/// How often each value is there, in each channel.
struct Histograms(Vec<[u64; 256]>);

impl Histograms {
    fn new(channels: usize) -> Self {
        Self(vec![[0; 256]; channels])
    }

    fn of<'a>(frames: impl IntoIterator<Item = &'a [u8]>, channels: usize) -> Self {
        let mut all = Self::new(channels);
        for frame in frames {
            for pixel in frame.chunks_exact(channels) {
                for (histogram, &value) in all.0.iter_mut().zip(pixel) {
                    histogram[usize::from(value)] += 1;
                }
            }
        }
        all
    }

    /// Of both.
    fn with(mut self, other: Self) -> Self {
        for (own, other) in self.0.iter_mut().flatten().zip(other.0.iter().flatten()) {
            *own += other;
        }
        self
    }

    fn statistics(&self) -> Statistics {
        let (mean, std) = self.0.iter().map(moments).unzip();
        Statistics { mean, std }
    }
}

impl Dataset {
    /// Mean and standard deviation per channel over the samples `indices`, on the scale 0–1.
    ///
    /// Of pictures every pixel counts. Of clips at most 4096, evenly spaced among the sorted
    /// `indices`, are looked at, and of each at most 4 frames, evenly spaced: enough for the third
    /// digit, and a data set of a terabyte is not read for it. So it is with pictures that are not
    /// [kept](Self::is_undecoded). What is not kept and cannot be decoded is passed over. The sums are exact integers, so
    /// the order of `indices` has no influence.
    ///
    /// # Panics
    /// If an index has no sample.
    pub fn statistics(&self, indices: &[usize]) -> Statistics {
        if let Some(samples) = self.not_kept() {
            let mut indices = indices.to_vec();
            indices.sort_unstable();
            let looked: Vec<_> = spaced(indices.len(), SAMPLES).map(|at| indices[at]).collect();
            let of = |i: usize| {
                let opened = samples.open(i).ok()?;
                let (numbers, size): (Vec<_>, _) = (spaced(opened.frames, FRAMES).collect(), opened.size);
                let frames = samples.decode(i, opened, &numbers, size, size).ok()?;
                Some(Histograms::of([&*frames.pixels], self.channels()))
            };
            let all =
                looked.into_par_iter().filter_map(of).reduce(|| Histograms::new(self.channels()), Histograms::with);
            return all.statistics();
        }
        let mut indices = indices.to_vec();
        if indices.iter().any(|&i| self.frames(i) > 1) {
            indices.sort_unstable();
            indices = spaced(indices.len(), SAMPLES).map(|at| indices[at]).collect();
        }
        let frames = indices.iter().flat_map(|&i| spaced(self.frames(i), FRAMES).map(move |t| self.frame(i, t)));
        Statistics::measure(frames, self.channels())
    }
}

/// At most `most` of `0..count`: the middles of as many equal parts.
fn spaced(count: usize, most: usize) -> impl Iterator<Item = usize> {
    let parts = count.min(most);
    (0..parts).map(move |part| (2 * part + 1) * count / (2 * parts))
}

/// Mean and standard deviation of the values 0–255 of a histogram, divided by 255.
fn moments(histogram: &[u64; 256]) -> (f32, f32) {
    let (mut count, mut sum, mut squares) = (0u128, 0u128, 0u128);
    for (value, &times) in (0u128..).zip(histogram) {
        let times = u128::from(times);
        count += times;
        sum += times * value;
        squares += times * value * value;
    }
    // n²·variance, still exact.
    let spread = count * squares - sum * sum;
    if spread == 0 {
        return (if count == 0 { 0.0 } else { (sum as f64 / count as f64 / 255.0) as f32 }, 1.0);
    }
    let count = count as f64;
    ((sum as f64 / count / 255.0) as f32, ((spread as f64).sqrt() / count / 255.0) as f32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statistics_of_pictures_by_hand() {
        let pixels = vec![0, 10, 255, 10, 51, 7, 51, 7];
        let tiny = Dataset::new(pixels, vec![1, 0], vec!["a".into(), "b".into()], [1, 2], 2).unwrap();
        // Channel 0 of picture 0 is {0, 1}: mean ½, standard deviation ½. Channel 1 never varies.
        let statistics = tiny.statistics(&[0]);
        assert_eq!(statistics.mean, [0.5, 10.0 / 255.0]);
        assert_eq!(statistics.std, [0.5, 1.0]);
        // Both: {0, 1, 0.2, 0.2}: mean 0.35, mean square 0.27, variance 0.1475.
        let statistics = tiny.statistics(&[1, 0]);
        assert!((statistics.mean[0] - 0.35).abs() < 1e-7);
        assert!((statistics.std[0] - 0.1475f32.sqrt()).abs() < 1e-7);
        assert_eq!(tiny.statistics(&[]), Statistics { mean: vec![0.0; 2], std: vec![1.0; 2] });
    }

    #[test]
    fn of_long_clips_four_frames_count() {
        assert!(spaced(3, 4).eq(0..3));
        assert!(spaced(8, 4).eq([1, 3, 5, 7]));
        assert!(spaced(10, 4).eq([1, 3, 6, 8]));
        assert_eq!(spaced(0, 4).count(), 0);
        // Frames of one pixel: 0 to 9 and, of a shorter clip, 100 and 110.
        let pixels = (0..10).chain([100, 110]).collect();
        let clips = Dataset::clips(pixels, &[[10, 1, 1], [2, 1, 1]], vec![0, 0], vec!["a".into()], 1).unwrap();
        let mean = |indices: &[usize]| clips.statistics(indices).mean[0] * 255.0;
        assert!((mean(&[0]) - 4.5).abs() < 1e-4);
        assert!((mean(&[1, 0]) - (1.0 + 3.0 + 6.0 + 8.0 + 210.0) / 6.0).abs() < 1e-4);
    }

    #[test]
    fn of_many_clips_some_count_in_any_order() {
        let count = 3 * SAMPLES;
        let pixels = (0..count).flat_map(|i| [if i % 3 == 1 { 51 } else { 255 }; 2]).collect();
        let clips = Dataset::clips(pixels, &vec![[2, 1, 1]; count], vec![0; count], vec!["a".into()], 1).unwrap();
        // The middles of parts of three.
        let backwards: Vec<_> = (0..count).rev().collect();
        assert_eq!(clips.statistics(&backwards).mean, [0.2]);
    }
}
