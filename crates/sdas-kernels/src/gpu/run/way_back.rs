//! The launches of a phase's way back.

// Launches that check no bounds.
#![allow(unsafe_code)]

use super::super::kernels::rows::{QUAD, Shapes};
use super::super::kernels::{back, gather, sums, weights};
use super::super::phase::Launch;
use super::super::table::{Rows, UNITS};
use super::{Buffer, Given, Gradients, Kept, Prepared, State, cube, grid};
use crate::fused::Wanted;
use cubecl::prelude::*;

/// A way back through a phase.
pub(super) struct Back<'a> {
    pub(super) prepared: &'a Prepared,
    pub(super) given: &'a Given,
    pub(super) state: &'a State,
    pub(super) kept: &'a Kept,
    pub(super) to: &'a Gradients<'a>,
    pub(super) wanted: Wanted,
    pub(super) partial: Buffer,
    pub(super) backs: Buffer,
    pub(super) inner: Buffer,
    pub(super) weight_sums: Buffer,
}

impl Back<'_> {
    fn table(&self) -> BufferArg {
        self.prepared.table.argument()
    }

    pub(super) fn terms(&self) {
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
                phase.per_image,
            );
        }
    }

    pub(super) fn operations(&self, rows: Rows) {
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

    pub(super) fn stages(&self, level: usize) {
        let phase = &self.prepared.phase;
        let launch = phase.stages[level];
        if launch.rows.count == 0 {
            return;
        }
        if self.wanted.weights {
            self.matrices(launch, level > 0, false, Some(phase.shapes[level]));
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
                phase.per_image,
                held,
            );
        }
        let shapes = phase.shapes[level];
        if self.wanted.weights && !shapes.others {
            unsafe {
                weights::depthwise_quads::launch_unchecked(
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
                weights::depthwise::launch_unchecked(
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

    fn matrices(&self, launch: Launch, inner: bool, means: bool, shapes: Option<Shapes>) {
        let phase = &self.prepared.phase;
        unsafe {
            weights::matrices::launch_unchecked(
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
                phase.per_image,
                launch.output_blocks,
                inner,
                shapes.is_none(),
                means,
                shapes.unwrap_or_default(),
            );
        }
    }

    pub(super) fn dense_matrices(&self) {
        for (launch, means) in self.prepared.phase.dense_launches().filter(|_| self.wanted.weights) {
            self.matrices(launch, false, means, None);
        }
    }

    pub(super) fn inners(&self, level: usize) {
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
                phase.per_image,
                phase.shapes[level],
            );
        }
    }

    /// Gathers the gradient of the state.
    pub(super) fn input(&self) {
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
                    phase.per_image,
                );
            }
        }
        let rows = self.prepared.buffer(self.given, phase.dense_rows);
        for (dense, means) in phase.dense_launches() {
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
                    phase.per_image,
                    means,
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
                self.state.start,
                self.state.pitch,
                self.state.own,
                self.to.begun,
                phase.dense_rows > 0,
                phase.shapes.first().copied().unwrap_or_default(),
            );
        }
    }

    pub(super) fn add_up(&self) {
        let phase = &self.prepared.phase;
        if phase.sums.count == 0 {
            return;
        }
        unsafe {
            weights::add_up::launch_unchecked(
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
