//! A cell as one differentiable function of Burn: states are read by several edges and summed in place, there and back,
//! without a pass or a tensor in between.

use super::backward::{Backward, Gradients, InputGradient, Wanted};
use super::concatenate::{apart, beside};
use super::extension::{check_weights, flat, pooled, runs_on, tensor, values};
use super::fan::{Fan, Given, Kept, Statistics};
use super::forward::Onto;
use super::held::Held;
use super::memory::Buffer;
use super::plan::Plan;
use super::tensors::Tensors;
use crate::cell::INPUTS;
use crate::crew::each;
use crate::width::Width;
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

/// Nodes of a cell that is computed in one piece, and the links that lead to them if each reads every state before it.
pub(crate) const NODES: usize = 4;
const LINKS: usize = 14;

/// Whether the fused cell computes this one: in single precision, and of the usual form.
pub(crate) fn handles_cell(
    inputs: &[Tensor<5>; INPUTS],
    links: &[Link],
    mixes: Option<&Tensor<2>>,
    concat: &[usize],
) -> bool {
    let [samples, .., channels] = inputs[0].dims();
    let extent = |link: &Link| {
        let [_, t, h, w, _] = inputs[link.from].dims();
        link.edge.output_extent([t, h, w])
    };
    let extents: Vec<_> = links.iter().filter(|link| link.from < INPUTS).map(extent).collect();
    inputs.iter().all(|input| {
        let [n, .., c] = input.dims();
        (n, c) == (samples, channels) && input.dtype() == DType::F32
    }) && mixes.is_none_or(|mixes| mixes.dtype() == DType::F32)
        && links.len() <= LINKS
        && (0..NODES).all(|node| links.iter().any(|link| link.node == node))
        && concat.iter().copied().eq(INPUTS..INPUTS + NODES)
        && extents.iter().all(|extent| *extent == extents[0])
        && links.iter().all(|link| {
            link.node < NODES
                && (link.edge.inputs, link.edge.outputs) == (channels, channels)
                && (link.from < INPUTS || link.edge.output_extent(extents[0]) == extents[0])
                && link.weights.as_ref().is_none_or(|weights| weights.dtype() == DType::F32)
                && link.edge.computes()
        })
        && runs_on(&inputs[0].device(), links.iter().map(|link| link.edge))
}

/// [`crate::cell`] in one piece.
pub(crate) fn cell(inputs: [Tensor<5>; INPUTS], links: Vec<Link>, mixes: Option<Tensor<2>>) -> CellOutput {
    let device = inputs[0].device().inner();
    let absent = || Tensor::<1>::zeros([1], &device).into_dispatch();
    let batch = links.iter().all(|link| matches!(link.mode, Mode::Batch));
    let call = Arc::new(Call::new(&inputs, &links, batch));
    let (mut weights, mut running) = (Vec::with_capacity(LINKS), Vec::new());
    for (link, place) in links.into_iter().zip(&call.places) {
        check_weights(&place.plan, link.weights.as_ref());
        weights.push(link.weights.map_or_else(absent, Tensor::into_dispatch));
        if let (false, Mode::Running(own)) = (batch, link.mode) {
            assert!(place.plan.statistics == 0 || own.is_some(), "an edge with norms needs running statistics");
            running.push(own.map_or_else(absent, Tensor::into_dispatch));
        }
    }
    weights.resize_with(LINKS, absent);
    let [first, second] = inputs.map(Tensor::into_dispatch);
    let mixes = mixes.map_or_else(absent, Tensor::into_dispatch);
    let (weights, running) = (Tensors(weights), Tensors(running));
    let forwarded = Dispatch::fused_cell(first, second, mixes, weights, running, call.clone(), false);
    let statistics = forwarded.statistics.0.into_iter().zip(&call.places);
    let statistics = statistics
        .map(|(statistics, place)| (place.plan.statistics > 0).then(|| Tensor::from_dispatch(statistics).inner()))
        .chain(std::iter::repeat(None))
        .take(call.places.len());
    CellOutput { activation: Tensor::from_dispatch(forwarded.activation), statistics: statistics.collect() }
}

/// What a call of the fused cell is besides its tensors.
#[derive(Debug)]
pub struct Call {
    width: Width,
    pub(crate) batch: bool,
    /// By link.
    pub(crate) places: Vec<Place>,
    /// In the order of the states that they read.
    fans: Vec<Members>,
}

/// A link's place.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) plan: Arc<Plan>,
    pub(crate) from: usize,
    pub(crate) node: usize,
    pub(crate) mixed: Option<usize>,
    pub(crate) factors: Option<Vec<f32>>,
}

/// Links of one plan that read the same state and end in different nodes.
#[derive(Debug)]
struct Members {
    from: usize,
    links: Vec<usize>,
}

impl Call {
    fn new(inputs: &[Tensor<5>; INPUTS], links: &[Link], batch: bool) -> Self {
        let dims = |input: &Tensor<5>| {
            let [n, t, h, w, _] = input.dims();
            (n, [t, h, w])
        };
        let of_input = |link: &&Link| link.from < INPUTS;
        let first = links.iter().find(of_input).expect("the first node reads an input");
        let images = dims(&inputs[0]).0;
        let inner = first.edge.output_extent(dims(&inputs[first.from]).1);
        let place = |link: &Link| {
            let extent = inputs.get(link.from).map_or(inner, |input| dims(input).1);
            Place {
                plan: Plan::of(link.edge, images, extent),
                from: link.from,
                node: link.node,
                mixed: link.mixed,
                factors: link.factors.clone(),
            }
        };
        let places: Vec<_> = links.iter().map(place).collect();
        let mut fans: Vec<Members> = Vec::new();
        for (index, place) in places.iter().enumerate() {
            let fits = |members: &&mut Members| {
                members.from == place.from
                    && Arc::ptr_eq(&places[members.links[0]].plan, &place.plan)
                    && members.links.iter().all(|&member| places[member].node != place.node)
            };
            match fans.iter_mut().find(fits) {
                Some(members) => members.links.push(index),
                None => fans.push(Members { from: place.from, links: vec![index] }),
            }
        }
        fans.sort_by_key(|members| members.from);
        Call { width: Width::current(), batch, places, fans }
    }

    /// Values of a node.
    fn node(&self) -> usize {
        let plan = &self.places[0].plan;
        plan.samples * plan.output.iter().product::<usize>() * plan.outputs
    }

    /// A fan, its input given.
    fn fan<'a>(&'a self, members: &Members, input: &'a [f32], weights: &'a [FlexTensor], mixes: &[f32]) -> Fan<'a> {
        let plan = &*self.places[members.links[0]].plan;
        let given = |&link: &usize| {
            let mix = match self.places[link].mixed {
                Some(row) => mixes[row * plan.operations..][..plan.operations].to_vec(),
                None => vec![1.0; plan.operations],
            };
            Given { weights: values(&weights[link]), mix }
        };
        Fan { plan, width: self.width, input, edges: members.links.iter().map(given).collect() }
    }
}

/// What the way there keeps for the way back.
#[derive(Default)]
pub struct CellKept {
    /// The nodes, which are states that edges read.
    nodes: Vec<Buffer>,
    /// By fan.
    fans: Vec<Vec<Kept>>,
}

impl fmt::Debug for CellKept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CellKept({:?})", self.fans)
    }
}

/// What the way there gives.
#[derive(ExtensionType)]
pub struct CellForwarded<B: Backend> {
    /// The nodes side by side.
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
    /// Gradient of the first input.
    pub first: FloatTensor<B>,
    /// Gradient of the second.
    pub second: FloatTensor<B>,
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
    /// The way there. `keep` says whether there will be a way back.
    fn fused_cell(
        first: FloatTensor<Self>,
        second: FloatTensor<Self>,
        mixes: FloatTensor<Self>,
        #[extension_type] weights: Tensors<Self>,
        #[extension_type] running: Tensors<Self>,
        call: Arc<Call>,
        keep: bool,
    ) -> CellForwarded<Self>;

    /// The way back from the output's gradient.
    #[allow(clippy::too_many_arguments)]
    fn fused_cell_back(
        first: FloatTensor<Self>,
        second: FloatTensor<Self>,
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
        first: FloatTensor<Self>,
        second: FloatTensor<Self>,
        mixes: FloatTensor<Self>,
        weights: Tensors<Self>,
        running: Tensors<Self>,
        call: Arc<Call>,
        keep: bool,
    ) -> CellForwarded<Self> {
        let (inputs, mixes) = ([first.to_contiguous(), second.to_contiguous()], mixes.to_contiguous());
        let (weights, running) = (contiguous(weights), contiguous(running));
        let count = call.node();
        let mut nodes: Vec<_> = (0..NODES).map(|_| Buffer::of_floats(count)).collect();
        let mut begun = [false; NODES];
        let mut statistics: Vec<_> = call.places.iter().map(|place| vec![0.0; place.plan.statistics]).collect();
        let mut kept = Vec::with_capacity(call.fans.len());
        for members in &call.fans {
            // A node reads states before it only.
            let (before, after) = nodes.split_at_mut(members.from.saturating_sub(INPUTS - 1).min(NODES));
            let input = match inputs.get(members.from) {
                Some(input) => values(input),
                None => &before[members.from - INPUTS].as_floats()[..count],
            };
            let fan = call.fan(members, input, &weights, values(&mixes));
            let mut batch: Vec<_> = members.links.iter().map(|&link| std::mem::take(&mut statistics[link])).collect();
            let own = fan.units(match call.batch {
                true => Statistics::Batch(&mut batch),
                false => Statistics::Running(members.links.iter().map(|&link| values(&running[link])).collect()),
            });
            let left = NODES - after.len();
            let mut after: Vec<_> = after.iter_mut().map(|node| Some(&mut node.floats()[..count])).collect();
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
        let plan = &call.places[0].plan;
        let [t, h, w] = plan.output;
        let all: Vec<_> = nodes.iter().map(|node| &node.as_floats()[..count]).collect();
        let activation = pooled(beside(&all, plan.outputs), vec![plan.samples, t, h, w, NODES * plan.outputs]);
        // Nobody reads the last node.
        nodes.truncate(if keep { NODES - 1 } else { 0 });
        CellForwarded {
            activation,
            statistics: Tensors(if call.batch { statistics.into_iter().map(flat).collect() } else { vec![] }),
            kept: Held::new(CellKept { nodes, fans: kept }),
        }
    }

    fn fused_cell_back(
        first: FloatTensor<Self>,
        second: FloatTensor<Self>,
        mixes: FloatTensor<Self>,
        weights: Tensors<Self>,
        gradient: FloatTensor<Self>,
        call: Arc<Call>,
        kept: Held,
        wanted: CellWanted,
    ) -> CellReturned<Self> {
        let (inputs, mixes) = ([first.to_contiguous(), second.to_contiguous()], mixes.to_contiguous());
        let (weights, gradient) = (contiguous(weights), gradient.to_contiguous());
        let plan = &call.places[0].plan;
        let count = call.node();
        let mut nodes = apart(values(&gradient), NODES, plan.outputs);
        drop(gradient);
        let size = |state: usize| if wanted.inputs[state] { values(&inputs[state]).len() } else { 0 };
        let mut input_gradients: [Buffer; INPUTS] = std::array::from_fn(|state| Buffer::borrow_floats(size(state)));
        let mut begun = [false; INPUTS];
        let mut mix_gradients = vec![0.0; if wanted.mixes { values(&mixes).len() } else { 0 }];
        let mut weight_gradients: Vec<_> = call.places.iter().map(|_| Vec::new()).collect();
        let mut kept: CellKept = kept.take();
        for members in call.fans.iter().rev() {
            let own = kept.fans.pop().expect("every fan has kept something, for one way back");
            let (before, after) = nodes.split_at_mut(members.from.saturating_sub(INPUTS - 1).min(NODES));
            let (input, to, begun) = match inputs.get(members.from) {
                Some(input) => {
                    let to = &mut input_gradients[members.from].floats()[..size(members.from)];
                    (values(input), to, std::mem::replace(&mut begun[members.from], true))
                }
                None => {
                    let node = members.from - INPUTS;
                    (&kept.nodes[node].as_floats()[..count], &mut before[node].floats()[..count], true)
                }
            };
            let scaled: Vec<_> = members
                .links
                .iter()
                .map(|&link| {
                    let Place { node, factors, .. } = &call.places[link];
                    let gradient = &after[node - (NODES - after.len())].as_floats()[..count];
                    factors.as_ref().map(|factors| scale_images(gradient, factors)).ok_or(gradient)
                })
                .collect();
            let backward = Backward {
                fan: call.fan(members, input, &weights, values(&mixes)),
                gradients: scaled
                    .iter()
                    .map(|scaled| match scaled {
                        Ok(scaled) => &scaled.as_floats()[..count],
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
                    mix_gradients[row * mix.len()..][..mix.len()].copy_from_slice(&mix);
                }
            }
        }
        let [first, second] = [0, 1].map(|state: usize| {
            let input = std::mem::replace(&mut input_gradients[state], Buffer::take(0));
            let shape = inputs[state].layout().shape().to_vec();
            match (wanted.inputs[state], begun[state]) {
                (true, true) => pooled(input, shape),
                // No edge reads it.
                (true, false) => tensor(vec![0.0; shape.iter().product()], shape),
                (false, _) => flat(vec![]),
            }
        });
        let mixes = match wanted.mixes {
            true => tensor(mix_gradients, mixes.layout().shape().to_vec()),
            false => flat(vec![]),
        };
        CellReturned { first, second, mixes, weights: Tensors(weight_gradients.into_iter().map(flat).collect()) }
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
    first: FloatTensor<B>,
    second: FloatTensor<B>,
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
            inputs: [tracked[0], tracked[1]],
            mixes: tracked[INPUTS],
            weights: tracked[INPUTS + 1..].contains(&true),
        };
        let State { first, second, mixes, weights, call, kept } = ops.state;
        let returned = B::fused_cell_back(first, second, mixes, weights, gradient, call, kept, wanted);
        let gradients = [returned.first, returned.second, returned.mixes].into_iter().chain(returned.weights.0);
        for (node, gradient) in ops.parents.into_iter().zip(gradients) {
            if let Some(node) = node {
                graph.register::<B>(node.id, gradient);
            }
        }
    }
}

impl<B: FusedCell, C: CheckpointStrategy> FusedCell for Autodiff<B, C> {
    fn fused_cell(
        first: FloatTensor<Self>,
        second: FloatTensor<Self>,
        mixes: FloatTensor<Self>,
        weights: Tensors<Self>,
        running: Tensors<Self>,
        call: Arc<Call>,
        _: bool,
    ) -> CellForwarded<Self> {
        let mut nodes = [&first, &second, &mixes].into_iter().chain(&weights.0).map(|tensor| tensor.node());
        let parents = std::array::from_fn(|_| nodes.next().expect("weights are padded to the links that there may be"));
        drop(nodes);
        let primitives = |tensors: Tensors<Self>| {
            Tensors::<B>(tensors.0.into_iter().map(|tensor| tensor.into_primitive()).collect())
        };
        let [first, second, mixes] = [first, second, mixes].map(|tensor| tensor.into_primitive());
        let (weights, running) = (primitives(weights), primitives(running));
        let there = |call: Arc<Call>, keep: bool| {
            let (first, second, mixes) = (first.clone(), second.clone(), mixes.clone());
            B::fused_cell(first, second, mixes, weights.clone(), running.clone(), call, keep)
        };
        let (activation, statistics, kept) = match Step.prepare::<C>(parents).compute_bound().stateful() {
            OpsKind::Tracked(step) => {
                let CellForwarded { activation, statistics, kept } = there(call.clone(), true);
                let state = State { first, second, mixes, weights, call, kept: kept.clone() };
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
        _: FloatTensor<Self>,
        _: FloatTensor<Self>,
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
