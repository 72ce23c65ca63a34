//! The way back: one pass for the sums over the output's gradient, and one pass per level of units, the last level first.

use super::forward::{
    Pass, add_to_doubles, fill_activated_grid, fill_normed_grid, fill_pooled, fill_raw_grid, pad_for_pools, total,
};
use super::memory::{Buffer, Scratch, with_scratch};
use super::normal::{Back, GradientSums, Normal};
use super::pack::{GradientLayout, Packed, pack};
use super::plan::{Body, Plan, Rows, STRIP, Term};
use super::unit_back::{UnitBack, pool_back, product_back};
use crate::crew::each;
use crate::lanes::{LANES, Lanes, Pixels, blocks, store};
use crate::registers::Registers;
use crate::weights::volume;
use crate::width::{Task, run};
use std::ops::Range;

/// Which gradients are asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted {
    pub(crate) input: bool,
    pub(crate) weights: bool,
    pub(crate) mix: bool,
}

/// Gradients, each absent or empty where it was not asked for.
#[derive(Default)]
pub(crate) struct Gradients {
    pub(crate) input: Option<Buffer>,
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
        let mut partial = wanted.weights.then(|| Buffer::take(self.pass.groups() * layout.length));
        // Of a unit that is a term, and read by no other, the gradient is the output's.
        let mut sums: Vec<GradientSums> = vec![GradientSums::default(); plan.units.len()];
        for (term, sum) in plan.terms.iter().zip(terms) {
            if let Some(unit) = term.unit.filter(|&unit| plan.units[unit].gradient.is_none()) {
                sums[unit] = sum;
            }
        }
        let mut inner = Buffer::take(plan.images * plan.gradients);
        if wanted.input {
            gradients.input = Some(Buffer::of_floats(self.pass.input.len()));
        }
        let mut backs: Vec<Back> = plan.units.iter().map(|_| Back::default()).collect();
        for level in (0..plan.levels.max(1)).rev() {
            for (index, unit) in plan.level(level) {
                let elements = (plan.images * unit.pixels()) as f64;
                let statistics = (self.batch && !sums[index].plain.is_empty()).then_some((&sums[index], elements));
                backs[index] = self.normals[index].back(unit, self.pass.weights, self.factor(index), statistics);
            }
            let input = gradients.input.as_mut().map(|input| &mut input.floats()[..self.pass.input.len()]);
            let inner_sums = self.level(level, &packed, &layout, &backs, partial.as_deref_mut(), &mut inner, input);
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
        let groups = sums
            .chunks_mut(per_group)
            .zip(self.pass.input.chunks(group * self.pass.image()))
            .zip(self.gradient.chunks(group * volume(plan.output) * plan.outputs))
            .enumerate();
        each(groups, |(index, ((sums, input), gradient))| {
            let kept = &self.kept[index * group * plan.kept..];
            with_scratch(|scratch| {
                run(self.pass.width, TermSums { plan, input, kept, gradient, sums, scratch });
            });
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
        input_gradient: Option<&mut [f32]>,
    ) -> Vec<GradientSums> {
        let (pass, plan, group) = (&self.pass, self.pass.plan, self.pass.group());
        let groups = pass.groups();
        let lanes = plan.blocks() * LANES;
        let per_group = (plan.units.len() * 2 * lanes).max(1);
        let mut sums = vec![0.0; groups * per_group];
        let weights = parts(partial, layout.length, groups);
        let inner = parts(Some(inner), group * plan.gradients, groups);
        let to = parts(input_gradient, group * pass.image(), groups);
        each(
            sums.chunks_mut(per_group).zip(weights).zip(inner).zip(to).enumerate(),
            |(index, (((sums, weight_gradients), inner), input_gradient))| {
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
            },
        );
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
        const PART: usize = 1024;
        let mut total = Buffer::take(layout.length);
        each(total.chunks_mut(PART).enumerate(), |(index, total)| {
            let start = index * PART;
            run(self.pass.width, GroupSums { partial, length: layout.length, start, total });
        });
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

/// A part of the groups' sums, added up in the groups' order.
struct GroupSums<'a> {
    /// `[groups, length]`.
    partial: &'a [Lanes],
    length: usize,
    /// Where the part starts in each group's.
    start: usize,
    total: &'a mut [Lanes],
}

impl Task for GroupSums<'_> {
    #[inline(always)]
    fn run<R: Registers>(self) {
        let count = self.total.len();
        for (group, partial) in self.partial.chunks_exact(self.length).enumerate() {
            let partial = &partial[self.start..][..count];
            if group == 0 {
                self.total.copy_from_slice(partial);
                continue;
            }
            for (total, part) in self.total.iter_mut().zip(partial) {
                *total = total.plus::<R>(*part);
            }
        }
    }
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
        if self.level + 1 >= self.plan.levels {
            self.weight_gradients.fill(Lanes::ZERO);
        }
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
        if self.level == 0 {
            (scratch.activated_begun, scratch.raw_begun) = (false, false);
            if wanted.weights && plan.has_depthwise() {
                fill_activated_grid::<R>(plan, input, scratch);
            }
            if wanted.input {
                pad_for_pools(plan, input, scratch);
                if plan.has_maxima() {
                    fill_raw_grid(plan, input, scratch);
                }
            }
        }
        for (index, unit) in plan.level(self.level) {
            if matches!(unit.body, Body::Pool(_)) && !wanted.input {
                continue;
            }
            let of = UnitBack {
                plan,
                unit,
                back: &self.backs[index],
                kept,
                own: unit.gradient.map(|at| &inner[at..][..plan.blocks() * unit.pixels()]),
                gradient,
                input,
            };
            let product = match &unit.body {
                Body::Product(product) => product,
                Body::Pool(pool) => {
                    pool_back::<R>(&of, pool, scratch);
                    continue;
                }
            };
            if let (Rows::Depthwise(depthwise), Some(source)) = (&product.rows, unit.source) {
                scratch.activated_begun = false;
                if wanted.weights {
                    let results = &kept[plan.units[source].kept..];
                    fill_normed_grid::<R>(&depthwise.grid, results, &self.normals[source], &mut scratch.activated);
                }
            }
            let weights = if wanted.weights {
                let [depthwise, product] = self.layout.starts[index];
                Some(self.weight_gradients[depthwise..].split_at_mut(product - depthwise))
            } else {
                None
            };
            let back_to_source = unit.source.is_some() || wanted.input;
            product_back::<R>(&of, product, &self.packed[index], weights, back_to_source, scratch);
            if let Some(source) = unit.source {
                let lanes = plan.blocks() * LANES;
                source_gradient::<R>(
                    (plan, source, &self.normals[source]),
                    &kept[plan.units[source].kept..],
                    (gradient, plan.operation_of(source).map(|operation| self.mix[operation])),
                    &scratch.activated_gradient,
                    &mut inner[plan.units[source].gradient.unwrap_or(0)..],
                    &mut self.sums[source * 2 * lanes..][..2 * lanes],
                );
            }
        }
        if self.level == 0 && wanted.input {
            let identities = plan.terms.iter().filter(|term| term.unit.is_none());
            let identity = identities.map(|term| self.mix[term.operation]).reduce(|a, b| a + b);
            let to = &mut self.input_gradient[image * values..][..values];
            let parts = Parts {
                activated: scratch.activated_begun.then_some(scratch.activated_gradient.as_slice()),
                raw: scratch.raw_begun.then_some(scratch.raw_gradient.as_slice()),
                identity,
            };
            input_gradient::<R>(plan, input, gradient, parts, to);
        }
    }
}

/// Finishes the gradient of a unit's normed result, which another unit reads after a ReLU and which may be a term, too;
/// adds its sums.
#[inline(always)]
fn source_gradient<R: Registers>(
    (plan, source, normal): (&Plan, usize, &Normal),
    results: &[Lanes],
    (gradient, factor): (Pixels, Option<f32>),
    activated: &[Lanes],
    to: &mut [Lanes],
    sums: &mut [f64],
) {
    let pixels = plan.units[source].pixels();
    let (plain, with_result) = sums.split_at_mut(plan.blocks() * LANES);
    for block in 0..plan.blocks() {
        let (scale, shift) = (normal.scale[block], normal.shift[block]);
        let mut pixel = 0;
        while pixel < pixels {
            let count = STRIP.min(pixels - pixel);
            let strip = block * pixels + pixel..block * pixels + pixel + count;
            let (results, activated, to) = (&results[strip.clone()], &activated[strip.clone()], &mut to[strip]);
            for ((to, result), activated) in to.iter_mut().zip(results).zip(activated) {
                *to = activated.where_positive::<R>(shift.add_product::<R>(*result, scale));
            }
            if let Some(factor) = factor {
                for (to, gradient) in to.iter_mut().zip(gradient.run(pixel..pixel + count, block)) {
                    *to = to.add_product::<R>(gradient, R::splat(factor));
                }
            }
            let (mut sums, mut with) = ([Lanes::ZERO; 4], [Lanes::ZERO; 4]);
            for (x, (value, result)) in to.iter().zip(results).enumerate() {
                // The index is known where the loop is unrolled.
                sums[x % 4] = sums[x % 4].plus::<R>(*value);
                with[x % 4] = with[x % 4].add_product::<R>(*value, *result);
            }
            add_to_doubles(&mut plain[block * LANES..][..LANES], total::<R>(sums));
            add_to_doubles(&mut with_result[block * LANES..][..LANES], total::<R>(with));
            pixel += count;
        }
    }
}

/// Which parts the gradient of an input has: what came back through its ReLU, and what came back to it as it is.
struct Parts<'a> {
    /// `[blocks, pixels]`, like the other.
    activated: Option<&'a [Lanes]>,
    raw: Option<&'a [Lanes]>,
    /// The mix of the identity, which passes the output's gradient on.
    identity: Option<f32>,
}

/// The gradient of the input, all its parts together.
#[inline(always)]
fn input_gradient<R: Registers>(plan: &Plan, input: Pixels, gradient: Pixels, parts: Parts, to: &mut [f32]) {
    let pixels = volume(plan.input);
    for block in 0..blocks(plan.inputs) {
        let mut pixel = 0;
        while pixel + 8 <= pixels {
            input_tile::<R, 8>(plan, input, gradient, &parts, (pixel, block), to);
            pixel += 8;
        }
        while pixel < pixels {
            input_tile::<R, 1>(plan, input, gradient, &parts, (pixel, block), to);
            pixel += 1;
        }
    }
}

#[inline(always)]
fn input_tile<R: Registers, const P: usize>(
    plan: &Plan,
    input: Pixels,
    gradient: Pixels,
    parts: &Parts,
    (pixel, block): (usize, usize),
    to: &mut [f32],
) {
    let at = block * volume(plan.input) + pixel;
    let part = |lanes: &[Lanes]| -> [Lanes; P] { *lanes[at..].first_chunk().expect("a tile has P pixels") };
    let mut values = [Lanes::ZERO; P];
    if let Some(activated) = parts.activated.map(part) {
        let inputs = input.tile::<P>(pixel, block);
        for p in 0..P {
            values[p] = activated[p].where_positive::<R>(inputs[p]);
        }
    }
    if let Some(raw) = parts.raw.map(part) {
        for p in 0..P {
            values[p] = values[p].plus::<R>(raw[p]);
        }
    }
    if let Some(identity) = parts.identity {
        let gradients = gradient.tile::<P>(pixel, block);
        for p in 0..P {
            values[p] = values[p].add_product::<R>(gradients[p], R::splat(identity));
        }
    }
    for p in 0..P {
        store(to, plan.inputs, pixel + p, block, values[p]);
    }
}

/// Sums over the output's gradient for a group of images: `Σ G`, then `Σ G u` for every term.
struct TermSums<'a> {
    plan: &'a Plan,
    input: &'a [f32],
    kept: &'a [Lanes],
    gradient: &'a [f32],
    sums: &'a mut [f64],
    scratch: &'a mut Scratch,
}

impl Task for TermSums<'_> {
    #[inline(always)]
    fn run<R: Registers>(self) {
        let (plan, pixels, lanes) = (self.plan, volume(self.plan.output), self.plan.blocks() * LANES);
        let values = volume(plan.input) * plan.inputs;
        let (plain, with_results) = self.sums.split_at_mut(lanes);
        for (image, gradient) in self.gradient.chunks_exact(pixels * plan.outputs).enumerate() {
            let gradient = Pixels { values: gradient, channels: plan.outputs };
            let input = Pixels { values: &self.input[image * values..][..values], channels: plan.inputs };
            let kept = &self.kept[image * plan.kept..][..plan.kept];
            pad_for_pools(plan, input, self.scratch);
            let mut pixel = 0;
            while pixel < pixels {
                let count = plan.strip().min(pixels - pixel);
                fill_pooled::<R>(plan, input, (pixel, count), self.scratch);
                for block in 0..plan.blocks() {
                    let mut parts = [Lanes::ZERO; 4];
                    for (x, gradient) in gradient.run(pixel..pixel + count, block).enumerate() {
                        // The index is known where the loop is unrolled.
                        parts[x % 4] = parts[x % 4].plus::<R>(gradient);
                    }
                    add_to_doubles(&mut plain[block * LANES..][..LANES], total::<R>(parts));
                    for (term, sums) in plan.terms.iter().zip(with_results.chunks_exact_mut(lanes)) {
                        let results = match term.unit.map(|unit| (&plan.units[unit].body, plan.units[unit].kept)) {
                            Some((Body::Product(_), start)) => Some(&kept[start + block * pixels + pixel..][..count]),
                            Some((Body::Pool(_), start)) => {
                                Some(&self.scratch.pooled[start + block * count..][..count])
                            }
                            None => None,
                        };
                        let parts = match results {
                            Some(results) => result_products::<R>(results, gradient, pixel, block),
                            None => input_products::<R>(input, gradient, pixel..pixel + count, block),
                        };
                        add_to_doubles(&mut sums[block * LANES..][..LANES], total::<R>(parts));
                    }
                }
                pixel += count;
            }
        }
    }
}

/// `Σ G u` over a strip, in four parts.
#[inline(always)]
fn result_products<R: Registers>(results: &[Lanes], gradient: Pixels, pixel: usize, block: usize) -> [Lanes; 4] {
    let mut parts = [Lanes::ZERO; 4];
    let mut chunks = results.chunks_exact(4);
    let mut at = pixel;
    for chunk in &mut chunks {
        let gradients = gradient.tile::<4>(at, block);
        for p in 0..4 {
            parts[p] = parts[p].add_product::<R>(chunk[p], gradients[p]);
        }
        at += 4;
    }
    for (p, result) in chunks.remainder().iter().enumerate() {
        parts[0] = parts[0].add_product::<R>(*result, gradient.load(at + p, block));
    }
    parts
}

/// `Σ G x` over a strip, in four parts.
#[inline(always)]
fn input_products<R: Registers>(input: Pixels, gradient: Pixels, strip: Range<usize>, block: usize) -> [Lanes; 4] {
    let mut parts = [Lanes::ZERO; 4];
    let mut pixel = strip.start;
    while pixel + 4 <= strip.end {
        let (inputs, gradients) = (input.tile::<4>(pixel, block), gradient.tile::<4>(pixel, block));
        for p in 0..4 {
            parts[p] = parts[p].add_product::<R>(inputs[p], gradients[p]);
        }
        pixel += 4;
    }
    for pixel in pixel..strip.end {
        parts[0] = parts[0].add_product::<R>(input.load(pixel, block), gradient.load(pixel, block));
    }
    parts
}
