//! The way there: one pass per level of units, a reduction of the norms' sums behind each, and one pass for the sum.

use super::correlate::{Row, correlate_row};
use super::dense::There;
use super::fan::{Fan, Given, Kept};
use super::grid::Grid;
use super::memory::{Buffer, Scratch, first, with_scratch};
use super::normal::Normal;
use super::pack::Packed;
use super::plan::{Body, Plan, PoolUnit, Product, Rows, STRIP, Term, Unit, strip};
use super::pool::{Input, start};
use super::product::{Results, Strip, Sums, multiply};
use super::rows::{Place, gather};
use crate::crew::each;
use crate::lanes::{LANES, Lanes, Pixels, PixelsMut, blocks, prefetch};
use crate::registers::Registers;
use crate::weights::volume;
use crate::width::{Task, Width, run};
use std::ops::Range;

/// Sums of a unit's results and of their squares, `[blocks × LANES]` each.
pub(crate) type UnitSums = [Vec<f64>; 2];

/// Where an edge's result goes.
pub(crate) struct Onto<'a> {
    /// `[images, pixels, outputs]`.
    pub(crate) sum: &'a mut [f32],
    /// Whether the result is added to what stands there.
    pub(crate) begun: bool,
    /// What the result is multiplied by, a factor per image.
    pub(crate) factors: Option<&'a [f32]>,
}

impl Fan<'_> {
    /// Computes the units of a level into `kept`, `[images, plan.kept]` an edge; returns per edge and unit of the level the
    /// sums of its results, which are zero for the pools of all edges but the first.
    pub(crate) fn level(
        &self,
        level: usize,
        packed: &[Vec<Packed>],
        normals: &[Vec<Normal>],
        kept: &mut [Buffer],
    ) -> Vec<Vec<UnitSums>> {
        let (plan, group, lanes) = (self.plan, self.group(), self.plan.blocks() * LANES);
        let per_edge = plan.level(level).count() * 2 * lanes;
        let per_group = per_edge * self.edges.len();
        let mut sums = vec![0.0; self.groups() * per_group];
        let mut kept: Vec<_> = kept.iter_mut().map(|kept| kept.chunks_mut(group * plan.kept)).collect();
        let groups = sums.chunks_mut(per_group).zip(self.input.chunks(group * self.image())).map(|(sums, input)| {
            let kept: Vec<_> = kept.iter_mut().map(|kept| kept.next().expect("as many as groups")).collect();
            (kept, sums, input)
        });
        each(groups, |(kept, sums, input)| {
            with_scratch(|scratch| {
                let width = self.width;
                run(width, Level { plan, width, level, packed, normals, input, kept, sums, scratch });
            });
        });
        let mut sums = sum_of_groups(sums, per_group);
        plan.fold_sums(&mut sums);
        let of_unit = |sums: &[f64]| [sums[..lanes].to_vec(), sums[lanes..].to_vec()];
        sums.chunks_exact(per_edge).map(|sums| sums.chunks_exact(2 * lanes).map(of_unit).collect()).collect()
    }

    /// Adds up the terms of every edge.
    pub(crate) fn combine(&self, kept: &[Kept], onto: Vec<Onto>) {
        let (plan, group) = (self.plan, self.group());
        let mixtures: Vec<_> = self.edges.iter().zip(kept).map(|(edge, kept)| Mixture::new(plan, edge, kept)).collect();
        let mut sums: Vec<_> = onto
            .into_iter()
            .map(|onto| (onto.sum.chunks_mut(group * self.output()), onto.begun, onto.factors))
            .collect();
        let groups = self.input.chunks(group * self.image()).enumerate().map(|(index, input)| {
            let edges =
                sums.iter_mut().zip(&mixtures).zip(kept).map(|(((sum, begun, factors), mixture), kept)| Share {
                    mixture,
                    kept: &kept.results[index * group * plan.kept..],
                    sum: sum.next().expect("as many as groups"),
                    begun: *begun,
                    factors: factors.map(|factors| &factors[index * group * plan.together()..]),
                });
            (edges.collect::<Vec<_>>(), input)
        });
        each(groups, |(edges, input)| {
            with_scratch(|scratch| run(self.width, Combine { plan, edges, input, scratch }));
        });
    }
}

/// The units of one level for a group of images.
struct Level<'a> {
    plan: &'a Plan,
    width: Width,
    level: usize,
    packed: &'a [Vec<Packed>],
    normals: &'a [Vec<Normal>],
    input: &'a [f32],
    /// By edge.
    kept: Vec<&'a mut [Lanes]>,
    /// `[edges, units of the level, 2, blocks × LANES]`.
    sums: &'a mut [f64],
    scratch: &'a mut Scratch,
}

impl Task for Level<'_> {
    #[inline(always)]
    fn run<R: Registers>(mut self) {
        for image in 0..self.kept[0].len() / self.plan.kept {
            self.image::<R>(image, self.plan.input_pixels(self.input, image));
        }
    }
}

impl Level<'_> {
    #[inline(always)]
    fn image<R: Registers>(&mut self, image: usize, input: Pixels) {
        let plan = self.plan;
        if self.level == 0 {
            if plan.reads_activated() {
                fill_activated_grid::<R>(plan, input, self.scratch);
            }
            pad_for_pools::<R>(plan, input, self.scratch);
        }
        for edge in 0..self.kept.len() {
            self.edge::<R>(edge, image, input);
        }
    }

    #[inline(always)]
    fn edge<R: Registers>(&mut self, edge: usize, image: usize, input: Pixels) {
        let plan = self.plan;
        let kept = &mut self.kept[edge][image * plan.kept..][..plan.kept];
        let products = plan.level(self.level).filter(|(_, unit)| matches!(unit.body, Body::Product(_)));
        let own_start = products.map(|(_, unit)| unit.kept).min().unwrap_or(0);
        let (earlier, own) = kept.split_at_mut(own_start);
        let lanes = plan.blocks() * LANES;
        let per_edge = self.sums.len() / self.packed.len();
        let sums = self.sums[edge * per_edge..][..per_edge].chunks_exact_mut(2 * lanes);
        for ((index, unit), sums) in plan.level(self.level).zip(sums) {
            let packed = &self.packed[edge][index];
            let (values, squares) = sums.split_at_mut(lanes);
            match &unit.body {
                Body::Product(product) => {
                    if let (Rows::Depthwise(depthwise), Some(source)) = (&product.rows, unit.source) {
                        let normal = &self.normals[edge][source];
                        let source = &earlier[plan.units[source].kept..];
                        fill_normed_grid::<R>(&depthwise.grid, source, (normal, input), &mut self.scratch.activated);
                    }
                    let results = &mut own[unit.kept - own_start..][..plan.blocks() * unit.pixels()];
                    let scratch = &mut *self.scratch;
                    if let Rows::Patches { direct: Some(direct), .. } = &product.rows {
                        let there = There { plan, unit, product, direct, packed, results, values, squares, scratch };
                        run(self.width, there);
                    } else {
                        product_unit::<R>(plan, unit, product, packed, input, results, (values, squares), scratch);
                    }
                }
                // What has no norm needs no sums, and is computed where it is read; all edges have the same pools.
                Body::Pool(pool) if edge == 0 && unit.statistics.is_some() => {
                    pool_sums::<R>(plan, unit, pool, input, (values, squares), self.scratch);
                }
                Body::Pool(_) => {}
            }
        }
    }
}

/// Adds the sums of a pool's results.
#[inline(always)]
fn pool_sums<R: Registers>(
    plan: &Plan,
    unit: &Unit,
    pool: &PoolUnit,
    input: Pixels,
    (values, squares): (&mut [f64], &mut [f64]),
    scratch: &mut Scratch,
) {
    let mut pixel = 0;
    while pixel < unit.pixels() {
        let pixels = plan.strip().min(unit.pixels() - pixel);
        let Scratch { pooled, columns, padded, .. } = &mut *scratch;
        let results = first(pooled, plan.blocks() * pixels);
        let input = pool_input(plan, input, padded);
        pool.strip::<R>((plan.input, plan.output), input, (pixel, pixels), columns, results);
        for (block, results) in results.chunks_exact(pixels).enumerate() {
            let at = block * LANES..(block + 1) * LANES;
            let (mut sum, mut square) = ([Lanes::ZERO; 4], [Lanes::ZERO; 4]);
            for (x, result) in results.iter().enumerate() {
                sum[x % 4] = sum[x % 4].plus::<R>(*result);
                square[x % 4] = square[x % 4].add_product::<R>(*result, *result);
            }
            add_to_doubles(&mut values[at.clone()], total::<R>(sum));
            add_to_doubles(&mut squares[at.clone()], total::<R>(square));
        }
        pixel += pixels;
    }
}

/// Pads an image's input for its pools, where its channels do not fill their blocks.
#[inline(always)]
pub(crate) fn pad_for_pools<R: Registers>(plan: &Plan, input: Pixels, scratch: &mut Scratch) {
    if plan.pooled == 0 || plan.inputs.is_multiple_of(LANES) {
        return;
    }
    let pixels = volume(plan.input);
    let padded = first(&mut scratch.padded, blocks(plan.inputs) * pixels);
    for (block, padded) in padded.chunks_exact_mut(pixels).enumerate() {
        input.fill::<R, false>(0, block, padded);
    }
}

/// What an image's pools read, after [`pad_for_pools`].
#[inline(always)]
pub(crate) fn pool_input<'a>(plan: &Plan, input: Pixels<'a>, padded: &'a [Lanes]) -> Input<'a> {
    match plan.inputs.is_multiple_of(LANES) {
        true => Input::Pixels(input),
        false => Input::Padded { lanes: padded, pixels: volume(plan.input) },
    }
}

/// Fills the pools' results of the strip of whole rows from `pixel` on.
#[inline(always)]
pub(crate) fn fill_pooled<R: Registers>(
    plan: &Plan,
    input: Pixels,
    (pixel, pixels): (usize, usize),
    scratch: &mut Scratch,
) {
    let Scratch { pooled, columns, padded, .. } = scratch;
    let (input, pooled) = (pool_input(plan, input, padded), first(pooled, plan.pooled));
    for (_, unit) in plan.level(0) {
        let Body::Pool(pool) = &unit.body else { continue };
        let results = &mut pooled[unit.kept..][..plan.blocks() * pixels];
        pool.strip::<R>((plan.input, plan.output), input, (pixel, pixels), columns, results);
    }
}

/// Fills the grid of the input as it is, its border left open.
#[inline(always)]
pub(crate) fn fill_raw_grid<R: Registers>(plan: &Plan, input: Pixels, scratch: &mut Scratch) {
    let grid = &plan.raw;
    let to = first(&mut scratch.raw, blocks(plan.inputs) * grid.plane());
    for (block, to) in to.chunks_exact_mut(grid.plane()).enumerate() {
        for row in 0..grid.rows() {
            input.fill::<R, false>(row * grid.width(), block, &mut to[grid.row(row)..][..grid.width()]);
        }
    }
}

/// Fills the grid of the input after its ReLU.
#[inline(always)]
pub(crate) fn fill_activated_grid<R: Registers>(plan: &Plan, input: Pixels, scratch: &mut Scratch) {
    let grid = &plan.activated;
    let to = first(&mut scratch.activated, blocks(plan.inputs) * grid.plane());
    for (block, to) in to.chunks_exact_mut(grid.plane()).enumerate() {
        grid.fill_border(to, Lanes::ZERO);
        for row in 0..grid.rows() {
            input.fill::<R, true>(row * grid.width(), block, &mut to[grid.row(row)..][..grid.width()]);
        }
    }
}

/// Fills a grid with an earlier unit's results, `[blocks, pixels]`, after their norm and a ReLU; `input` is the edge's.
#[inline(always)]
pub(crate) fn fill_normed_grid<R: Registers>(
    grid: &Grid,
    source: &[Lanes],
    (normal, input): (&Normal, Pixels),
    to: &mut Vec<Lanes>,
) {
    let pixels = volume(grid.inner);
    let to = first(to, normal.blocks() * grid.plane());
    for (block, to) in to.chunks_exact_mut(grid.plane()).enumerate() {
        let [scale, shift] = normal.line(block).map(|lanes| input.present(lanes));
        let source = &source[block * pixels..][..pixels];
        grid.fill_border(to, Lanes::ZERO);
        for row in 0..grid.rows() {
            let results = &source[row * grid.width()..][..grid.width()];
            for (x, (to, result)) in to[grid.row(row)..][..grid.width()].iter_mut().zip(results).enumerate() {
                prefetch(results, x + STRIP);
                *to = shift.add_product::<R>(*result, scale).relu::<R>();
            }
        }
    }
}

/// Fills `rows`, `[blocks, pixels]`, with the rows of the strip from `pixel` on.
#[inline(always)]
#[allow(clippy::too_many_arguments)]
pub(crate) fn fill_rows<R: Registers>(
    unit: &Unit,
    product: &Product,
    packed: &Packed,
    channels: usize,
    input: Pixels,
    source: &[Lanes],
    (pixel, pixels): (usize, usize),
    rows: &mut [Lanes],
) {
    let Rows::Depthwise(depthwise) = &product.rows else {
        let place = Place { input: unit.input, output: unit.output, channels: input.channels(), first: pixel, pixels };
        return gather::<R>(&product.rows, place, input, rows);
    };
    let [_, height, width] = unit.output;
    let [st, sh, sw] = depthwise.window.stride;
    let taps = depthwise.taps.len();
    for block in 0..blocks(channels) {
        let source = &source[block * depthwise.grid.plane()..][..depthwise.grid.plane()];
        let weights = &packed.depthwise[block * taps..][..taps];
        for row in 0..pixels / width {
            let y = pixel / width + row;
            let from = start(&depthwise.grid, y / height * st, y % height * sh);
            let to = Row { start: block * pixels + row * width, step: 1, length: width };
            correlate_row::<R, false>(source, (from, sw), &depthwise.taps, weights, rows, to);
        }
    }
}

#[inline(always)]
#[allow(clippy::too_many_arguments)]
fn product_unit<R: Registers>(
    plan: &Plan,
    unit: &Unit,
    product: &Product,
    packed: &Packed,
    input: Pixels,
    results: &mut [Lanes],
    (values, squares): (&mut [f64], &mut [f64]),
    scratch: &mut Scratch,
) {
    let (plane, strip) = (unit.pixels(), strip(unit.output));
    let row_blocks = blocks(product.inputs);
    let Scratch { activated, rows, sums, .. } = scratch;
    let sums = first(sums, 2 * plan.blocks());
    let mut pixel = 0;
    while pixel < plane {
        let pixels = strip.min(plane - pixel);
        let rows = first(rows, row_blocks * pixels);
        fill_rows::<R>(unit, product, packed, plan.outputs, input, activated, (pixel, pixels), rows);
        sums.fill(Lanes::ZERO);
        let (sum_values, sum_squares) = sums.split_at_mut(plan.blocks());
        let results = Results { lanes: &mut *results, start: pixel, plane };
        let (rows, sums) = (Strip { lanes: rows, pixels }, Sums { values: sum_values, squares: sum_squares });
        match plan.shared {
            false => multiply::<R, true, false>(rows, 0..pixels, product.inputs, &packed.product, results, sums, None),
            true => multiply::<R, true, true>(rows, 0..pixels, product.inputs, &packed.product, results, sums, None),
        }
        for block in 0..plan.blocks() {
            add_to_doubles(&mut values[block * LANES..][..LANES], sum_values[block]);
            add_to_doubles(&mut squares[block * LANES..][..LANES], sum_squares[block]);
        }
        pixel += pixels;
    }
}

/// The sum of a strip's sums in four parts.
#[inline(always)]
pub(crate) fn total<R: Registers>(parts: [Lanes; 4]) -> Lanes {
    parts[0].plus::<R>(parts[1]).plus::<R>(parts[2].plus::<R>(parts[3]))
}

/// Single precision within a strip, double beyond it: a variance is a difference of sums.
#[inline(always)]
pub(crate) fn add_to_doubles(doubles: &mut [f64], lanes: Lanes) {
    for (double, lane) in doubles.iter_mut().zip(lanes.0) {
        *double += f64::from(lane);
    }
}

/// The sums of all groups, added up in their order.
pub(crate) fn sum_of_groups(mut sums: Vec<f64>, per_group: usize) -> Vec<f64> {
    let (first, others) = sums.split_at_mut(per_group);
    for other in others.chunks_exact(per_group) {
        first.iter_mut().zip(other).for_each(|(total, part)| *total += part);
    }
    sums.truncate(per_group);
    sums
}

/// The sums of the terms for a group of images.
struct Combine<'a> {
    plan: &'a Plan,
    edges: Vec<Share<'a>>,
    input: &'a [f32],
    scratch: &'a mut Scratch,
}

/// An edge's part in it.
struct Share<'a> {
    mixture: &'a Mixture,
    kept: &'a [Lanes],
    sum: &'a mut [f32],
    begun: bool,
    /// By image.
    factors: Option<&'a [f32]>,
}

impl Task for Combine<'_> {
    #[inline(always)]
    fn run<R: Registers>(mut self) {
        let (plan, pixels) = (self.plan, volume(self.plan.output));
        for (image, input) in self.input.chunks(plan.input_values()).enumerate() {
            let input = plan.input_pixels(input, 0);
            pad_for_pools::<R>(plan, input, self.scratch);
            let mut pixel = 0;
            while pixel < pixels {
                let end = pixels.min(pixel + plan.strip());
                fill_pooled::<R>(plan, input, (pixel, end - pixel), self.scratch);
                for edge in &mut self.edges {
                    let sum = Sum {
                        mixture: edge.mixture,
                        factor: edge.factors.map_or(R::splat(1.0), |factors| plan.factor::<R>(factors, image)),
                        kept: &edge.kept[image * plan.kept..][..plan.kept],
                        pooled: &self.scratch.pooled,
                        strip: pixel..end,
                        pixels,
                        input,
                        begun: edge.begun,
                    };
                    sum.strip::<R>(&mut plan.output_pixels_mut(edge.sum, image));
                }
                pixel = end;
            }
        }
    }
}

/// The terms of an edge's sum.
struct Mixture {
    /// `[blocks]`.
    constants: Vec<Lanes>,
    /// `[blocks, terms]`.
    streams: Vec<Stream>,
}

/// A term of the sum in one block of channels: where its values come from, and their factor.
struct Stream {
    from: Values,
    scale: Lanes,
}

/// Where a term's values come from.
#[derive(Clone, Copy)]
enum Values {
    /// A unit's results, from here on among the kept ones.
    Kept(usize),
    /// A pool's, among those of a strip.
    Pooled(usize),
    Input,
}

impl Mixture {
    fn new(plan: &Plan, edge: &Given, Kept { normals, .. }: &Kept) -> Self {
        let mut constants = vec![Lanes::ZERO; plan.blocks()];
        let mut streams = Vec::with_capacity(plan.blocks() * plan.terms.len());
        for (block, constant) in constants.iter_mut().enumerate() {
            for Term { operation, unit } in &plan.terms {
                let factor = edge.mix[*operation];
                streams.push(match unit {
                    Some(unit) => {
                        let [scale, shift] = normals[*unit].line(block);
                        *constant = constant.summed(shift.scaled(factor));
                        let start = plan.units[*unit].kept;
                        let from = match plan.units[*unit].body {
                            Body::Product(_) => Values::Kept(start),
                            Body::Pool(_) => Values::Pooled(start),
                        };
                        Stream { from, scale: scale.scaled(factor) }
                    }
                    None => Stream { from: Values::Input, scale: Lanes::filled(factor) },
                });
            }
        }
        Mixture { constants, streams }
    }
}

/// The sum of an image's terms for a strip.
struct Sum<'a> {
    mixture: &'a Mixture,
    factor: Lanes,
    kept: &'a [Lanes],
    pooled: &'a [Lanes],
    strip: Range<usize>,
    /// Pixels of the image.
    pixels: usize,
    input: Pixels<'a>,
    begun: bool,
}

impl Sum<'_> {
    #[inline(always)]
    fn strip<R: Registers>(&self, output: &mut PixelsMut) {
        let terms = self.mixture.streams.len() / self.mixture.constants.len();
        for block in 0..self.mixture.constants.len() {
            let streams = &self.mixture.streams[block * terms..][..terms];
            let mut pixel = self.strip.start;
            while pixel + 8 <= self.strip.end {
                self.tile::<R, 8>(pixel, block, streams, output);
                pixel += 8;
            }
            while pixel < self.strip.end {
                self.tile::<R, 1>(pixel, block, streams, output);
                pixel += 1;
            }
        }
    }

    #[inline(always)]
    fn tile<R: Registers, const P: usize>(
        &self,
        pixel: usize,
        block: usize,
        streams: &[Stream],
        output: &mut PixelsMut,
    ) {
        let mut sums = [self.mixture.constants[block]; P];
        for Stream { from, scale } in streams {
            let values = match *from {
                Values::Kept(start) => &self.kept[start + block * self.pixels + pixel..],
                Values::Pooled(start) => &self.pooled[start + block * self.strip.len() + pixel - self.strip.start..],
                Values::Input => {
                    let values = self.input.tile::<P>(pixel, block);
                    for p in 0..P {
                        sums[p] = sums[p].add_product::<R>(values[p], *scale);
                    }
                    continue;
                }
            };
            for p in 0..P {
                prefetch(values, self.strip.len() + p);
            }
            let values: &[Lanes; P] = values.first_chunk().expect("a tile has P pixels");
            for p in 0..P {
                sums[p] = sums[p].add_product::<R>(values[p], *scale);
            }
        }
        let before = match self.begun {
            true => output.as_pixels().tile::<P>(pixel, block),
            false => [Lanes::ZERO; P],
        };
        output.as_pixels().prefetch::<P>(pixel + self.strip.len(), block);
        for p in 0..P {
            sums[p] = before[p].add_product::<R>(sums[p], self.factor);
        }
        output.store(pixel, block, &sums);
    }
}
