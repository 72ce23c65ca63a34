//! A cell as one differentiable function of Burn: states are read by several edges and summed in place, there and back,
//! without a pass or a tensor in between.

use super::backward::{Backward, Gradients, InputGradient, Wanted};
use super::concatenate::{apart, beside};
use super::extension::{check_weights, flat, pooled, runs_on, tensor, values};
use super::fan::{Kept, Statistics};
use super::forward::Onto;
use super::held::Held;
use super::memory::Buffer;
use super::passing::{Maxima, StateBack};
use super::plan::Plan;
use super::tensors::Tensors;
use super::topology::{Call, Place, shapes};
use crate::crew::each;
use crate::lanes::Lanes;
use crate::{CellOutput, Link, Mode};
use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients as Graph;
use burn::backend::autodiff::ops::{Backward as Differentiable, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, AutodiffBackend, Backend, Dispatch, ExtensionType, Flex, backend_extension};
use burn::tensor::{DType, Tensor};
use burn_flex::FlexTensor;
use std::fmt;
use std::sync::Arc;

/// What a cell that is computed in one piece has at most: a function of Burn says how many tensors it is differentiated by.
const INPUTS: usize = 4;
const LINKS: usize = 28;

/// Whether the fused cell computes this one: in single precision, with nodes of one size side by side as its output.
pub(crate) fn handles_cell(
    inputs: &[Tensor<5>],
    links: &[Link],
    mixes: Option<&Tensor<2>>,
    concat: &[usize],
    share: usize,
) -> bool {
    let samples = inputs[0].dims()[0];
    let Some(shapes) = shapes(inputs, links, share) else { return false };
    let first = |link: &Link| links.iter().find(|other| other.from == link.from).expect("it is there itself");
    // What passes edges by is one for all that read a state, and as it is of a node.
    let fits = |link: &Link| {
        let stride = link.edge.stride;
        link.factors.is_none() && stride == if link.from < inputs.len() { first(link).edge.stride } else { [1; 3] }
    };
    let whole = inputs.iter().all(|input| input.dims()[0] == samples && input.dtype() == DType::F32)
        && mixes.is_none_or(|mixes| mixes.dtype() == DType::F32)
        && links.iter().all(|link| link.weights.as_ref().is_none_or(|weights| weights.dtype() == DType::F32))
        && links.iter().all(|link| link.noise.as_ref().is_none_or(|noise| noise.dtype() == DType::F32));
    let is_output = |(place, state): (usize, &usize)| {
        *state >= inputs.len() && shapes[*state].extent == shapes[concat[0]].extent && !concat[..place].contains(state)
    };
    runs_on(&inputs[0].device(), links.iter().map(|link| link.edge), share)
        && whole
        && inputs.len() <= INPUTS
        && links.len() <= LINKS
        && concat.iter().enumerate().all(is_output)
        && links.iter().any(|link| link.edge.computes())
        && links.iter().all(|link| share == 1 || fits(link))
}

/// [`crate::cell`] in one piece.
pub(crate) fn cell(
    inputs: Vec<Tensor<5>>,
    links: Vec<Link>,
    mixes: Option<Tensor<2>>,
    concat: &[usize],
    share: usize,
) -> CellOutput {
    let absent = Tensor::<1>::zeros([1], &inputs[0].device().inner());
    let absent = || absent.clone().into_dispatch();
    let batch = links.iter().all(|link| !matches!(link.mode, Mode::Running(_)));
    let together = links.iter().find_map(|link| match &link.mode {
        Mode::Together(together) => Some(together.clone()),
        Mode::Batch | Mode::Running(_) => None,
    });
    let call = Arc::new(Call::new(&inputs, &links, mixes.as_ref(), concat, share, (batch, together)));
    let (mut weights, mut running, mut noises) = (Vec::with_capacity(LINKS), Vec::new(), Vec::new());
    for (link, place) in links.into_iter().zip(&call.places) {
        check_weights(&place.plan, link.weights.as_ref());
        check_noise(&place.plan, link.noise.as_ref());
        noises.extend(link.noise.map(Tensor::into_dispatch));
        weights.push(link.weights.map_or_else(absent, Tensor::into_dispatch));
        if let (false, Mode::Running(own)) = (batch, link.mode) {
            assert!(place.plan.statistics == 0 || own.is_some(), "an edge with norms needs running statistics");
            running.push(own.map_or_else(absent, Tensor::into_dispatch));
        }
    }
    weights.resize_with(LINKS, absent);
    let mut inputs: Vec<_> = inputs.into_iter().map(Tensor::into_dispatch).collect();
    inputs.resize_with(INPUTS, absent);
    let mixes = mixes.map_or_else(absent, Tensor::into_dispatch);
    let (inputs, weights, running, noises) = (Tensors(inputs), Tensors(weights), Tensors(running), Tensors(noises));
    let forwarded = Dispatch::fused_cell(inputs, mixes, weights, running, noises, call.clone(), false);
    let statistics = forwarded.statistics.0.into_iter().zip(&call.places);
    let statistics = statistics
        .map(|(statistics, place)| (place.plan.statistics > 0).then(|| Tensor::from_dispatch(statistics).inner()))
        .chain(std::iter::repeat(None))
        .take(call.places.len());
    CellOutput { activation: Tensor::from_dispatch(forwarded.activation), statistics: statistics.collect() }
}

/// Asserts that a link was given noise in the shape of its result.
fn check_noise(plan: &Plan, noise: Option<&Tensor<5>>) {
    let [t, h, w] = plan.output;
    let shape = [plan.samples, t, h, w, plan.outputs];
    assert!(noise.is_none_or(|noise| noise.dims() == shape), "noise is of the shape of what its link gives, {shape:?}");
}

/// What the way there keeps for the way back.
#[derive(Default)]
pub struct CellKept {
    /// The nodes that edges read.
    nodes: Vec<Option<Buffer>>,
    /// By fan.
    fans: Vec<Vec<Kept>>,
    noises: Vec<FlexTensor>,
}

impl fmt::Debug for CellKept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CellKept({:?})", self.fans)
    }
}

/// What the way there gives.
#[derive(ExtensionType)]
pub struct CellForwarded<B: Backend> {
    /// The output's nodes side by side.
    pub activation: FloatTensor<B>,
    /// The batch's statistics by link, one element where there are none.
    #[extension_type]
    pub statistics: Tensors<B>,
    /// What the way back needs, if it was asked for.
    pub kept: Held,
}

/// What the way back gives; a single element for what was not asked for.
#[derive(ExtensionType)]
pub struct CellReturned<B: Backend> {
    /// Gradients of the inputs, and of what makes up their number.
    #[extension_type]
    pub inputs: Tensors<B>,
    /// Gradient of the mixes.
    pub mixes: FloatTensor<B>,
    /// Gradients of the weights by link.
    #[extension_type]
    pub weights: Tensors<B>,
}

/// Which gradients of a cell are asked for.
#[derive(Debug, Clone, Copy)]
pub struct CellWanted {
    pub(crate) inputs: [bool; INPUTS],
    pub(crate) mixes: bool,
    pub(crate) weights: bool,
}

/// The cell's function and its derivative.
#[backend_extension(Autodiff, Flex, Cube: cfg(feature = "gpu"))]
pub trait FusedCell: Backend {
    /// The way there. `noises` are those of the links that bring one; `keep` says whether there will be a way back.
    fn fused_cell(
        #[extension_type] inputs: Tensors<Self>,
        mixes: FloatTensor<Self>,
        #[extension_type] weights: Tensors<Self>,
        #[extension_type] running: Tensors<Self>,
        #[extension_type] noises: Tensors<Self>,
        call: Arc<Call>,
        keep: bool,
    ) -> CellForwarded<Self>;

    /// The way back from the output's gradient.
    #[allow(clippy::too_many_arguments)]
    fn fused_cell_back(
        #[extension_type] inputs: Tensors<Self>,
        mixes: FloatTensor<Self>,
        #[extension_type] weights: Tensors<Self>,
        gradient: FloatTensor<Self>,
        call: Arc<Call>,
        kept: Held,
        wanted: CellWanted,
    ) -> CellReturned<Self>;
}

fn contiguous(tensors: Tensors<Flex>) -> Vec<FlexTensor> {
    tensors.0.into_iter().map(|tensor| tensor.to_contiguous()).collect()
}

impl FusedCell for Flex {
    fn fused_cell(
        inputs: Tensors<Self>,
        mixes: FloatTensor<Self>,
        weights: Tensors<Self>,
        running: Tensors<Self>,
        noises: Tensors<Self>,
        call: Arc<Call>,
        keep: bool,
    ) -> CellForwarded<Self> {
        let (inputs, mixes) = (contiguous(inputs), mixes.to_contiguous());
        let (weights, running, noises) = (contiguous(weights), contiguous(running), contiguous(noises));
        // Sums of what edges give, and in the end the nodes.
        let mut nodes: Vec<_> = (0..call.nodes()).map(|node| Buffer::of_floats(call.own_count(node))).collect();
        for (node, buffer) in nodes.iter_mut().enumerate().filter(|(node, _)| !call.ends_in(*node)) {
            buffer.floats()[..call.own_count(node)].fill(0.0);
        }
        let mut joined = 0;
        let maxima: Vec<_> = (0..call.inputs).map(|input| call.maxima(input, values(&inputs[input]))).collect();
        let mut begun = vec![false; nodes.len()];
        let mut statistics: Vec<_> = call.places.iter().map(|place| vec![0.0; place.plan.statistics]).collect();
        let mut kept = Vec::with_capacity(call.fans.len());
        for members in &call.fans {
            // A node reads states before it only.
            let left = call.nodes_before(members.from);
            call.add_noise(&mut nodes, joined..left, &noises, values(&mixes));
            call.join(&mut nodes, joined..left, &inputs, &maxima, values(&mixes));
            joined = joined.max(left);
            let (before, after) = nodes.split_at_mut(left);
            let input = match members.from.checked_sub(call.inputs) {
                None => values(&inputs[members.from]),
                Some(node) => &before[node].as_floats()[..call.count(node)],
            };
            let first = call.parts().map(|parts| parts.first(input));
            let input = first.as_ref().map_or(input, |first| &first.as_floats()[..input.len() / call.share]);
            let fan = call.fan(members, input, &weights, values(&mixes));
            let mut batch: Vec<_> = members.links.iter().map(|&link| std::mem::take(&mut statistics[link])).collect();
            let own = fan.units(match call.batch {
                true => Statistics::Batch(&mut batch),
                false => Statistics::Running(members.links.iter().map(|&link| values(&running[link])).collect()),
            });
            let after = after.iter_mut().zip(left..).map(|(buffer, node)| &mut buffer.floats()[..call.own_count(node)]);
            let mut after: Vec<_> = after.map(Some).collect();
            let onto = members.links.iter().zip(batch).map(|(&link, batch)| {
                statistics[link] = batch;
                let Place { node, factors, .. } = &call.places[link];
                let sum = after[node - left].take().expect("a fan's edges end in different nodes");
                Onto { sum, begun: std::mem::replace(&mut begun[*node], true), factors: factors.as_deref() }
            });
            fan.combine(&own, onto.collect());
            if keep {
                kept.push(own);
            }
        }
        call.add_noise(&mut nodes, joined..call.nodes(), &noises, values(&mixes));
        call.join(&mut nodes, joined..call.nodes(), &inputs, &maxima, values(&mixes));
        let mut nodes: Vec<_> = nodes.into_iter().map(Some).collect();
        let is_kept = |node: usize| keep && call.reads(node);
        let (output, channels) = call.output();
        let activation = match output[..] {
            [node] if !is_kept(node) => nodes[node].take().expect("all nodes are there"),
            _ => {
                let of =
                    |&node: &usize| &nodes[node].as_ref().expect("all nodes are there").as_floats()[..call.count(node)];
                beside(&output.iter().map(of).zip(channels.iter().copied()).collect::<Vec<_>>())
            }
        };
        let nodes = nodes.into_iter().enumerate().map(|(node, buffer)| buffer.filter(|_| is_kept(node))).collect();
        let [t, h, w] = call.shapes[call.concat[0]].extent;
        CellForwarded {
            activation: pooled(activation, vec![call.samples, t, h, w, channels.iter().sum()]),
            statistics: Tensors(if call.batch { statistics.into_iter().map(flat).collect() } else { vec![] }),
            kept: Held::new(CellKept { nodes, fans: kept, noises }),
        }
    }

    fn fused_cell_back(
        inputs: Tensors<Self>,
        mixes: FloatTensor<Self>,
        weights: Tensors<Self>,
        gradient: FloatTensor<Self>,
        call: Arc<Call>,
        kept: Held,
        wanted: CellWanted,
    ) -> CellReturned<Self> {
        let (inputs, mixes) = (contiguous(inputs), mixes.to_contiguous());
        let (weights, gradient) = (contiguous(weights), gradient.to_contiguous());
        // By state; None where no gradient has come to it yet.
        let mut gradients: Vec<Option<Buffer>> = call.shapes.iter().map(|_| None).collect();
        let (output, channels) = call.output();
        for (node, buffer) in output.into_iter().zip(apart(values(&gradient), &channels)) {
            gradients[call.inputs + node] = Some(buffer);
        }
        drop(gradient);
        // Those of what passed edges by.
        let mut passed: Vec<Option<Buffer>> = call.shapes.iter().map(|_| None).collect();
        let mut mix_gradients = vec![0.0; if wanted.mixes { values(&mixes).len() } else { 0 }];
        let mut weight_gradients: Vec<_> = call.places.iter().map(|_| Vec::new()).collect();
        let mut kept: CellKept = kept.take();
        let mut fans = call.fans.iter().rev().peekable();
        for state in (0..call.shapes.len()).rev() {
            let (before, after) = gradients.split_at_mut(state + 1);
            let is_wanted = state >= call.inputs || wanted.inputs[state];
            let whole = match state.checked_sub(call.inputs) {
                None => values(&inputs[state]),
                Some(node) => kept.nodes[node].as_ref().map_or(&[][..], |kept| &kept.as_floats()[..call.count(node)]),
            };
            let (mut first, mut of_first) = (None, None);
            while let Some(members) = fans.next_if(|members| members.from == state) {
                let own = kept.fans.pop().expect("every fan has kept something, for one way back");
                let ends = || members.links.iter().map(|&link| call.places[link].node);
                let end = |node: usize| call.inputs + node - (state + 1);
                if ends().all(|node| after[end(node)].is_none()) {
                    for &link in &members.links {
                        let count = if wanted.weights { call.places[link].plan.weights } else { 0 };
                        weight_gradients[link] = vec![0.0; count];
                    }
                    continue;
                }
                ends().for_each(|node| {
                    after[end(node)].get_or_insert_with(|| {
                        let mut zeros = Buffer::borrow_floats(call.own_count(node));
                        zeros.fill(Lanes::ZERO);
                        zeros
                    });
                });
                let count = whole.len() / call.share;
                let (input, to) = match call.parts() {
                    None => (whole, &mut before[state]),
                    Some(parts) => {
                        let first = first.get_or_insert_with(|| parts.first(whole));
                        (&first.as_floats()[..count], &mut of_first)
                    }
                };
                let begun = to.is_some();
                let to = is_wanted.then(|| to.get_or_insert_with(|| Buffer::borrow_floats(count)));
                let to = to.map_or(&mut [][..], |to| &mut to.floats()[..count]);
                let scaled: Vec<_> = members
                    .links
                    .iter()
                    .map(|&link| {
                        let Place { node, factors, .. } = &call.places[link];
                        let gradient = after[end(*node)].as_ref().expect("it is there by now");
                        let gradient = &gradient.as_floats()[..call.own_count(*node)];
                        factors.as_ref().map(|factors| scale_images(gradient, factors)).ok_or(gradient)
                    })
                    .collect();
                let backward = Backward {
                    fan: call.fan(members, input, &weights, values(&mixes)),
                    gradients: scaled
                        .iter()
                        .zip(ends())
                        .map(|(scaled, node)| match scaled {
                            Ok(scaled) => &scaled.as_floats()[..call.own_count(node)],
                            Err(gradient) => gradient,
                        })
                        .collect(),
                    batch: call.batch,
                    wanted: Wanted { input: !to.is_empty(), weights: wanted.weights, mix: wanted.mixes },
                };
                let gradients = backward.run(own, InputGradient { values: to, begun });
                for (&link, Gradients { weights, mix }) in members.links.iter().zip(gradients) {
                    weight_gradients[link] = weights;
                    if let Some(row) = call.places[link].mixed.filter(|_| wanted.mixes) {
                        mix_gradients[row * call.columns..][..mix.len()].copy_from_slice(&mix);
                    }
                }
            }
            let Some(parts) = call.parts() else { continue };
            let maxima = call.maxima(state, whole);
            let going_on = maxima.as_ref().map_or(whole, Maxima::values);
            let passing = call.passing_from(state, going_on, values(&mixes), &passed);
            if !passing.is_empty() || of_first.is_some() {
                let begun = before[state].is_some();
                let to = is_wanted.then(|| before[state].get_or_insert_with(|| Buffer::borrow_floats(whole.len())));
                let to = to.map_or(&mut [][..], |to| &mut to.floats()[..whole.len()]);
                let back = StateBack {
                    to,
                    begun,
                    edges: of_first.as_ref().map(|edges| &edges.as_floats()[..whole.len() / call.share]),
                    maxima: maxima.as_ref(),
                    extent: call.shapes[state].extent,
                    stride: call.stride(state),
                    wants_factors: wanted.mixes,
                };
                let factors = parts.back(back, &passing);
                for ((passing, _), factor) in passing.iter().zip(factors) {
                    if let Some(at) = passing.mixed.filter(|_| wanted.mixes) {
                        mix_gradients[at] = factor as f32;
                    }
                }
            }
            let gradient = before[state].take_if(|_| state >= call.inputs);
            if let Some(gradient) = gradient {
                let [edges, rest] = parts.part(&gradient.as_floats()[..call.count(state - call.inputs)]);
                (before[state], passed[state]) = (Some(edges), Some(rest));
            }
        }
        if wanted.mixes {
            call.noise_gradients(&gradients, &kept.noises, &mut mix_gradients);
        }
        gradients.resize_with(INPUTS, || None);
        let inputs = gradients.into_iter().enumerate().map(|(state, gradient)| {
            let shape = inputs[state].layout().shape().to_vec();
            match gradient.filter(|_| state < call.inputs && wanted.inputs[state]) {
                Some(gradient) => pooled(gradient, shape),
                // No edge reads it.
                None if wanted.inputs[state] => tensor(vec![0.0; shape.iter().product()], shape),
                None => flat(vec![]),
            }
        });
        let inputs = Tensors(inputs.collect());
        let mixes = match wanted.mixes {
            true => tensor(mix_gradients, mixes.layout().shape().to_vec()),
            false => flat(vec![]),
        };
        CellReturned { inputs, mixes, weights: Tensors(weight_gradients.into_iter().map(flat).collect()) }
    }
}

/// Every image times its factor.
fn scale_images(images: &[f32], factors: &[f32]) -> Buffer {
    let mut scaled = Buffer::borrow_floats(images.len());
    let length = images.len() / factors.len();
    let tasks = scaled.floats()[..images.len()].chunks_mut(length).zip(images.chunks(length)).zip(factors);
    each(tasks, |((to, from), factor)| to.iter_mut().zip(from).for_each(|(to, from)| *to = from * factor));
    scaled
}

/// The backward step's inputs.
#[derive(Debug, Clone)]
struct State<B: Backend> {
    inputs: Tensors<B>,
    mixes: FloatTensor<B>,
    weights: Tensors<B>,
    call: Arc<Call>,
    kept: Held,
}

/// The inputs, the mixes, the weights.
const PARENTS: usize = INPUTS + 1 + LINKS;

#[derive(Debug)]
struct Step;

impl<B: FusedCell> Differentiable<B, PARENTS> for Step {
    type State = State<B>;

    fn backward(self, ops: Ops<State<B>, PARENTS>, graph: &mut Graph, _: &mut Checkpointer) {
        let gradient = graph.consume::<B>(&ops.node);
        let tracked = ops.parents.each_ref().map(Option::is_some);
        let wanted = CellWanted {
            inputs: std::array::from_fn(|input| tracked[input]),
            mixes: tracked[INPUTS],
            weights: tracked[INPUTS + 1..].contains(&true),
        };
        let State { inputs, mixes, weights, call, kept } = ops.state;
        let returned = B::fused_cell_back(inputs, mixes, weights, gradient, call, kept, wanted);
        let gradients = returned.inputs.0.into_iter().chain([returned.mixes]).chain(returned.weights.0);
        for (node, gradient) in ops.parents.into_iter().zip(gradients) {
            if let Some(node) = node {
                graph.register::<B>(node.id, gradient);
            }
        }
    }
}

impl<B: FusedCell, C: CheckpointStrategy> FusedCell for Autodiff<B, C> {
    fn fused_cell(
        inputs: Tensors<Self>,
        mixes: FloatTensor<Self>,
        weights: Tensors<Self>,
        running: Tensors<Self>,
        noises: Tensors<Self>,
        call: Arc<Call>,
        _: bool,
    ) -> CellForwarded<Self> {
        let mut nodes = inputs.0.iter().chain([&mixes]).chain(&weights.0).map(|tensor| tensor.node());
        let parents = std::array::from_fn(|_| {
            nodes.next().expect("inputs and weights are made up to the number that there may be")
        });
        drop(nodes);
        let primitives = |tensors: Tensors<Self>| {
            Tensors::<B>(tensors.0.into_iter().map(|tensor| tensor.into_primitive()).collect())
        };
        let mixes = mixes.into_primitive();
        let (inputs, weights) = (primitives(inputs), primitives(weights));
        let (running, noises) = (primitives(running), primitives(noises));
        let there = |call: Arc<Call>, keep: bool| {
            let (running, noises) = (running.clone(), noises.clone());
            B::fused_cell(inputs.clone(), mixes.clone(), weights.clone(), running, noises, call, keep)
        };
        let (activation, statistics, kept) = match Step.prepare::<C>(parents).compute_bound().stateful() {
            OpsKind::Tracked(step) => {
                let CellForwarded { activation, statistics, kept } = there(call.clone(), true);
                let state = State { inputs, mixes, weights, call, kept: kept.clone() };
                (step.finish(state, activation), statistics, kept)
            }
            OpsKind::UnTracked(step) => {
                let CellForwarded { activation, statistics, kept } = there(call, false);
                (step.finish(activation), statistics, kept)
            }
        };
        let statistics = Tensors(statistics.0.into_iter().map(Self::from_inner).collect());
        CellForwarded { activation, statistics, kept }
    }

    fn fused_cell_back(
        _: Tensors<Self>,
        _: FloatTensor<Self>,
        _: Tensors<Self>,
        _: FloatTensor<Self>,
        _: Arc<Call>,
        _: Held,
        _: CellWanted,
    ) -> CellReturned<Self> {
        unreachable!("autodiff is of first order: nobody differentiates the way back")
    }
}
