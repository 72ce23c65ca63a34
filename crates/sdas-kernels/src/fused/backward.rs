//! The way back: one pass for the sums over the output's gradient, and one pass per level of units, the last level first.

use super::dense;
use super::fan::{Fan, Kept};
use super::forward::{
    add_to_doubles, fill_activated_grid, fill_normed_grid, fill_raw_grid, pad_for_pools, sum_of_groups, total,
};
use super::input_back::{Parts, input_gradient};
use super::memory::{Buffer, Scratch, with_scratch};
use super::normal::{Back, GradientSums, Normal};
use super::pack::{GradientLayout, Packed, transpose};
use super::plan::{Body, Plan, Rows, STRIP, Term};
use super::term_sums::TermSums;
use super::unit_back::{UnitBack, pool_back, product_back};
use crate::crew::each;
use crate::lanes::{LANES, Lanes, Pixels, prefetch};
use crate::registers::Registers;
use crate::width::{Task, Width, run};

/// Which gradients are asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted {
    pub(crate) input: bool,
    pub(crate) weights: bool,
    pub(crate) mix: bool,
}

/// Gradients of what an edge is given, each empty where it was not asked for.
#[derive(Default)]
pub(crate) struct Gradients {
    pub(crate) weights: Vec<f32>,
    pub(crate) mix: Vec<f32>,
}

/// The way back through a fan.
pub(crate) struct Backward<'a> {
    pub(crate) fan: Fan<'a>,
    /// Gradients of the edges' outputs, `[images, pixels, outputs]` each.
    pub(crate) gradients: Vec<&'a [f32]>,
    /// Whether the norms used the batch's own statistics, which then depend on the results.
    pub(crate) batch: bool,
    pub(crate) wanted: Wanted,
}

/// Where the gradient of a fan's input goes.
pub(crate) struct InputGradient<'a> {
    /// `[images, pixels, inputs]`; empty where it is not asked for.
    pub(crate) values: &'a mut [f32],
    /// Whether it is added to what stands there.
    pub(crate) begun: bool,
}

impl Backward<'_> {
    /// Goes back; returns the gradients of what each edge was given. What the edges have kept is used up.
    pub(crate) fn run(&self, mut kept: Vec<Kept>, mut input: InputGradient) -> Vec<Gradients> {
        let (fan, plan, wanted) = (&self.fan, self.fan.plan, self.wanted);
        let edges = fan.edges.len();
        let mut gradients: Vec<_> = (0..edges).map(|_| Gradients::default()).collect();
        let normed = plan.units.iter().any(|unit| unit.statistics.is_some());
        let needed = wanted.mix || normed && (self.batch || wanted.weights);
        let terms = if needed { self.term_sums(&mut kept) } else { vec![vec![]; edges] };
        if wanted.mix {
            for (edge, gradients) in gradients.iter_mut().enumerate() {
                gradients.mix = self.mix_gradient(&kept[edge].normals, &terms[edge]);
            }
        }
        if !wanted.input && !wanted.weights {
            return gradients;
        }
        let mut packed: Vec<_> = kept.iter_mut().map(|kept| std::mem::take(&mut kept.packed)).collect();
        each(&mut packed, |packed| transpose(plan, packed));
        let layout = GradientLayout::new(plan);
        let partial = |_| Buffer::borrow(fan.groups() * layout.length);
        let mut partial: Vec<_> = (0..if wanted.weights { edges } else { 0 }).map(partial).collect();
        // Of a unit that is a term, and read by no other, the gradient is the output's.
        let mut sums = vec![vec![GradientSums::default(); plan.units.len()]; edges];
        for (sums, terms) in sums.iter_mut().zip(terms) {
            for (term, sum) in plan.terms.iter().zip(terms) {
                if let Some(unit) = term.unit.filter(|&unit| plan.units[unit].gradient.is_none()) {
                    sums[unit] = sum;
                }
            }
        }
        let mut backs: Vec<Vec<Back>> = vec![plan.units.iter().map(|_| Back::default()).collect(); edges];
        for level in (0..plan.levels.max(1)).rev() {
            let of_norms = if self.batch { self.sums_of_norms(level, &sums) } else { vec![vec![]; edges] };
            for (backs, (edge, of_norms)) in backs.iter_mut().zip(of_norms.iter().enumerate()) {
                let mut of_norms = of_norms.iter();
                for (index, unit) in plan.level(level) {
                    let elements = (fan.samples() * unit.pixels()) as f64;
                    let statistics = of_norms.next().filter(|sums| !sums.plain.is_empty()).map(|sums| (sums, elements));
                    let normal = &kept[edge].normals[index];
                    backs[index] =
                        normal.back((plan, unit), fan.edges[edge].weights, self.factor(edge, index), statistics);
                }
            }
            let inner_sums = self.level(level, &packed, &layout, &backs, (&mut kept, &mut partial), &mut input);
            for (sums, inner) in sums.iter_mut().zip(inner_sums) {
                for (sum, inner) in sums.iter_mut().zip(inner).filter(|(_, inner)| !inner.plain.is_empty()) {
                    *sum = inner;
                }
            }
        }
        if wanted.weights {
            let mut total = self.partial_total(&partial, layout.length);
            if plan.shared {
                total.iter_mut().for_each(Lanes::fold);
            }
            each(gradients.iter_mut().enumerate(), |(edge, gradients)| {
                let total = &total[edge * layout.length..][..layout.length];
                gradients.weights = self.weight_gradient((edge, &kept[edge].normals), total, &layout, &sums[edge]);
            });
        }
        gradients
    }

    /// By edge and unit of a level, the sums that the norms' coefficients are made of: over the samples that the norms go by.
    /// Gradients of weights and mix are made of those over our own.
    fn sums_of_norms(&self, level: usize, sums: &[Vec<GradientSums>]) -> Vec<Vec<GradientSums>> {
        let plan = self.fan.plan;
        let of_edge = |sums: &Vec<GradientSums>| plan.level(level).map(|(index, _)| sums[index].clone()).collect();
        let mut own: Vec<Vec<GradientSums>> = sums.iter().map(of_edge).collect();
        if let Some(together) = self.fan.together {
            let normed = own.iter_mut().flat_map(|sums| {
                sums.iter_mut().zip(plan.level(level)).filter(|(_, (_, unit))| unit.statistics.is_some())
            });
            together.sum(normed.flat_map(|(sums, _)| [&mut sums.plain, &mut sums.with_result]));
        }
        own
    }

    /// What the gradient of a unit's normed result is multiplied by: gradients that come from other units already have
    /// the mix in them.
    fn factor(&self, edge: usize, unit: usize) -> f64 {
        let plan = self.fan.plan;
        match plan.operation_of(unit) {
            Some(operation) if plan.units[unit].gradient.is_none() => f64::from(self.fan.edges[edge].mix[operation]),
            _ => 1.0,
        }
    }

    /// `Σ G` and `Σ G u` for every term of every edge, G being the gradient of the edge's output.
    fn term_sums(&self, kept: &mut [Kept]) -> Vec<Vec<GradientSums>> {
        let (fan, plan, group) = (&self.fan, self.fan.plan, self.fan.group());
        let lanes = plan.blocks() * LANES;
        let per_edge = (plan.terms.len() + 1) * lanes;
        let per_group = per_edge * fan.edges.len();
        let mut sums = vec![0.0; fan.groups() * per_group];
        let branches = self.branches(kept, &mut []);
        let groups = sums.chunks_mut(per_group).zip(fan.input.chunks(group * fan.image())).zip(branches);
        each(groups, |((sums, input), edges)| {
            with_scratch(|scratch| {
                run(fan.width, TermSums { plan, input, edges, sums, scratch });
            });
        });
        let mut sums = sum_of_groups(sums, per_group);
        plan.fold_sums(&mut sums);
        let of_edge = |sums: &[f64]| {
            let (plain, terms) = sums.split_at(lanes);
            let with = terms.chunks_exact(lanes);
            with.map(|with| GradientSums { plain: plain.to_vec(), with_result: with.to_vec() }).collect()
        };
        sums.chunks_exact(per_edge).map(of_edge).collect()
    }

    /// What the edges have, by group of images. `partial` is empty where no weights' gradients are asked for.
    fn branches<'b>(&'b self, kept: &'b mut [Kept], partial: &'b mut [Buffer]) -> Vec<Vec<Branch<'b>>> {
        let (fan, group) = (&self.fan, self.fan.group());
        let mut groups: Vec<_> = (0..fan.groups()).map(|_| Vec::with_capacity(fan.edges.len())).collect();
        let mut partial = partial.iter_mut();
        for ((Kept { results, normals, .. }, gradient), edge) in kept.iter_mut().zip(&self.gradients).zip(&fan.edges) {
            let partial = partial.next().map(|partial| &mut partial[..]);
            let length = partial.as_ref().map_or(0, |partial| partial.len() / fan.groups());
            let results = results.chunks_mut(group * fan.plan.kept);
            let gradients = gradient.chunks(group * fan.output());
            let of_groups = results.zip(gradients).zip(parts(partial, length, fan.groups()));
            for (branches, ((kept, gradient), weight_gradients)) in groups.iter_mut().zip(of_groups) {
                branches.push(Branch { kept, normals, gradient, mix: &edge.mix, weight_gradients });
            }
        }
        groups
    }

    /// dm = Σ G v, summed over the terms of an operation, with v = scale × u + shift.
    fn mix_gradient(&self, normals: &[Normal], sums: &[GradientSums]) -> Vec<f32> {
        let plan = self.fan.plan;
        let mut gradient = vec![0.0; plan.operations];
        for (Term { operation, unit }, sums) in plan.terms.iter().zip(sums) {
            for channel in 0..plan.outputs {
                let (block, lane) = (channel / LANES, channel % LANES);
                let (scale, shift) = match unit {
                    Some(unit) => {
                        let [scale, shift] = normals[*unit].line(block);
                        (f64::from(scale.0[lane]), f64::from(shift.0[lane]))
                    }
                    None => (1.0, 0.0),
                };
                gradient[*operation] += scale * sums.with_result[channel] + shift * sums.plain[channel];
            }
        }
        gradient.into_iter().map(|value| value as f32).collect()
    }

    /// Goes back through the units of a level; returns per edge the sums for the units of the level before, by unit.
    fn level(
        &self,
        level: usize,
        packed: &[Vec<Packed>],
        layout: &GradientLayout,
        backs: &[Vec<Back>],
        (kept, partial): (&mut [Kept], &mut [Buffer]),
        input_gradient: &mut InputGradient,
    ) -> Vec<Vec<GradientSums>> {
        let (fan, plan, group) = (&self.fan, self.fan.plan, self.fan.group());
        let (groups, edges) = (fan.groups(), fan.edges.len());
        let lanes = plan.blocks() * LANES;
        let sources: Vec<_> = plan.level(level).filter_map(|(_, unit)| unit.source).collect();
        let per_edge = sources.len() * 2 * lanes;
        let per_group = (per_edge * edges).max(1);
        let mut sums = vec![0.0; groups * per_group];
        let begun = input_gradient.begun;
        let to = parts(Some(&mut *input_gradient.values), group * fan.image(), groups);
        each(
            sums.chunks_mut(per_group).zip(self.branches(kept, partial)).zip(to).enumerate(),
            |(index, ((sums, edges), input_gradient))| {
                let first = index * group;
                with_scratch(|scratch| {
                    let task = Level {
                        plan,
                        width: fan.width,
                        level,
                        packed,
                        layout,
                        backs,
                        wanted: self.wanted,
                        images: group.min(plan.images - first),
                        input: &fan.input[first * fan.image()..],
                        edges,
                        input_gradient: InputGradient { values: input_gradient, begun },
                        sources: &sources,
                        sums,
                        scratch,
                    };
                    run(fan.width, task);
                });
            },
        );
        let mut sums = sum_of_groups(sums, per_group);
        plan.fold_sums(&mut sums);
        let of_edge = |edge: usize| {
            let mut read = vec![GradientSums::default(); plan.units.len()];
            for (place, source) in sources.iter().enumerate() {
                let (plain, with_result) = sums[edge * per_edge + place * 2 * lanes..][..2 * lanes].split_at(lanes);
                read[*source] = GradientSums { plain: plain.to_vec(), with_result: with_result.to_vec() };
            }
            read
        };
        (0..edges).map(of_edge).collect()
    }

    /// The groups' sums, added up in their order, edge after edge.
    fn partial_total(&self, partial: &[Buffer], length: usize) -> Buffer {
        const PART: usize = 1024;
        let mut total = Buffer::borrow(partial.len() * length);
        let parts = total.chunks_mut(length.max(1)).zip(partial);
        let parts = parts.flat_map(|(total, partial)| {
            total.chunks_mut(PART).enumerate().map(move |(index, total)| (partial, index, total))
        });
        each(parts, |(partial, index, total)| {
            run(self.fan.width, GroupSums { partial, length, start: index * PART, total });
        });
        total
    }

    /// Gradients of an edge's weights in their order, and of the norms' scales and shifts.
    fn weight_gradient(
        &self,
        (edge, normals): (usize, &[Normal]),
        total: &[Lanes],
        layout: &GradientLayout,
        sums: &[GradientSums],
    ) -> Vec<f32> {
        let plan = self.fan.plan;
        let mut flat = vec![0.0; plan.weights];
        layout.unpack(plan, total, &mut flat);
        for (index, unit) in plan.units.iter().enumerate() {
            let Some(at) = unit.scale else { continue };
            let normal = &normals[index];
            for channel in 0..plan.outputs {
                let [scale, shift] = normal.affine_gradients(&sums[index], channel, self.factor(edge, index));
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

/// What an edge has for a group of images, and further on.
pub(crate) struct Branch<'a> {
    pub(crate) kept: &'a mut [Lanes],
    normals: &'a [Normal],
    /// Gradient of its output.
    gradient: &'a [f32],
    mix: &'a [f32],
    /// Sums over the group, where they are asked for.
    weight_gradients: &'a mut [Lanes],
}

/// The units of one level for a group of images.
struct Level<'a> {
    plan: &'a Plan,
    width: Width,
    level: usize,
    packed: &'a [Vec<Packed>],
    layout: &'a GradientLayout,
    backs: &'a [Vec<Back>],
    wanted: Wanted,
    images: usize,
    input: &'a [f32],
    edges: Vec<Branch<'a>>,
    input_gradient: InputGradient<'a>,
    /// The units that those of the level read.
    sources: &'a [usize],
    /// `[edges, sources, 2, blocks × LANES]`.
    sums: &'a mut [f64],
    scratch: &'a mut Scratch,
}

impl Task for Level<'_> {
    #[inline(always)]
    fn run<R: Registers>(mut self) {
        if self.level + 1 >= self.plan.levels {
            self.edges.iter_mut().for_each(|edge| edge.weight_gradients.fill(Lanes::ZERO));
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
        let input = plan.input_pixels(self.input, image);
        if self.level == 0 {
            (self.scratch.activated_begun, self.scratch.raw_begun) = (false, false);
            if wanted.weights && plan.reads_activated() {
                fill_activated_grid::<R>(plan, input, self.scratch);
            }
            if wanted.input {
                pad_for_pools::<R>(plan, input, self.scratch);
                if plan.has_maxima() {
                    fill_raw_grid::<R>(plan, input, self.scratch);
                }
            }
        }
        for edge in 0..self.edges.len() {
            self.products::<R>(edge, image, input);
        }
        if self.level > 0 || !wanted.input {
            return;
        }
        for (index, unit) in plan.level(0) {
            let Body::Pool(pool) = &unit.body else { continue };
            let edges = self.edges.iter().zip(self.backs).map(|(branch, backs)| UnitBack {
                plan,
                unit,
                back: &backs[index],
                kept: &[],
                own: None,
                gradient: branch.output(plan, image),
                input,
            });
            let edges: Vec<_> = edges.collect();
            pool_back::<R>(&edges, pool, self.scratch);
        }
        let identities = plan.terms.iter().filter(|term| term.unit.is_none());
        let identity = |mix: &[f32]| identities.clone().map(|term| mix[term.operation]).reduce(|a, b| a + b);
        let identities = self.edges.iter().filter_map(|edge| Some((edge.output(plan, image), identity(edge.mix)?)));
        let parts = Parts {
            activated: self.scratch.activated_begun.then_some(self.scratch.activated_gradient.as_slice()),
            raw: self.scratch.raw_begun.then_some(self.scratch.raw_gradient.as_slice()),
            identities: identities.collect(),
            begun: self.input_gradient.begun,
        };
        input_gradient::<R>(plan, input, parts, plan.input_pixels_mut(self.input_gradient.values, image));
    }

    #[inline(always)]
    fn products<R: Registers>(&mut self, edge: usize, image: usize, input: Pixels) {
        let (plan, wanted, branch) = (self.plan, self.wanted, &mut self.edges[edge]);
        let gradient = branch.output(plan, image);
        let kept = &mut branch.kept[image * plan.kept..][..plan.kept];
        let scratch = &mut *self.scratch;
        for (index, unit) in plan.level(self.level) {
            let Body::Product(product) = &unit.body else { continue };
            let of = UnitBack {
                plan,
                unit,
                back: &self.backs[edge][index],
                kept,
                own: unit.gradient.map(|at| &kept[at..][..plan.blocks() * unit.pixels()]),
                gradient,
                input,
            };
            if let (Rows::Depthwise(depthwise), Some(source)) = (&product.rows, unit.source) {
                scratch.activated_begun = false;
                if wanted.weights {
                    let results = &kept[plan.units[source].kept..];
                    let normal = (&branch.normals[source], input);
                    fill_normed_grid::<R>(&depthwise.grid, results, normal, &mut scratch.activated);
                }
            }
            let weights = if wanted.weights {
                let [depthwise, product] = self.layout.starts[index];
                Some(branch.weight_gradients[depthwise..].split_at_mut(product - depthwise))
            } else {
                None
            };
            let back_to_source = unit.source.is_some() || wanted.input;
            let packed = &self.packed[edge][index];
            if let Rows::Patches { direct: Some(direct), .. } = &product.rows {
                let weights = weights.map(|(_, product)| product);
                let back = dense::Back { of: &of, product, direct, packed, weights, to_input: wanted.input, scratch };
                run(self.width, back);
                continue;
            }
            product_back::<R>(&of, product, packed, weights, back_to_source, scratch);
            if let Some(source) = unit.source {
                let lanes = plan.blocks() * LANES;
                let place = self.sources.iter().position(|&of| of == source).expect("the level's units read it");
                let (before, own) = kept.split_at_mut(unit.kept);
                source_gradient::<R>(
                    (plan, source, &branch.normals[source]),
                    &before[plan.units[source].kept..],
                    (gradient, plan.operation_of(source).map(|operation| branch.mix[operation])),
                    &scratch.activated_gradient,
                    own,
                    &mut self.sums[(edge * self.sources.len() + place) * 2 * lanes..][..2 * lanes],
                );
            }
        }
    }
}

impl<'a> Branch<'a> {
    /// An image's gradient of the output.
    #[inline(always)]
    pub(crate) fn output(&self, plan: &Plan, image: usize) -> Pixels<'a> {
        plan.output_pixels(self.gradient, image)
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
        let [scale, shift] = normal.line(block);
        let mut pixel = 0;
        while pixel < pixels {
            let count = STRIP.min(pixels - pixel);
            let strip = block * pixels + pixel..block * pixels + pixel + count;
            let (results, activated, to) = (&results[strip.clone()], &activated[strip.clone()], &mut to[strip]);
            let (mut sums, mut with) = ([Lanes::ZERO; 4], [Lanes::ZERO; 4]);
            for (x, ((to, result), activated)) in to.iter_mut().zip(results).zip(activated).enumerate() {
                prefetch(results, x + STRIP);
                let mut value = activated.where_positive::<R>(shift.add_product::<R>(*result, scale));
                if let Some(factor) = factor {
                    value = value.add_product::<R>(gradient.load(pixel + x, block), R::splat(factor));
                }
                *to = value;
                // The index is known where the loop is unrolled.
                sums[x % 4] = sums[x % 4].plus::<R>(value);
                with[x % 4] = with[x % 4].add_product::<R>(value, *result);
            }
            add_to_doubles(&mut plain[block * LANES..][..LANES], total::<R>(sums));
            add_to_doubles(&mut with_result[block * LANES..][..LANES], total::<R>(with));
            pixel += count;
        }
    }
}
