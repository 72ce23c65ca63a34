//! The edge and the cell on a graphics card, or on what stands for one (Mesa's llvmpipe), against the portable ones in
//! double precision on the CPU, and their determinism. Few shapes: compiling a shader is what takes time there.
#![cfg(feature = "gpu")]

mod outcome;
mod topologies;

use burn::tensor::{DType, Device, Tensor, TensorData};
use outcome::Outcome;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use sdas_kernels::{
    Descending, Descent, Edge, Epsilon, Expression, Extent, Link, Mode, Norm, Padding, Pool, Stage, cell, norm,
    portably,
};
use topologies::{Case, HALVED, Plan, UNIT, benchmark, convolve, residual};

const SPACE: Extent = [1, 3, 3];
const BOTH: Extent = [3, 3, 3];

/// What an edge of the spaces may mix, of one frame and of several.
const PICTURES: &[Expression] = &[
    Expression::Zero,
    Expression::Pool { pool: Pool::Max, kernel: SPACE },
    Expression::Pool { pool: Pool::Average, kernel: SPACE },
    Expression::Skip,
    Expression::Chain(&[Stage::strided(SPACE), Stage::unstrided(SPACE)]),
    Expression::Chain(&[Stage::dilated([1, 5, 5], [1, 2, 2])]),
];
const CLIPS: &[Expression] = &[
    Expression::Pool { pool: Pool::Max, kernel: BOTH },
    Expression::Pool { pool: Pool::Average, kernel: BOTH },
    Expression::Skip,
    Expression::Chain(&[Stage::strided(BOTH), Stage::unstrided([3, 1, 1]), Stage::unstrided(SPACE)]),
    Expression::Chain(&[
        Stage { strided: [false, true, true], ..Stage::strided(SPACE) },
        Stage { strided: [true, false, false], ..Stage::strided([3, 1, 1]) },
    ]),
    Expression::Parallel(&[Stage::strided(SPACE), Stage::dilated([3, 1, 1], [2, 1, 1])]),
    Expression::Compromise { spatial: Stage::strided(SPACE), temporal: Stage::unstrided([3, 1, 1]) },
    Expression::TemporalDifference,
];

/// The device under test: `SDAS_DEVICE=cuda` chooses where the build has several.
fn gpu() -> Device {
    #[cfg(feature = "cuda")]
    if cfg!(not(feature = "wgpu")) || std::env::var("SDAS_DEVICE").is_ok_and(|name| name == "cuda") {
        return Device::cuda(0);
    }
    #[cfg(feature = "wgpu")]
    return Device::wgpu(burn::tensor::DeviceKind::DefaultDevice);
    #[cfg(not(feature = "wgpu"))]
    unreachable!("a build for cards has one's backend")
}

/// Where a case runs: by the kernels under test, or by Burn's own operations in double precision.
#[derive(Clone, Copy)]
enum By {
    Kernels,
    Reference,
}

impl By {
    fn run<R>(self, body: impl FnOnce() -> R) -> R {
        match self {
            By::Kernels => body(),
            By::Reference => portably(body),
        }
    }

    /// A flat tensor that is tracked or not.
    fn make(self, values: &[f64], tracked: bool) -> Tensor<1> {
        let data = TensorData::new(values.to_vec(), [values.len()]);
        let tensor = match self {
            By::Kernels => Tensor::from_data(data.convert::<f32>(), (&gpu().autodiff(), DType::F32)),
            By::Reference => Tensor::from_data(data, (&Device::flex().autodiff(), DType::F64)),
        };
        if tracked { tensor.require_grad() } else { tensor }
    }
}

struct Random(ChaCha8Rng);

impl Random {
    fn draw(&mut self, count: usize) -> Vec<f64> {
        (0..count).map(|_| self.0.random_range(-1.0f32..1.0).into()).collect()
    }
}

fn finish(by: By, activation: Tensor<5>, random: &mut Random, leaves: Vec<(String, Tensor<1>)>, outcome: &mut Outcome) {
    let count = activation.shape().num_elements();
    let activation = activation.reshape([count]);
    outcome.add("activation", activation.clone());
    // Something is always tracked, so that there is a way back to go.
    let anchor = by.make(&[0.0], true);
    let gradients = ((activation * by.make(&random.draw(count), false)).sum() + anchor).backward();
    for (name, leaf) in leaves {
        if let Some(gradient) = leaf.grad(&gradients) {
            outcome.add(name, gradient);
        }
    }
}

#[derive(Debug, Clone)]
struct EdgeCase {
    edge: Edge,
    images: usize,
    extent: Extent,
    running: bool,
    mixed: bool,
    /// Whether input, weights and mix are tracked.
    tracked: [bool; 3],
}

impl EdgeCase {
    fn run(&self, by: By) -> Outcome {
        let mut random = Random(ChaCha8Rng::seed_from_u64(7));
        let EdgeCase { edge, images, extent: [t, h, w], .. } = self;
        let input = by.make(&random.draw(images * t * h * w * edge.inputs), self.tracked[0]);
        let weights = (edge.weight_count() > 0).then(|| by.make(&random.draw(edge.weight_count()), self.tracked[1]));
        let mix = self.mixed.then(|| by.make(&random.draw(edge.operations.len()), self.tracked[2]));
        let statistics: Vec<f64> = random.draw(edge.statistic_count()).into_iter().map(|v| v.abs() + 0.5).collect();
        let mode = match self.running {
            true => Mode::Running((!statistics.is_empty()).then(|| by.make(&statistics, false).inner())),
            false => Mode::Batch,
        };
        let shaped = input.clone().reshape([*images, *t, *h, *w, edge.inputs]);
        let output = by.run(|| edge.forward(shaped, weights.clone(), mix.clone(), mode));
        let mut outcome = Outcome::default();
        if let Some(statistics) = output.statistics {
            outcome.add("statistics", statistics);
        }
        let mut leaves = vec![("gradient of the input".to_owned(), input)];
        leaves.extend(weights.map(|weights| ("gradient of the weights".to_owned(), weights)));
        leaves.extend(mix.map(|mix| ("gradient of the mix".to_owned(), mix)));
        finish(by, output.activation, &mut random, leaves, &mut outcome);
        outcome
    }

    fn compare(&self) {
        let ours = self.run(By::Kernels);
        ours.check(&self.run(By::Reference), 1e-4, format_args!("in {self:?}"));
        assert_eq!(ours, self.run(By::Kernels), "another run gave other bits: {self:?}");
    }
}

fn edge_case(operations: &[Expression], [inputs, outputs]: [usize; 2], stride: Extent, extent: Extent) -> EdgeCase {
    EdgeCase {
        edge: Edge {
            inputs,
            outputs,
            stride,
            operations: operations.to_vec(),
            norm: Norm::Plain,
            epsilon: Epsilon::new(1e-3),
        },
        images: 3,
        extent,
        running: false,
        mixed: operations.len() > 1,
        tracked: [true; 3],
    }
}

#[test]
fn edges_are_the_portable_ones() {
    edge_case(PICTURES, [8, 8], [1, 1, 1], [1, 7, 5]).compare();
    edge_case(PICTURES, [8, 8], [1, 2, 2], [1, 7, 9]).compare();
    EdgeCase { running: true, tracked: [true, false, true], ..edge_case(PICTURES, [8, 8], [1, 2, 2], [1, 8, 8]) }
        .compare();
    // Rows of quads.
    edge_case(PICTURES, [8, 8], [1, 1, 1], [1, 6, 8]).compare();
    edge_case(PICTURES, [8, 8], [1, 2, 2], [1, 7, 15]).compare();
    // More channels than a cube holds the matrix of, and not so many that they fill its blocks.
    edge_case(&PICTURES[4..], [72, 72], [1, 1, 1], [1, 6, 8]).compare();
    edge_case(CLIPS, [4, 4], [2, 2, 2], [4, 5, 7]).compare();
    edge_case(CLIPS, [3, 3], [1, 1, 1], [4, 5, 6]).compare();
    edge_case(CLIPS, [3, 3], [2, 2, 2], [5, 6, 7]).compare();
    let mut affine = edge_case(CLIPS, [4, 4], [2, 2, 2], [4, 5, 6]);
    affine.edge.norm = Norm::Affine;
    affine.compare();
    affine.edge.norm = Norm::Absent;
    affine.compare();
}

#[test]
fn layers_are_the_portable_ones() {
    let same = |kernel, activated| Expression::Convolve { kernel, padding: Padding::Same, activated };
    for (layer, channels, stride) in [
        (Expression::Project, [20, 8], [1, 1, 1]),
        (Expression::Skip, [12, 8], [1, 2, 2]),
        (same(SPACE, false), [3, 36], [1, 1, 1]),
        (Expression::Shrink, [3, 8], [2, 2, 2]),
        (Expression::Largest, [5, 5], [2, 3, 2]),
        (Expression::AveragePool { kernel: BOTH }, [5, 5], [1, 2, 2]),
        (same(BOTH, true), [5, 6], [2, 2, 2]),
        (Expression::Convolve { kernel: [1, 2, 2], padding: Padding::Valid, activated: true }, [40, 72], [1, 1, 1]),
    ] {
        let mut case = edge_case(&[layer], channels, stride, [2, 7, 6]);
        case.edge.norm = Norm::Affine;
        case.compare();
    }
}

const NODES: usize = 4;

/// What has become of a link during a search.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Fate {
    Mixed,
    Decided(usize),
    Pruned,
}

#[derive(Debug, Clone)]
struct CellCase {
    channels: usize,
    extent: Extent,
    /// Whether links from the inputs have a stride.
    reduction: bool,
    norm: Norm,
    running: bool,
    scaled: bool,
    fates: Vec<Fate>,
    /// Whether the inputs, the mixes and the weights are tracked.
    tracked: [bool; 4],
}

impl CellCase {
    fn run(&self, by: By) -> Outcome {
        let mut random = Random(ChaCha8Rng::seed_from_u64(11));
        let CellCase { channels, extent: [t, h, w], .. } = *self;
        let images = 3;
        let mut leaves = Vec::new();
        let inputs = [0, 1].map(|input| {
            let values = by.make(&random.draw(images * t * h * w * channels), self.tracked[input]);
            leaves.push((format!("gradient of input {input}"), values.clone()));
            values.reshape([images, t, h, w, channels])
        });
        let mixes = by.make(&random.draw(self.fates.len() * PICTURES.len()), self.tracked[2]);
        leaves.push(("gradient of the mixes".to_owned(), mixes.clone()));
        let mixes = mixes.reshape([self.fates.len(), PICTURES.len()]);
        let places = (0..NODES).flat_map(|node| (0..node + 2).map(move |from| (node, from)));
        let mut edges = Vec::new();
        for (row, (node, from)) in places.enumerate() {
            let stride = if self.reduction && from < 2 { [1, 2, 2] } else { [1, 1, 1] };
            let edge = Edge {
                inputs: channels,
                outputs: channels,
                stride,
                operations: PICTURES.to_vec(),
                norm: self.norm,
                epsilon: Epsilon::USUAL,
            };
            match self.fates[row] {
                Fate::Pruned => {}
                Fate::Mixed => edges.push((edge, node, from, Some(row))),
                Fate::Decided(operation) => edges.push((edge.decide(operation).0, node, from, None)),
            }
        }
        let links = edges.iter().map(|(edge, node, from, mixed)| {
            let count = edge.weight_count();
            let weights = (count > 0).then(|| by.make(&random.draw(count), self.tracked[3]));
            leaves.extend(
                weights.clone().map(|weights| (format!("gradient of the weights of {from} to {node}"), weights)),
            );
            let statistics: Vec<f64> = random.draw(edge.statistic_count()).into_iter().map(|v| v.abs() + 0.5).collect();
            let mode = match self.running {
                true => Mode::Running((!statistics.is_empty()).then(|| by.make(&statistics, false).inner())),
                false => Mode::Batch,
            };
            let factors = self.scaled.then(|| random.draw(images).into_iter().map(|v| v as f32).collect());
            Link { edge, from: *from, node: *node, weights, mode, mixed: *mixed, noise: None, factors }
        });
        let links: Vec<_> = links.collect();
        let output = by.run(|| cell(inputs.to_vec(), links, Some(mixes), &[2, 3, 4, 5], 1));
        let mut outcome = Outcome::default();
        for (link, statistics) in output.statistics.into_iter().enumerate() {
            if let Some(statistics) = statistics {
                outcome.add(format!("statistics of link {link}"), statistics);
            }
        }
        finish(by, output.activation, &mut random, leaves, &mut outcome);
        outcome
    }

    fn compare(&self) {
        let ours = self.run(By::Kernels);
        // A cell is up to eight norms deep.
        ours.check(&self.run(By::Reference), 1e-3, format_args!("in {self:?}"));
        assert_eq!(ours, self.run(By::Kernels), "another run gave other bits: {self:?}");
    }
}

#[test]
fn cells_are_the_portable_ones() {
    let whole = CellCase {
        channels: 8,
        extent: [1, 6, 7],
        reduction: false,
        norm: Norm::Plain,
        running: false,
        scaled: false,
        fates: vec![Fate::Mixed; 14],
        tracked: [true; 4],
    };
    whole.compare();
    let mut fates = whole.fates.clone();
    fates[3] = Fate::Decided(4);
    fates[6] = Fate::Decided(1);
    fates[7] = Fate::Pruned;
    fates[9] = Fate::Decided(3);
    let part = CellCase { reduction: true, scaled: true, fates, ..whole.clone() };
    part.compare();
    CellCase { tracked: [true, true, true, false], ..part.clone() }.compare();
    CellCase { tracked: [false, true, false, true], norm: Norm::Affine, ..part.clone() }.compare();
    CellCase { running: true, ..part }.compare();
}

/// Weights and momentum after a step, and the gradients' norm.
fn descended(device: &Device, nesterov: bool) -> (Vec<[Vec<f32>; 2]>, f64) {
    let mut random = Random(ChaCha8Rng::seed_from_u64(11));
    let mut tensor = |count: usize| {
        let values: Vec<f32> = random.draw(count).into_iter().map(|value| value as f32).collect();
        Tensor::<1>::from_data(TensorData::new(values, [count]), device)
    };
    // Of counts nobody chose; what does not decay lies at the begin, in the middle, and at the end.
    let undecayed =
        [vec![], vec![0..1], vec![3..5, 60..63], vec![], vec![0..40, 700..701, 999..1000], vec![16_384..17_000]];
    let counts = [7, 1, 63, 64, 1000, 20_001];
    let tensors: Vec<Descending> = counts
        .into_iter()
        .zip(undecayed)
        .map(|(count, undecayed)| {
            let [weights, momentum, gradient] = [0; 3].map(|_| tensor(count));
            Descending { weights, momentum, gradient, undecayed }
        })
        .collect();
    let norm = norm(&tensors.iter().map(|tensor| tensor.gradient.clone()).collect::<Vec<_>>());
    let descent = Descent { clip: 5.0, weight_decay: 0.3, momentum: 0.9, rate: 0.1, nesterov };
    let after = descent.step(tensors, &norm);
    let values = |tensor: Tensor<1>| tensor.into_data().iter::<f32>().collect::<Vec<_>>();
    (after.into_iter().map(|after| after.map(values)).collect(), norm.value())
}

#[test]
fn steps_down_are_those_of_the_processor() {
    for nesterov in [false, true] {
        let (own, own_norm) = descended(&gpu(), nesterov);
        let (expected, norm) = descended(&Device::flex(), nesterov);
        // Far beyond its bound, so that the scale matters.
        assert!(norm > 50.0 && (own_norm - norm).abs() < 1e-5 * norm, "{own_norm} for {norm}");
        for (own, expected) in own.iter().flatten().flatten().zip(expected.iter().flatten().flatten()) {
            assert!((own - expected).abs() < 2e-6, "{own} for {expected}, nesterov {nesterov}");
        }
        assert_eq!(own, descended(&gpu(), nesterov).0);
    }
}

fn compare(case: &Case) {
    let ours = || case.run(&gpu().autodiff(), DType::F32, false);
    let outcome = ours();
    let reference = case.run(&Device::flex().autodiff(), DType::F64, true);
    outcome.check(&reference, 1e-3, format_args!("in {case:?}"));
    assert_eq!(outcome, ours(), "another run gave other bits: {case:?}");
}

/// NAS-Bench-201's cell at the beginning of a search, in the middle and at its end.
#[test]
fn cells_whose_nodes_are_not_all_the_output_are_the_portable_ones() {
    let whole = Case { images: 3, extent: [1, 7, 5], ..benchmark(8) };
    compare(&whole);
    let mut part = Case { scaled: true, beyond: 2, ..whole };
    for (link, operation) in [(1, 3), (2, 4), (4, 1)] {
        part.links[link].operations = vec![topologies::BENCHMARK[operation].clone()];
        part.links[link].mixed = false;
    }
    compare(&part);
    compare(&Case { tracked: [true, true, true, false], ..part.clone() });
    compare(&Case { tracked: [false, false, false, true], norm: Norm::Affine, ..part.clone() });
    compare(&Case { running: true, ..part });
    // Nothing comes to the first node, and what reads it is a norm of zeros.
    let mut decided = Case { norm: Norm::Affine, images: 3, extent: [1, 7, 5], ..benchmark(3) };
    for (link, operation) in [0, 2, 3, 1, 0, 2].into_iter().enumerate() {
        decided.links[link].operations = vec![topologies::BENCHMARK[operation].clone()];
        decided.links[link].mixed = false;
    }
    compare(&decided);
    // Nothing goes on from the first two nodes, which are no output either.
    decided.links[4].operations = vec![Expression::Zero];
    decided.links[5].operations = vec![Expression::Zero];
    compare(&decided);
}

#[test]
fn residual_blocks_are_the_portable_ones() {
    let block = Case { images: 3, extent: [1, 7, 5], ..residual(4) };
    compare(&block);
    compare(&Case { running: true, extent: [1, 8, 6], tracked: [false, false, false, true], ..block });
}

/// Nodes of two sizes, which the links from one state end in, two links from a state to a node, and an output that is a part
/// of the nodes in another order.
#[test]
fn cells_of_other_topologies_are_the_portable_ones() {
    let stage = PICTURES[4].clone();
    let mixed = |from, node, stride| Plan {
        from,
        node,
        operations: vec![Expression::Skip, stage.clone(), convolve(3), Expression::AveragePool { kernel: SPACE }],
        mixed: true,
        stride,
        channels: [4; 2],
    };
    let one = |from, node, operation: &Expression, stride| Plan {
        operations: vec![operation.clone()],
        mixed: false,
        ..mixed(from, node, stride)
    };
    let links = vec![
        mixed(0, 0, HALVED),
        one(1, 0, &convolve(1), HALVED),
        mixed(0, 1, UNIT),
        one(0, 1, &stage, UNIT),
        mixed(3, 2, HALVED),
        one(2, 2, &Expression::AveragePool { kernel: SPACE }, UNIT),
        one(4, 3, &stage, UNIT),
        one(4, 3, &Expression::Skip, UNIT),
    ];
    let case = Case {
        inputs: vec![4; 2],
        images: 2,
        extent: [1, 7, 5],
        links,
        concat: vec![5, 2],
        scaled: true,
        ..benchmark(4)
    };
    compare(&case);
    compare(&Case { tracked: [true, false, false, true], ..case });
}

/// Edges on the first of several parts of the channels, which the others pass by, and operations that are nothing but noise: all
/// mixed, and in part decided, one edge to noise and one to nothing.
#[test]
fn cells_of_parts_of_the_channels_and_of_noise_are_the_portable_ones() {
    let operations = [Expression::Zero, Expression::Noise, Expression::Skip, PICTURES[4].clone()];
    let cell = |channels: usize, share: usize| {
        let mut case = benchmark(channels);
        for link in &mut case.links {
            link.operations = operations.to_vec();
            link.stride = if link.from == 0 { HALVED } else { UNIT };
        }
        Case {
            inputs: vec![channels * share],
            images: 3,
            extent: [1, 7, 9],
            share,
            beyond: 2,
            concat: vec![3, 1],
            ..case
        }
    };
    let whole = cell(4, 3);
    compare(&whole);
    compare(&Case { scaled: true, share: 1, inputs: vec![4], ..whole });
    let mut part = cell(3, 2);
    for (link, operation) in [(0, 0), (2, 1), (4, 3), (5, 2)] {
        part.links[link].operations = vec![operations[operation].clone()];
        part.links[link].mixed = false;
    }
    compare(&part);
    compare(&Case { tracked: [true, true, true, false], ..part.clone() });
    compare(&Case { tracked: [false, false, false, true], running: true, ..part });
}
