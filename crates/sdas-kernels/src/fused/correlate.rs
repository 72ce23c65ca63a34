//! Rows of depthwise convolutions, there and back, and the gradient of their weights.

use super::grid::Tap;
use crate::lanes::Lanes;
use crate::registers::Registers;

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
    taps: &[Tap],
    weights: &[Lanes],
    to: &mut [Lanes],
    row: Row,
) {
    match stride {
        1 => row_of::<R, ADD, 1>(source, start, 1, taps, weights, to, row),
        2 => row_of::<R, ADD, 2>(source, start, 2, taps, weights, to, row),
        // Zero: the stride is not known when this is compiled.
        _ => row_of::<R, ADD, 0>(source, start, stride, taps, weights, to, row),
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
        if R::ACCUMULATORS >= 16 && left >= 16 {
            tile::<R, ADD, STRIDE, 16>(source, from, stride, taps, weights, to, at, row.step);
            x += 16;
        } else if R::ACCUMULATORS >= 8 && left >= 8 {
            tile::<R, ADD, STRIDE, 8>(source, from, stride, taps, weights, to, at, row.step);
            x += 8;
        } else if R::ACCUMULATORS >= 4 && left >= 4 {
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
    let mut sums = [Lanes::ZERO; P];
    for tap in taps {
        let weight = weights[tap.weight];
        let under = &source[from + tap.offset..][..(P - 1) * stride + 1];
        for p in 0..P {
            sums[p] = sums[p].add_product::<R>(under[p * stride], weight);
        }
    }
    let to = &mut to[at..][..(P - 1) * step + 1];
    for p in 0..P {
        to[p * step] = if ADD { to[p * step].plus::<R>(sums[p]) } else { sums[p] };
    }
}

/// `gradients[tap] += Σ result[x] × source[start + x × stride + tap]`, for one block of channels.
#[inline(always)]
pub(crate) fn weight_gradients<R: Registers>(
    source: &[Lanes],
    (start, stride): (usize, usize),
    taps: &[Tap],
    results: &[Lanes],
    gradients: &mut [Lanes],
) {
    let mut done = 0;
    while done < taps.len() {
        let left = taps.len() - done;
        if R::ACCUMULATORS >= 16 && left >= 9 {
            tap_tile::<R, 9>(source, start, stride, &taps[done..done + 9], results, gradients);
            done += 9;
        } else if R::ACCUMULATORS >= 4 && left >= 4 {
            tap_tile::<R, 4>(source, start, stride, &taps[done..done + 4], results, gradients);
            done += 4;
        } else if left >= 3 {
            tap_tile::<R, 3>(source, start, stride, &taps[done..done + 3], results, gradients);
            done += 3;
        } else {
            tap_tile::<R, 1>(source, start, stride, &taps[done..done + 1], results, gradients);
            done += 1;
        }
    }
}

#[inline(always)]
fn tap_tile<R: Registers, const T: usize>(
    source: &[Lanes],
    start: usize,
    stride: usize,
    taps: &[Tap],
    results: &[Lanes],
    gradients: &mut [Lanes],
) {
    let length = (results.len() - 1) * stride + 1;
    let under: [&[Lanes]; T] = std::array::from_fn(|t| &source[start + taps[t].offset..][..length]);
    let mut sums: [Lanes; T] = std::array::from_fn(|t| gradients[taps[t].weight]);
    for (x, result) in results.iter().enumerate() {
        for t in 0..T {
            sums[t] = sums[t].add_product::<R>(under[t][x * stride], *result);
        }
    }
    for t in 0..T {
        gradients[taps[t].weight] = sums[t];
    }
}
