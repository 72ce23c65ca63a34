//! The edge's and the cell's functions for CubeCL's backend.

use super::flat::{Places, copied, packed, view};
use super::phase::{Frame, PhaseLink, lanes};
use super::run::{Buffer, Given, Gradients, Kept, Prepared, State};
use super::{INPUTS, NODES};
use crate::fused::{
    Call, CellCall, CellForwarded, CellReturned, CellWanted, Forwarded, FusedCell, FusedEdge, Held, Plan, Returned,
    Tensors, Wanted,
};
use crate::weights::volume;
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
            pitch: self.plan.outputs / lanes(&self.plan),
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
            node: 0,
            mixed: call.mixed.then_some(0),
            factors: None,
            weights: 0,
            statistics: 0,
        };
        let frame = Frame { lanes: lanes(plan), batch: call.batch, begun: [false; NODES] };
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
    phases: Vec<(usize, Arc<Prepared>, Kept)>,
    given: Given,
    output: CubeTensor,
}

/// Where what the links have lies in the buffers that they share.
struct Shared {
    weights: Places,
    statistics: Places,
}

impl CellCall {
    fn shared(&self) -> Shared {
        let plans = || self.places.iter().map(|place| &place.plan);
        Shared {
            weights: Places::new(plans().map(|plan| plan.weights)),
            statistics: Places::new(plans().map(|plan| plan.statistics)),
        }
    }

    fn lanes(&self) -> usize {
        self.places.iter().map(|place| lanes(&place.plan)).min().unwrap_or(1)
    }

    /// The phases in their order, by the states that they read.
    fn phases(&self, client: &Client, shared: &Shared) -> Vec<(usize, Arc<Prepared>)> {
        let mut begun = [false; NODES];
        let mut phases = Vec::new();
        for from in 0..INPUTS + NODES {
            let of = self.places.iter().enumerate().filter(|(_, place)| place.from == from);
            let link = |(index, place): (usize, &crate::fused::Place)| PhaseLink {
                plan: place.plan.clone(),
                node: place.node,
                mixed: place.mixed,
                factors: place.factors.is_some().then_some(index),
                weights: shared.weights.starts[index],
                statistics: shared.statistics.starts[index],
            };
            let links: Vec<_> = of.map(link).collect();
            if links.is_empty() {
                continue;
            }
            let frame = Frame { lanes: self.lanes(), batch: self.batch, begun };
            links.iter().for_each(|link| begun[link.node] = true);
            phases.push((from, Prepared::of(client, links, frame)));
        }
        phases
    }

    fn state(&self, from: usize, inputs: &[CubeTensor], output: &CubeTensor) -> State {
        let channels = self.places[0].plan.outputs / self.lanes();
        match inputs[..INPUTS].get(from) {
            Some(input) => state(input, channels),
            None => State {
                buffer: Buffer::from(output.handle.clone()),
                start: (from - INPUTS) * channels,
                pitch: NODES * channels,
                own: true,
            },
        }
    }

    /// The samples' factors, a row a link.
    fn factors(&self, client: &Client) -> Buffer {
        if self.places.iter().all(|place| place.factors.is_none()) {
            return Buffer::new(client, 1);
        }
        let samples = self.places[0].plan.samples;
        let row = |place: &crate::fused::Place| place.factors.clone().unwrap_or_else(|| vec![1.0; samples]);
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
            pitch: NODES * call.places[0].plan.outputs / call.lanes(),
        };
        let running = own(contiguous(running), |plan| plan.statistics, &shared.statistics);
        let plan = &call.places[0].plan;
        let [t, h, w] = plan.output;
        let shape = [plan.samples, t, h, w, NODES * plan.outputs];
        let buffer = Buffer::new(&client, shape.iter().product());
        let output = view(&mixes, &buffer, 0, shape);
        let statistics = Buffer::new(&client, shared.statistics.length);
        let mut phases = Vec::new();
        for (from, prepared) in call.phases(&client, &shared) {
            let state = call.state(from, &inputs, &output);
            let kept = prepared.forward(&given, &state, &buffer, (&running, &statistics));
            phases.push((from, prepared, kept));
        }
        let statistics =
            call.places.iter().zip(&shared.statistics.starts).map(|(place, start)| match place.plan.statistics {
                0 => nothing(&output),
                count => view(&output, &statistics, *start, [count]),
            });
        let statistics = Tensors(if call.batch { statistics.collect() } else { vec![] });
        let kept = match keep {
            true => Held::new(CellKept { phases, given, output: output.clone() }),
            false => Held::new(()),
        };
        CellForwarded { activation: output, statistics, kept }
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
        let CellKept { mut phases, given, output } = kept.take();
        let client = &given.client;
        let shared = call.shared();
        // The nodes' gradients are added to.
        let count = output.meta.num_elements();
        let nodes = copied(client, &[into_contiguous(gradient)], &[0], count);
        let rows = mixes.meta.shape().clone();
        let mix_gradient = match wanted.mixes {
            true => zeros(&mixes, rows),
            false => nothing(&mixes),
        };
        let weight_gradient = Buffer::new(client, if wanted.weights { shared.weights.length } else { 1 });
        let mut input_gradients = [const { None }; INPUTS];
        while let Some((from, prepared, kept)) = phases.pop() {
            let state = call.state(from, &inputs, &output);
            let own = match inputs[..INPUTS].get(from) {
                Some(input) if wanted.inputs[from] => Buffer::new(client, input.meta.num_elements()),
                Some(_) => Buffer::new(client, 1),
                None => nodes.clone(),
            };
            let to = Gradients {
                nodes: &nodes,
                input: &own,
                weights: &weight_gradient,
                mixes: &Buffer::from(mix_gradient.handle.clone()),
            };
            let wanted =
                Wanted { input: from >= INPUTS || wanted.inputs[from], weights: wanted.weights, mix: wanted.mixes };
            prepared.back(&given, &state, kept, &to, wanted);
            if from < INPUTS && wanted.input {
                input_gradients[from] = Some(own);
            }
        }
        let input_gradients = inputs.iter().enumerate().map(|(from, input)| {
            match (input_gradients.get(from).and_then(Option::as_ref), wanted.inputs[from]) {
                (Some(gradient), _) => view(&output, gradient, 0, input.meta.shape().clone()),
                // No edge reads it.
                (None, true) => zeros(&output, input.meta.shape().clone()),
                (None, false) => nothing(&output),
            }
        });
        let inputs = Tensors(input_gradients.collect());
        let gradients = weights.0.into_iter().enumerate().map(|(link, weights)| match call.places.get(link) {
            Some(place) if wanted.weights && place.plan.weights > 0 => {
                view(&output, &weight_gradient, shared.weights.starts[link], [place.plan.weights])
            }
            _ => nothing(&weights),
        });
        CellReturned { inputs, mixes: mix_gradient, weights: Tensors(gradients.collect()) }
    }
}
