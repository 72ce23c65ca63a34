//! The edge's and the cell's functions for CubeCL's backend.

use super::flat::{Places, copied, mingle, packed, view};
use super::nodes::{Node, Nodes};
use super::phase::{Frame, Noise, PhaseLink, lanes};
use super::run::{Buffer, Given, Gradients, Kept, Prepared, State};
use crate::fused::{
    Call, CellCall, CellForwarded, CellReturned, CellWanted, Forwarded, FusedCell, FusedEdge, Held, Place, Plan,
    Returned, Tensors, Wanted,
};
use crate::weights::volume;
use crate::{Edge, Epsilon, Expression, Norm};
use burn::backend::Cube;
use burn::backend::tensor::FloatTensor;
use burn::tensor::{DType, Shape};
use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::tensor::CubeTensor;
use cubecl::client::Client;
use std::sync::Arc;

/// What was not asked for.
fn nothing(like: &CubeTensor) -> CubeTensor {
    view(like, &Buffer::new(&like.client, 1), 0, [1])
}

/// Zeros, one row behind the other: a tensor of several axes may have its rows apart.
fn zeros(like: &CubeTensor, shape: impl Into<Shape>) -> CubeTensor {
    let shape = shape.into();
    let flat = Shape::new([shape.num_elements()]);
    let zeros = burn_cubecl::ops::numeric::zeros_client(like.client.clone(), like.device.clone(), flat, DType::F32);
    view(like, &Buffer::from(zeros.handle), 0, shape)
}

fn upload(client: &Client, values: &[f32]) -> Buffer {
    let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_ne_bytes()).collect();
    Buffer::from(client.create_from_slice(&bytes))
}

fn state(tensor: &CubeTensor, channels: usize) -> State {
    State { buffer: Buffer::from(tensor.handle.clone()), start: 0, pitch: channels, own: false }
}

/// What an edge keeps.
struct EdgeKept {
    prepared: Arc<Prepared>,
    kept: Kept,
}

impl Call {
    fn given(&self, input: &CubeTensor, weights: &CubeTensor, mix: &CubeTensor) -> Given {
        Given {
            client: input.client.clone(),
            weights: Buffer::of(weights, self.plan.weights > 0),
            mixes: Buffer::from(mix.handle.clone()),
            factors: Buffer::new(&input.client, 1),
            noises: vec![],
        }
    }

    fn state(&self, input: &CubeTensor) -> State {
        state(input, self.plan.inputs / lanes(&self.plan))
    }
}

impl FusedEdge for Cube {
    fn fused_edge(
        input: FloatTensor<Self>,
        weights: FloatTensor<Self>,
        mix: FloatTensor<Self>,
        running: FloatTensor<Self>,
        call: Arc<Call>,
    ) -> Forwarded<Self> {
        let [input, weights, mix, running] = [input, weights, mix, running].map(into_contiguous);
        let plan = &*call.plan;
        let link = PhaseLink {
            plan: call.plan.clone(),
            node: Node { start: 0, pitch: plan.outputs / lanes(plan), begun: false },
            mixed: call.mixed.then_some(0),
            noise: None,
            factors: None,
            weights: 0,
            statistics: 0,
        };
        let frame = Frame { lanes: lanes(plan), batch: call.batch };
        let prepared = Prepared::of(&input.client, vec![link], frame);
        let output = Buffer::new(&input.client, plan.samples * volume(plan.output) * plan.outputs);
        let statistics = Buffer::new(&input.client, plan.statistics);
        let given = call.given(&input, &weights, &mix);
        let running = Buffer::of(&running, !call.batch && plan.statistics > 0);
        let kept = prepared.forward(&given, &call.state(&input), &output, (&running, &statistics));
        let [t, h, w] = plan.output;
        Forwarded {
            activation: view(&input, &output, 0, [plan.samples, t, h, w, plan.outputs]),
            statistics: view(&input, &statistics, 0, [plan.statistics.max(1)]),
            kept: Held::new(EdgeKept { prepared, kept }),
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
        let [input, weights, mix, gradient] = [input, weights, mix, gradient].map(into_contiguous);
        let EdgeKept { prepared, kept } = kept.take();
        let (plan, client) = (&*call.plan, &input.client);
        let count = |wanted: bool, count: usize| if wanted { count.max(1) } else { 1 };
        let input_gradient = Buffer::new(client, count(wanted.input, input.meta.num_elements()));
        let weight_gradient = Buffer::new(client, count(wanted.weights, plan.weights));
        let mix_gradient = Buffer::new(client, count(wanted.mix, plan.operations));
        let to = Gradients {
            nodes: &Buffer::from(gradient.handle.clone()),
            input: &input_gradient,
            begun: false,
            weights: &weight_gradient,
            mixes: &mix_gradient,
        };
        prepared.back(&call.given(&input, &weights, &mix), &call.state(&input), kept, &to, wanted);
        let [t, h, w] = plan.input;
        Returned {
            input: match wanted.input {
                true => view(&input, &input_gradient, 0, [plan.samples, t, h, w, plan.inputs]),
                false => nothing(&input),
            },
            weights: view(&input, &weight_gradient, 0, [count(wanted.weights, plan.weights)]),
            mix: view(&input, &mix_gradient, 0, [count(wanted.mix, plan.operations)]),
        }
    }
}

/// What a cell keeps.
struct CellKept {
    phases: Vec<CellPhase>,
    given: Given,
    nodes: Buffer,
}

/// A phase of a cell, and what it reads.
struct CellPhase {
    from: usize,
    /// The channel of that state that it begins at.
    first: usize,
    prepared: Arc<Prepared>,
    kept: Option<Kept>,
}

/// Where what the links have lies in the buffers that they share.
struct Shared {
    weights: Places,
    statistics: Places,
    nodes: Nodes,
    lanes: usize,
}

impl CellCall {
    fn shared(&self) -> Shared {
        let plans = || self.places.iter().map(|place| &place.plan);
        let lanes = plans().map(|plan| lanes(plan)).min().unwrap_or(1);
        Shared {
            weights: Places::new(plans().map(|plan| plan.weights)),
            statistics: Places::new(plans().map(|plan| plan.statistics)),
            nodes: Nodes::of(self, lanes),
            lanes,
        }
    }

    /// The phases in their order: the links that read one state and end in nodes of one size, and behind them what passes
    /// these by.
    fn phases(&self, client: &Client, shared: &Shared) -> Vec<CellPhase> {
        let frame = Frame { lanes: shared.lanes, batch: self.batch };
        let size = |node: usize| self.shapes[self.inputs + node];
        let mut phases = Vec::new();
        let mut lay_out = |(from, first): (usize, usize), mut left: Vec<(usize, PhaseLink)>, nodes: &mut [Node]| {
            while let Some(&(first_node, _)) = left.first() {
                let ending: Vec<_> = left.extract_if(.., |(node, _)| size(*node) == size(first_node)).collect();
                let links = ending.iter().map(|(node, link)| PhaseLink { node: nodes[*node], ..link.clone() });
                let prepared = Prepared::of(client, links.collect(), frame);
                ending.iter().for_each(|(node, _)| nodes[*node].begun = true);
                phases.push(CellPhase { from, first, prepared, kept: None });
            }
        };
        let mut nodes = shared.nodes.sums.clone();
        let behind = |node: &Node| Node { start: node.start + node.pitch / self.share, ..*node };
        let mut passing: Vec<_> = nodes.iter().map(behind).collect();
        for from in 0..self.shapes.len() {
            let leaving = || self.places.iter().enumerate().filter(|(_, place)| place.from == from);
            let computes = |place: &Place| !place.plan.terms.is_empty() || place.noise.is_some();
            let edge = |(index, place): (usize, &Place)| (place.node, self.edge(index, place, shared));
            lay_out((from, 0), leaving().filter(|(_, place)| computes(place)).map(edge).collect(), &mut nodes);
            if self.share > 1 {
                let first = self.shapes[from].channels / self.share;
                let passing_by = |(index, place): (usize, &Place)| (place.node, self.passing_by(index, place, shared));
                lay_out((from, first), leaving().map(passing_by).collect(), &mut passing);
            }
        }
        phases
    }

    /// A link of a phase, in the first that ends in its node.
    fn edge(&self, index: usize, place: &Place, shared: &Shared) -> PhaseLink {
        let noises = || self.places[..index].iter().filter(|place| place.noise.is_some()).count();
        PhaseLink {
            plan: place.plan.clone(),
            node: shared.nodes.sums[place.node],
            mixed: place.mixed.map(|row| row * self.columns),
            noise: place.noise.map(|operation| Noise { operation, index: noises() }),
            factors: place.factors.is_some().then_some(index),
            weights: shared.weights.starts[index],
            statistics: shared.statistics.starts[index],
        }
    }

    /// What passes a link by: an operation without weights, whose factor among the mixes comes behind those of the edge.
    fn passing_by(&self, index: usize, place: &Place, shared: &Shared) -> PhaseLink {
        let channels = self.shapes[place.from].channels / self.share * (self.share - 1);
        let edge = Edge {
            inputs: channels,
            outputs: channels,
            stride: place.stride,
            operations: vec![Expression::Largest],
            norm: Norm::Absent,
            epsilon: Epsilon::USUAL,
        };
        PhaseLink {
            plan: Plan::of(&edge, self.samples, self.shapes[place.from].extent),
            mixed: place.mixed.map(|row| row * self.columns + place.plan.operations),
            noise: None,
            ..self.edge(index, place, shared)
        }
    }

    /// What a phase reads, which of the inputs or of the nodes begins at the phase's first channel.
    fn state(&self, phase: &CellPhase, inputs: &[CubeTensor], shared: &Shared, nodes: &Buffer) -> State {
        let first = phase.first / shared.lanes;
        match phase.from.checked_sub(self.inputs) {
            None => {
                State { start: first, ..state(&inputs[phase.from], self.shapes[phase.from].channels / shared.lanes) }
            }
            Some(node) => {
                let Node { start, pitch, .. } = shared.nodes.all[node];
                State { buffer: nodes.clone(), start: start + first, pitch, own: true }
            }
        }
    }

    /// Mingles the parts of a node's channels, or on the way back takes its gradient apart.
    fn mingle(&self, client: &Client, shared: &Shared, nodes: &Buffer, node: usize, back: bool) {
        if self.share == 1 {
            return;
        }
        let place = |node: Node| (node.start * shared.lanes, node.pitch * shared.lanes);
        let channels = self.shapes[self.inputs + node].channels;
        let mut places = [shared.nodes.sums[node], shared.nodes.all[node]].map(place);
        let mut parts = self.share;
        if back {
            places.reverse();
            parts = channels / self.share;
        }
        mingle(client, nodes, places, [channels, parts], self.count(node) / channels);
    }

    /// The samples' factors, a row a link.
    fn factors(&self, client: &Client) -> Buffer {
        if self.places.iter().all(|place| place.factors.is_none()) {
            return Buffer::new(client, 1);
        }
        let row = |place: &Place| place.factors.clone().unwrap_or_else(|| vec![1.0; self.samples]);
        upload(client, &self.places.iter().flat_map(row).collect::<Vec<f32>>())
    }
}

fn contiguous(tensors: Tensors<Cube>) -> Vec<CubeTensor> {
    tensors.0.into_iter().map(into_contiguous).collect()
}

impl FusedCell for Cube {
    fn fused_cell(
        inputs: Tensors<Self>,
        mixes: FloatTensor<Self>,
        weights: Tensors<Self>,
        running: Tensors<Self>,
        noises: Tensors<Self>,
        call: Arc<CellCall>,
        keep: bool,
    ) -> CellForwarded<Self> {
        let (inputs, mixes) = (contiguous(inputs), into_contiguous(mixes));
        let client = mixes.client.clone();
        let shared = call.shared();
        let own = |tensors: Vec<CubeTensor>, count: fn(&Plan) -> usize, places: &Places| {
            let own: (Vec<_>, Vec<_>) = tensors
                .into_iter()
                .zip(&call.places)
                .zip(&places.starts)
                .filter(|((_, place), _)| count(&place.plan) > 0)
                .map(|((tensor, _), start)| (tensor, *start))
                .unzip();
            packed(&client, &own.0, &own.1, places.length)
        };
        let given = Given {
            client: client.clone(),
            weights: own(contiguous(weights), |plan| plan.weights, &shared.weights),
            mixes: Buffer::from(mixes.handle.clone()),
            factors: call.factors(&client),
            noises: contiguous(noises).into_iter().map(|noise| Buffer::from(noise.handle)).collect(),
        };
        let running = own(contiguous(running), |plan| plan.statistics, &shared.statistics);
        let length = shared.nodes.length * shared.lanes;
        let nodes = match (0..call.nodes()).all(|node| call.ends_in(node)) {
            true => Buffer::new(&client, length),
            false => Buffer::from(zeros(&mixes, [length]).handle),
        };
        let statistics = Buffer::new(&client, shared.statistics.length);
        let mut phases = call.phases(&client, &shared);
        for from in 0..call.shapes.len() {
            if let Some(node) = from.checked_sub(call.inputs) {
                call.mingle(&client, &shared, &nodes, node, false);
            }
            for phase in phases.iter_mut().filter(|phase| phase.from == from) {
                let state = call.state(phase, &inputs, &shared, &nodes);
                phase.kept = Some(phase.prepared.forward(&given, &state, &nodes, (&running, &statistics)));
            }
        }
        let of_link =
            call.places.iter().zip(&shared.statistics.starts).map(|(place, start)| match place.plan.statistics {
                0 => nothing(&mixes),
                count => view(&mixes, &statistics, *start, [count]),
            });
        CellForwarded {
            activation: view(&mixes, &nodes, 0, shared.nodes.output),
            statistics: Tensors(if call.batch { of_link.collect() } else { vec![] }),
            kept: match keep {
                true => Held::new(CellKept { phases, given, nodes }),
                false => Held::new(()),
            },
        }
    }

    fn fused_cell_back(
        inputs: Tensors<Self>,
        mixes: FloatTensor<Self>,
        weights: Tensors<Self>,
        gradient: FloatTensor<Self>,
        call: Arc<CellCall>,
        kept: Held,
        wanted: CellWanted,
    ) -> CellReturned<Self> {
        let inputs = contiguous(inputs);
        let CellKept { mut phases, given, nodes } = kept.take();
        let client = &given.client;
        let shared = call.shared();
        // All nodes' gradients are added to; those beside the output begin as zeros.
        let length = shared.nodes.length * shared.lanes;
        let node_gradients = copied(client, &[into_contiguous(gradient)], &[0], length);
        let mix_gradient = match wanted.mixes {
            true => zeros(&mixes, mixes.meta.shape().clone()),
            false => nothing(&mixes),
        };
        let weight_gradient = Buffer::new(client, if wanted.weights { shared.weights.length } else { 1 });
        let mut input_gradients: Vec<Option<Buffer>> = inputs.iter().map(|_| None).collect();
        for from in (0..call.shapes.len()).rev() {
            let own = from.checked_sub(call.inputs);
            let is_wanted = own.is_some() || wanted.inputs[from];
            while let Some(phase) = phases.pop_if(|phase| phase.from == from) {
                let state = call.state(&phase, &inputs, &shared, &nodes);
                let before = match own {
                    Some(_) => Some(node_gradients.clone()),
                    // A phase may write a part of the channels alone.
                    None if is_wanted && call.share > 1 && input_gradients[from].is_none() => {
                        Some(Buffer::from(zeros(&mixes, inputs[from].meta.shape().clone()).handle))
                    }
                    None => input_gradients[from].take(),
                };
                let begun = before.is_some();
                let count = if is_wanted { inputs.get(from).map_or(1, |input| input.meta.num_elements()) } else { 1 };
                let input = before.unwrap_or_else(|| Buffer::new(client, count));
                let to = Gradients {
                    nodes: &node_gradients,
                    input: &input,
                    begun,
                    weights: &weight_gradient,
                    mixes: &Buffer::from(mix_gradient.handle.clone()),
                };
                let of_phase = Wanted { input: is_wanted, weights: wanted.weights, mix: wanted.mixes };
                let kept = phase.kept.expect("the way there was gone");
                phase.prepared.back(&given, &state, kept, &to, of_phase);
                if is_wanted && own.is_none() {
                    input_gradients[from] = Some(input);
                }
            }
            if let Some(node) = own {
                call.mingle(client, &shared, &node_gradients, node, true);
            }
        }
        let input_gradients = inputs.iter().zip(input_gradients).enumerate().map(|(from, (input, gradient))| {
            match (gradient, wanted.inputs[from]) {
                (Some(gradient), _) => view(&mixes, &gradient, 0, input.meta.shape().clone()),
                // No edge reads it.
                (None, true) => zeros(&mixes, input.meta.shape().clone()),
                (None, false) => nothing(&mixes),
            }
        });
        let inputs = Tensors(input_gradients.collect());
        let gradients = weights.0.into_iter().enumerate().map(|(link, weights)| match call.places.get(link) {
            Some(place) if wanted.weights && place.plan.weights > 0 => {
                view(&mixes, &weight_gradient, shared.weights.starts[link], [place.plan.weights])
            }
            _ => nothing(&weights),
        });
        CellReturned { inputs, mixes: mix_gradient, weights: Tensors(gradients.collect()) }
    }
}
