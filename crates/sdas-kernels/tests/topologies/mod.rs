//! Cells of any topology with random numbers, and what they come to.

use crate::outcome::Outcome;
use burn::tensor::{DType, Device, Tensor, TensorData};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use sdas_kernels::{Edge, Epsilon, Expression, Extent, Link, Mode, Norm, Padding, cell, portably};

pub const UNIT: Extent = [1, 1, 1];
pub const HALVED: Extent = [1, 2, 2];

pub const fn convolve(side: usize) -> Expression {
    Expression::Convolve { kernel: [1, side, side], padding: Padding::Same, activated: true }
}

/// NAS-Bench-201's.
pub const BENCHMARK: &[Expression] =
    &[Expression::Zero, Expression::Skip, convolve(1), convolve(3), Expression::AveragePool { kernel: [1, 3, 3] }];

/// A link to be made.
#[derive(Debug, Clone)]
pub struct Plan {
    pub from: usize,
    pub node: usize,
    pub operations: Vec<Expression>,
    pub mixed: bool,
    pub stride: Extent,
    pub channels: [usize; 2],
}

#[derive(Debug, Clone)]
pub struct Case {
    /// Channels of each input.
    pub inputs: Vec<usize>,
    pub images: usize,
    pub extent: Extent,
    pub links: Vec<Plan>,
    pub norm: Norm,
    pub running: bool,
    pub scaled: bool,
    /// Parts of the channels, of which edges work on the first.
    pub share: usize,
    /// Factors that the rows of the mixes have beyond the operations of any link.
    pub beyond: usize,
    pub concat: Vec<usize>,
    /// Whether the first input, the others, the mixes and the weights are tracked.
    pub tracked: [bool; 4],
    pub seed: u64,
}

/// NAS-Bench-201's cell, all edges mixed.
pub fn benchmark(channels: usize) -> Case {
    let pairs = [(0, 0), (0, 1), (1, 1), (0, 2), (1, 2), (2, 2)];
    let link = |(from, node)| Plan {
        from,
        node,
        operations: BENCHMARK.to_vec(),
        mixed: true,
        stride: UNIT,
        channels: [channels; 2],
    };
    Case {
        inputs: vec![channels],
        images: 5,
        extent: [1, 16, 17],
        links: pairs.map(link).to_vec(),
        norm: Norm::Plain,
        running: false,
        scaled: false,
        share: 1,
        beyond: 0,
        concat: vec![3],
        tracked: [true; 4],
        seed: 5,
    }
}

/// The block that lies between the benchmark's stages.
pub fn residual(channels: usize) -> Case {
    let link = |from, node, operation, stride, channels| Plan {
        from,
        node,
        operations: vec![operation],
        mixed: false,
        stride,
        channels,
    };
    let links = vec![
        link(0, 0, convolve(3), HALVED, [channels, 2 * channels]),
        link(1, 1, convolve(3), UNIT, [2 * channels; 2]),
        link(0, 1, Expression::Shrink, HALVED, [channels, 2 * channels]),
    ];
    Case { links, norm: Norm::Affine, concat: vec![2], ..benchmark(channels) }
}

impl Case {
    /// What the cell comes to on a device that tracks gradients.
    pub fn run(&self, device: &Device, dtype: DType, portable: bool) -> Outcome {
        let mut random = ChaCha8Rng::seed_from_u64(self.seed);
        let mut draw =
            |count: usize| -> Vec<f64> { (0..count).map(|_| random.random_range(-1.0f32..1.0).into()).collect() };
        let make =
            |values: &[f64]| Tensor::<1>::from_data(TensorData::new(values.to_vec(), [values.len()]), (device, dtype));
        let mut leaves = Vec::new();
        let mut leaf = |name: String, values: &[f64], tracked: bool| {
            let tensor = make(values);
            if !tracked {
                return tensor;
            }
            let tensor = tensor.require_grad();
            leaves.push((name, tensor.clone()));
            tensor
        };
        let Case { images, extent: [t, h, w], .. } = *self;
        let mut inputs = Vec::new();
        for (index, &channels) in self.inputs.iter().enumerate() {
            let values = draw(images * t * h * w * channels);
            let values = leaf(format!("gradient of input {index}"), &values, self.tracked[index.min(1)]);
            inputs.push(values.reshape([images, t, h, w, channels]));
        }
        let most = self.links.iter().map(|link| link.operations.len()).max().unwrap_or(0) + self.beyond;
        let mixes = leaf("gradient of the mixes".to_owned(), &draw(self.links.len() * most), self.tracked[2]);
        let mixes = mixes.reshape([self.links.len(), most]);
        let edges: Vec<_> = self
            .links
            .iter()
            .map(|Plan { operations, stride, channels: [inputs, outputs], .. }| Edge {
                inputs: *inputs,
                outputs: *outputs,
                stride: *stride,
                operations: operations.clone(),
                norm: self.norm,
                epsilon: Epsilon::USUAL,
            })
            .collect();
        let mut links = Vec::new();
        let mut extents = vec![self.extent; self.inputs.len()];
        for (row, (plan, edge)) in self.links.iter().zip(&edges).enumerate() {
            let [t, h, w] = edge.output_extent(extents[plan.from]);
            extents.resize((self.inputs.len() + plan.node + 1).max(extents.len()), [t, h, w]);
            let noise = edge.operations.contains(&Expression::Noise).then(|| {
                let shape = [images, t, h, w, edge.outputs];
                make(&draw(shape.iter().product())).reshape(shape)
            });
            let name = format!("gradient of the weights of link {row}");
            let weights = (edge.weight_count() > 0).then(|| leaf(name, &draw(edge.weight_count()), self.tracked[3]));
            let statistics: Vec<f64> = draw(edge.statistic_count()).into_iter().map(|v| v.abs() + 0.5).collect();
            links.push(Link {
                edge,
                from: plan.from,
                node: plan.node,
                weights,
                mode: match self.running {
                    true => Mode::Running((!statistics.is_empty()).then(|| make(&statistics))),
                    false => Mode::Batch,
                },
                mixed: plan.mixed.then_some(row),
                noise,
                factors: self.scaled.then(|| draw(images).into_iter().map(|v| v as f32).collect()),
            });
        }
        let forward = || cell(inputs, links, Some(mixes), &self.concat, self.share);
        let output = if portable { portably(forward) } else { forward() };
        let mut outcome = Outcome::default();
        let count = output.activation.shape().num_elements();
        let activation = output.activation.reshape([count]);
        outcome.add("activation", activation.clone());
        for (link, statistics) in output.statistics.into_iter().enumerate() {
            if let Some(statistics) = statistics {
                outcome.add(format!("statistics of link {link}"), statistics);
            }
        }
        // Something is always tracked, so that there is a way back to go.
        let anchor = make(&[0.0]).require_grad();
        let gradients = ((activation * make(&draw(count))).sum() + anchor).backward();
        for (name, leaf) in leaves {
            // Nothing goes back through zeros.
            let gradient = leaf.grad(&gradients).unwrap_or_else(|| leaf.clone().inner().zeros_like());
            outcome.add(name, gradient);
        }
        outcome
    }
}
