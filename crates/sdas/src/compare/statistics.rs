//! What several seeds say: mean and deviation, and the interval of a mean difference.

use serde::{Deserialize, Serialize};
use statrs::distribution::{ContinuousCDF, StudentsT};

/// How sure an interval is.
pub const CONFIDENCE: f64 = 0.95;

/// A number measured several times.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    /// How often.
    pub n: usize,
    /// The mean.
    pub mean: f64,
    /// The sample's standard deviation (n − 1); absent of one value.
    pub deviation: Option<f64>,
}

impl Spread {
    /// Of `values`; `None` of none.
    pub fn of(values: &[f64]) -> Option<Self> {
        let n = values.len();
        if n == 0 {
            return None;
        }
        let mean = values.iter().sum::<f64>() / n as f64;
        let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        Some(Spread { n, mean, deviation: (n > 1).then(|| (squares / (n - 1) as f64).sqrt()) })
    }

    /// Standard error of the mean; absent of one value.
    pub fn error(&self) -> Option<f64> {
        Some(self.deviation? / (self.n as f64).sqrt())
    }
}

/// A mean difference over pairs, with the interval that Student's t gives it at [`CONFIDENCE`] (the paired t-test;
/// Student, 1908).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Difference {
    /// Pairs.
    pub n: usize,
    /// The mean.
    pub mean: f64,
    /// The interval; absent of one pair, and of pairs that all differ by the same, which say nothing of their scatter.
    pub interval: Option<[f64; 2]>,
}

impl Difference {
    /// Of the differences of pairs; `None` of none.
    pub fn of(differences: &[f64]) -> Option<Self> {
        let spread = Spread::of(differences)?;
        let interval = spread.error().filter(|&error| error > 1e-9).map(|error| {
            let half = error * quantile(spread.n - 1);
            [spread.mean - half, spread.mean + half]
        });
        Some(Difference { n: spread.n, mean: spread.mean, interval })
    }

    /// Every number through a rising function.
    pub fn map(self, function: impl Fn(f64) -> f64) -> Self {
        Difference { mean: function(self.mean), interval: self.interval.map(|ends| ends.map(&function)), ..self }
    }
}

/// What Student's t stays below in absolute value with probability [`CONFIDENCE`].
fn quantile(degrees: usize) -> f64 {
    let student = StudentsT::new(0.0, 1.0, degrees as f64).expect("there is at least one degree of freedom");
    student.inverse_cdf(0.5 + CONFIDENCE / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(ours: f64, expected: f64) {
        assert!((ours - expected).abs() < 1e-4, "{ours} is not {expected}");
    }

    #[test]
    fn quantiles_are_those_of_the_tables() {
        // Any table of Student's t, two-sided 5 %.
        for (degrees, expected) in [(1, 12.7062), (2, 4.3027), (4, 2.7764), (9, 2.2622)] {
            close(quantile(degrees), expected);
        }
    }

    #[test]
    fn the_paired_interval_by_hand() {
        // Mean 2, deviations −1, 0, 1: s = 1, error 1/√3, times 4.3027.
        let difference = Difference::of(&[1.0, 2.0, 3.0]).unwrap();
        close(difference.mean, 2.0);
        let [low, high] = difference.interval.unwrap();
        close(low, 2.0 - 4.3027 / 3f64.sqrt());
        close(high, 2.0 + 4.3027 / 3f64.sqrt());
        close(difference.map(|x| x / 2.0).interval.unwrap()[0], low / 2.0);
    }

    #[test]
    fn one_value_has_no_deviation_and_none_no_mean() {
        assert_eq!(Spread::of(&[3.0]), Some(Spread { n: 1, mean: 3.0, deviation: None }));
        assert_eq!(Difference::of(&[3.0]).unwrap().interval, None);
        assert_eq!(Spread::of(&[]), None);
        close(Spread::of(&[1.0, 2.0, 4.0]).unwrap().deviation.unwrap(), (7f64 / 3.0).sqrt());
    }
}
