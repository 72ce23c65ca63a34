//! Two images of few channels in one unit of lanes, each in its half: one alone would leave half of the lanes empty.
//!
//! What is elementwise in the channels does not notice. Numbers per channel are the same in both halves, sums over the
//! lanes are folded into sums over the channels, and a matrix product multiplies either half by its own rows. Of an odd
//! number of images the last has no other beside it: where zeros in would not give zeros out, its lanes are made zero.

use super::plan::Plan;
use crate::lanes::{HALF, LANES, Lanes, Pixels, PixelsMut};
use crate::registers::Registers;
use crate::weights::volume;

impl Plan {
    /// Values of the input of what is worked on one by one.
    pub(crate) fn input_values(&self) -> usize {
        volume(self.input) * self.inputs * self.together()
    }

    /// Values of its output.
    pub(crate) fn output_values(&self) -> usize {
        volume(self.output) * self.outputs * self.together()
    }

    /// Images that are worked on together.
    pub(crate) fn together(&self) -> usize {
        if self.shared { 2 } else { 1 }
    }

    /// One of the inputs in `values`, by its place there.
    #[inline(always)]
    pub(crate) fn input_pixels<'a>(&self, values: &'a [f32], place: usize) -> Pixels<'a> {
        self.pixels(values, place, self.inputs, volume(self.input) * self.inputs)
    }

    /// One of the outputs in `values`.
    #[inline(always)]
    pub(crate) fn output_pixels<'a>(&self, values: &'a [f32], place: usize) -> Pixels<'a> {
        self.pixels(values, place, self.outputs, volume(self.output) * self.outputs)
    }

    #[inline(always)]
    fn pixels<'a>(&self, values: &'a [f32], place: usize, channels: usize, length: usize) -> Pixels<'a> {
        match self.shared {
            false => Pixels::one(&values[place * length..][..length], channels),
            true => {
                let start = 2 * place * length;
                Pixels::two(&values[start..values.len().min(start + 2 * length)], channels, length)
            }
        }
    }

    /// One of the inputs in `values`, to write to.
    #[inline(always)]
    pub(crate) fn input_pixels_mut<'a>(&self, values: &'a mut [f32], place: usize) -> PixelsMut<'a> {
        self.pixels_mut(values, place, self.inputs, volume(self.input) * self.inputs)
    }

    /// One of the outputs in `values`, to write to.
    #[inline(always)]
    pub(crate) fn output_pixels_mut<'a>(&self, values: &'a mut [f32], place: usize) -> PixelsMut<'a> {
        self.pixels_mut(values, place, self.outputs, volume(self.output) * self.outputs)
    }

    #[inline(always)]
    fn pixels_mut<'a>(&self, values: &'a mut [f32], place: usize, channels: usize, length: usize) -> PixelsMut<'a> {
        let start = place * length * self.together();
        let end = values.len().min(start + length * self.together());
        PixelsMut { values: &mut values[start..end], channels, shared: self.shared.then_some(length) }
    }

    /// A factor per image for the lanes of what is worked on one by one.
    #[inline(always)]
    pub(crate) fn factor<R: Registers>(&self, factors: &[f32], place: usize) -> Lanes {
        match self.shared {
            false => R::splat(factors[place]),
            true => R::splat_halves(factors[2 * place], factors.get(2 * place + 1).copied().unwrap_or(0.0)),
        }
    }

    /// Sums over the lanes as sums over the channels.
    pub(crate) fn fold_sums(&self, sums: &mut [f64]) {
        if self.shared {
            for lanes in sums.chunks_exact_mut(LANES) {
                let (lower, upper) = lanes.split_at_mut(HALF);
                lower.iter_mut().zip(upper).for_each(|(lower, upper)| *lower += *upper);
            }
        }
    }

    /// Numbers per channel for all lanes.
    pub(crate) fn spread<'a>(&self, lanes: impl IntoIterator<Item = &'a mut Lanes>) {
        if self.shared {
            lanes.into_iter().for_each(Lanes::spread);
        }
    }
}
