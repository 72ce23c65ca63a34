//! What a computation came to, and how far that is from the same in double precision.

use burn::tensor::Tensor;
use std::fmt::Display;

/// Tensors by name.
#[derive(Debug, Default, PartialEq)]
pub struct Outcome(Vec<(String, Vec<f64>)>);

impl Outcome {
    pub fn add(&mut self, name: impl Into<String>, values: Tensor<1>) {
        self.0.push((name.into(), values.into_data().convert::<f64>().try_to_vec().unwrap()));
    }

    /// A tensor by its name.
    #[allow(dead_code)] // not every test asks for one
    pub fn values(&self, name: &str) -> &[f64] {
        let (_, values) = self.0.iter().find(|(own, _)| own == name).expect("it was added");
        values
    }

    /// Checks that every tensor is off by at most `tolerance` of the reference's norm, and by as much an element: norms over
    /// few elements multiply rounding errors by up to 1/√ε = 316, so that a gradient may be nothing but those.
    pub fn check(&self, reference: &Outcome, tolerance: f64, place: impl Display) {
        assert_eq!(self.0.len(), reference.0.len(), "{place}");
        for ((name, ours), (other, reference)) in self.0.iter().zip(&reference.0) {
            assert_eq!((name, ours.len()), (other, reference.len()), "{place}");
            let norm = |values: &mut dyn Iterator<Item = f64>| values.map(|v| v * v).sum::<f64>().sqrt();
            let error = norm(&mut ours.iter().zip(reference).map(|(a, b)| a - b));
            let size = norm(&mut reference.iter().copied());
            let slack = tolerance * (reference.len() as f64).sqrt();
            assert!(error <= tolerance * size + slack, "{name} is off by {error:.2e} of {size:.2e} {place}");
        }
    }
}
