//! Running a phase: its launches, there and back.

// Launches that check no bounds.
#![allow(unsafe_code)]

mod way_back;

use super::arena::{self, Lease};
use super::flat::copy_to;
use super::kernels::forward;
use super::nodes::Node;
use super::phase::{Brought, Frame, Launch, Noise, Phase, PhaseLink};
use super::table::UNITS;
use crate::fused::Wanted;
use burn_cubecl::tensor::CubeTensor;
use cubecl::client::Client;
use cubecl::prelude::*;
use cubecl::server::Handle;
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use way_back::Back;

/// Memory of a device.
#[derive(Debug, Clone)]
pub(super) struct Buffer {
    pub(super) handle: Handle,
    /// Where it goes back to.
    _lease: Option<Arc<Lease>>,
}

impl From<Handle> for Buffer {
    fn from(handle: Handle) -> Self {
        Buffer { handle, _lease: None }
    }
}

impl Buffer {
    /// Room for so many elements, and for a vector at least: what a kernel is given has to hold one.
    pub(super) fn new(client: &Client, elements: usize) -> Self {
        client.empty(4 * elements.max(4)).into()
    }

    /// The same for what lives within a pass: from the arena, where one is in use.
    fn within_pass(client: &Client, elements: usize) -> Self {
        arena::current().map_or_else(|| Buffer::new(client, elements), |arena| arena.buffer(client, elements))
    }

    pub(super) fn leased(handle: Handle, lease: Lease) -> Self {
        Buffer { handle, _lease: Some(Arc::new(lease)) }
    }

    /// A tensor's memory, or a vector that nobody reads where there is nothing.
    pub(super) fn of(tensor: &CubeTensor, present: bool) -> Self {
        match present {
            true => tensor.handle.clone().into(),
            false => Buffer::new(&tensor.client, 0),
        }
    }

    pub(super) fn argument(&self) -> BufferArg {
        let length = self.handle.size_in_used() as usize / 4;
        // SAFETY: the length is that of the handle.
        unsafe { BufferArg::from_raw_parts(self.handle.clone(), length) }
    }
}

/// A phase on its device.
#[derive(Debug)]
pub(super) struct Prepared {
    phase: Phase,
    table: Buffer,
    lanes: usize,
    /// What it was made of: as long as the plans live, no other has their addresses.
    _links: Vec<PhaseLink>,
}

/// A phase's links by what its table depends on.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Key {
    device: u64,
    frame: Frame,
    links: Vec<LinkKey>,
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct LinkKey {
    /// Where the plan lies.
    plan: usize,
    node: Node,
    starts: [Option<usize>; 4],
    noise: Option<Noise>,
}

static PREPARED: LazyLock<Mutex<HashMap<Key, Arc<Prepared>>>> = LazyLock::new(Mutex::default);

/// Forgets the phases prepared so far.
pub(super) fn forget_phases() {
    PREPARED.lock().unwrap_or_else(PoisonError::into_inner).clear();
}

/// The state that a phase reads.
#[derive(Debug, Clone)]
pub(super) struct State {
    pub(super) buffer: Buffer,
    /// Where its first pixel lies, and how far apart they are, in vectors.
    pub(super) start: usize,
    pub(super) pitch: usize,
    /// Whether it is one of the nodes.
    pub(super) own: bool,
}

/// What all phases of a call have in common.
#[derive(Clone)]
pub(super) struct Given {
    pub(super) client: Client,
    pub(super) weights: Buffer,
    pub(super) mixes: Buffer,
    pub(super) factors: Buffer,
    /// What the links bring that have noise.
    pub(super) noises: Vec<Buffer>,
}

/// What the way there keeps for the way back.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) results: Buffer,
    pub(super) normals: Buffer,
}

/// Where gradients go.
pub(super) struct Gradients<'a> {
    /// Of the nodes.
    pub(super) nodes: &'a Buffer,
    /// Of the state that is read, and where it starts there; pixels lie as far apart as those of the state.
    pub(super) input: &'a Buffer,
    /// Whether something stands there already.
    pub(super) begun: bool,
    pub(super) weights: &'a Buffer,
    pub(super) mixes: &'a Buffer,
}

/// Stands for a device in a key.
pub(super) fn number(client: &Client) -> u64 {
    let mut device = DefaultHasher::new();
    client.service_id().hash(&mut device);
    device.finish()
}

fn grid(x: usize, y: usize, z: usize) -> CubeCount {
    CubeCount::new_3d(x as u32, y as u32, z as u32)
}

fn cube() -> CubeDim {
    CubeDim::new_1d(UNITS as u32)
}

impl Prepared {
    /// The phase of these links; a step asks for the same few over and over.
    pub(super) fn of(client: &Client, links: Vec<PhaseLink>, frame: Frame) -> Arc<Self> {
        let key = |link: &PhaseLink| {
            let PhaseLink { ref plan, node, mixed, noise, factors, weights, statistics } = *link;
            let starts = [mixed, factors, Some(weights), Some(statistics)];
            LinkKey { plan: Arc::as_ptr(plan) as usize, node, starts, noise }
        };
        let key = Key { device: number(client), frame, links: links.iter().map(key).collect() };
        let mut all = PREPARED.lock().unwrap_or_else(PoisonError::into_inner);
        let prepare = || {
            let phase = Phase::new(&links, frame);
            let table = client.create_from_slice(&phase.table.bytes()).into();
            Arc::new(Prepared { phase, table, lanes: frame.lanes, _links: links })
        };
        all.entry(key).or_insert_with(prepare).clone()
    }

    /// Vectors of so many elements.
    fn buffer(&self, given: &Given, vectors: usize) -> Buffer {
        Buffer::within_pass(&given.client, vectors * self.lanes)
    }

    /// The way there: the phase's share of the nodes in `nodes`, and the statistics of its norms.
    pub(super) fn forward(
        &self,
        given: &Given,
        state: &State,
        nodes: &Buffer,
        (running, statistics): (&Buffer, &Buffer),
    ) -> Kept {
        let phase = &self.phase;
        let (client, lanes) = (&given.client, self.lanes);
        let results = self.buffer(given, phase.results);
        let normals = self.buffer(given, phase.normals * 4 * phase.channels);
        let partial = self.buffer(given, phase.partial);
        for level in 0..phase.norms.len() {
            let stages = phase.stages.get(level).copied().unwrap_or_default();
            if stages.rows.count > 0 {
                // SAFETY: here and below, a phase's table names places within the buffers that it was laid out with.
                unsafe {
                    forward::stage::launch_unchecked(
                        client,
                        grid(stages.cubes, stages.rows.count, 1),
                        cube(),
                        lanes,
                        state.buffer.argument(),
                        results.argument(),
                        given.weights.argument(),
                        normals.argument(),
                        partial.argument(),
                        self.table.argument(),
                        stages.rows.first,
                        state.start,
                        state.pitch,
                        level > 0,
                        phase.shapes[level],
                    );
                }
            }
            if level == 0 {
                self.dense_forward(given, state, &results, &partial);
                self.pools_forward(given, state, &results, &partial);
            }
            let norms = phase.norms[level];
            if norms.count > 0 {
                unsafe {
                    forward::normalise::launch_unchecked(
                        client,
                        grid(phase.channels, norms.count, 1),
                        CubeDim::new_1d(forward::MERGERS as u32),
                        lanes,
                        partial.argument(),
                        given.weights.argument(),
                        running.argument(),
                        normals.argument(),
                        statistics.argument(),
                        self.table.argument(),
                        norms.first,
                        phase.channels,
                    );
                }
            }
        }
        for Brought { index, result } in &phase.noises {
            let count = phase.pixels * phase.channels * lanes;
            copy_to(client, &given.noises[*index], &results, result * lanes, count);
        }
        let per_cube = forward::PER * (UNITS / phase.channels);
        // What a kernel does not read still has to be something.
        let x = if state.own { &partial } else { &state.buffer };
        unsafe {
            forward::combine::launch_unchecked(
                client,
                grid(phase.pixels.div_ceil(per_cube), phase.nodes.count, 1),
                cube(),
                lanes,
                x.argument(),
                results.argument(),
                normals.argument(),
                given.mixes.argument(),
                given.factors.argument(),
                nodes.argument(),
                self.table.argument(),
                phase.nodes.first,
                state.start,
                state.pitch,
                phase.channels,
                phase.pixels,
                phase.per_image,
                state.own,
            );
        }
        Kept { results, normals }
    }

    fn dense_forward(&self, given: &Given, state: &State, results: &Buffer, partial: &Buffer) {
        for (Launch { rows, cubes, output_blocks, .. }, means) in self.phase.dense_launches() {
            unsafe {
                forward::dense::launch_unchecked(
                    &given.client,
                    grid(cubes, rows.count, output_blocks),
                    cube(),
                    self.lanes,
                    state.buffer.argument(),
                    results.argument(),
                    given.weights.argument(),
                    partial.argument(),
                    self.table.argument(),
                    rows.first,
                    state.start,
                    state.pitch,
                    self.phase.channels,
                    means,
                );
            }
        }
    }

    fn pools_forward(&self, given: &Given, state: &State, results: &Buffer, partial: &Buffer) {
        let Launch { rows, cubes, .. } = self.phase.pools;
        if rows.count == 0 {
            return;
        }
        unsafe {
            forward::pool::launch_unchecked(
                &given.client,
                grid(cubes, rows.count, 1),
                cube(),
                self.lanes,
                state.buffer.argument(),
                results.argument(),
                partial.argument(),
                self.table.argument(),
                rows.first,
                state.start,
                state.pitch,
            );
        }
    }

    /// The way back from the nodes' gradients. What was kept is used up.
    pub(super) fn back(&self, given: &Given, state: &State, kept: Kept, to: &Gradients, wanted: Wanted) {
        let phase = &self.phase;
        let back = Back {
            prepared: self,
            given,
            state,
            kept: &kept,
            to,
            wanted,
            partial: self.buffer(given, phase.back_partial),
            backs: self.buffer(given, phase.normals * 3 * phase.channels),
            inner: self.buffer(given, phase.inner),
            weight_sums: self.buffer(given, if wanted.weights { phase.weight_sums } else { 0 }),
        };
        back.terms();
        back.operations(phase.operations);
        if !wanted.input && !wanted.weights {
            return;
        }
        for level in (0..phase.stages.len()).rev() {
            back.stages(level);
            if level > 0 {
                back.inners(level);
                back.operations(phase.inner_operations[level]);
            }
        }
        back.dense_matrices();
        if wanted.input {
            back.input();
        }
        if wanted.weights {
            back.add_up();
        }
    }
}
