//! Rows of depthwise convolutions, there and back, and the gradient of their weights.

use super::grid::{Tap, Taps};
use crate::lanes::Lanes;
use crate::registers::Registers;

/// How many accumulators of one register each fit beside their operands. Channels have nothing to do with one another here, so
/// that sixteen lanes are computed register by register: each tile has as many pixels or taps as there is room for.
#[inline(always)]
const fn accumulators<R: Registers>() -> usize {
    R::ACCUMULATORS * R::PARTS
}

/// Where a row of results goes: every `step`-th element from `start` on.
#[derive(Clone, Copy)]
pub(crate) struct Row {
    pub(crate) start: usize,
    pub(crate) step: usize,
    pub(crate) length: usize,
}

/// `to[x] = Σ weights[tap] × source[start + x × stride + tap]`, or `+=` where `ADD`, for one block of channels.
#[inline(always)]
pub(crate) fn correlate_row<R: Registers, const ADD: bool>(
    source: &[Lanes],
    (start, stride): (usize, usize),
    taps: &Taps,
    weights: &[Lanes],
    to: &mut [Lanes],
    row: Row,
) {
    // The usual windows are known when this is compiled: an element that several taps of a line read is loaded once.
    let done = match (stride, taps.line, taps.spacing) {
        (1, 3, 1) => lines::<R, ADD, 1, 3, 1>(source, start, taps, weights, to, row),
        (1, 3, 2) => lines::<R, ADD, 1, 3, 2>(source, start, taps, weights, to, row),
        (1, 5, 1) => lines::<R, ADD, 1, 5, 1>(source, start, taps, weights, to, row),
        (1, 5, 2) => lines::<R, ADD, 1, 5, 2>(source, start, taps, weights, to, row),
        (2, 3, 1) => lines::<R, ADD, 2, 3, 1>(source, start, taps, weights, to, row),
        (2, 3, 2) => lines::<R, ADD, 2, 3, 2>(source, start, taps, weights, to, row),
        (2, 5, 1) => lines::<R, ADD, 2, 5, 1>(source, start, taps, weights, to, row),
        (2, 5, 2) => lines::<R, ADD, 2, 5, 2>(source, start, taps, weights, to, row),
        _ => 0,
    };
    let start = start + done * stride;
    let row = Row { start: row.start + done * row.step, length: row.length - done, ..row };
    match stride {
        1 => row_of::<R, ADD, 1>(source, start, 1, taps, weights, to, row),
        2 => row_of::<R, ADD, 2>(source, start, 2, taps, weights, to, row),
        // Zero: the stride is not known when this is compiled.
        _ => row_of::<R, ADD, 0>(source, start, stride, taps, weights, to, row),
    }
}

/// Tiles of a row with `K` taps a line, `D` elements apart, at stride `S`; returns how many results it has computed.
#[inline(always)]
fn lines<R: Registers, const ADD: bool, const S: usize, const K: usize, const D: usize>(
    source: &[Lanes],
    start: usize,
    taps: &Taps,
    weights: &[Lanes],
    to: &mut [Lanes],
    row: Row,
) -> usize {
    let mut x = 0;
    while x + 8 <= row.length {
        let (from, at) = (start + x * S, row.start + x * row.step);
        if accumulators::<R>() >= 16 && x + 16 <= row.length {
            line_tile::<R, ADD, S, K, D, 16>(source, from, taps, weights, to, at, row.step);
            x += 16;
        } else {
            line_tile::<R, ADD, S, K, D, 8>(source, from, taps, weights, to, at, row.step);
            x += 8;
        }
    }
    x
}

#[inline(always)]
fn line_tile<R: Registers, const ADD: bool, const S: usize, const K: usize, const D: usize, const P: usize>(
    source: &[Lanes],
    from: usize,
    taps: &Taps,
    weights: &[Lanes],
    to: &mut [Lanes],
    at: usize,
    step: usize,
) {
    let to = &mut to[at..][..(P - 1) * step + 1];
    for part in 0..R::PARTS {
        let mut sums = [R::part(&Lanes::ZERO, part); P];
        for line in taps.lines() {
            let line: &[Tap; K] = line.try_into().expect("a line has K taps");
            let under = &source[from + line[0].offset..][..(P - 1) * S + (K - 1) * D + 1];
            for k in 0..K {
                let weight = R::part(&weights[line[k].weight], part);
                for p in 0..P {
                    sums[p] = R::add_product_of(sums[p], R::part(&under[p * S + k * D], part), weight);
                }
            }
        }
        for p in 0..P {
            put::<R, ADD>(&mut to[p * step], part, sums[p]);
        }
    }
}

#[inline(always)]
fn row_of<R: Registers, const ADD: bool, const STRIDE: usize>(
    source: &[Lanes],
    start: usize,
    stride: usize,
    taps: &[Tap],
    weights: &[Lanes],
    to: &mut [Lanes],
    row: Row,
) {
    let mut x = 0;
    while x < row.length {
        let left = row.length - x;
        let from = start + x * stride;
        let at = row.start + x * row.step;
        if accumulators::<R>() >= 16 && left >= 16 {
            tile::<R, ADD, STRIDE, 16>(source, from, stride, taps, weights, to, at, row.step);
            x += 16;
        } else if left >= 8 {
            tile::<R, ADD, STRIDE, 8>(source, from, stride, taps, weights, to, at, row.step);
            x += 8;
        } else if left >= 4 {
            tile::<R, ADD, STRIDE, 4>(source, from, stride, taps, weights, to, at, row.step);
            x += 4;
        } else if left >= 2 {
            tile::<R, ADD, STRIDE, 2>(source, from, stride, taps, weights, to, at, row.step);
            x += 2;
        } else {
            tile::<R, ADD, STRIDE, 1>(source, from, stride, taps, weights, to, at, row.step);
            x += 1;
        }
    }
}

#[inline(always)]
#[allow(clippy::too_many_arguments)] // all of it is inlined into the loop above
fn tile<R: Registers, const ADD: bool, const STRIDE: usize, const P: usize>(
    source: &[Lanes],
    from: usize,
    stride: usize,
    taps: &[Tap],
    weights: &[Lanes],
    to: &mut [Lanes],
    at: usize,
    step: usize,
) {
    let stride = if STRIDE > 0 { STRIDE } else { stride };
    let to = &mut to[at..][..(P - 1) * step + 1];
    for part in 0..R::PARTS {
        let mut sums = [R::part(&Lanes::ZERO, part); P];
        for tap in taps {
            let weight = R::part(&weights[tap.weight], part);
            let under = &source[from + tap.offset..][..(P - 1) * stride + 1];
            for p in 0..P {
                sums[p] = R::add_product_of(sums[p], R::part(&under[p * stride], part), weight);
            }
        }
        for p in 0..P {
            put::<R, ADD>(&mut to[p * step], part, sums[p]);
        }
    }
}

/// Writes a part of a result, or adds it to what is there.
#[inline(always)]
fn put<R: Registers, const ADD: bool>(to: &mut Lanes, part: usize, value: R::Part) {
    let value = if ADD { R::plus_of(R::part(to, part), value) } else { value };
    R::set_part(to, part, value);
}

/// Rows of results, `width` wide, where each lies, and where it starts to read.
#[derive(Clone, Copy)]
pub(crate) struct ResultRows<'a, A, F> {
    pub(crate) results: &'a [Lanes],
    pub(crate) rows: usize,
    pub(crate) width: usize,
    pub(crate) at: A,
    /// Elements of the source from one result to the next.
    pub(crate) stride: usize,
    pub(crate) start: F,
}

impl<'a, A: Fn(usize) -> usize, F: Fn(usize) -> usize> ResultRows<'a, A, F> {
    /// A row, and where it starts to read.
    #[inline(always)]
    fn row(&self, row: usize) -> (&'a [Lanes], usize) {
        (&self.results[(self.at)(row)..][..self.width], (self.start)(row))
    }
}

/// `gradients[tap] += Σ result[x] × source[start + x × stride + tap]`, for one block of channels.
#[inline(always)]
pub(crate) fn weight_gradients<R: Registers>(
    source: &[Lanes],
    rows: ResultRows<impl Fn(usize) -> usize + Copy, impl Fn(usize) -> usize + Copy>,
    taps: &Taps,
    gradients: &mut [Lanes],
) {
    match (rows.width.is_multiple_of(TILE), rows.stride, taps.line, taps.spacing) {
        (true, 1, 3, 1) => return line_gradients::<R, 1, 3, 1>(source, rows, taps, gradients),
        (true, 1, 3, 2) => return line_gradients::<R, 1, 3, 2>(source, rows, taps, gradients),
        (true, 1, 5, 1) => return line_gradients::<R, 1, 5, 1>(source, rows, taps, gradients),
        (true, 1, 5, 2) => return line_gradients::<R, 1, 5, 2>(source, rows, taps, gradients),
        (true, 2, 3, 1) => return line_gradients::<R, 2, 3, 1>(source, rows, taps, gradients),
        (true, 2, 3, 2) => return line_gradients::<R, 2, 3, 2>(source, rows, taps, gradients),
        (true, 2, 5, 1) => return line_gradients::<R, 2, 5, 1>(source, rows, taps, gradients),
        (true, 2, 5, 2) => return line_gradients::<R, 2, 5, 2>(source, rows, taps, gradients),
        _ => {}
    }
    let mut left: &[Tap] = taps;
    while !left.is_empty() {
        let count = match left.len() {
            9.. if accumulators::<R>() >= 9 => tap_tile::<R, 9>(source, rows, left, gradients),
            4.. => tap_tile::<R, 4>(source, rows, left, gradients),
            3.. => tap_tile::<R, 3>(source, rows, left, gradients),
            _ => tap_tile::<R, 1>(source, rows, left, gradients),
        };
        left = &left[count..];
    }
}

/// Results whose products are added at once.
const TILE: usize = 4;

/// The gradients of lines of `K` taps, `D` elements apart, at stride `S`; rows are a multiple of `TILE` wide.
#[inline(always)]
fn line_gradients<R: Registers, const S: usize, const K: usize, const D: usize>(
    source: &[Lanes],
    rows: ResultRows<impl Fn(usize) -> usize + Copy, impl Fn(usize) -> usize + Copy>,
    taps: &Taps,
    gradients: &mut [Lanes],
) {
    let mut left: &[Tap] = taps;
    while !left.is_empty() {
        let lines = match (left.len() / K).min(accumulators::<R>() / K) {
            3.. => line_tile_gradients::<R, S, K, D, 3>(source, rows, left, gradients),
            2 => line_tile_gradients::<R, S, K, D, 2>(source, rows, left, gradients),
            _ => line_tile_gradients::<R, S, K, D, 1>(source, rows, left, gradients),
        };
        left = &left[lines * K..];
    }
}

/// Adds up the gradients of the first `LINES` lines; returns how many those are.
#[inline(always)]
fn line_tile_gradients<R: Registers, const S: usize, const K: usize, const D: usize, const LINES: usize>(
    source: &[Lanes],
    rows: ResultRows<impl Fn(usize) -> usize, impl Fn(usize) -> usize>,
    taps: &[Tap],
    gradients: &mut [Lanes],
) -> usize {
    for part in 0..R::PARTS {
        let mut sums = [[R::part(&Lanes::ZERO, part); K]; LINES];
        for line in 0..LINES {
            for k in 0..K {
                sums[line][k] = R::part(&gradients[taps[line * K + k].weight], part);
            }
        }
        for row in 0..rows.rows {
            let (results, start) = rows.row(row);
            let length = (rows.width - 1) * S + (K - 1) * D + 1;
            let under: [&[Lanes]; LINES] =
                std::array::from_fn(|line| &source[start + taps[line * K].offset..][..length]);
            for (tile, results) in results.chunks_exact(TILE).enumerate() {
                let results: &[Lanes; TILE] = results.try_into().expect("a tile");
                for line in 0..LINES {
                    let under = &under[line][tile * TILE * S..][..(TILE - 1) * S + (K - 1) * D + 1];
                    for (p, result) in results.iter().enumerate() {
                        let result = R::part(result, part);
                        for k in 0..K {
                            let read = R::part(&under[p * S + k * D], part);
                            sums[line][k] = R::add_product_of(sums[line][k], read, result);
                        }
                    }
                }
            }
        }
        for line in 0..LINES {
            for k in 0..K {
                R::set_part(&mut gradients[taps[line * K + k].weight], part, sums[line][k]);
            }
        }
    }
    LINES
}

/// Adds up the gradients of the first `T` taps; returns how many those are.
#[inline(always)]
fn tap_tile<R: Registers, const T: usize>(
    source: &[Lanes],
    rows: ResultRows<impl Fn(usize) -> usize, impl Fn(usize) -> usize>,
    taps: &[Tap],
    gradients: &mut [Lanes],
) -> usize {
    for part in 0..R::PARTS {
        let mut sums = [R::part(&Lanes::ZERO, part); T];
        for t in 0..T {
            sums[t] = R::part(&gradients[taps[t].weight], part);
        }
        for row in 0..rows.rows {
            let (results, start) = rows.row(row);
            let length = (rows.width - 1) * rows.stride + 1;
            let under: [&[Lanes]; T] = std::array::from_fn(|t| &source[start + taps[t].offset..][..length]);
            for (x, result) in results.iter().enumerate() {
                let result = R::part(result, part);
                for t in 0..T {
                    sums[t] = R::add_product_of(sums[t], R::part(&under[t][x * rows.stride], part), result);
                }
            }
        }
        for t in 0..T {
            R::set_part(&mut gradients[taps[t].weight], part, sums[t]);
        }
    }
    T
}
