//! Times one whole mixed edge, forward and backward: the eight operations of DARTS, or the layers around the cells.
//!
//! `cargo run --release -p sdas-kernels --example edge_speed [portable] [part of an edge's name]`

use burn::tensor::{Device, Distribution, Tensor};
use sdas_kernels::{Edge, Expression, Extent, Mode, Norm, Padding, Pool, Stage, Width};
use std::time::Instant;

const K3: Extent = [1, 3, 3];
const K5: Extent = [1, 5, 5];
const APART: Extent = [1, 2, 2];

const SEPARABLE_3: Expression = Expression::Chain(&[Stage::strided(K3), Stage::unstrided(K3)]);
const SEPARABLE_5: Expression = Expression::Chain(&[Stage::strided(K5), Stage::unstrided(K5)]);
const DILATED_3: Expression = Expression::Chain(&[Stage::dilated(K3, APART)]);
const DILATED_5: Expression = Expression::Chain(&[Stage::dilated(K5, APART)]);

fn mixed() -> Vec<Expression> {
    vec![
        Expression::Zero,
        Expression::Pool { pool: Pool::Max, kernel: K3 },
        Expression::Pool { pool: Pool::Average, kernel: K3 },
        Expression::Skip,
        SEPARABLE_3,
        SEPARABLE_5,
        DILATED_3,
        DILATED_5,
    ]
}

/// What a step asks for.
#[derive(Clone, Copy)]
struct Half {
    name: &'static str,
    weights: bool,
    mix: bool,
}

fn main() {
    if std::env::var_os("INSIDE").is_some() {
        return rayon::scope(|_| all());
    }
    all();
}

fn all() {
    let portable = std::env::args().any(|argument| argument == "portable");
    if portable { sdas_kernels::portably(|| every(portable)) } else { every(portable) }
}

fn every(portable: bool) {
    let plain = |inputs, outputs, stride, operations| Edge { inputs, outputs, stride, operations, norm: Norm::Plain };
    let stem = Expression::Convolve { kernel: K3, padding: Padding::Same, activated: false };
    let edges = [
        ("mixed C16 32", plain(16, 16, [1; 3], mixed()), 32),
        ("mixed C32 16", plain(32, 32, [1; 3], mixed()), 16),
        ("mixed C64 8", plain(64, 64, [1; 3], mixed()), 8),
        ("mixed C32 32 s2", plain(32, 32, [1, 2, 2], mixed()), 32),
        ("project 64-16 32", plain(64, 16, [1; 3], vec![Expression::Project]), 32),
        ("project 256-64 8", plain(256, 64, [1; 3], vec![Expression::Project]), 8),
        ("reduce 64-32 32", plain(64, 32, [1, 2, 2], vec![Expression::Skip]), 32),
        ("stem 3-48 32", plain(3, 48, [1; 3], vec![stem]), 32),
    ];
    println!("{:?}", Width::available());
    let chosen = std::env::args().skip(1).find(|argument| argument != "portable");
    for (name, edge, size) in edges.iter().filter(|(name, ..)| chosen.as_ref().is_none_or(|part| name.contains(part))) {
        for half in
            [Half { name: "alpha", weights: false, mix: true }, Half { name: "weights", weights: true, mix: false }]
        {
            let times = time(edge, *size, half, portable);
            let work = 2e-9 * (batch() * edge.multiply_adds([1, *size, *size])) as f64;
            let back = work * if half.weights { 2.0 } else { 1.0 };
            println!(
                "{name:18} {:8} forward {:7.3} ms {:5.0} GFLOP/s   backward {:7.3} ms {:5.0} GFLOP/s",
                half.name,
                times[0] * 1e3,
                work / times[0],
                times[1] * 1e3,
                back / times[1],
            );
        }
    }
}

/// The best of several runs, in seconds: forward, backward.
fn time(edge: &Edge, size: usize, half: Half, portable: bool) -> [f64; 2] {
    let device = Device::flex().autodiff();
    let random = |shape: [usize; 5]| Tensor::<5>::random(shape, Distribution::Uniform(-1.0, 1.0), &device);
    let input = random([batch(), 1, size, size, edge.inputs]).require_grad();
    let flat = |count: usize| random([1, 1, 1, 1, count]).reshape([count]).detach();
    let weights = (edge.weight_count() > 0).then(|| flat(edge.weight_count()));
    let weights = weights.map(|weights| if half.weights { weights.require_grad() } else { weights });
    let mix = flat(edge.operations.len());
    let mix = if half.mix { mix.require_grad() } else { mix };
    let mut best = [f64::INFINITY; 2];
    for _ in 0..if portable { 3 } else { 300 } {
        let start = Instant::now();
        let output = edge.forward(input.clone(), weights.clone(), Some(mix.clone()), Mode::Batch).activation;
        best[0] = best[0].min(start.elapsed().as_secs_f64());
        let ones = output.ones_like().inner();
        let sum = (output * Tensor::from_inner(ones)).sum();
        let start = Instant::now();
        drop(sum.backward());
        best[1] = best[1].min(start.elapsed().as_secs_f64());
    }
    best
}

fn batch() -> usize {
    std::env::var("BATCH").map_or(16, |batch| batch.parse().expect("a number"))
}
