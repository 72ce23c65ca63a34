//! Rows of products that read the edge's input pixel by pixel, and their gradients back to the input.

use super::plan::Rows;
use crate::expression::Extent;
use crate::lanes::{LANES, Lanes, Pixels, blocks};
use crate::registers::Registers;
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

    /// Fills a strip of one block, `[pixels]`: with `value` of the input pixel under each, and with zeros beyond the border.
    #[inline(always)]
    fn fill(self, stride: Extent, shift: [isize; 3], to: &mut [Lanes], value: impl Fn(usize) -> Lanes) {
        for Under { start, inside, from } in self.under(stride, shift) {
            let row = &mut to[start..][..self.output[2]];
            row[..inside.start].fill(Lanes::ZERO);
            row[inside.end..].fill(Lanes::ZERO);
            for (x, to) in row[inside].iter_mut().enumerate() {
                *to = value(from + x * stride[2]);
            }
        }
    }

    /// Calls `each` with every pixel of a strip and the input pixel under it, where there is one.
    #[inline(always)]
    fn pairs(self, stride: Extent, shift: [isize; 3], mut each: impl FnMut(usize, usize)) {
        for Under { start, inside, from } in self.under(stride, shift) {
            for (x, pixel) in inside.enumerate() {
                each(start + pixel, from + x * stride[2]);
            }
        }
    }
}

/// Fills `to`, `[blocks, pixels]`, with the rows of a strip. Depthwise rows come from elsewhere.
#[inline(always)]
pub(crate) fn gather<R: Registers>(rows: &Rows, place: Place, source: Pixels, to: &mut [Lanes]) {
    let width = blocks(place.channels);
    let activated = |pixel: usize, block: usize| source.load(pixel, block).relu::<R>();
    match rows {
        Rows::Depthwise(_) => {}
        Rows::Pixels { stride, shifts } => {
            for (part, shift) in shifts.iter().enumerate() {
                for block in 0..width {
                    let to = &mut to[(part * width + block) * place.pixels..][..place.pixels];
                    place.fill(*stride, shift.map(|s| s as isize), to, |pixel| activated(pixel, block));
                }
            }
        }
        Rows::Difference { stride } => {
            let frame = place.input[1] * place.input[2];
            for block in 0..width {
                // Where there is no frame before, there is no difference either.
                let to = &mut to[block * place.pixels..][..place.pixels];
                place.fill(*stride, [-1, 0, 0], to, |before| {
                    activated(before + frame, block).minus::<R>(activated(before, block))
                });
            }
        }
        Rows::Patches { window, pitch, activated } => {
            for (tap, step) in window.taps().enumerate() {
                if *pitch < LANES {
                    for channel in 0..*pitch {
                        let column = tap * pitch + channel;
                        let to = &mut to[column / LANES * place.pixels..][..place.pixels];
                        to.iter_mut().for_each(|to| to.0[column % LANES] = 0.0);
                        place.pairs(window.stride, step, |pixel, from| {
                            let value = source.values()[from * place.channels + channel];
                            to[pixel].0[column % LANES] = if *activated { value.max(0.0) } else { value };
                        });
                    }
                } else {
                    for block in 0..width {
                        let to = &mut to[(tap * width + block) * place.pixels..][..place.pixels];
                        place.fill(window.stride, step, to, |from| {
                            let value = source.load(from, block);
                            if *activated { value.relu::<R>() } else { value }
                        });
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
                    place.pairs(*stride, shift.map(|s| s as isize), |pixel, at| {
                        to[at] = if ADD { to[at].plus::<R>(gradients[pixel]) } else { gradients[pixel] };
                    });
                }
            }
        }
        Rows::Difference { stride } => {
            let frame = place.input[1] * place.input[2];
            for block in 0..width {
                let gradients = &gradients[block * place.pixels..][..place.pixels];
                let to = &mut to[block * plane..][..plane];
                place.pairs(*stride, [-1, 0, 0], |pixel, before| {
                    to[before + frame] = to[before + frame].plus::<R>(gradients[pixel]);
                    to[before] = to[before].minus::<R>(gradients[pixel]);
                });
            }
        }
        Rows::Patches { window, pitch, .. } => {
            for (tap, step) in window.taps().enumerate() {
                if *pitch < LANES {
                    for channel in 0..*pitch {
                        let column = tap * pitch + channel;
                        let gradients = &gradients[column / LANES * place.pixels..][..place.pixels];
                        place.pairs(window.stride, step, |pixel, at| {
                            to[at].0[channel] += gradients[pixel].0[column % LANES];
                        });
                    }
                } else {
                    for block in 0..width {
                        let gradients = &gradients[(tap * width + block) * place.pixels..][..place.pixels];
                        let to = &mut to[block * plane..][..plane];
                        place.pairs(window.stride, step, |pixel, at| to[at] = to[at].plus::<R>(gradients[pixel]));
                    }
                }
            }
        }
    }
}
