//! Running a phase: its launches, there and back.

// Launches that check no bounds.
#![allow(unsafe_code)]

use super::arena::{self, Lease};
use super::kernels::rows::{QUAD, Shapes};
use super::kernels::{back, forward, gather, sums};
use super::phase::{Frame, Launch, Phase, PhaseLink};
use super::table::{Rows, UNITS};
use crate::fused::Wanted;
use burn_cubecl::tensor::CubeTensor;
use cubecl::client::Client;
use cubecl::prelude::*;
use cubecl::server::Handle;
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

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
    links: Vec<(usize, [Option<usize>; 5])>,
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
    /// Whether it is a part of the nodes' output.
    pub(super) own: bool,
}

/// What all phases of a call have in common.
#[derive(Clone)]
pub(super) struct Given {
    pub(super) client: Client,
    pub(super) weights: Buffer,
    pub(super) mixes: Buffer,
    pub(super) factors: Buffer,
    /// Vectors from a pixel of the output to the next.
    pub(super) pitch: usize,
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
            let PhaseLink { plan, node, mixed, factors, weights, statistics } = link;
            (Arc::as_ptr(plan) as usize, [Some(*node), *mixed, *factors, Some(*weights), Some(*statistics)])
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

    /// The way there: the phase's share of the nodes in `output`, and the statistics of its norms.
    pub(super) fn forward(
        &self,
        given: &Given,
        state: &State,
        output: &Buffer,
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
                output.argument(),
                self.table.argument(),
                phase.nodes.first,
                state.start,
                state.pitch,
                phase.channels,
                phase.pixels,
                phase.per_image,
                given.pitch,
                state.own,
            );
        }
        Kept { results, normals }
    }

    fn dense_forward(&self, given: &Given, state: &State, results: &Buffer, partial: &Buffer) {
        let Launch { rows, cubes, output_blocks, .. } = self.phase.denses;
        if rows.count == 0 {
            return;
        }
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
            );
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

/// A way back through a phase.
struct Back<'a> {
    prepared: &'a Prepared,
    given: &'a Given,
    state: &'a State,
    kept: &'a Kept,
    to: &'a Gradients<'a>,
    wanted: Wanted,
    partial: Buffer,
    backs: Buffer,
    inner: Buffer,
    weight_sums: Buffer,
}

impl Back<'_> {
    fn table(&self) -> BufferArg {
        self.prepared.table.argument()
    }

    fn terms(&self) {
        let phase = &self.prepared.phase;
        let Launch { rows, cubes, .. } = phase.terms;
        if rows.count == 0 {
            return;
        }
        unsafe {
            sums::terms::launch_unchecked(
                &self.given.client,
                grid(cubes, rows.count, 1),
                cube(),
                self.prepared.lanes,
                self.state.buffer.argument(),
                self.kept.results.argument(),
                self.kept.normals.argument(),
                self.to.nodes.argument(),
                self.given.factors.argument(),
                self.partial.argument(),
                self.table(),
                rows.first,
                self.state.start,
                self.state.pitch,
                phase.channels,
                self.given.pitch,
                phase.per_image,
            );
        }
    }

    fn operations(&self, rows: Rows) {
        if rows.count == 0 {
            return;
        }
        unsafe {
            sums::operations::launch_unchecked(
                &self.given.client,
                grid(rows.count, 1, 1),
                cube(),
                self.prepared.lanes,
                self.partial.argument(),
                self.kept.normals.argument(),
                self.given.mixes.argument(),
                self.backs.argument(),
                self.to.mixes.argument(),
                self.to.weights.argument(),
                self.table(),
                rows.first,
                self.prepared.phase.channels,
                self.wanted.mix,
                self.wanted.weights,
            );
        }
    }

    fn stages(&self, level: usize) {
        let phase = &self.prepared.phase;
        let launch = phase.stages[level];
        if launch.rows.count == 0 {
            return;
        }
        if self.wanted.weights {
            self.matrices(launch, level > 0, Some(phase.shapes[level]));
        }
        let held = phase.channels <= back::HELD;
        let matrices = if held { self.given.weights.clone() } else { self.transposed(launch.rows) };
        unsafe {
            back::stage::launch_unchecked(
                &self.given.client,
                grid(launch.cubes, launch.rows.count, 1),
                cube(),
                self.prepared.lanes,
                self.kept.results.argument(),
                matrices.argument(),
                self.to.nodes.argument(),
                self.inner.argument(),
                self.given.factors.argument(),
                self.backs.argument(),
                self.table(),
                launch.rows.first,
                self.given.pitch,
                phase.per_image,
                held,
            );
        }
        let shapes = phase.shapes[level];
        if self.wanted.weights && !shapes.others {
            unsafe {
                sums::depthwise_quads::launch_unchecked(
                    &self.given.client,
                    grid(launch.summers, launch.rows.count, launch.tap_blocks),
                    cube(),
                    self.prepared.lanes,
                    self.state.buffer.argument(),
                    self.kept.results.argument(),
                    self.kept.normals.argument(),
                    self.weight_sums.argument(),
                    self.table(),
                    launch.rows.first,
                    self.state.start,
                    self.state.pitch,
                    level > 0,
                    shapes,
                );
            }
        } else if self.wanted.weights {
            unsafe {
                sums::depthwise::launch_unchecked(
                    &self.given.client,
                    grid(launch.summers, launch.rows.count, launch.tap_blocks),
                    cube(),
                    self.prepared.lanes,
                    self.state.buffer.argument(),
                    self.kept.results.argument(),
                    self.kept.normals.argument(),
                    self.weight_sums.argument(),
                    self.table(),
                    launch.rows.first,
                    self.state.start,
                    self.state.pitch,
                    level > 0,
                );
            }
        }
    }

    /// The weights with the matrices of these stages transposed.
    fn transposed(&self, rows: Rows) -> Buffer {
        let (client, channels) = (&self.given.client, self.prepared.phase.channels);
        let transposed = Buffer::within_pass(client, self.given.weights.handle.size_in_used() as usize / 4);
        unsafe {
            back::transpose::launch_unchecked(
                client,
                grid((channels * channels).div_ceil(UNITS), rows.count, 1),
                cube(),
                self.prepared.lanes,
                self.given.weights.argument(),
                transposed.argument(),
                self.table(),
                rows.first,
                channels,
            );
        }
        transposed
    }

    fn matrices(&self, launch: Launch, inner: bool, shapes: Option<Shapes>) {
        let phase = &self.prepared.phase;
        unsafe {
            sums::matrices::launch_unchecked(
                &self.given.client,
                grid(launch.summers, launch.rows.count, launch.row_blocks * launch.output_blocks),
                cube(),
                self.prepared.lanes,
                self.state.buffer.argument(),
                self.kept.results.argument(),
                self.given.weights.argument(),
                self.kept.normals.argument(),
                self.to.nodes.argument(),
                self.inner.argument(),
                self.given.factors.argument(),
                self.backs.argument(),
                self.weight_sums.argument(),
                self.table(),
                launch.rows.first,
                self.state.start,
                self.state.pitch,
                phase.channels,
                self.given.pitch,
                phase.per_image,
                launch.output_blocks,
                inner,
                shapes.is_none(),
                shapes.unwrap_or_default(),
            );
        }
    }

    fn dense_matrices(&self) {
        let launch = self.prepared.phase.denses;
        if self.wanted.weights && launch.rows.count > 0 {
            self.matrices(launch, false, None);
        }
    }

    fn inners(&self, level: usize) {
        let phase = &self.prepared.phase;
        let Launch { rows, cubes, .. } = phase.inners[level];
        unsafe {
            gather::inner::launch_unchecked(
                &self.given.client,
                grid(cubes, rows.count, 1),
                cube(),
                self.prepared.lanes,
                self.kept.results.argument(),
                self.given.weights.argument(),
                self.kept.normals.argument(),
                self.to.nodes.argument(),
                self.given.mixes.argument(),
                self.given.factors.argument(),
                self.inner.argument(),
                self.partial.argument(),
                self.table(),
                rows.first,
                self.given.pitch,
                phase.per_image,
                phase.shapes[level],
            );
        }
    }

    /// Gathers the gradient of the state.
    fn input(&self) {
        let phase = &self.prepared.phase;
        let (client, lanes) = (&self.given.client, self.prepared.lanes);
        let pools = phase.pool_backs;
        if pools.count > 0 {
            unsafe {
                back::pool::launch_unchecked(
                    client,
                    grid(phase.pixels.div_ceil(UNITS / phase.channels), pools.count, 1),
                    cube(),
                    lanes,
                    self.kept.results.argument(),
                    self.to.nodes.argument(),
                    self.given.factors.argument(),
                    self.backs.argument(),
                    self.table(),
                    pools.first,
                    phase.channels,
                    phase.pixels,
                    self.given.pitch,
                    phase.per_image,
                );
            }
        }
        let dense = phase.denses;
        let rows = self.prepared.buffer(self.given, phase.dense_rows);
        if dense.rows.count > 0 {
            unsafe {
                back::dense::launch_unchecked(
                    client,
                    grid(dense.cubes, dense.rows.count, dense.length_blocks),
                    cube(),
                    lanes,
                    self.kept.results.argument(),
                    rows.argument(),
                    self.given.weights.argument(),
                    self.to.nodes.argument(),
                    self.inner.argument(),
                    self.given.factors.argument(),
                    self.backs.argument(),
                    self.table(),
                    dense.rows.first,
                    phase.channels,
                    self.given.pitch,
                    phase.per_image,
                );
            }
        }
        let stages = phase.stages.first().copied().unwrap_or_default().rows;
        let per_cube = QUAD * (UNITS / phase.inputs);
        let nodes = if self.state.own { &self.partial } else { self.to.nodes };
        unsafe {
            gather::input::launch_unchecked(
                client,
                grid(phase.input_pixels.div_ceil(per_cube), 1, 1),
                cube(),
                lanes,
                self.state.buffer.argument(),
                self.kept.results.argument(),
                rows.argument(),
                self.given.weights.argument(),
                nodes.argument(),
                self.given.mixes.argument(),
                self.given.factors.argument(),
                self.to.input.argument(),
                self.table(),
                stages.first,
                stages.count,
                phase.others.first,
                phase.others.count,
                self.state.start,
                self.state.pitch,
                phase.inputs,
                phase.input_pixels,
                phase.per_input_image,
                phase.input[0] as i32,
                phase.input[1] as i32,
                phase.input[2] as i32,
                self.given.pitch,
                self.state.start,
                self.state.pitch,
                self.state.own,
                dense.rows.count > 0,
                phase.shapes.first().copied().unwrap_or_default(),
            );
        }
    }

    fn add_up(&self) {
        let phase = &self.prepared.phase;
        if phase.sums.count == 0 {
            return;
        }
        unsafe {
            sums::add_up::launch_unchecked(
                &self.given.client,
                grid(phase.longest.div_ceil(UNITS), phase.sums.count, 1),
                cube(),
                self.prepared.lanes,
                self.weight_sums.argument(),
                self.to.weights.argument(),
                self.table(),
                phase.sums.first,
            );
        }
    }
}
