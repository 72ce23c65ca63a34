//! The fused edge as one differentiable function of Burn: a backend extension for Flex, with its own backward.

use super::backward::{Backward, Gradients, Wanted};
use super::forward::Pass;
use super::memory::Buffer;
use super::normal::Normal;
use super::pack::pack;
use super::plan::{Plan, Unit};
use crate::crew::each;
use crate::expression::Expression;
use crate::lanes::LANES;

use crate::width::Width;
use crate::{Edge, Mode, Onto, Output};
use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients as Graph;
use burn::backend::autodiff::ops::{Backward as Differentiable, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, AutodiffBackend, Backend, Dispatch, ExtensionType, Flex, backend_extension};
use burn::tensor::{DType, Device, Shape, Tensor, TensorData};
use burn_flex::{FlexTensor, Layout};
use std::fmt;
use std::sync::Arc;

/// Whether the fused edge computes these tensors: on Flex, in single precision.
pub(crate) fn handles(
    edge: &Edge,
    input: &Tensor<5>,
    weights: Option<&Tensor<1>>,
    mix: Option<&Tensor<1>>,
    onto: &Onto,
) -> bool {
    let single = |tensor: &Tensor<1>| tensor.dtype() == DType::F32;
    input.dtype() == DType::F32
        && onto.sum.as_ref().is_none_or(|sum| sum.dtype() == DType::F32)
        && weights.is_none_or(single)
        && mix.is_none_or(single)
        && input.device() == Device::flex()
        && edge.operations.iter().any(|operation| *operation != Expression::Zero)
}

/// [`Edge::forward`] in one piece.
pub(crate) fn forward(
    edge: &Edge,
    input: Tensor<5>,
    weights: Option<Tensor<1>>,
    mix: Option<Tensor<1>>,
    mode: Mode,
    onto: Onto,
) -> Output {
    let [images, t, h, w, _] = input.dims();
    let plan = Plan::of(edge, images, [t, h, w]);
    let statistics = edge.statistic_count();
    let weight_count = weights.as_ref().map_or(0, |weights| weights.dims()[0]);
    assert_eq!(weight_count, plan.weights, "an edge with {} weights was given {weight_count}", plan.weights);
    let device = input.device().inner();
    let absent = || Tensor::<1>::zeros([1], &device);
    let Onto { sum, factors } = onto;
    let (batch, running) = match mode {
        Mode::Batch => (true, None),
        Mode::Running(running) => (false, running),
    };
    assert!(batch || statistics == 0 || running.is_some(), "an edge with norms needs running statistics");
    let (mixed, summed) = (mix.is_some(), sum.is_some());
    let call = Arc::new(Call { plan, width: Width::current(), batch, mixed, summed, factors, statistics });
    let forwarded = Dispatch::fused_edge(
        input.into_dispatch(),
        weights.unwrap_or_else(absent).into_dispatch(),
        mix.unwrap_or_else(absent).into_dispatch(),
        sum.map_or_else(|| absent().into_dispatch(), Tensor::into_dispatch),
        running.unwrap_or_else(absent).into_dispatch(),
        call,
    );
    Output {
        activation: Tensor::from_dispatch(forwarded.activation),
        statistics: (batch && statistics > 0).then(|| Tensor::from_dispatch(forwarded.statistics).inner()),
    }
}

/// What a call of the fused edge is besides its tensors.
#[derive(Debug)]
pub struct Call {
    plan: Arc<Plan>,
    width: Width,
    batch: bool,
    /// Whether there is a mix; the operations are summed as they are otherwise.
    mixed: bool,
    /// Whether there is something to add to.
    summed: bool,
    /// A factor per image.
    factors: Option<Vec<f32>>,
    /// Elements of the flat tensor of statistics.
    statistics: usize,
}

/// What the way there keeps for the way back: the units' results and their norms.
pub struct Kept {
    results: Buffer,
    normals: Vec<Normal>,
}

impl fmt::Debug for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Kept({} elements)", self.results.len() * LANES)
    }
}

/// What the way there gives.
#[derive(ExtensionType)]
pub struct Forwarded<B: Backend> {
    /// The activation.
    pub activation: FloatTensor<B>,
    /// The batch's statistics, one element where there are none.
    pub statistics: FloatTensor<B>,
    /// What the way back needs.
    pub kept: Arc<Kept>,
}

/// What the way back gives; a single element for what was not asked for.
#[derive(ExtensionType)]
pub struct Returned<B: Backend> {
    /// Gradient of the input.
    pub input: FloatTensor<B>,
    /// Gradient of the weights.
    pub weights: FloatTensor<B>,
    /// Gradient of the mix.
    pub mix: FloatTensor<B>,
    /// Gradient of what the activation was added to: the output's, contiguous, so that the next edge need not copy it.
    pub sum: FloatTensor<B>,
}

/// The edge's function and its derivative.
#[backend_extension(Autodiff, Flex)]
pub trait FusedEdge: Backend {
    /// The way there.
    fn fused_edge(
        input: FloatTensor<Self>,
        weights: FloatTensor<Self>,
        mix: FloatTensor<Self>,
        sum: FloatTensor<Self>,
        running: FloatTensor<Self>,
        call: Arc<Call>,
    ) -> Forwarded<Self>;

    /// The way back from the output's gradient.
    fn fused_edge_back(
        input: FloatTensor<Self>,
        weights: FloatTensor<Self>,
        mix: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        call: Arc<Call>,
        kept: Arc<Kept>,
        wanted: Wanted,
    ) -> Returned<Self>;
}

impl Call {
    fn pass<'a>(&'a self, input: &'a [f32], weights: &'a [f32], mix: &'a [f32]) -> Pass<'a> {
        Pass { plan: &self.plan, width: self.width, input, weights, mix }
    }

    fn mix(&self, mix: &FlexTensor) -> Vec<f32> {
        if self.mixed { values(mix).to_vec() } else { vec![1.0; self.plan.operations] }
    }

    /// The norms of the units of a level by the batch's statistics, which are written behind one another.
    fn batch_normal(&self, unit: &Unit, weights: &[f32], sums: &[Vec<f64>; 2], statistics: &mut [f32]) -> Normal {
        let plan = &*self.plan;
        let Some(at) = unit.statistics else { return Normal::absent(plan) };
        let elements = (plan.images * unit.pixels()) as f64;
        let mean: Vec<f64> = sums[0][..plan.outputs].iter().map(|sum| sum / elements).collect();
        let variance: Vec<f64> =
            sums[1].iter().zip(&mean).map(|(square, mean)| (square / elements - mean * mean).max(0.0)).collect();
        // Running variances are unbiased, the batch's own is not (as in PyTorch).
        let unbiased = elements / (elements - 1.0).max(1.0);
        for channel in 0..plan.outputs {
            statistics[at + channel] = mean[channel] as f32;
            statistics[at + plan.outputs + channel] = (variance[channel] * unbiased) as f32;
        }
        Normal::new(plan, unit, weights, mean, &variance)
    }

    fn running_normal(&self, unit: &Unit, weights: &[f32], running: &[f32]) -> Normal {
        let plan = &*self.plan;
        let Some(at) = unit.statistics else { return Normal::absent(plan) };
        let doubles = |at: usize| running[at..at + plan.outputs].iter().map(|&v| f64::from(v)).collect::<Vec<f64>>();
        Normal::new(plan, unit, weights, doubles(at), &doubles(at + plan.outputs))
    }
}

impl FusedEdge for Flex {
    fn fused_edge(
        input: FloatTensor<Self>,
        weights: FloatTensor<Self>,
        mix: FloatTensor<Self>,
        sum: FloatTensor<Self>,
        running: FloatTensor<Self>,
        call: Arc<Call>,
    ) -> Forwarded<Self> {
        let (input, weights, running) = (input.to_contiguous(), weights.to_contiguous(), running.to_contiguous());
        let sum = sum.to_contiguous();
        let mix = call.mix(&mix.to_contiguous());
        let (plan, weights) = (&*call.plan, values(&weights));
        let pass = call.pass(values(&input), weights, &mix);
        let packed = pack(plan, weights, false);
        let mut results = Buffer::take(plan.images * plan.kept);
        let mut statistics = vec![0.0; call.statistics.max(1)];
        let mut normals: Vec<Normal> = plan.units.iter().map(|_| Normal::absent(plan)).collect();
        for level in 0..plan.levels {
            let sums = pass.level(level, &packed, &normals, &mut results);
            for (index, unit) in plan.level(level) {
                normals[index] = if call.batch {
                    call.batch_normal(unit, weights, &sums[index], &mut statistics)
                } else {
                    call.running_normal(unit, weights, values(&running))
                };
            }
        }
        let sum = call.summed.then(|| values(&sum));
        let activation = pass.combine(&normals, &results, call.factors.as_deref(), sum);
        let [t, h, w] = plan.output;
        Forwarded {
            activation: pooled(activation, vec![plan.images, t, h, w, plan.outputs]),
            statistics: tensor(statistics, vec![call.statistics.max(1)]),
            kept: Arc::new(Kept { results, normals }),
        }
    }

    fn fused_edge_back(
        input: FloatTensor<Self>,
        weights: FloatTensor<Self>,
        mix: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        call: Arc<Call>,
        kept: Arc<Kept>,
        wanted: Wanted,
    ) -> Returned<Self> {
        let (input, weights, gradient) = (input.to_contiguous(), weights.to_contiguous(), gradient.to_contiguous());
        let mix = call.mix(&mix.to_contiguous());
        let plan = &*call.plan;
        let scaled = call.factors.as_ref().map(|factors| scale_images(values(&gradient), factors));
        let backward = Backward {
            pass: call.pass(values(&input), values(&weights), &mix),
            normals: &kept.normals,
            batch: call.batch,
            kept: &kept.results,
            gradient: scaled.as_ref().map_or_else(|| values(&gradient), |scaled| scaled.as_floats()),
            wanted,
        };
        let sum = gradient.clone();
        let Gradients { input, weights, mix } = backward.run();
        let [t, h, w] = plan.input;
        let shaped = |values: Vec<f32>, shape: Vec<usize>| {
            if values.is_empty() { tensor(vec![0.0], vec![1]) } else { tensor(values, shape) }
        };
        Returned {
            input: match input {
                Some(input) => pooled(input, vec![plan.images, t, h, w, plan.inputs]),
                None => shaped(vec![], vec![]),
            },
            weights: shaped(weights, vec![plan.weights]),
            mix: shaped(mix, vec![plan.operations]),
            sum,
        }
    }
}

/// Every image times its factor.
fn scale_images(images: &[f32], factors: &[f32]) -> Buffer {
    let mut scaled = Buffer::of_floats(images.len());
    let length = images.len() / factors.len();
    let tasks = scaled.floats()[..images.len()].chunks_mut(length).zip(images.chunks(length)).zip(factors);
    each(tasks, |((to, from), factor)| to.iter_mut().zip(from).for_each(|(to, from)| *to = from * factor));
    scaled
}

/// A contiguous tensor's elements.
pub(super) fn values(tensor: &FlexTensor) -> &[f32] {
    tensor.as_slice().expect("a contiguous tensor of single precision")
}

fn tensor(values: Vec<f32>, shape: Vec<usize>) -> FlexTensor {
    FlexTensor::from_data(TensorData::new(values, shape))
}

/// A tensor whose memory comes from the pool.
pub(super) fn pooled(values: Buffer, shape: Vec<usize>) -> FlexTensor {
    let count = shape.iter().product();
    FlexTensor::new(values.into_bytes(count), Layout::contiguous(Shape::from(shape)), DType::F32)
}

/// The backward step's inputs.
#[derive(Debug, Clone)]
struct State<B: Backend> {
    input: FloatTensor<B>,
    weights: FloatTensor<B>,
    mix: FloatTensor<B>,
    call: Arc<Call>,
    kept: Arc<Kept>,
}

#[derive(Debug)]
struct Step;

impl<B: FusedEdge> Differentiable<B, 4> for Step {
    type State = State<B>;

    fn backward(self, ops: Ops<State<B>, 4>, graph: &mut Graph, _: &mut Checkpointer) {
        let [input, weights, mix, sum] = ops.parents;
        let gradient = graph.consume::<B>(&ops.node);
        let wanted = Wanted { input: input.is_some(), weights: weights.is_some(), mix: mix.is_some() };
        let State { input: x, weights: w, mix: m, call, kept } = ops.state;
        let returned = B::fused_edge_back(x, w, m, gradient, call, kept, wanted);
        let returned = [returned.input, returned.weights, returned.mix, returned.sum];
        for (node, gradient) in [input, weights, mix, sum].into_iter().zip(returned) {
            if let Some(node) = node {
                graph.register::<B>(node.id, gradient);
            }
        }
    }
}

impl<B: FusedEdge, C: CheckpointStrategy> FusedEdge for Autodiff<B, C> {
    fn fused_edge(
        input: FloatTensor<Self>,
        weights: FloatTensor<Self>,
        mix: FloatTensor<Self>,
        sum: FloatTensor<Self>,
        running: FloatTensor<Self>,
        call: Arc<Call>,
    ) -> Forwarded<Self> {
        let there = |call: Arc<Call>| {
            let primitive = |tensor: &FloatTensor<Self>| tensor.primitive().clone();
            B::fused_edge(
                primitive(&input),
                primitive(&weights),
                primitive(&mix),
                primitive(&sum),
                primitive(&running),
                call,
            )
        };
        let parents = [input.node(), weights.node(), mix.node(), sum.node()];
        let (activation, statistics, kept) = match Step.prepare::<C>(parents).compute_bound().stateful() {
            OpsKind::Tracked(step) => {
                let Forwarded { activation, statistics, kept } = there(call.clone());
                let state = State {
                    input: input.into_primitive(),
                    weights: weights.into_primitive(),
                    mix: mix.into_primitive(),
                    call,
                    kept: kept.clone(),
                };
                (step.finish(state, activation), statistics, kept)
            }
            OpsKind::UnTracked(step) => {
                let Forwarded { activation, statistics, kept } = there(call);
                (step.finish(activation), statistics, kept)
            }
        };
        Forwarded { activation, statistics: Self::from_inner(statistics), kept }
    }

    fn fused_edge_back(
        _: FloatTensor<Self>,
        _: FloatTensor<Self>,
        _: FloatTensor<Self>,
        _: FloatTensor<Self>,
        _: Arc<Call>,
        _: Arc<Kept>,
        _: Wanted,
    ) -> Returned<Self> {
        unreachable!("autodiff is of first order: nobody differentiates the way back")
    }
}
