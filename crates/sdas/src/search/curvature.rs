//! How curved the held-out loss is in α: the largest eigenvalue of its Hessian, which tells what discretizing α will cost
//! (Zela, Elsken, Saikia, Marrakchi, Brox, Hutter, 2020, section 4).

use super::{Order, SearchState};
use crate::batch::DeviceBatch;
use crate::optimizer::SgdSettings;
use crate::supernet::Rows;
use rand::Rng;
use sdas_data::random::Stream;

/// How far α is moved, in Euclidean norm, for a gradient on either side. Gradients jump at the kinks of ReLUs and of maxima,
/// of which some lie within any reach: the nearer both gradients are, the more it is the jumps that are measured, and
/// eigenvalues grow as one over the root of the distance. At this one a network's many kinks have averaged out, and a
/// single number of α has moved by a hundredth.
const DISTANCE: f64 = 0.1;
/// Products of Hessian and vector that an eigenvalue takes, of two gradients each.
const PRODUCTS: usize = 12;

impl SearchState {
    /// The largest eigenvalue of the Hessian of the loss on `batch` in α of all undecided edges, in training mode and at the
    /// weights as they are, from a direction out of `stream`. A product of the Hessian and a vector is a difference of two
    /// gradients of α, so that 24 of these are taken.
    pub fn curvature(&self, batch: &DeviceBatch, stream: &mut Stream) -> f64 {
        self.curvature_within(DISTANCE, batch, stream)
    }

    fn curvature_within(&self, distance: f64, batch: &DeviceBatch, stream: &mut Stream) -> f64 {
        let direction = self.open(&self.alpha.values).map(|_| stream.random_range(-1.0..1.0)).collect();
        largest_eigenvalue(direction, |direction| self.product(direction, distance, batch))
    }

    /// The Hessian times a direction, from the gradients this far to either side.
    fn product(&self, direction: &[f64], distance: f64, batch: &DeviceBatch) -> Vec<f64> {
        let [plus, minus] = [distance, -distance].map(|by| self.gradient_beside(direction, by, batch));
        plus.iter().zip(minus).map(|(plus, minus)| (plus - minus) / (2.0 * distance)).collect()
    }

    /// α's gradient at α + `by`·`direction`, of undecided edges.
    fn gradient_beside(&self, direction: &[f64], by: f64, batch: &DeviceBatch) -> Vec<f64> {
        let mut beside = self.clone();
        let moved: Vec<f32> =
            self.open(&self.alpha.values).zip(direction).map(|(&at, d)| (f64::from(at) + by * d) as f32).collect();
        let mut moved = moved.into_iter();
        for ((kind, plan), rows) in self.supernet.plans.iter().enumerate().zip(&mut beside.alpha.values) {
            let learning = self.alpha.learning(kind, plan).into_iter().flatten();
            let open = rows.iter_mut().flatten().zip(learning).filter(|(_, learning)| *learning);
            open.zip(&mut moved).for_each(|((at, _), moved)| *at = moved);
        }
        let gradient = beside.alpha_gradient(Order::First, batch, batch, 0.0, &SgdSettings::default());
        self.open(&gradient.values).copied().collect()
    }

    /// The numbers of undecided edges.
    fn open<'a, T>(&'a self, all: &'a [Rows<T>]) -> impl Iterator<Item = &'a T> {
        let kinds = self.supernet.plans.iter().enumerate().zip(all);
        let numbers = kinds.flat_map(|((kind, plan), rows)| {
            rows.iter().flatten().zip(self.alpha.learning(kind, plan).into_iter().flatten())
        });
        numbers.filter(|(_, learning)| *learning).map(|(number, _)| number)
    }
}

/// The largest eigenvalue of the symmetric matrix that `product` multiplies by: that of its projection on the directions that
/// power iteration goes through (Lanczos, 1950). Power iteration alone would find the one that is largest without its sign, and
/// needs many more products where others are near.
fn largest_eigenvalue(start: Vec<f64>, product: impl Fn(&[f64]) -> Vec<f64>) -> f64 {
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    // The projection has these on its diagonal, and beside it.
    let (mut diagonal, mut beside) = (Vec::new(), Vec::new());
    let mut basis: Vec<Vec<f64>> = Vec::new();
    let mut next = start;
    for _ in 0..PRODUCTS.min(next.len()) {
        let (length, before) = (dot(&next, &next).sqrt(), diagonal.len());
        // Nothing is left that would be more than rounding.
        if before > 0 && length <= 1e-6 * diagonal.iter().fold(0.0f64, |most, at: &f64| most.max(at.abs())) {
            break;
        }
        if before > 0 {
            beside.push(length);
        }
        basis.push(next.iter().map(|at| at / length).collect());
        next = product(&basis[before]);
        diagonal.push(dot(&basis[before], &next));
        // Twice, since rounding leaves something of the directions before.
        for direction in basis.iter().chain(&basis) {
            let along = dot(direction, &next);
            next.iter_mut().zip(direction).for_each(|(at, d)| *at -= along * d);
        }
    }
    largest_of_tridiagonal(&diagonal, &beside)
}

/// The largest eigenvalue of a symmetric matrix that is zero but on its diagonal and beside it, by bisection: where the
/// matrix less a number is negative definite, that is, where all pivots of its elimination are negative, the number is larger.
fn largest_of_tridiagonal(diagonal: &[f64], beside: &[f64]) -> f64 {
    let bound = diagonal.iter().chain(beside).map(|at| at.abs()).sum::<f64>();
    if !bound.is_finite() {
        return f64::NAN;
    }
    let is_above = |number: f64| {
        let mut pivot = diagonal[0] - number;
        let beside = beside.iter().zip(&diagonal[1..]);
        pivot < 0.0
            && beside.fold(true, |is_above, (off, at)| {
                pivot = at - number - off * off / pivot;
                is_above && pivot < 0.0
            })
    };
    let (mut low, mut high) = (-2.0 * bound, 2.0 * bound);
    for _ in 0..100 {
        let middle = (low + high) / 2.0;
        if is_above(middle) { high = middle } else { low = middle }
    }
    high
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::schedule::{EdgeState, Plan};
    use crate::space::{Candidates, S2};
    use crate::supernet::{Alpha, Supernet, SupernetShape};
    use burn::tensor::{DType, Device, Tensor, TensorData};
    use sdas_data::Part;
    use sdas_data::random::stream;
    use sdas_kernels::portably;

    #[test]
    fn the_largest_eigenvalue_is_not_the_one_that_is_largest_without_its_sign() {
        // The eigenvalues of [[2, 1], [1, 2]] are 3 and 1; less 4 on the diagonal they are −1 and −3.
        let product = |shift: f64| move |v: &[f64]| vec![(2.0 - shift) * v[0] + v[1], v[0] + (2.0 - shift) * v[1]];
        assert!((largest_eigenvalue(vec![1.0, 0.3], product(0.0)) - 3.0).abs() < 1e-9);
        assert!((largest_eigenvalue(vec![1.0, 0.3], product(4.0)) + 1.0).abs() < 1e-9);
        // An eigenvector itself, and nothing to find.
        assert!((largest_eigenvalue(vec![2.0, 2.0], product(0.0)) - 3.0).abs() < 1e-9);
        assert_eq!(largest_eigenvalue(vec![1.0, 1.0], |_| vec![0.0; 2]), 0.0);
        assert!(largest_eigenvalue(vec![1.0, 1.0], |_| vec![f64::NAN; 2]).is_nan());
    }

    /// A tiny search in double precision, in the middle of its decisions.
    pub(in crate::search) fn state() -> (SearchState, DeviceBatch) {
        let device = Device::flex();
        let shape = SupernetShape { channels: 2, cells: 3, classes: 3, inputs: 3, stem_stride: [1, 1, 1], share: 1 };
        let mut normal = [EdgeState::Mixed; 14];
        (normal[0], normal[2], normal[3], normal[4]) =
            (EdgeState::Decided(1), EdgeState::Decided(0), EdgeState::Decided(1), EdgeState::Pruned);
        let normal: Plan = serde_json::from_value(serde_json::to_value(normal).unwrap()).unwrap();
        let supernet = Supernet::new(Candidates::whole(&S2), shape).with_plans(vec![normal, Plan::new(&S2)]);
        let double = |tensor: Tensor<1>| tensor.cast(DType::F64);
        let weights = supernet.network.initial_weights(3, &device).map(double);
        let statistics = supernet.network.initial_statistics(&device).map(double);
        let mut alpha = Alpha::new(&supernet.candidates, 1);
        let mut chance = stream(5, "test", [0, 0]);
        alpha.values.iter_mut().flatten().flatten().for_each(|at| *at = chance.random_range(-1.0..1.0));
        let pixels: Vec<f64> = (0..6 * 64 * 3).map(|_| chance.random_range(-2.0..2.0)).collect();
        let host_labels = vec![0, 1, 2, 2, 1, 0];
        let labels: Vec<i32> = host_labels.iter().map(|&label| label as i32).collect();
        let batch = DeviceBatch {
            input: Tensor::from_data(TensorData::new(pixels, [6, 1, 8, 8, 3]), (&device, DType::F64)),
            labels: Tensor::from_data(TensorData::new(labels, [6]), &device),
            host_labels,
            part: Part::whole(6),
        };
        (SearchState::new(supernet, weights, statistics, alpha), batch)
    }

    /// The largest eigenvalue of a symmetric matrix, by Jacobi's rotations.
    fn largest(mut matrix: Vec<Vec<f64>>) -> f64 {
        let count = matrix.len();
        for _ in 0..12 {
            for (p, q) in (0..count).flat_map(|p| (p + 1..count).map(move |q| (p, q))) {
                if matrix[p][q].abs() < 1e-15 {
                    continue;
                }
                let angle = 0.5 * (2.0 * matrix[p][q]).atan2(matrix[q][q] - matrix[p][p]);
                let (sine, cosine) = angle.sin_cos();
                for row in &mut matrix {
                    (row[p], row[q]) = (cosine * row[p] - sine * row[q], sine * row[p] + cosine * row[q]);
                }
                let (own, other) = (matrix[p].clone(), matrix[q].clone());
                matrix[p] = own.iter().zip(&other).map(|(a, b)| cosine * a - sine * b).collect();
                matrix[q] = own.iter().zip(&other).map(|(a, b)| sine * a + cosine * b).collect();
            }
        }
        (0..count).map(|at| matrix[at][at]).fold(f64::NEG_INFINITY, f64::max)
    }

    /// Against the whole Hessian: every row is the difference of two gradients, one number of α being moved, so little that
    /// no ReLU has a kink within reach.
    #[test]
    fn the_largest_eigenvalue_is_that_of_the_whole_hessian() {
        const NEAR: f64 = 5e-5;
        assert!((largest(vec![vec![2.0, 1.0], vec![1.0, 2.0]]) - 3.0).abs() < 1e-12);
        let (state, batch) = state();
        let (ours, hessian) = portably(|| {
            let count = state.open(&state.alpha.values).count();
            // Of 28 edges 4 are decided or pruned.
            assert_eq!(count, 48);
            let row = |at: usize| {
                let mut direction = vec![0.0; count];
                direction[at] = 1.0;
                state.product(&direction, NEAR, &batch)
            };
            let hessian: Vec<Vec<f64>> = (0..count).map(row).collect();
            (state.curvature_within(NEAR, &batch, &mut stream(1, "test", [1, 0])), hessian)
        });
        let scale = hessian.iter().flatten().fold(0.0f64, |most, at| most.max(at.abs()));
        let pairs = (0..hessian.len()).flat_map(|a| (0..a).map(move |b| (a, b)));
        assert!(pairs.map(|(a, b)| (hessian[a][b] - hessian[b][a]).abs()).fold(0.0, f64::max) < 1e-3 * scale);
        let expected = largest(hessian);
        assert!(expected > 0.1 && (ours - expected).abs() < 0.02 * expected, "{ours} is not {expected}");
    }
}
