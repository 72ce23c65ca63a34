//! The way back: one pass for the sums over the output's gradient, and one pass per level of units, the last level first.

use super::forward::Pass;
use super::forward::{add_to_doubles, fill_activated_grid, fill_input_grids, fill_normed_grid};
use super::memory::{Buffer, Scratch, first, with_scratch};
use super::normal::{Back, GradientSums, Normal};
use super::pack::{GradientLayout, Packed, pack};
use super::plan::{Body, Plan, Product, Rows, Term};
use super::unit_back::{UnitBack, pool_back, product_back};
use crate::lanes::{LANES, Lanes, Pixels, blocks, store};
use crate::weights::volume;
use crate::width::{Registers, Task, run};
use rayon::prelude::*;

/// Which gradients are asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted {
    pub(crate) input: bool,
    pub(crate) weights: bool,
    pub(crate) mix: bool,
}

/// Gradients, each empty where it was not asked for.
#[derive(Debug, Default)]
pub(crate) struct Gradients {
    pub(crate) input: Vec<f32>,
    pub(crate) weights: Vec<f32>,
    pub(crate) mix: Vec<f32>,
}

/// The way back through an edge.
pub(crate) struct Backward<'a> {
    pub(crate) pass: Pass<'a>,
    pub(crate) normals: &'a [Normal],
    /// Whether the norms used the batch's own statistics, which then depend on the results.
    pub(crate) batch: bool,
    pub(crate) kept: &'a [Lanes],
    /// Gradient of the output, `[images, pixels, outputs]`.
    pub(crate) gradient: &'a [f32],
    pub(crate) wanted: Wanted,
}

impl Backward<'_> {
    pub(crate) fn run(&self) -> Gradients {
        let (plan, wanted) = (self.pass.plan, self.wanted);
        let mut gradients = Gradients::default();
        let normed = plan.units.iter().any(|unit| unit.statistics.is_some());
        let terms = if wanted.mix || normed && (self.batch || wanted.weights) { self.term_sums() } else { vec![] };
        if wanted.mix {
            gradients.mix = self.mix_gradient(&terms);
        }
        if !wanted.input && !wanted.weights {
            return gradients;
        }
        let packed = pack(plan, self.pass.weights, true);
        let layout = GradientLayout::new(plan);
        let mut partial = wanted.weights.then(|| {
            let mut partial = Buffer::take(self.pass.groups() * layout.length);
            partial.fill(Lanes::ZERO);
            partial
        });
        // Of a unit that is a term, and read by no other, the gradient is the output's.
        let mut sums: Vec<GradientSums> = vec![GradientSums::default(); plan.units.len()];
        for (term, sum) in plan.terms.iter().zip(terms) {
            if let Some(unit) = term.unit.filter(|&unit| plan.units[unit].gradient.is_none()) {
                sums[unit] = sum;
            }
        }
        let mut inner = Buffer::take(plan.images * plan.gradients);
        if wanted.input {
            gradients.input = vec![0.0; self.pass.input.len()];
        }
        let mut backs: Vec<Back> = plan.units.iter().map(|_| Back::default()).collect();
        for level in (0..plan.levels.max(1)).rev() {
            for (index, unit) in plan.level(level) {
                let elements = (plan.images * unit.pixels()) as f64;
                let statistics = (self.batch && !sums[index].plain.is_empty()).then_some((&sums[index], elements));
                backs[index] = self.normals[index].back(unit, self.pass.weights, self.factor(index), statistics);
            }
            let inner_sums =
                self.level(level, &packed, &layout, &backs, partial.as_deref_mut(), &mut inner, &mut gradients.input);
            for (sum, inner) in sums.iter_mut().zip(inner_sums) {
                if !inner.plain.is_empty() {
                    *sum = inner;
                }
            }
        }
        if let Some(partial) = partial {
            gradients.weights = self.weight_gradient(&partial, &layout, &sums);
        }
        gradients
    }

    /// What the gradient of a unit's normed result is multiplied by: gradients that come from other units already have
    /// the mix in them.
    fn factor(&self, unit: usize) -> f64 {
        match self.pass.plan.operation_of(unit) {
            Some(operation) if self.pass.plan.units[unit].gradient.is_none() => f64::from(self.pass.mix[operation]),
            _ => 1.0,
        }
    }

    /// `Σ G` and `Σ G u` for every term, G being the output's gradient.
    fn term_sums(&self) -> Vec<GradientSums> {
        let (plan, group) = (self.pass.plan, self.pass.group());
        let lanes = plan.blocks() * LANES;
        let per_group = (plan.terms.len() + 1) * lanes;
        let mut sums = vec![0.0; self.pass.groups() * per_group];
        sums.par_chunks_mut(per_group)
            .zip(self.pass.input.par_chunks(group * self.pass.image()))
            .zip(self.gradient.par_chunks(group * volume(plan.output) * plan.outputs))
            .enumerate()
            .for_each(|(index, ((sums, input), gradient))| {
                let kept = &self.kept[index * group * plan.kept..];
                run(self.pass.width, TermSums { plan, input, kept, gradient, sums });
            });
        let total = |part: usize| {
            let mut total = vec![0.0; lanes];
            for sums in sums.chunks_exact(per_group) {
                let part = &sums[part * lanes..][..lanes];
                total.iter_mut().zip(part).for_each(|(total, part)| *total += part);
            }
            total
        };
        let plain = total(0);
        let terms = 0..plan.terms.len();
        terms.map(|term| GradientSums { plain: plain.clone(), with_result: total(1 + term) }).collect()
    }

    /// dm = Σ G v, summed over the terms of an operation, with v = scale × u + shift.
    fn mix_gradient(&self, sums: &[GradientSums]) -> Vec<f32> {
        let plan = self.pass.plan;
        let mut gradient = vec![0.0; plan.operations];
        for (Term { operation, unit }, sums) in plan.terms.iter().zip(sums) {
            for channel in 0..plan.outputs {
                let (block, lane) = (channel / LANES, channel % LANES);
                let (scale, shift) = match unit {
                    Some(unit) => {
                        let normal = &self.normals[*unit];
                        (f64::from(normal.scale[block].0[lane]), f64::from(normal.shift[block].0[lane]))
                    }
                    None => (1.0, 0.0),
                };
                gradient[*operation] += scale * sums.with_result[channel] + shift * sums.plain[channel];
            }
        }
        gradient.into_iter().map(|value| value as f32).collect()
    }

    /// Goes back through the units of a level; returns the sums for the units of the level before, by unit.
    #[allow(clippy::too_many_arguments)]
    fn level(
        &self,
        level: usize,
        packed: &[Packed],
        layout: &GradientLayout,
        backs: &[Back],
        partial: Option<&mut [Lanes]>,
        inner: &mut [Lanes],
        input_gradient: &mut [f32],
    ) -> Vec<GradientSums> {
        let (pass, plan, group) = (&self.pass, self.pass.plan, self.pass.group());
        let groups = pass.groups();
        let lanes = plan.blocks() * LANES;
        let per_group = plan.units.len() * 2 * lanes;
        let mut sums = vec![0.0; groups * per_group];
        let weights = parts(partial, group_length(groups, layout.length), groups);
        let inner = parts(Some(inner), group * plan.gradients, groups);
        let to = parts((!input_gradient.is_empty()).then_some(input_gradient), group * pass.image(), groups);
        sums.par_chunks_mut(per_group)
            .zip(weights)
            .zip(inner)
            .zip(to)
            .enumerate()
            .for_each(|(index, (((sums, weight_gradients), inner), input_gradient))| {
                let first = index * group;
                let images = group.min(plan.images - first);
                let image = volume(plan.output) * plan.outputs;
                with_scratch(|scratch| {
                    let task = Level {
                        plan,
                        level,
                        packed,
                        layout,
                        normals: self.normals,
                        backs,
                        mix: pass.mix,
                        wanted: self.wanted,
                        images,
                        input: &pass.input[first * pass.image()..],
                        kept: &self.kept[first * plan.kept..],
                        gradient: &self.gradient[first * image..],
                        weight_gradients,
                        inner,
                        input_gradient,
                        sums,
                        scratch,
                    };
                    run(pass.width, task);
                });
            });
        let of_unit = |unit: usize, which: usize| {
            let mut total = vec![0.0; lanes];
            for sums in sums.chunks_exact(per_group) {
                let part = &sums[(unit * 2 + which) * lanes..][..lanes];
                total.iter_mut().zip(part).for_each(|(total, part)| *total += part);
            }
            total
        };
        let mut read = vec![GradientSums::default(); plan.units.len()];
        for (_, unit) in plan.level(level) {
            if let Some(source) = unit.source {
                read[source] = GradientSums { plain: of_unit(source, 0), with_result: of_unit(source, 1) };
            }
        }
        read
    }

    /// The groups' sums, added up in their order, and the gradients of the norms' scales and shifts.
    fn weight_gradient(&self, partial: &[Lanes], layout: &GradientLayout, sums: &[GradientSums]) -> Vec<f32> {
        let plan = self.pass.plan;
        let mut total = Buffer::take(layout.length);
        total.fill(Lanes::ZERO);
        for part in partial.chunks_exact(layout.length.max(1)) {
            for (total, part) in total.iter_mut().zip(part) {
                *total = total.plus(*part);
            }
        }
        let mut flat = vec![0.0; plan.weights];
        layout.unpack(plan, &total, &mut flat);
        for (index, unit) in plan.units.iter().enumerate() {
            let Some(at) = unit.scale else { continue };
            for channel in 0..plan.outputs {
                let [scale, shift] = self.normals[index].affine_gradients(&sums[index], channel, self.factor(index));
                flat[at + channel] = scale as f32;
                flat[at + plan.outputs + channel] = shift as f32;
            }
        }
        flat
    }
}

fn group_length(groups: usize, length: usize) -> usize {
    if groups == 0 { 0 } else { length }
}

/// Splits a slice into the groups' parts; empty parts where there is nothing to split.
fn parts<T>(slice: Option<&mut [T]>, length: usize, groups: usize) -> Vec<&mut [T]> {
    let mut parts: Vec<&mut [T]> = Vec::with_capacity(groups);
    if let Some(slice) = slice.filter(|slice| !slice.is_empty() && length > 0) {
        parts.extend(slice.chunks_mut(length));
    }
    parts.resize_with(groups, Default::default);
    parts
}

/// The units of one level for a group of images.
struct Level<'a> {
    plan: &'a Plan,
    level: usize,
    packed: &'a [Packed],
    layout: &'a GradientLayout,
    normals: &'a [Normal],
    backs: &'a [Back],
    mix: &'a [f32],
    wanted: Wanted,
    images: usize,
    input: &'a [f32],
    kept: &'a [Lanes],
    gradient: &'a [f32],
    weight_gradients: &'a mut [Lanes],
    inner: &'a mut [Lanes],
    input_gradient: &'a mut [f32],
    sums: &'a mut [f64],
    scratch: &'a mut Scratch,
}

impl Task for Level<'_> {
    #[inline(always)]
    fn run<R: Registers>(mut self) {
        for image in 0..self.images {
            self.image::<R>(image);
        }
    }
}

impl Level<'_> {
    #[inline(always)]
    fn image<R: Registers>(&mut self, image: usize) {
        let (plan, wanted) = (self.plan, self.wanted);
        let (pixels, values) = (volume(plan.output), volume(plan.input) * plan.inputs);
        let input = Pixels { values: &self.input[image * values..][..values], channels: plan.inputs };
        let gradient = &self.gradient[image * pixels * plan.outputs..][..pixels * plan.outputs];
        let gradient = Pixels { values: gradient, channels: plan.outputs };
        let kept = &self.kept[image * plan.kept..][..plan.kept];
        let inner = &mut self.inner[image * plan.gradients..][..plan.gradients];
        let scratch = &mut *self.scratch;
        let input_plane = volume(plan.input);
        if self.level == 0 {
            let length = blocks(plan.inputs) * input_plane;
            first(&mut scratch.activated_gradient, length).fill(Lanes::ZERO);
            first(&mut scratch.raw_gradient, length).fill(Lanes::ZERO);
            if wanted.weights {
                fill_input_grids(plan, input, scratch);
            } else if plan.level(0).any(|(_, unit)| matches!(unit.body, Body::Pool(_))) {
                super::forward::fill_raw_grid(plan, input, scratch);
            }
        }
        for (index, unit) in plan.level(self.level) {
            let wanted_of_source = unit.source.is_some() || wanted.input;
            let results = &kept[unit.kept..][..plan.blocks() * unit.pixels()];
            let own = unit.gradient.map(|at| &inner[at..][..plan.blocks() * unit.pixels()]);
            let of = UnitBack { plan, unit, back: &self.backs[index], results, own, gradient, input };
            match &unit.body {
                Body::Pool(pool) if wanted.input => {
                    pool_back::<R>(&of, pool, &self.packed[index].depthwise, scratch);
                }
                Body::Pool(_) => {}
                Body::Product(product) => {
                    if let (Rows::Depthwise(depthwise), Some(source)) = (&product.rows, unit.source) {
                        if wanted.weights {
                            let source_results = &kept[plan.units[source].kept..];
                            let normal = &self.normals[source];
                            fill_normed_grid::<R>(&depthwise.grid, source_results, normal, &mut scratch.raw);
                        }
                    }
                    let weights = wanted.weights.then(|| {
                        let [depthwise, product] = self.layout.starts[index];
                        self.weight_gradients[depthwise..].split_at_mut(product - depthwise)
                    });
                    product_back::<R>(&of, product, &self.packed[index], weights, wanted_of_source, scratch);
                }
            }
            if let Some(source) = unit.source {
                self.source_gradient::<R>(source, kept, image, gradient);
            }
        }
    }
}
