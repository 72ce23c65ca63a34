//! What is random in a forward pass of training: drop path and dropout, from named streams.

use burn::tensor::{Tensor, TensorData};
use rand::Rng;
use sdas_data::random::Stream;

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
    pub(super) fn factors(&mut self, samples: usize) -> Vec<f32> {
        mask(&mut self.stream, self.rate, samples)
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
    pub(super) fn apply(&mut self, features: Tensor<2>) -> Tensor<2> {
        let [samples, channels] = features.dims();
        let mask = TensorData::new(mask(&mut self.stream, self.rate, samples * channels), [samples, channels]);
        let mask = Tensor::<2>::from_data(mask, &features.device());
        features * mask
    }
}

/// 0 with probability `rate`, else 1/(1 − rate).
fn mask(stream: &mut Stream, rate: f64, count: usize) -> Vec<f32> {
    let keep = 1.0 - rate;
    (0..count).map(|_| if stream.random_bool(keep) { (1.0 / keep) as f32 } else { 0.0 }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use sdas_data::random::stream;

    #[test]
    fn masks_keep_the_expectation() {
        let values = mask(&mut stream(1, "test", [0, 0]), 0.2, 20_000);
        let kept = values.iter().filter(|&&v| v > 0.0).count() as f64 / 20_000.0;
        assert!((kept - 0.8).abs() < 0.02, "{kept}");
        assert!(values.iter().all(|&v| v == 0.0 || (v - 1.25).abs() < 1e-6));
    }
}
