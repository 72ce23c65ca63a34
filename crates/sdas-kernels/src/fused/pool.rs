//! Pools over one image, there and back.

use super::grid::{Grid, Window};
use super::memory::first;
use super::plan::PoolUnit;
use crate::expression::{Extent, Pool};
use crate::lanes::{Lanes, Pixels};
use crate::registers::Registers;
use std::ops::Range;

impl PoolUnit {
    /// What lies beyond the input.
    pub(crate) fn border(&self) -> Lanes {
        match self.pool {
            Pool::Max => Lanes::filled(f32::NEG_INFINITY),
            Pool::Average => Lanes::ZERO,
        }
    }

    /// Pools a strip of whole rows from `pixel` on into `results`, `[blocks, pixels]`. `columns` is scratch.
    #[inline(always)]
    pub(crate) fn strip<R: Registers>(
        &self,
        (from, to): (Extent, Extent),
        input: Input,
        (pixel, pixels): (usize, usize),
        columns: &mut Vec<Lanes>,
        results: &mut [Lanes],
    ) {
        let [_, height, width] = to;
        for (block, results) in results.chunks_exact_mut(pixels).enumerate() {
            for (row, results) in results.chunks_exact_mut(width).enumerate() {
                let y = pixel / width + row;
                let under = Under::new(&self.window, from, [y / height, y % height], input, block);
                match self.pool {
                    Pool::Max => self.row::<R, true>(under, columns, results),
                    Pool::Average => {
                        self.row::<R, false>(under, columns, results);
                        for (result, share) in results.iter_mut().zip(&self.shares[y * width..]) {
                            *result = result.times::<R>(R::splat(*share));
                        }
                    }
                }
            }
        }
    }

    /// Joins what lies under the window for every result of a row: first along the columns, then along the row.
    #[inline(always)]
    fn row<R: Registers, const MAX: bool>(&self, under: Under, columns: &mut Vec<Lanes>, results: &mut [Lanes]) {
        let (kernel, stride, before) = (self.window.kernel[2], self.window.stride[2], self.window.padding[2]);
        let columns = first(columns, (results.len() - 1) * stride + kernel);
        let inside = before..(before + under.width).min(columns.len());
        columns[..inside.start].fill(self.border());
        columns[inside.end..].fill(self.border());
        let mut tiles = columns[inside].chunks_exact_mut(8);
        let mut x = 0;
        for tile in &mut tiles {
            under.join::<R, MAX, 8>(x, tile);
            x += 8;
        }
        for column in tiles.into_remainder().chunks_exact_mut(1) {
            under.join::<R, MAX, 1>(x, column);
            x += 1;
        }
        match kernel {
            3 => along::<R, MAX, 3>(columns, stride, results),
            _ => {
                for (columns, result) in columns.windows(kernel).step_by(stride).zip(results) {
                    *result = columns[0];
                    for column in &columns[1..] {
                        *result = join::<R, MAX>(*result, *column);
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

/// What a pool reads.
#[derive(Clone, Copy)]
pub(crate) enum Input<'a> {
    /// The input as it is.
    Pixels(Pixels<'a>),
    /// The input padded to whole blocks, `[blocks, pixels]`, since pools read every pixel several times.
    Padded { lanes: &'a [Lanes], pixels: usize },
}

impl Input<'_> {
    #[inline(always)]
    fn tile<const P: usize>(&self, pixel: usize, block: usize) -> [Lanes; P] {
        match self {
            Input::Pixels(input) => input.tile::<P>(pixel, block),
            Input::Padded { lanes, pixels } => {
                *lanes[block * pixels + pixel..].first_chunk().expect("a tile has P pixels")
            }
        }
    }
}

/// The rows of the input under a row of results, in one block of channels.
struct Under<'a> {
    frames: Range<usize>,
    rows: Range<usize>,
    height: usize,
    width: usize,
    input: Input<'a>,
    block: usize,
}

impl<'a> Under<'a> {
    #[inline(always)]
    fn new(window: &Window, from: Extent, at: [usize; 2], input: Input<'a>, block: usize) -> Self {
        let within = |axis: usize| {
            let first = at[axis] * window.stride[axis];
            let end = (first + window.kernel[axis] - window.padding[axis]).min(from[axis]);
            first.saturating_sub(window.padding[axis])..end
        };
        Under { frames: within(0), rows: within(1), height: from[1], width: from[2], input, block }
    }

    /// Joins `P` columns from `x` on.
    #[inline(always)]
    fn join<R: Registers, const MAX: bool, const P: usize>(&self, x: usize, to: &mut [Lanes]) {
        let at = |t: usize, h: usize| (t * self.height + h) * self.width + x;
        let first = at(self.frames.start, self.rows.start);
        let mut joined = self.input.tile::<P>(first, self.block);
        for t in self.frames.clone() {
            for h in self.rows.start + usize::from(t == self.frames.start)..self.rows.end {
                let under = self.input.tile::<P>(at(t, h), self.block);
                for p in 0..P {
                    joined[p] = join::<R, MAX>(joined[p], under[p]);
                }
            }
        }
        to.copy_from_slice(&joined);
    }
}

/// The larger of both, or their sum. No closure: it would be compiled by itself, without the width's instructions.
#[inline(always)]
fn join<R: Registers, const MAX: bool>(a: Lanes, b: Lanes) -> Lanes {
    if MAX { a.max::<R>(b) } else { a.plus::<R>(b) }
}

/// Joins `K` columns for every result.
#[inline(always)]
fn along<R: Registers, const MAX: bool, const K: usize>(columns: &[Lanes], stride: usize, results: &mut [Lanes]) {
    for (x, result) in results.iter_mut().enumerate() {
        let columns: &[Lanes; K] = columns[x * stride..].first_chunk().expect("columns for every result");
        *result = columns[0];
        for column in &columns[1..] {
            *result = join::<R, MAX>(*result, *column);
        }
    }
}

/// Where a grid's row starts, as taps count: from the border's first element, at the inner coordinates `t`, `h`.
#[inline(always)]
pub(crate) fn start(grid: &Grid, t: usize, h: usize) -> usize {
    let [st, sh, _] = grid.steps();
    t * st + h * sh
}
