//! The fused edge as one differentiable function of Burn: a backend extension for Flex, with its own backward.

use super::backward::{Backward, Gradients, InputGradient, Wanted};
use super::fan::{Fan, Given, Kept, Statistics};
use super::forward::Onto;
use super::held::Held;
use super::memory::Buffer;
use super::plan::Plan;
use crate::together::Together;
use crate::weights::volume;
use crate::width::Width;
use crate::{Edge, Mode, Output};
use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients as Graph;
use burn::backend::autodiff::ops::{Backward as Differentiable, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, AutodiffBackend, Backend, Dispatch, ExtensionType, Flex, backend_extension};
use burn::tensor::{DType, Device, Shape, Tensor, TensorData};
use burn_flex::{FlexTensor, Layout};
use std::sync::Arc;

/// Whether the fused edge computes these tensors: in single precision.
pub(crate) fn handles(edge: &Edge, input: &Tensor<5>, weights: Option<&Tensor<1>>, mix: Option<&Tensor<1>>) -> bool {
    let single = |tensor: &Tensor<1>| tensor.dtype() == DType::F32;
    input.dtype() == DType::F32
        && weights.is_none_or(single)
        && mix.is_none_or(single)
        && edge.computes()
        && runs_on(&input.device(), std::iter::once(edge), 1)
}

/// Whether there is a fused body for a device, and for these edges together there, which work on one of `share` parts of the
/// channels: on the CPU's backend for all.
pub(super) fn runs_on<'a>(device: &Device, edges: impl Iterator<Item = &'a Edge> + Clone, share: usize) -> bool {
    if *device == Device::flex() {
        return true;
    }
    #[cfg(feature = "gpu")]
    return crate::gpu::runs_on(device) && crate::gpu::compute(edges, share);
    #[cfg(not(feature = "gpu"))]
    {
        let _ = (edges, share);
        false
    }
}

/// [`Edge::forward`] in one piece.
pub(crate) fn forward(
    edge: &Edge,
    input: Tensor<5>,
    weights: Option<Tensor<1>>,
    mix: Option<Tensor<1>>,
    mode: Mode,
) -> Output {
    let [images, t, h, w, _] = input.dims();
    let plan = Plan::of(edge, images, [t, h, w]);
    check_weights(&plan, weights.as_ref());
    let device = input.device().inner();
    let absent = || Tensor::<1>::zeros([1], &device);
    let (together, running) = match mode {
        Mode::Batch => (None, None),
        Mode::Together(together) => (Some(together), None),
        Mode::Running(running) => (None, Some(running)),
    };
    let batch = running.is_none();
    let running = running.flatten();
    let statistics = plan.statistics;
    assert!(batch || statistics == 0 || running.is_some(), "an edge with norms needs running statistics");
    let call = Arc::new(Call { plan, width: Width::current(), batch, together, mixed: mix.is_some() });
    let forwarded = Dispatch::fused_edge(
        input.into_dispatch(),
        weights.unwrap_or_else(absent).into_dispatch(),
        mix.unwrap_or_else(absent).into_dispatch(),
        running.unwrap_or_else(absent).into_dispatch(),
        call,
    );
    Output {
        activation: Tensor::from_dispatch(forwarded.activation),
        statistics: (batch && statistics > 0).then(|| Tensor::from_dispatch(forwarded.statistics).inner()),
    }
}

/// Asserts that an edge was given as many weights as it has.
pub(super) fn check_weights(plan: &Plan, weights: Option<&Tensor<1>>) {
    let count = weights.map_or(0, |weights| weights.dims()[0]);
    assert_eq!(count, plan.weights, "an edge with {} weights was given {count}", plan.weights);
}

/// What a call of the fused edge is besides its tensors.
#[derive(Debug)]
pub struct Call {
    pub(crate) plan: Arc<Plan>,
    width: Width,
    pub(crate) batch: bool,
    together: Option<Together>,
    /// Whether there is a mix; the operations are summed as they are otherwise.
    pub(crate) mixed: bool,
}

/// What the way there gives.
#[derive(ExtensionType)]
pub struct Forwarded<B: Backend> {
    /// The activation.
    pub activation: FloatTensor<B>,
    /// The batch's statistics, one element where there are none.
    pub statistics: FloatTensor<B>,
    /// What the way back needs.
    pub kept: Held,
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
}

/// The edge's function and its derivative.
#[backend_extension(Autodiff, Flex, Cube: cfg(feature = "gpu"))]
pub trait FusedEdge: Backend {
    /// The way there.
    fn fused_edge(
        input: FloatTensor<Self>,
        weights: FloatTensor<Self>,
        mix: FloatTensor<Self>,
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
        kept: Held,
        wanted: Wanted,
    ) -> Returned<Self>;
}

impl Call {
    fn fan<'a>(&'a self, input: &'a [f32], weights: &'a [f32], mix: &FlexTensor) -> Fan<'a> {
        let mix = if self.mixed { values(&mix.to_contiguous()).to_vec() } else { vec![1.0; self.plan.operations] };
        Fan {
            plan: &self.plan,
            width: self.width,
            together: self.together.as_ref(),
            input,
            edges: vec![Given { weights, mix }],
        }
    }
}

impl FusedEdge for Flex {
    fn fused_edge(
        input: FloatTensor<Self>,
        weights: FloatTensor<Self>,
        mix: FloatTensor<Self>,
        running: FloatTensor<Self>,
        call: Arc<Call>,
    ) -> Forwarded<Self> {
        let (input, weights, running) = (input.to_contiguous(), weights.to_contiguous(), running.to_contiguous());
        let plan = &*call.plan;
        let fan = call.fan(values(&input), values(&weights), &mix);
        let mut batch = [vec![0.0; call.plan.statistics.max(1)]];
        let kept = fan.units(match call.batch {
            true => Statistics::Batch(&mut batch),
            false => Statistics::Running(vec![values(&running)]),
        });
        let count = plan.samples * volume(plan.output) * plan.outputs;
        let mut activation = Buffer::of_floats(count);
        let sum = &mut activation.floats()[..count];
        fan.combine(&kept, vec![Onto { sum, begun: false, factors: None }]);
        let ([t, h, w], [statistics]) = (plan.output, batch);
        Forwarded {
            activation: pooled(activation, vec![plan.samples, t, h, w, plan.outputs]),
            statistics: tensor(statistics, vec![call.plan.statistics.max(1)]),
            kept: Held::new(kept),
        }
    }

    fn fused_edge_back(
        input: FloatTensor<Self>,
        weights: FloatTensor<Self>,
        mix: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        call: Arc<Call>,
        kept: Held,
        wanted: Wanted,
    ) -> Returned<Self> {
        let (input, weights, gradient) = (input.to_contiguous(), weights.to_contiguous(), gradient.to_contiguous());
        let plan = &*call.plan;
        let backward = Backward {
            fan: call.fan(values(&input), values(&weights), &mix),
            gradients: vec![values(&gradient)],
            batch: call.batch,
            wanted,
        };
        let count = if wanted.input { values(&input).len() } else { 0 };
        let mut input = Buffer::borrow_floats(count);
        let to = InputGradient { values: &mut input.floats()[..count], begun: false };
        let Gradients { weights, mix } = backward.run(kept.take::<Vec<Kept>>(), to).pop().expect("there is one edge");
        let [t, h, w] = plan.input;
        Returned {
            input: match wanted.input {
                true => pooled(input, vec![plan.samples, t, h, w, plan.inputs]),
                false => flat(vec![]),
            },
            weights: flat(weights),
            mix: flat(mix),
        }
    }
}

/// A flat tensor; one element where there is nothing.
pub(super) fn flat(values: Vec<f32>) -> FlexTensor {
    match values.len() {
        0 => tensor(vec![0.0], vec![1]),
        count => tensor(values, vec![count]),
    }
}

/// A contiguous tensor's elements.
pub(super) fn values(tensor: &FlexTensor) -> &[f32] {
    tensor.as_slice().expect("a contiguous tensor of single precision")
}

pub(super) fn tensor(values: Vec<f32>, shape: Vec<usize>) -> FlexTensor {
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
    kept: Held,
}

#[derive(Debug)]
struct Step;

impl<B: FusedEdge> Differentiable<B, 3> for Step {
    type State = State<B>;

    fn backward(self, ops: Ops<State<B>, 3>, graph: &mut Graph, _: &mut Checkpointer) {
        let [input, weights, mix] = ops.parents;
        let gradient = graph.consume::<B>(&ops.node);
        let wanted = Wanted { input: input.is_some(), weights: weights.is_some(), mix: mix.is_some() };
        let State { input: x, weights: w, mix: m, call, kept } = ops.state;
        let returned = B::fused_edge_back(x, w, m, gradient, call, kept, wanted);
        let returned = [returned.input, returned.weights, returned.mix];
        for (node, gradient) in [input, weights, mix].into_iter().zip(returned) {
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
        running: FloatTensor<Self>,
        call: Arc<Call>,
    ) -> Forwarded<Self> {
        let there = |call: Arc<Call>| {
            let primitive = |tensor: &FloatTensor<Self>| tensor.primitive().clone();
            B::fused_edge(primitive(&input), primitive(&weights), primitive(&mix), primitive(&running), call)
        };
        let parents = [input.node(), weights.node(), mix.node()];
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
        _: Held,
        _: Wanted,
    ) -> Returned<Self> {
        unreachable!("autodiff is of first order: nobody differentiates the way back")
    }
}
