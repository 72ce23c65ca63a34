//! Pools over one image, there and back.

use super::grid::Grid;
use super::memory::first;
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

    /// Pools one block of channels: `results[pixel]` for every pixel of the output. `columns` is scratch.
    #[inline(always)]
    pub(crate) fn forward<R: Registers>(
        &self,
        (grid, output): (&Grid, Extent),
        source: &[Lanes],
        columns: &mut Vec<Lanes>,
        results: &mut [Lanes],
    ) {
        let [_, height, width] = output;
        let [st, sh, _] = self.window.stride;
        for (row, results) in results.chunks_exact_mut(width).enumerate() {
            let source = &source[start(grid, row / height * st, row % height * sh)..];
            match self.pool {
                Pool::Max => self.row(source, columns, results, |a, b| a.max::<R>(b)),
                Pool::Average => {
                    self.row(source, columns, results, |a, b| a.plus::<R>(b));
                    for (result, share) in results.iter_mut().zip(&self.shares[row * width..]) {
                        *result = result.times::<R>(R::splat(*share));
                    }
                }
            }
        }
    }

    /// Joins what lies under the window for every result of a row: first along the columns, then along the row.
    #[inline(always)]
    fn row(
        &self,
        source: &[Lanes],
        columns: &mut Vec<Lanes>,
        results: &mut [Lanes],
        join: impl Fn(Lanes, Lanes) -> Lanes,
    ) {
        let (stride, line) = (self.window.stride[2], self.taps.line);
        let columns = first(columns, (results.len() - 1) * stride + line);
        let mut x = 0;
        while x < columns.len() {
            let left = columns.len() - x;
            if left >= 8 {
                self.column_tile::<8>(&source[x..], &mut columns[x..], &join);
                x += 8;
            } else {
                self.column_tile::<1>(&source[x..], &mut columns[x..], &join);
                x += 1;
            }
        }
        match line {
            3 => along::<3>(columns, stride, results, join),
            _ => {
                for (columns, result) in columns.windows(line).step_by(stride).zip(results) {
                    *result = columns[1..].iter().fold(columns[0], |joined, column| join(joined, *column));
                }
            }
        }
    }

    #[inline(always)]
    fn column_tile<const P: usize>(
        &self,
        source: &[Lanes],
        columns: &mut [Lanes],
        join: &impl Fn(Lanes, Lanes) -> Lanes,
    ) {
        let columns: &mut [Lanes; P] = columns.first_chunk_mut().expect("a tile has P columns");
        let mut lines = self.taps.lines().map(|line| {
            let under: &[Lanes; P] = source[line[0].offset..].first_chunk().expect("a grid holds every tap");
            under
        });
        let mut joined = *lines.next().expect("a window has a line");
        for under in lines {
            for p in 0..P {
                joined[p] = join(joined[p], under[p]);
            }
        }
        *columns = joined;
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
            for tap in self.taps.iter() {
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

/// Joins `K` columns for every result.
#[inline(always)]
fn along<const K: usize>(
    columns: &[Lanes],
    stride: usize,
    results: &mut [Lanes],
    join: impl Fn(Lanes, Lanes) -> Lanes,
) {
    for (x, result) in results.iter_mut().enumerate() {
        let columns: &[Lanes; K] = columns[x * stride..].first_chunk().expect("columns for every result");
        *result = columns[0];
        for column in &columns[1..] {
            *result = join(*result, *column);
        }
    }
}

/// Where a grid's row starts, as taps count: from the border's first element, at the inner coordinates `t`, `h`.
#[inline(always)]
pub(crate) fn start(grid: &Grid, t: usize, h: usize) -> usize {
    let [st, sh, _] = grid.steps();
    t * st + h * sh
}
