//! One whole edge there and back: the eight mixed operations of DARTS for images, some of those for video, NAS-Bench-201's
//! five, and the layers around the cells. `cargo bench -p sdas-kernels` measures all, `cargo bench -p sdas-kernels -- mixed` those whose names
//! contain it.
//!
//! An item is an operation, two to a multiply-add: 1 Gitem/s is 1 GFLOP/s. Pools count nothing.

use burn::tensor::{Device, Distribution, Tensor};
use divan::Bencher;
use divan::counter::ItemsCount;
use sdas_kernels::{Edge, Epsilon, Expression, Extent, Mode, Norm, Padding, Pool, Stage, portably};
use std::fmt;

const IMAGES: usize = 16;

const K3: Extent = [1, 3, 3];
const K5: Extent = [1, 5, 5];
const CUBE: Extent = [3, 3, 3];
const APART: Extent = [1, 2, 2];

const SEPARABLE_3: Expression = Expression::Chain(&[Stage::strided(K3), Stage::unstrided(K3)]);
const SEPARABLE_5: Expression = Expression::Chain(&[Stage::strided(K5), Stage::unstrided(K5)]);
const SEPARABLE_CUBE: Expression = Expression::Chain(&[Stage::strided(CUBE), Stage::unstrided(CUBE)]);
const DILATED_3: Expression = Expression::Chain(&[Stage::dilated(K3, APART)]);
const DILATED_5: Expression = Expression::Chain(&[Stage::dilated(K5, APART)]);
const STEM: Expression = Expression::Convolve { kernel: K3, padding: Padding::Same, activated: false };

fn pools(kernel: Extent) -> [Expression; 2] {
    [Pool::Max, Pool::Average].map(|pool| Expression::Pool { pool, kernel })
}

fn of_images() -> Vec<Expression> {
    let weighty = [Expression::Skip, SEPARABLE_3, SEPARABLE_5, DILATED_3, DILATED_5];
    [Expression::Zero].into_iter().chain(pools(K3)).chain(weighty).collect()
}

/// NAS-Bench-201's.
fn of_the_benchmark() -> Vec<Expression> {
    let convolve = |kernel| Expression::Convolve { kernel, padding: Padding::Same, activated: true };
    let pool = Expression::AveragePool { kernel: K3 };
    vec![Expression::Zero, Expression::Skip, convolve([1; 3]), convolve(K3), pool]
}

fn of_clips() -> Vec<Expression> {
    let weighty = [Expression::Skip, SEPARABLE_3, SEPARABLE_CUBE, DILATED_3, Expression::TemporalDifference];
    [Expression::Zero].into_iter().chain(pools(CUBE)).chain(weighty).collect()
}

/// An edge, and the images that go through it.
#[derive(Clone)]
struct Case {
    name: &'static str,
    edge: Edge,
    images: usize,
    size: Extent,
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

impl Case {
    fn operations(&self) -> usize {
        2 * self.images * self.edge.multiply_adds(self.size)
    }
}

fn cases() -> Vec<Case> {
    let case = |name, [inputs, outputs]: [usize; 2], stride, operations, images, size| {
        let edge = Edge { inputs, outputs, stride, operations, norm: Norm::Plain, epsilon: Epsilon::USUAL };
        Case { name, edge, images, size }
    };
    let square = |side| [1, side, side];
    vec![
        case("mixed C16 32x32", [16; 2], [1; 3], of_images(), IMAGES, square(32)),
        case("mixed C32 16x16", [32; 2], [1; 3], of_images(), IMAGES, square(16)),
        case("mixed C64 8x8", [64; 2], [1; 3], of_images(), IMAGES, square(8)),
        case("mixed C32 32x32 stride 2", [32; 2], [1, 2, 2], of_images(), IMAGES, square(32)),
        case("mixed C8 8x32x32", [8; 2], [1; 3], of_clips(), 4, [8, 32, 32]),
        case("benchmark C16 32x32", [16; 2], [1; 3], of_the_benchmark(), IMAGES, square(32)),
        case("benchmark C32 16x16", [32; 2], [1; 3], of_the_benchmark(), IMAGES, square(16)),
        case("benchmark C64 8x8", [64; 2], [1; 3], of_the_benchmark(), IMAGES, square(8)),
        case("preprocess 64 to 16 32x32", [64, 16], [1; 3], vec![Expression::Project], IMAGES, square(32)),
        case("preprocess 256 to 64 8x8", [256, 64], [1; 3], vec![Expression::Project], IMAGES, square(8)),
        case("reduce 64 to 32 32x32", [64, 32], [1, 2, 2], vec![Expression::Skip], IMAGES, square(32)),
        case("stem 3 to 48 32x32", [3, 48], [1; 3], vec![STEM], IMAGES, square(32)),
    ]
}

/// An edge's tensors.
struct Ready<'a> {
    edge: &'a Edge,
    input: Tensor<5>,
    weights: Option<Tensor<1>>,
    mix: Tensor<1>,
}

impl<'a> Ready<'a> {
    /// For a step of the weights, or of α.
    fn new(Case { edge, images, size: [t, h, w], .. }: &'a Case, of_weights: bool) -> Self {
        let device = Device::flex().autodiff();
        let random = |shape: [usize; 5]| Tensor::<5>::random(shape, Distribution::Uniform(-1.0, 1.0), &device);
        let flat = |count: usize, tracked: bool| {
            let flat = random([1, 1, 1, 1, count]).reshape([count]).detach();
            if tracked { flat.require_grad() } else { flat }
        };
        Ready {
            edge,
            input: random([*images, *t, *h, *w, edge.inputs]).require_grad(),
            weights: (edge.weight_count() > 0).then(|| flat(edge.weight_count(), of_weights)),
            mix: flat(edge.operations.len(), !of_weights),
        }
    }

    fn forward(&self) -> Tensor<5> {
        let (input, mix) = (self.input.clone(), Some(self.mix.clone()));
        self.edge.forward(input, self.weights.clone(), mix, Mode::Batch).activation
    }

    /// Something to go back from.
    fn sum(&self) -> Tensor<1> {
        let output = self.forward();
        let ones = output.ones_like().inner();
        (output * Tensor::from_inner(ones)).sum()
    }
}

#[divan::bench(args = cases())]
fn there(bencher: Bencher, case: &Case) {
    let ready = Ready::new(case, true);
    bencher.counter(ItemsCount::new(case.operations())).bench_local(|| ready.forward());
}

#[divan::bench(args = cases())]
fn back_of_alpha(bencher: Bencher, case: &Case) {
    let ready = Ready::new(case, false);
    let bencher = bencher.counter(ItemsCount::new(case.operations()));
    bencher.with_inputs(|| ready.sum()).bench_local_values(|sum| sum.backward());
}

#[divan::bench(args = cases())]
fn back_of_weights(bencher: Bencher, case: &Case) {
    let ready = Ready::new(case, true);
    let bencher = bencher.counter(ItemsCount::new(2 * case.operations()));
    bencher.with_inputs(|| ready.sum()).bench_local_values(|sum| sum.backward());
}

/// The same by Burn's own operations: sixty times slower.
#[divan::bench(args = cases().into_iter().take(1), sample_count = 5)]
fn there_portably(bencher: Bencher, case: &Case) {
    let ready = Ready::new(case, true);
    bencher.counter(ItemsCount::new(case.operations())).bench_local(|| portably(|| ready.forward()));
}

fn main() {
    divan::main();
}
