//! Pools over one image, there and back.

use super::correlate::{Row, correlate_row};
use super::grid::{Grid, Tap};
use super::plan::PoolUnit;
use crate::expression::{Extent, Pool};
use crate::lanes::Lanes;
use crate::registers::Registers;

impl PoolUnit {
    /// What the border of the grid has to hold.
    pub(crate) fn border(&self) -> Lanes {
        match self.pool {
            Pool::Max => Lanes::filled(f32::NEG_INFINITY),
            Pool::Average => Lanes::ZERO,
        }
    }

    /// Pools one block of channels: `results[pixel]` for every pixel of the output.
    #[inline(always)]
    pub(crate) fn forward<R: Registers>(
        &self,
        (grid, output): (&Grid, Extent),
        source: &[Lanes],
        results: &mut [Lanes],
    ) {
        let [_, height, width] = output;
        let [st, sh, sw] = self.window.stride;
        for (row, results) in results.chunks_exact_mut(width).enumerate() {
            let start = start(grid, row / height * st, row % height * sh);
            match self.pool {
                Pool::Max => {
                    for (x, result) in results.iter_mut().enumerate() {
                        *result = largest::<R>(source, start + x * sw, &self.taps);
                    }
                }
                Pool::Average => {
                    let to = Row { start: 0, step: 1, length: width };
                    correlate_row::<R, false>(source, (start, sw), &self.taps, &self.ones, results, to);
                    for (result, share) in results.iter_mut().zip(&self.shares[row * width..]) {
                        *result = result.times::<R>(R::splat(*share));
                    }
                }
            }
        }
    }

    /// Adds the gradient of a row of maxima to that of the elements that they are: of equal ones, the first. `gradient`
    /// is laid out like `source`.
    #[inline(always)]
    pub(crate) fn max_row_back<R: Registers>(
        &self,
        (source, start): (&[Lanes], usize),
        maxima: &[Lanes],
        result_gradients: &[Lanes],
        gradient: &mut [Lanes],
    ) {
        let stride = self.window.stride[2];
        for (x, (largest, result_gradient)) in maxima.iter().zip(result_gradients).enumerate() {
            let mut left = *result_gradient;
            for tap in &self.taps {
                let at = start + x * stride + tap.offset;
                let element = source[at];
                let to = &mut gradient[at];
                let hit = left.where_equal::<R>(element, *largest);
                *to = to.plus::<R>(hit);
                left = left.minus::<R>(hit);
            }
        }
    }
}

#[inline(always)]
fn largest<R: Registers>(source: &[Lanes], start: usize, taps: &[Tap]) -> Lanes {
    let mut largest = Lanes::filled(f32::NEG_INFINITY);
    for tap in taps {
        largest = largest.max::<R>(source[start + tap.offset]);
    }
    largest
}

/// Where a grid's row starts, as taps count: from the border's first element, at the inner coordinates `t`, `h`.
#[inline(always)]
pub(crate) fn start(grid: &Grid, t: usize, h: usize) -> usize {
    let [st, sh, _] = grid.steps();
    t * st + h * sh
}
