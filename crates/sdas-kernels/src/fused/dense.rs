//! Dense convolutions that read their patches where they lie, there and back.

use super::forward::add_to_doubles;
use super::grid::{Grid, Taps};
use super::memory::{Scratch, first};
use super::pack::Packed;
use super::plan::{Direct, Plan, Product, STRIP, Unit, strip};
use super::pool::start;
use super::product::{Results, Sums, add_block, are_six, splat};
use super::unit_back::UnitBack;
use crate::lanes::{HALF, LANES, Lanes, blocks, prefetch};
use crate::registers::Registers;
use crate::weights::volume;
use crate::width::Task;

/// Pixels whose products are added to one tap's gradients before it is the next one's turn: what two blocks have of so many
/// lies in the fastest cache.
const TURN: usize = 256;

/// The taps' matrices, as one way reads them.
#[derive(Clone, Copy)]
struct Matrices<'a> {
    lanes: &'a [Lanes],
    /// Elements from one block of results to the next, and from one tap to the next.
    block: usize,
    tap: usize,
    /// Channels that are read.
    channels: usize,
    /// Blocks that are written.
    blocks: usize,
}

/// Computes the results of an image from the activated input's grid, and adds their sums. A task by itself, like the way
/// back: within the pass it would be one function with all that the other units do, and both would be compiled worse.
pub(crate) struct There<'a> {
    pub(crate) plan: &'a Plan,
    pub(crate) unit: &'a Unit,
    pub(crate) product: &'a Product,
    pub(crate) direct: &'a Direct,
    pub(crate) packed: &'a Packed,
    pub(crate) results: &'a mut [Lanes],
    pub(crate) values: &'a mut [f64],
    pub(crate) squares: &'a mut [f64],
    pub(crate) scratch: &'a mut Scratch,
}

impl Task for There<'_> {
    #[inline(always)]
    fn run<R: Registers>(self) {
        let There { plan, unit, product, direct, packed, results, values, squares, scratch } = self;
        let pitch = blocks(plan.inputs) * LANES;
        let matrices = Matrices {
            lanes: &packed.product,
            block: product.inputs,
            tap: pitch,
            channels: plan.inputs,
            blocks: plan.blocks(),
        };
        let [_, height, width] = unit.output;
        let (plane, strip) = (unit.pixels(), strip(unit.output));
        let Scratch { activated, sums, .. } = scratch;
        let sums = first(sums, 2 * plan.blocks());
        let mut pixel = 0;
        while pixel < plane {
            let pixels = strip.min(plane - pixel);
            sums.fill(Lanes::ZERO);
            let (sum_values, sum_squares) = sums.split_at_mut(plan.blocks());
            for row in pixel / width..(pixel + pixels) / width {
                let from = start(&plan.activated, row / height, row % height);
                let source = (&activated[..], plan.activated.plane(), from);
                let to = Results { lanes: &mut *results, start: row * width, plane };
                let sums = Sums { values: &mut *sum_values, squares: &mut *sum_squares };
                match plan.shared {
                    false => convolve_row::<R, false, true, false>(source, &direct.taps, matrices, to, width, sums),
                    true => convolve_row::<R, false, true, true>(source, &direct.taps, matrices, to, width, sums),
                }
            }
            for block in 0..plan.blocks() {
                add_to_doubles(&mut values[block * LANES..][..LANES], sum_values[block]);
                add_to_doubles(&mut squares[block * LANES..][..LANES], sum_squares[block]);
            }
            pixel += pixels;
        }
    }
}

/// Goes back: adds the gradient of the input (before the mask of its ReLU) to `scratch.activated_gradient` where `to_input`,
/// and that of the weights to `weights`.
pub(crate) struct Back<'a> {
    pub(crate) of: &'a UnitBack<'a>,
    pub(crate) product: &'a Product,
    pub(crate) direct: &'a Direct,
    pub(crate) packed: &'a Packed,
    pub(crate) weights: Option<&'a mut [Lanes]>,
    pub(crate) to_input: bool,
    pub(crate) scratch: &'a mut Scratch,
}

impl Task for Back<'_> {
    #[inline(always)]
    fn run<R: Registers>(self) {
        let Back { of, product, direct, packed, weights, to_input, scratch } = self;
        let UnitBack { plan, unit, .. } = *of;
        let Scratch { activated, grid, activated_gradient, activated_begun, .. } = scratch;
        let layout = &direct.transposed.grid;
        let grid = first(grid, plan.blocks() * layout.plane());
        for plane in grid.chunks_exact_mut(layout.plane()) {
            layout.fill_border(plane, Lanes::ZERO);
        }
        let width = layout.width();
        for row in 0..layout.rows() {
            of.result_gradient::<R, false>((row * width, width), None, grid, (layout.row(row), layout.plane()));
        }
        if to_input {
            let add = std::mem::replace(activated_begun, true);
            let plane = volume(unit.input);
            let to = first(activated_gradient, blocks(plan.inputs) * plane);
            let matrices = Matrices {
                lanes: &packed.transposed,
                block: plan.outputs,
                tap: blocks(plan.inputs) * plan.outputs,
                channels: plan.outputs,
                blocks: blocks(plan.inputs),
            };
            let [_, height, width] = unit.input;
            // At stride 1 every position reads the same taps.
            let taps = &direct.transposed.phases[0].taps;
            for row in 0..plane / width {
                let source = (&*grid, layout.plane(), start(layout, row / height, row % height));
                let to = Results { lanes: &mut *to, start: row * width, plane };
                let sums = Sums { values: &mut [], squares: &mut [] };
                match (plan.shared, add) {
                    (false, false) => convolve_row::<R, false, false, false>(source, taps, matrices, to, width, sums),
                    (false, true) => convolve_row::<R, true, false, false>(source, taps, matrices, to, width, sums),
                    (true, false) => convolve_row::<R, false, false, true>(source, taps, matrices, to, width, sums),
                    (true, true) => convolve_row::<R, true, false, true>(source, taps, matrices, to, width, sums),
                }
            }
        }
        if let Some(gradients) = weights {
            let (source, results) = ((&activated[..], &plan.activated), (&*grid, layout));
            match plan.shared {
                false => weight_gradients::<R, false>(source, results, &direct.taps, product.inputs, gradients),
                true => weight_gradients::<R, true>(source, results, &direct.taps, product.inputs, gradients),
            }
        }
    }
}

/// Computes a row of results, all blocks, from a source of `plane` elements a block; adds them to what is there where `ADD`,
/// and sums them up where `SUM`.
#[inline(always)]
fn convolve_row<R: Registers, const ADD: bool, const SUM: bool, const SHARED: bool>(
    (source, plane, from): (&[Lanes], usize, usize),
    taps: &Taps,
    matrices: Matrices,
    to: Results,
    length: usize,
    sums: Sums,
) {
    let mut row: Convolve<SHARED> = Convolve { source, plane, from, taps, matrices, to, sums };
    let mut x = 0;
    while x < length {
        let left = length - x;
        if R::ACCUMULATORS >= 16 && left >= 16 && matrices.blocks == 1 {
            row.tile::<R, ADD, SUM, 16, 1>(x, 0);
            x += 16;
        } else if R::ACCUMULATORS >= 16 && left >= 8 {
            row.blocks::<R, ADD, SUM, 8>(x);
            x += 8;
        } else if R::ACCUMULATORS >= 16 && left >= 4 {
            row.blocks::<R, ADD, SUM, 4>(x);
            x += 4;
        } else if R::ACCUMULATORS >= 16 && left >= 2 {
            row.blocks::<R, ADD, SUM, 2>(x);
            x += 2;
        } else if R::ACCUMULATORS >= 16 {
            row.blocks::<R, ADD, SUM, 1>(x);
            x += 1;
        } else if R::ACCUMULATORS >= 6 && are_six(left) {
            for block in 0..matrices.blocks {
                row.tile::<R, ADD, SUM, 6, 1>(x, block);
            }
            x += 6;
        } else if R::ACCUMULATORS >= 4 && left >= 4 {
            for block in 0..matrices.blocks {
                row.tile::<R, ADD, SUM, 4, 1>(x, block);
            }
            x += 4;
        } else if left >= 2 {
            for block in 0..matrices.blocks {
                row.tile::<R, ADD, SUM, 2, 1>(x, block);
            }
            x += 2;
        } else {
            for block in 0..matrices.blocks {
                row.tile::<R, ADD, SUM, 1, 1>(x, block);
            }
            x += 1;
        }
    }
}

struct Convolve<'a, const SHARED: bool> {
    source: &'a [Lanes],
    plane: usize,
    from: usize,
    taps: &'a Taps,
    matrices: Matrices<'a>,
    to: Results<'a>,
    sums: Sums<'a>,
}

impl<const SHARED: bool> Convolve<'_, SHARED> {
    /// `P` pixels of all blocks, two blocks at a time, or four of few pixels: a product waits for the one before in its sum.
    #[inline(always)]
    fn blocks<R: Registers, const ADD: bool, const SUM: bool, const P: usize>(&mut self, x: usize) {
        let mut block = 0;
        while P <= 4 && block + 4 <= self.matrices.blocks {
            self.tile::<R, ADD, SUM, P, 4>(x, block);
            block += 4;
        }
        while block + 2 <= self.matrices.blocks {
            self.tile::<R, ADD, SUM, P, 2>(x, block);
            block += 2;
        }
        if block < self.matrices.blocks {
            self.tile::<R, ADD, SUM, P, 1>(x, block);
        }
    }

    #[inline(always)]
    fn tile<R: Registers, const ADD: bool, const SUM: bool, const P: usize, const B: usize>(
        &mut self,
        x: usize,
        block: usize,
    ) {
        let Matrices { lanes, block: block_step, tap: tap_step, channels, .. } = self.matrices;
        let mut sums = [[Lanes::ZERO; P]; B];
        for tap in self.taps.iter() {
            let (mut first, mut at) = (0, self.from + x + tap.offset);
            while first < channels {
                let rows: &[Lanes; P] = self.source[at..].first_chunk().expect("a tile has P pixels");
                let start = block * block_step + tap.weight * tap_step + first;
                let weights = std::array::from_fn(|b| &lanes[start + b * block_step..]);
                // How many is mostly known when this is compiled.
                let most = if SHARED { HALF } else { LANES };
                match channels - first {
                    left if left >= most => add_block::<R, SHARED, P, B>(rows, weights, most, &mut sums),
                    left => add_block::<R, SHARED, P, B>(rows, weights, left, &mut sums),
                }
                first += LANES;
                at += self.plane;
            }
        }
        for b in 0..B {
            let start = self.to.start + (block + b) * self.to.plane + x;
            let to: &mut [Lanes; P] = self.to.lanes[start..].first_chunk_mut().expect("a tile has P pixels");
            for p in 0..P {
                to[p] = if ADD { to[p].plus::<R>(sums[b][p]) } else { sums[b][p] };
            }
            if SUM {
                // Where the next strip's results go.
                (start + STRIP..start + STRIP + P).for_each(|at| prefetch(self.to.lanes, at));
                let (mut values, mut squares) = (self.sums.values[block + b], self.sums.squares[block + b]);
                for result in sums[b] {
                    values = values.plus::<R>(result);
                    squares = squares.add_product::<R>(result, result);
                }
                (self.sums.values[block + b], self.sums.squares[block + b]) = (values, squares);
            }
        }
    }
}

/// `gradients[tap] += Σ source[at + tap]ᵀ × result[at]`; `gradients` is `[output blocks, inputs]`, the taps' one behind the
/// other.
#[inline(always)]
fn weight_gradients<R: Registers, const SHARED: bool>(
    (source, from): (&[Lanes], &Grid),
    (results, grid): (&[Lanes], &Grid),
    taps: &Taps,
    inputs: usize,
    gradients: &mut [Lanes],
) {
    let pitch = inputs / taps.len();
    let turn = (TURN / grid.width()).max(1);
    let mut row = 0;
    while row < grid.rows() {
        let rows = turn.min(grid.rows() - row);
        for (gradients, results) in gradients.chunks_exact_mut(inputs).zip(results.chunks_exact(grid.plane())) {
            for block in 0..pitch / LANES {
                let source = &source[block * from.plane()..][..from.plane()];
                for tap in taps.iter() {
                    let gradients = &mut gradients[tap.weight * pitch + block * LANES..][..LANES];
                    let over = Over { source, from, offset: tap.offset, results, grid, row, rows };
                    if R::ACCUMULATORS >= 16 && SHARED {
                        over.outer::<R, SHARED, HALF>(0, gradients);
                    } else if R::ACCUMULATORS >= 16 {
                        over.outer::<R, SHARED, LANES>(0, gradients);
                    } else if R::ACCUMULATORS >= 6 && !SHARED {
                        over.outer::<R, SHARED, 6>(0, gradients);
                        over.outer::<R, SHARED, 6>(6, gradients);
                        over.outer::<R, SHARED, 4>(12, gradients);
                    } else if R::ACCUMULATORS >= 4 {
                        for first in (0..if SHARED { HALF } else { LANES }).step_by(4) {
                            over.outer::<R, SHARED, 4>(first, gradients);
                        }
                    } else {
                        for first in (0..if SHARED { HALF } else { LANES }).step_by(2) {
                            over.outer::<R, SHARED, 2>(first, gradients);
                        }
                    }
                }
            }
        }
        row += rows;
    }
}

/// Rows of results, and a source `offset` further in its grid: one block of each.
struct Over<'a> {
    source: &'a [Lanes],
    from: &'a Grid,
    offset: usize,
    results: &'a [Lanes],
    grid: &'a Grid,
    row: usize,
    rows: usize,
}

impl Over<'_> {
    /// Adds the products of `I` channels of the source with all of the results.
    #[inline(always)]
    fn outer<R: Registers, const SHARED: bool, const I: usize>(&self, first: usize, gradients: &mut [Lanes]) {
        let gradients: &mut [Lanes; I] = gradients[first..].first_chunk_mut().expect("a tile has I inputs");
        let mut sums = *gradients;
        let [_, height, width] = self.grid.inner;
        for row in self.row..self.row + self.rows {
            let source = &self.source[start(self.from, row / height, row % height) + self.offset..][..width];
            let results = &self.results[self.grid.row(row)..][..width];
            for (read, result) in source.iter().zip(results) {
                for i in 0..I {
                    sums[i] = sums[i].add_product::<R>(splat::<R, SHARED>(read, first + i), *result);
                }
            }
        }
        *gradients = sums;
    }
}
