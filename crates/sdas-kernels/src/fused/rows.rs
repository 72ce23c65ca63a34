//! Rows of products that read the edge's input pixel by pixel, and their gradients back to the input.

use super::plan::Rows;
use crate::expression::Extent;
use crate::lanes::{LANES, Lanes, Pixels, blocks};
use crate::registers::Registers;

/// The input and the strip of output pixels whose rows are wanted.
#[derive(Clone, Copy)]
pub(crate) struct Place {
    pub(crate) input: Extent,
    pub(crate) output: Extent,
    pub(crate) channels: usize,
    /// The strip's first pixel and its length.
    pub(crate) first: usize,
    pub(crate) pixels: usize,
}

impl Place {
    /// The coordinates of an output pixel.
    #[inline(always)]
    fn coordinates(&self, pixel: usize) -> Extent {
        let [_, h, w] = self.output;
        [pixel / (h * w), pixel / w % h, pixel % w]
    }

    /// The input pixel at the given coordinates, if there is one.
    #[inline(always)]
    fn pixel(&self, at: [isize; 3]) -> Option<usize> {
        let [t, h, w] = self.input;
        let inside = at.iter().zip(self.input).all(|(&at, size)| at >= 0 && (at as usize) < size);
        debug_assert!(t * h * w > 0);
        inside.then(|| (at[0] as usize * h + at[1] as usize) * w + at[2] as usize)
    }

    #[inline(always)]
    fn moved(&self, pixel: usize, stride: Extent, shift: [isize; 3]) -> Option<usize> {
        let at = self.coordinates(pixel);
        self.pixel([
            (at[0] * stride[0]) as isize + shift[0],
            (at[1] * stride[1]) as isize + shift[1],
            (at[2] * stride[2]) as isize + shift[2],
        ])
    }
}

/// Fills `to`, `[blocks, pixels]`, with the rows of a strip. Depthwise rows come from elsewhere.
#[inline(always)]
pub(crate) fn gather<R: Registers>(rows: &Rows, place: Place, source: Pixels, to: &mut [Lanes]) {
    let width = blocks(place.channels);
    match rows {
        Rows::Depthwise(_) => {}
        Rows::Pixels { stride, shifts } => {
            for (part, shift) in shifts.iter().enumerate() {
                for x in 0..place.pixels {
                    let from = place.moved(place.first + x, *stride, shift.map(|s| s as isize));
                    for block in 0..width {
                        to[(part * width + block) * place.pixels + x] = match from {
                            Some(from) => source.load(from, block).relu::<R>(),
                            None => Lanes::ZERO,
                        };
                    }
                }
            }
        }
        Rows::Difference { stride } => {
            for x in 0..place.pixels {
                let now = place.moved(place.first + x, *stride, [0; 3]).expect("strides stay inside");
                let before = place.moved(place.first + x, *stride, [-1, 0, 0]);
                for block in 0..width {
                    to[block * place.pixels + x] = match before {
                        Some(before) => {
                            source.load(now, block).relu::<R>().minus::<R>(source.load(before, block).relu::<R>())
                        }
                        None => Lanes::ZERO,
                    };
                }
            }
        }
        Rows::Patches { window, pitch, activated } => {
            for x in 0..place.pixels {
                for (tap, step) in window.taps().enumerate() {
                    let from = place.moved(place.first + x, window.stride, step);
                    if *pitch < LANES {
                        for channel in 0..*pitch {
                            let value = from.map_or(0.0, |from| source.values[from * place.channels + channel]);
                            let value = if *activated { value.max(0.0) } else { value };
                            let column = tap * pitch + channel;
                            to[column / LANES * place.pixels + x].0[column % LANES] = value;
                        }
                    } else {
                        for block in 0..width {
                            let value = from.map_or(Lanes::ZERO, |from| source.load(from, block));
                            let value = if *activated { value.relu::<R>() } else { value };
                            to[(tap * width + block) * place.pixels + x] = value;
                        }
                    }
                }
            }
        }
    }
}

/// Adds the gradients of a strip's rows, `[blocks, pixels]`, to that of the input (before its ReLU's mask),
/// `[blocks, input pixels]`.
#[inline(always)]
pub(crate) fn scatter<R: Registers>(rows: &Rows, place: Place, gradients: &[Lanes], to: &mut [Lanes]) {
    let width = blocks(place.channels);
    let plane = to.len() / width;
    match rows {
        Rows::Depthwise(_) => {}
        Rows::Pixels { stride, shifts } => {
            for (part, shift) in shifts.iter().enumerate() {
                for x in 0..place.pixels {
                    let Some(at) = place.moved(place.first + x, *stride, shift.map(|s| s as isize)) else { continue };
                    for block in 0..width {
                        let gradient = gradients[(part * width + block) * place.pixels + x];
                        let to = &mut to[block * plane + at];
                        *to = to.plus::<R>(gradient);
                    }
                }
            }
        }
        Rows::Difference { stride } => {
            for x in 0..place.pixels {
                let now = place.moved(place.first + x, *stride, [0; 3]).expect("strides stay inside");
                let Some(before) = place.moved(place.first + x, *stride, [-1, 0, 0]) else { continue };
                for block in 0..width {
                    let gradient = gradients[block * place.pixels + x];
                    let at = block * plane;
                    to[at + now] = to[at + now].plus::<R>(gradient);
                    to[at + before] = to[at + before].minus::<R>(gradient);
                }
            }
        }
        Rows::Patches { window, pitch, .. } => {
            for x in 0..place.pixels {
                for (tap, step) in window.taps().enumerate() {
                    let Some(at) = place.moved(place.first + x, window.stride, step) else { continue };
                    if *pitch < LANES {
                        for channel in 0..*pitch {
                            let column = tap * pitch + channel;
                            to[at].0[channel] += gradients[column / LANES * place.pixels + x].0[column % LANES];
                        }
                    } else {
                        for block in 0..width {
                            let gradient = gradients[(tap * width + block) * place.pixels + x];
                            let to = &mut to[block * plane + at];
                            *to = to.plus::<R>(gradient);
                        }
                    }
                }
            }
        }
    }
}
