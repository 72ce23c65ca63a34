//! Matrix products over the rows of a strip of pixels.

use super::plan::STRIP;
use crate::lanes::{HALF, LANES, Lanes, prefetch};
use crate::registers::Registers;
use std::ops::Range;

/// Rows of a strip, `[blocks, pixels]` with `pixels` elements from one block to the next.
#[derive(Clone, Copy)]
pub(crate) struct Strip<'a> {
    pub(crate) lanes: &'a [Lanes],
    pub(crate) pixels: usize,
}

/// Where results go: `[blocks, ...]` with `plane` elements from one block to the next, the strip's first pixel at `start`.
pub(crate) struct Results<'a> {
    pub(crate) lanes: &'a mut [Lanes],
    pub(crate) start: usize,
    pub(crate) plane: usize,
}

/// Sums and sums of squares of the results, by block.
pub(crate) struct Sums<'a> {
    pub(crate) values: &'a mut [Lanes],
    pub(crate) squares: &'a mut [Lanes],
}

/// What is read after the product, laid out like its results; it is called for while the product is computed.
#[derive(Clone, Copy)]
pub(crate) struct Ahead<'a> {
    pub(crate) lanes: &'a [Lanes],
    pub(crate) start: usize,
    pub(crate) plane: usize,
}

/// `results = rows × weights` for some pixels of a strip, `weights` being `[output blocks, inputs]`; with `sums`, the results
/// are summed, too.
#[inline(always)]
pub(crate) fn multiply<R: Registers, const SUM: bool, const SHARED: bool>(
    rows: Strip,
    pixels: Range<usize>,
    inputs: usize,
    weights: &[Lanes],
    results: Results,
    sums: Sums,
    ahead: Option<Ahead>,
) {
    let blocks = weights.len() / inputs;
    let mut product: Multiply<SHARED> = Multiply { rows, inputs, weights, results, sums, ahead };
    let mut pixel = pixels.start;
    while pixel < pixels.end {
        let left = pixels.end - pixel;
        if R::ACCUMULATORS >= 16 && left >= 16 && blocks == 1 {
            product.tile::<R, SUM, 16, 1>(pixel, 0);
            pixel += 16;
        } else if R::ACCUMULATORS >= 16 && left >= 8 {
            let mut block = 0;
            while block + 2 <= blocks {
                product.tile::<R, SUM, 8, 2>(pixel, block);
                block += 2;
            }
            if block < blocks {
                product.tile::<R, SUM, 8, 1>(pixel, block);
            }
            pixel += 8;
        } else if R::ACCUMULATORS >= 6 && are_six(left) {
            for block in 0..blocks {
                product.tile::<R, SUM, 6, 1>(pixel, block);
            }
            pixel += 6;
        } else if R::ACCUMULATORS >= 4 && left >= 4 {
            for block in 0..blocks {
                product.tile::<R, SUM, 4, 1>(pixel, block);
            }
            pixel += 4;
        } else if left >= 2 {
            for block in 0..blocks {
                product.tile::<R, SUM, 2, 1>(pixel, block);
            }
            pixel += 2;
        } else {
            for block in 0..blocks {
                product.tile::<R, SUM, 1, 1>(pixel, block);
            }
            pixel += 1;
        }
    }
}

/// Whether the next six of these pixels are taken together; eight are twice four.
#[inline(always)]
pub(super) fn are_six(left: usize) -> bool {
    left >= 6 && left != 8
}

struct Multiply<'a, const SHARED: bool> {
    rows: Strip<'a>,
    inputs: usize,
    weights: &'a [Lanes],
    results: Results<'a>,
    sums: Sums<'a>,
    ahead: Option<Ahead<'a>>,
}

impl<const SHARED: bool> Multiply<'_, SHARED> {
    #[inline(always)]
    fn tile<R: Registers, const SUM: bool, const P: usize, const B: usize>(&mut self, pixel: usize, block: usize) {
        let mut sums = [[Lanes::ZERO; P]; B];
        let mut first = 0;
        let mut at = pixel;
        while first < self.inputs {
            let rows: &[Lanes; P] = self.rows.lanes[at..at + P].try_into().expect("a tile has P pixels");
            let weights = std::array::from_fn(|b| &self.weights[(block + b) * self.inputs + first..]);
            // How many is mostly known when this is compiled.
            let most = if SHARED { HALF } else { LANES };
            match self.inputs - first {
                left if left >= most => add_block::<R, SHARED, P, B>(rows, weights, most, &mut sums),
                left => add_block::<R, SHARED, P, B>(rows, weights, left, &mut sums),
            }
            if let Some(ahead) = self.ahead.filter(|_| first == 0) {
                for b in 0..B {
                    let start = ahead.start + (block + b) * ahead.plane + pixel;
                    (start..start + P).for_each(|at| prefetch(ahead.lanes, at));
                }
            }
            first += LANES;
            at += self.rows.pixels;
        }
        for b in 0..B {
            let start = self.results.start + (block + b) * self.results.plane + pixel;
            self.results.lanes[start..start + P].copy_from_slice(&sums[b]);
            if SUM {
                // Where the next strip's results go.
                (start + STRIP..start + STRIP + P).for_each(|at| prefetch(self.results.lanes, at));
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

/// Adds the products of a block of inputs, the first `count` of it.
#[inline(always)]
pub(super) fn add_block<R: Registers, const SHARED: bool, const P: usize, const B: usize>(
    rows: &[Lanes; P],
    weights: [&[Lanes]; B],
    count: usize,
    sums: &mut [[Lanes; P]; B],
) {
    let weights = weights.map(|weights| &weights[..count]);
    for lane in 0..count {
        for b in 0..B {
            let weight = weights[b][lane];
            for p in 0..P {
                sums[b][p] = sums[b][p].add_product::<R>(splat::<R, SHARED>(&rows[p], lane), weight);
            }
        }
    }
}

/// A channel's number for all lanes: where two images share them, of either in its own half.
#[inline(always)]
pub(super) fn splat<R: Registers, const SHARED: bool>(lanes: &Lanes, channel: usize) -> Lanes {
    match SHARED {
        false => R::splat(lanes.0[channel]),
        true => R::splat_halves(lanes.0[channel], lanes.0[channel + HALF]),
    }
}

/// `gradients += rowsᵀ × results`; `gradients` is `[output blocks, input blocks × LANES]`.
#[inline(always)]
pub(crate) fn weight_gradients<R: Registers, const SHARED: bool>(
    rows: Strip,
    results: &[Lanes],
    gradients: &mut [Lanes],
) {
    let pixels = rows.pixels;
    let input_blocks = rows.lanes.len() / pixels;
    for (output, results) in results.chunks_exact(pixels).enumerate() {
        for (input, rows) in rows.lanes.chunks_exact(pixels).enumerate() {
            let gradients = &mut gradients[(output * input_blocks + input) * LANES..][..LANES];
            let most = if SHARED { HALF } else { LANES };
            if R::ACCUMULATORS >= 16 && SHARED {
                outer_tile::<R, SHARED, HALF>(rows, 0, results, gradients);
            } else if R::ACCUMULATORS >= 16 {
                outer_tile::<R, SHARED, LANES>(rows, 0, results, gradients);
            } else if R::ACCUMULATORS >= 6 && !SHARED {
                outer_tile::<R, SHARED, 6>(rows, 0, results, gradients);
                outer_tile::<R, SHARED, 6>(rows, 6, results, gradients);
                outer_tile::<R, SHARED, 4>(rows, 12, results, gradients);
            } else if R::ACCUMULATORS >= 4 {
                for first in (0..most).step_by(4) {
                    outer_tile::<R, SHARED, 4>(rows, first, results, gradients);
                }
            } else {
                for first in (0..most).step_by(2) {
                    outer_tile::<R, SHARED, 2>(rows, first, results, gradients);
                }
            }
        }
    }
}

#[inline(always)]
fn outer_tile<R: Registers, const SHARED: bool, const I: usize>(
    rows: &[Lanes],
    first: usize,
    results: &[Lanes],
    gradients: &mut [Lanes],
) {
    let gradients: &mut [Lanes; I] = (&mut gradients[first..first + I]).try_into().expect("a tile has I inputs");
    let mut sums = *gradients;
    for (row, result) in rows.iter().zip(results) {
        for i in 0..I {
            sums[i] = sums[i].add_product::<R>(splat::<R, SHARED>(row, first + i), *result);
        }
    }
    *gradients = sums;
}
