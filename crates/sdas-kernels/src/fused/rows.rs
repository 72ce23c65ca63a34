//! Rows of products that read the edge's input pixel by pixel, and their gradients back to the input.

use super::plan::Rows;
use crate::expression::Extent;
use crate::lanes::{LANES, Lanes, Pixels, blocks};
use crate::registers::Registers;
use crate::weights::volume;
use std::ops::Range;

/// The input and the strip of output pixels, whole rows, whose rows are wanted.
#[derive(Clone, Copy)]
pub(crate) struct Place {
    pub(crate) input: Extent,
    pub(crate) output: Extent,
    pub(crate) channels: usize,
    /// The strip's first pixel and its length.
    pub(crate) first: usize,
    pub(crate) pixels: usize,
}

/// A row of a strip, and the input under it.
struct Under {
    /// The row's first pixel in the strip.
    start: usize,
    /// Those of its pixels that have something under them; the others lie beyond the border.
    inside: Range<usize>,
    /// The input pixel under the first of them; the next lies the stride's width further.
    from: usize,
}

impl Place {
    /// The strip's rows with the input at `stride` times their coordinates plus `shift`.
    #[inline(always)]
    fn under(self, stride: Extent, shift: [isize; 3]) -> impl Iterator<Item = Under> {
        let ([frames, height, width], [_, rows, columns]) = (self.input, self.output);
        let beyond = (-shift[2]).max(0) as usize;
        let left = width as isize - shift[2];
        let inside = beyond.div_ceil(stride[2])..(left.max(0) as usize).div_ceil(stride[2]).min(columns);
        (0..self.pixels / columns).map(move |row| {
            let y = self.first / columns + row;
            let t = (y / rows * stride[0]) as isize + shift[0];
            let h = (y % rows * stride[1]) as isize + shift[1];
            let is_there = (0..frames as isize).contains(&t) && (0..height as isize).contains(&h) && !inside.is_empty();
            let inside = if is_there { inside.clone() } else { 0..0 };
            let from = if is_there {
                let w = (inside.start * stride[2]) as isize + shift[2];
                (t as usize * height + h as usize) * width + w as usize
            } else {
                0
            };
            Under { start: row * columns, inside, from }
        })
    }
}

impl Under {
    /// The elements of a strip of one block, `[pixels]`, that have an input pixel under them, each behind that pixel; zeros
    /// are written to the others of the row.
    #[inline(always)]
    fn elements<'a>(
        &self,
        strip: &'a mut [Lanes],
        columns: usize,
        stride: Extent,
    ) -> impl Iterator<Item = (usize, &'a mut Lanes)> {
        let row = &mut strip[self.start..][..columns];
        row[..self.inside.start].fill(Lanes::ZERO);
        row[self.inside.end..].fill(Lanes::ZERO);
        (self.from..).step_by(stride[2]).zip(&mut row[self.inside.clone()])
    }

    /// The row's pixels, as a strip counts them, that have an input pixel under them, with that pixel.
    #[inline(always)]
    fn pairs(&self, stride: Extent) -> impl Iterator<Item = (usize, usize)> {
        (self.start + self.inside.start..self.start + self.inside.end).zip((self.from..).step_by(stride[2]))
    }
}

/// Fills `to`, `[blocks, pixels]`, with the rows of a strip. Depthwise rows come from elsewhere.
#[inline(always)]
pub(crate) fn gather<R: Registers>(rows: &Rows, place: Place, source: Pixels, to: &mut [Lanes]) {
    // Loops, and no closures: those would be compiled by themselves, without the width's instructions.
    let (width, columns) = (blocks(place.channels), place.output[2]);
    match rows {
        Rows::Depthwise(_) => {}
        Rows::Pixels { stride, shifts } => {
            for (part, shift) in shifts.iter().enumerate() {
                for block in 0..width {
                    let to = &mut to[(part * width + block) * place.pixels..][..place.pixels];
                    for under in place.under(*stride, shift.map(|s| s as isize)) {
                        for (from, to) in under.elements(to, columns, *stride) {
                            *to = source.load(from, block).relu::<R>();
                        }
                    }
                }
            }
        }
        Rows::Difference { stride } => {
            let frame = place.input[1] * place.input[2];
            for block in 0..width {
                // Where there is no frame before, there is no difference either.
                let to = &mut to[block * place.pixels..][..place.pixels];
                for under in place.under(*stride, [-1, 0, 0]) {
                    for (before, to) in under.elements(to, columns, *stride) {
                        let after = source.load(before + frame, block).relu::<R>();
                        *to = after.minus::<R>(source.load(before, block).relu::<R>());
                    }
                }
            }
        }
        Rows::Patches { window, pitch, activated, .. } if *pitch < LANES => {
            to.fill(Lanes::ZERO);
            for (tap, step) in window.taps().enumerate() {
                for under in place.under(window.stride, step) {
                    for (pixel, from) in under.pairs(window.stride) {
                        let values = &source.values()[from * place.channels..][..*pitch];
                        for (column, &value) in (tap * pitch..).zip(values) {
                            let to = &mut to[column / LANES * place.pixels + pixel].0[column % LANES];
                            *to = if *activated && value < 0.0 { 0.0 } else { value };
                        }
                    }
                }
            }
        }
        Rows::Patches { window, activated, .. } => {
            for (tap, step) in window.taps().enumerate() {
                for block in 0..width {
                    let to = &mut to[(tap * width + block) * place.pixels..][..place.pixels];
                    for under in place.under(window.stride, step) {
                        for (from, to) in under.elements(to, columns, window.stride) {
                            let value = source.load(from, block);
                            *to = if *activated { value.relu::<R>() } else { value };
                        }
                    }
                }
            }
        }
        Rows::Means { stride, shares } => {
            to.fill(Lanes::ZERO);
            for shift in shifts_of(*stride) {
                for block in 0..width {
                    let to = &mut to[block * place.pixels..][..place.pixels];
                    for under in place.under(*stride, shift) {
                        for (pixel, from) in under.pairs(*stride) {
                            let share = R::splat(shares[place.first + pixel]);
                            to[pixel] = to[pixel].add_product::<R>(source.load(from, block), share);
                        }
                    }
                }
            }
        }
    }
}

/// Whether [`scatter`] reaches every input pixel exactly once, so that nothing needs to be there before.
pub(crate) fn reaches_all(rows: &Rows) -> bool {
    matches!(rows, Rows::Pixels { stride: [1, 1, 1], shifts } if matches!(shifts.as_slice(), [[0, 0, 0]]))
}

/// Adds the gradients of a strip's rows, `[blocks, pixels]`, to that of the input (before its ReLU's mask),
/// `[blocks, input pixels]`, or writes them there where `ADD` is not set and they reach all.
#[inline(always)]
pub(crate) fn scatter<R: Registers, const ADD: bool>(rows: &Rows, place: Place, gradients: &[Lanes], to: &mut [Lanes]) {
    let width = blocks(place.channels);
    let plane = to.len() / width;
    match rows {
        Rows::Depthwise(_) => {}
        Rows::Pixels { stride, shifts } => {
            for (part, shift) in shifts.iter().enumerate() {
                for block in 0..width {
                    let gradients = &gradients[(part * width + block) * place.pixels..][..place.pixels];
                    let to = &mut to[block * plane..][..plane];
                    for under in place.under(*stride, shift.map(|s| s as isize)) {
                        for (pixel, at) in under.pairs(*stride) {
                            to[at] = if ADD { to[at].plus::<R>(gradients[pixel]) } else { gradients[pixel] };
                        }
                    }
                }
            }
        }
        Rows::Difference { stride } => {
            let frame = place.input[1] * place.input[2];
            for block in 0..width {
                let gradients = &gradients[block * place.pixels..][..place.pixels];
                let to = &mut to[block * plane..][..plane];
                for under in place.under(*stride, [-1, 0, 0]) {
                    for (pixel, before) in under.pairs(*stride) {
                        to[before + frame] = to[before + frame].plus::<R>(gradients[pixel]);
                        to[before] = to[before].minus::<R>(gradients[pixel]);
                    }
                }
            }
        }
        Rows::Patches { window, pitch, .. } if *pitch < LANES => {
            for (tap, step) in window.taps().enumerate() {
                for under in place.under(window.stride, step) {
                    for (pixel, at) in under.pairs(window.stride) {
                        for (column, to) in (tap * pitch..).zip(&mut to[at].0[..*pitch]) {
                            *to += gradients[column / LANES * place.pixels + pixel].0[column % LANES];
                        }
                    }
                }
            }
        }
        Rows::Patches { window, .. } => {
            for (tap, step) in window.taps().enumerate() {
                for block in 0..width {
                    let gradients = &gradients[(tap * width + block) * place.pixels..][..place.pixels];
                    let to = &mut to[block * plane..][..plane];
                    for under in place.under(window.stride, step) {
                        for (pixel, at) in under.pairs(window.stride) {
                            to[at] = to[at].plus::<R>(gradients[pixel]);
                        }
                    }
                }
            }
        }
        Rows::Means { stride, shares } => {
            for shift in shifts_of(*stride) {
                for block in 0..width {
                    let gradients = &gradients[block * place.pixels..][..place.pixels];
                    let to = &mut to[block * plane..][..plane];
                    for under in place.under(*stride, shift) {
                        for (pixel, at) in under.pairs(*stride) {
                            let share = R::splat(shares[place.first + pixel]);
                            to[at] = to[at].add_product::<R>(gradients[pixel], share);
                        }
                    }
                }
            }
        }
    }
}

/// The steps from the first element of a window of size `stride` to each.
#[inline(always)]
fn shifts_of(stride: Extent) -> impl Iterator<Item = [isize; 3]> {
    let [_, height, width] = stride;
    (0..volume(stride))
        .map(move |at| [at / (height * width), at / width % height, at % width].map(|step| step as isize))
}
