//! Gradients of every kind of expression against central differences, in double precision.
//!
//! The oracle is (f(v + h d) − f(v − h d)) / 2h for a random projection f of the edge's output, along coordinates d of
//! the input, the weights and the mix, and along one random direction of each.

use burn::tensor::{DType, Device, Tensor, TensorData};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use sdas_kernels::{Edge, Epsilon, Expression, Extent, Mode, Norm, Padding, Pool, Stage};

/// In double precision both the truncation (h²) and the rounding (10⁻¹⁶ / h) stay far below the tolerance, and hardly any
/// element lies within h of a ReLU's or a maximum's kink.
const STEP: f64 = 1e-6;
const TOLERANCE: f64 = 2e-6;

const SPACE: Extent = [1, 3, 3];
const TIME: Extent = [3, 1, 1];
const BOTH: Extent = [3, 3, 3];

const SEPARABLE: Expression = Expression::Chain(&[Stage::strided(SPACE), Stage::unstrided([1, 5, 5])]);
const DILATED: Expression = Expression::Chain(&[Stage::dilated(SPACE, [1, 2, 2])]);
const FRAMES_APART: Expression = Expression::Chain(&[Stage::dilated(TIME, [2, 1, 1])]);
const SPACE_THEN_TIME: Expression = Expression::Chain(&[
    Stage { strided: [false, true, true], ..Stage::strided(SPACE) },
    Stage { strided: [true, false, false], ..Stage::strided(TIME) },
]);
const PARALLEL: Expression = Expression::Parallel(&[Stage::strided(SPACE), Stage::strided(TIME)]);
const COMPROMISE: Expression =
    Expression::Compromise { spatial: Stage::strided(SPACE), temporal: Stage::unstrided(TIME) };
const MAX: Expression = Expression::Pool { pool: Pool::Max, kernel: BOTH };
const AVERAGE: Expression = Expression::Pool { pool: Pool::Average, kernel: BOTH };

fn convolve(padding: Padding, activated: bool) -> Expression {
    Expression::Convolve { kernel: [2 * usize::from(padding == Padding::Same) + 1, 3, 3], padding, activated }
}

/// Everything that keeps the number of channels.
fn every_operation() -> Vec<Expression> {
    vec![
        Expression::Zero,
        MAX,
        AVERAGE,
        Expression::Skip,
        SEPARABLE,
        DILATED,
        FRAMES_APART,
        SPACE_THEN_TIME,
        PARALLEL,
        COMPROMISE,
        Expression::TemporalDifference,
        Expression::Convolve { kernel: [1, 1, 1], padding: Padding::Same, activated: true },
        convolve(Padding::Same, true),
        Expression::AveragePool { kernel: BOTH },
        Expression::Shrink,
        Expression::Largest,
    ]
}

#[test]
fn operations_alone() {
    for expression in every_operation() {
        for stride in [[1, 1, 1], [2, 2, 2], [1, 2, 2]] {
            for norm in [Norm::Plain, Norm::Affine, Norm::Absent] {
                check(
                    &Edge {
                        inputs: 3,
                        outputs: 3,
                        stride,
                        operations: vec![expression.clone()],
                        norm,
                        epsilon: Epsilon::USUAL,
                    },
                    [3, 5, 7],
                );
            }
        }
    }
}

#[test]
fn operations_mixed() {
    for stride in [[1, 1, 1], [2, 2, 2]] {
        for norm in [Norm::Plain, Norm::Affine] {
            check(
                &Edge { inputs: 4, outputs: 4, stride, operations: every_operation(), norm, epsilon: Epsilon::USUAL },
                [3, 5, 7],
            );
        }
    }
}

#[test]
fn layers_around_the_cells() {
    let layers = [
        (Expression::Project, [1, 1, 1]),
        (Expression::Skip, [1, 2, 2]),
        (Expression::Shrink, [1, 2, 2]),
        (Expression::Shrink, [2, 3, 2]),
        (convolve(Padding::Same, true), [1, 1, 1]),
        (convolve(Padding::Same, false), [2, 2, 2]),
        (convolve(Padding::Valid, true), [1, 1, 1]),
        (convolve(Padding::Valid, false), [1, 2, 2]),
    ];
    for (expression, stride) in layers {
        for norm in [Norm::Plain, Norm::Affine, Norm::Absent] {
            check(
                &Edge {
                    inputs: 3,
                    outputs: 5,
                    stride,
                    operations: vec![expression.clone()],
                    norm,
                    epsilon: Epsilon::USUAL,
                },
                [3, 5, 7],
            );
        }
    }
}

/// Compares all gradients of `edge` on a batch of two samples of size `extent`, by the batch's and by running statistics.
fn check(edge: &Edge, extent: Extent) {
    for running in [false, true] {
        let mut random = ChaCha8Rng::seed_from_u64(7);
        let mut draw = |count: usize| -> Vec<f64> { (0..count).map(|_| random.random_range(-1.0..1.0)).collect() };
        let values = [
            draw(2 * extent.iter().product::<usize>() * edge.inputs),
            draw(edge.weight_count()),
            draw(edge.operations.len()),
        ];
        let statistics: Vec<f64> = draw(edge.statistic_count()).into_iter().map(|v| v.abs() + 0.5).collect();
        let point = Point { edge, extent, statistics: running.then_some(statistics) };
        let gradients = point.gradients(&values);
        for which in 0..3 {
            if values[which].is_empty() {
                continue;
            }
            let mut directions: Vec<Vec<f64>> = vec![draw(values[which].len())];
            for _ in 0..4 {
                let at = (draw(1)[0].abs() * values[which].len() as f64) as usize;
                let mut direction = vec![0.0; values[which].len()];
                direction[at] = 1.0;
                directions.push(direction);
            }
            for direction in directions {
                let along: f64 = gradients[which].iter().zip(&direction).map(|(g, d)| g * d).sum();
                let expected = point.difference(&values, which, &direction);
                let error = (along - expected).abs() / expected.abs().max(1.0);
                let name = ["input", "weights", "mix"][which];
                assert!(
                    error < TOLERANCE,
                    "{edge:?}, running {running}: gradient of the {name} is {along}, the difference {expected}"
                );
            }
        }
    }
}

/// Where an edge is differentiated.
struct Point<'a> {
    edge: &'a Edge,
    extent: Extent,
    statistics: Option<Vec<f64>>,
}

impl Point<'_> {
    /// The projection of the output, for the input, the weights and the mix.
    fn value(&self, values: &[Tensor<1>; 3]) -> Tensor<1> {
        let [input, weights, mix] = values.clone();
        let [t, h, w] = self.extent;
        let device = input.device();
        let mode = match &self.statistics {
            Some(statistics) => Mode::Running((!statistics.is_empty()).then(|| doubles(statistics, &device))),
            None => Mode::Batch,
        };
        let weights = (self.edge.weight_count() > 0).then_some(weights);
        let output = self.edge.forward(input.reshape([2, t, h, w, self.edge.inputs]), weights, Some(mix), mode);
        let count = output.activation.shape().num_elements();
        let mut random = ChaCha8Rng::seed_from_u64(11);
        let projection: Vec<f64> = (0..count).map(|_| random.random_range(-1.0..1.0)).collect();
        (output.activation.reshape([count]) * doubles(&projection, &device)).sum()
    }

    fn gradients(&self, values: &[Vec<f64>; 3]) -> [Vec<f64>; 3] {
        let device = Device::flex().autodiff();
        let leaves = values.each_ref().map(|values| doubles(values, &device).require_grad());
        // Zeros depend on nothing, and autodiff refuses to go back from a constant.
        let sum = self.value(&leaves) + leaves[2].clone().sum() * 0.0;
        let gradients = sum.backward();
        leaves.each_ref().map(|leaf| match leaf.grad(&gradients) {
            Some(gradient) => gradient.into_data().try_to_vec().unwrap(),
            None => vec![0.0; leaf.dims()[0]],
        })
    }

    fn difference(&self, values: &[Vec<f64>; 3], which: usize, direction: &[f64]) -> f64 {
        let at = |step: f64| {
            let mut values = values.clone();
            values[which].iter_mut().zip(direction).for_each(|(v, d)| *v += step * d);
            let device = Device::flex();
            let sum = self.value(&values.each_ref().map(|values| doubles(values, &device)));
            sum.into_data().try_to_vec::<f64>().unwrap()[0]
        };
        (at(STEP) - at(-STEP)) / (2.0 * STEP)
    }
}

fn doubles(values: &[f64], device: &Device) -> Tensor<1> {
    Tensor::from_data(TensorData::new(values.to_vec(), [values.len()]), (device, DType::F64))
}
