//! What is random in a forward pass, from named streams: drop path and dropout in training, and noise as an operation.

use burn::tensor::{Tensor, TensorData};
use rand::Rng;
use sdas_data::Part;
use sdas_data::random::{Stream, stream};
use sdas_kernels::Extent;
use std::num::NonZeroUsize;

/// Drop path (Larsson, Maire, Shakhnarovich, 2016; as DARTS uses it): per sample, a term of a node's sum is dropped with
/// probability `rate`, and what is kept is scaled by 1/(1 − rate).
#[derive(Debug, Clone)]
pub struct DropPath {
    /// Probability of dropping, in [0, 1).
    pub rate: f64,
    /// Where the masks come from.
    pub stream: Stream,
}

impl DropPath {
    /// What an edge's result is multiplied by, a factor per sample.
    pub(super) fn factors(&mut self, rows: Rows) -> Vec<f32> {
        mask(&mut self.stream, self.rate, rows, 1)
    }
}

/// Dropout (Srivastava et al., 2014) of single features `[N, C]`.
#[derive(Debug, Clone)]
pub struct Dropout {
    /// Probability of dropping, in [0, 1).
    pub rate: f64,
    /// Where the masks come from.
    pub stream: Stream,
}

impl Dropout {
    pub(crate) fn apply(&mut self, features: Tensor<2>, part: Option<Part>) -> Tensor<2> {
        let [samples, channels] = features.dims();
        let rows = Rows::new(samples, part);
        let mask = TensorData::new(mask(&mut self.stream, self.rate, rows, channels), [samples, channels]);
        let mask = Tensor::<2>::from_data(mask, &features.device());
        features * mask
    }
}

/// Where the operation that is nothing but noise has its numbers from: N(0, 1), other ones in every pass (Zela et al., 2020,
/// S4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Noise {
    seed: u64,
    pass: u64,
}

/// Numbers that one stream gives, so that several threads can draw.
const CHUNK: usize = 1 << 16;
/// Passes of one step that differ.
const PASSES: u64 = 4;

impl Noise {
    /// The noise of evaluation, the same in every pass.
    pub fn fixed(seed: u64) -> Self {
        Noise { seed, pass: 0 }
    }

    /// The noise of a step's pass number `pass`, of at most 4.
    pub fn at(self, step: usize, pass: usize) -> Self {
        Noise { pass: 1 + PASSES * step as u64 + pass as u64, ..self }
    }

    /// The noise of the block in `slot`: `[samples, T, H, W, channels]` on the device and in the float type of `like`.
    pub(super) fn drawn(
        self,
        slot: usize,
        rows: Rows,
        [t, h, w]: Extent,
        channels: usize,
        like: &Tensor<5>,
    ) -> Tensor<5> {
        let shape = [rows.count, t, h, w, channels];
        let row = t * h * w * channels;
        // Whole chunks, those of the rows before and behind included.
        let (own, all) = (rows.first * row..(rows.first + rows.count) * row, rows.of * row);
        let first = own.start / CHUNK;
        let mut values = vec![0.0; (own.end.div_ceil(CHUNK) * CHUNK).min(all) - first * CHUNK];
        let chunks: Vec<(usize, &mut [f32])> = (first..).zip(values.chunks_mut(CHUNK)).collect();
        let threads = std::thread::available_parallelism().map_or(1, NonZeroUsize::get).min(chunks.len().max(1));
        let mut shares: Vec<Vec<(usize, &mut [f32])>> = (0..threads).map(|_| Vec::new()).collect();
        chunks.into_iter().for_each(|(index, chunk)| shares[index % threads].push((index, chunk)));
        let name = format!("noise/{slot}");
        let draw = |(index, chunk): (usize, &mut [f32])| {
            normal(&mut stream(self.seed, &name, [self.pass, index as u64]), chunk);
        };
        std::thread::scope(|scope| {
            for share in shares {
                scope.spawn(|| share.into_iter().for_each(&draw));
            }
        });
        values.drain(..own.start - first * CHUNK);
        values.truncate(own.len());
        Tensor::from_data(TensorData::new(values, shape), (&like.device(), like.dtype()))
    }
}

/// Rows of a batch of which others may be elsewhere: what is random for a sample depends on its place in the whole batch
/// alone.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rows {
    first: usize,
    count: usize,
    of: usize,
}

impl Rows {
    /// `count` rows, which are all there are unless `part` says otherwise.
    pub(super) fn new(count: usize, part: Option<Part>) -> Self {
        let Part { first, of } = part.unwrap_or_else(|| Part::whole(count));
        Rows { first, count, of }
    }
}

/// Standard normal variates, two at a time (Box, Muller, 1958).
fn normal(stream: &mut Stream, values: &mut [f32]) {
    for pair in values.chunks_mut(2) {
        let radius = (-2.0 * libm::logf(1.0 - stream.random::<f32>())).sqrt();
        let (sine, cosine) = libm::sincosf(std::f32::consts::TAU * stream.random::<f32>());
        pair.iter_mut().zip([cosine, sine]).for_each(|(value, side)| *value = radius * side);
    }
}

/// 0 with probability `rate`, else 1/(1 − rate): so many a row.
fn mask(stream: &mut Stream, rate: f64, rows: Rows, each: usize) -> Vec<f32> {
    let keep = 1.0 - rate;
    let drawn = (0..rows.of * each).map(|_| if stream.random_bool(keep) { (1.0 / keep) as f32 } else { 0.0 });
    // All are drawn, so that the next mask is the same whoever has which rows.
    let drawn: Vec<f32> = drawn.collect();
    drawn[rows.first * each..][..rows.count * each].to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Mean, variance and the fourth moment, 3, to five standard deviations of each.
    #[test]
    fn noise_is_normal_and_a_function_of_seed_block_and_pass() {
        let like = Tensor::<5>::zeros([1; 5], &burn::tensor::Device::flex());
        let drawn = |noise: Noise, slot| -> Vec<f32> {
            noise.drawn(slot, Rows::new(3, None), [1, 150, 150], 3, &like).into_data().iter::<f32>().collect()
        };
        let noise = Noise::fixed(1).at(5, 0);
        let values = drawn(noise, 0);
        let n = values.len() as f64;
        let moment = |power| values.iter().map(|&value| f64::from(value).powi(power)).sum::<f64>() / n;
        for (power, expected, variance) in [(1, 0.0, 1.0), (2, 1.0, 2.0), (4, 3.0, 96.0f64)] {
            assert!((moment(power) - expected).abs() < 5.0 * (variance / n).sqrt(), "{power}: {}", moment(power));
        }
        assert_eq!(values, drawn(noise, 0));
        for (other, slot) in
            [(noise, 1), (noise.at(5, 1), 0), (noise.at(6, 0), 0), (Noise::fixed(1), 0), (Noise::fixed(2).at(5, 0), 0)]
        {
            assert_ne!(values, drawn(other, slot));
        }
    }

    /// Whoever has which rows of a batch, its samples see the same.
    #[test]
    fn parts_of_a_batch_draw_what_the_whole_draws() {
        let like = Tensor::<5>::zeros([1; 5], &burn::tensor::Device::flex());
        let noise = |rows| -> Vec<f32> {
            let drawn = Noise::fixed(1).at(5, 0).drawn(2, rows, [1, 90, 90], 5, &like);
            drawn.into_data().iter::<f32>().collect()
        };
        let masks = |rows| -> Vec<Vec<f32>> {
            let mut stream = stream(1, "test", [0, 0]);
            (0..3).map(|_| mask(&mut stream, 0.3, rows, 7)).collect()
        };
        let (whole, parts) = (Rows::new(5, None), [(0, 2), (2, 1), (3, 2)]);
        let part = |(first, count)| Rows::new(count, Some(Part { first, of: 5 }));
        assert_eq!(noise(whole), parts.map(|at| noise(part(at))).concat());
        for index in 0..3 {
            assert_eq!(masks(whole)[index], parts.map(|at| masks(part(at))[index].clone()).concat());
        }
    }

    #[test]
    fn masks_keep_the_expectation() {
        let values = mask(&mut stream(1, "test", [0, 0]), 0.2, Rows::new(20_000, None), 1);
        let kept = values.iter().filter(|&&v| v > 0.0).count() as f64 / 20_000.0;
        assert!((kept - 0.8).abs() < 0.02, "{kept}");
        assert!(values.iter().all(|&v| v == 0.0 || (v - 1.25).abs() < 1e-6));
    }
}
