//! Sixteen channels of one pixel: the unit that the fused edge computes with.

use crate::registers::Registers;
use std::ops::Range;

/// Channels that are computed together. Channels are padded to a multiple of it within the fused edge.
pub(crate) const LANES: usize = 16;

/// Sixteen floats that lie on one cache line, and in one register where the machine has such wide ones.
#[derive(Debug, Clone, Copy)]
#[repr(C, align(64))]
pub(crate) struct Lanes(pub(crate) [f32; LANES]);

impl Lanes {
    pub(crate) const ZERO: Lanes = Lanes([0.0; LANES]);

    pub(crate) const fn filled(value: f32) -> Self {
        Lanes([value; LANES])
    }

    /// Every channel multiplied by the same factor; for numbers per channel, outside of the loops over pixels.
    pub(crate) fn scaled(self, factor: f32) -> Self {
        Lanes(self.0.map(|lane| lane * factor))
    }

    /// `self + other`, likewise.
    pub(crate) fn summed(self, other: Lanes) -> Self {
        Lanes(std::array::from_fn(|lane| self.0[lane] + other.0[lane]))
    }

    /// `self + a × b`.
    #[inline(always)]
    pub(crate) fn add_product<R: Registers>(self, a: Lanes, b: Lanes) -> Self {
        R::add_product(self, a, b)
    }

    #[inline(always)]
    pub(crate) fn times<R: Registers>(self, other: Lanes) -> Self {
        R::times(self, other)
    }

    #[inline(always)]
    pub(crate) fn plus<R: Registers>(self, other: Lanes) -> Self {
        R::plus(self, other)
    }

    #[inline(always)]
    pub(crate) fn minus<R: Registers>(self, other: Lanes) -> Self {
        R::minus(self, other)
    }

    #[inline(always)]
    pub(crate) fn max<R: Registers>(self, other: Lanes) -> Self {
        R::max(self, other)
    }

    /// max(self, 0).
    #[inline(always)]
    pub(crate) fn relu<R: Registers>(self) -> Self {
        // In this order a NaN stays one.
        R::max(Lanes::ZERO, self)
    }

    /// `self` where `of` is positive, zero elsewhere: the way back through a ReLU.
    #[inline(always)]
    pub(crate) fn where_positive<R: Registers>(self, of: Lanes) -> Self {
        R::where_greater(self, of, Lanes::ZERO)
    }

    /// `self` where `a` and `b` are equal, zero elsewhere.
    #[inline(always)]
    pub(crate) fn where_equal<R: Registers>(self, a: Lanes, b: Lanes) -> Self {
        R::where_equal(self, a, b)
    }
}

/// Asks for an element that is read soon, where the machine can be asked.
#[inline(always)]
pub(crate) fn prefetch<T>(values: &[T], at: usize) {
    #[cfg(target_arch = "x86_64")]
    #[allow(unsafe_code)]
    // SAFETY: every x86-64 has the instruction, which does nothing where nothing is.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(values.as_ptr().wrapping_add(at).cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (values, at);
}

/// Blocks of [`LANES`] that hold `channels`.
pub(crate) fn blocks(channels: usize) -> usize {
    channels.div_ceil(LANES)
}

/// One image's activation, `[pixels, channels]` as tensors hold it.
#[derive(Clone, Copy)]
pub(crate) struct Pixels<'a> {
    pub(crate) values: &'a [f32],
    pub(crate) channels: usize,
}

impl<'a> Pixels<'a> {
    /// A block of a pixel's channels, zeros beyond the last.
    #[inline(always)]
    pub(crate) fn load(&self, pixel: usize, block: usize) -> Lanes {
        lanes_of(&self.values[pixel * self.channels..][..self.channels], block)
    }

    /// A block of the channels of each of some pixels.
    #[inline(always)]
    pub(crate) fn run(&self, pixels: Range<usize>, block: usize) -> impl ExactSizeIterator<Item = Lanes> + 'a {
        let values = &self.values[pixels.start * self.channels..pixels.end * self.channels];
        values.chunks_exact(self.channels).map(move |pixel| lanes_of(pixel, block))
    }

    /// A block of the channels of `P` pixels from one on.
    #[inline(always)]
    #[allow(unsafe_code)]
    pub(crate) fn tile<const P: usize>(&self, pixel: usize, block: usize) -> [Lanes; P] {
        let first = block * LANES;
        if first + LANES > self.channels {
            return std::array::from_fn(|p| self.load(pixel + p, block));
        }
        let values = &self.values[pixel * self.channels..][..P * self.channels];
        // SAFETY: p < P, and the block ends within its pixel, so that all sixteen lie within the slice. Sixteen checks of it
        // would cost more than what is done with the numbers.
        let block = |p: usize| unsafe { values.as_ptr().add(p * self.channels + first).cast::<[f32; LANES]>().read() };
        std::array::from_fn(|p| Lanes(block(p)))
    }
}

/// Asks for a block of a pixel's channels that is read or written soon, where the machine can be asked.
#[inline(always)]
pub(crate) fn prefetch_pixel(values: &[f32], channels: usize, pixel: usize, block: usize) {
    prefetch(values, pixel * channels + block * LANES);
}

/// A block of one pixel's channels, zeros beyond the last.
#[inline(always)]
fn lanes_of(pixel: &[f32], block: usize) -> Lanes {
    let first = block * LANES;
    if first + LANES <= pixel.len() {
        let mut lanes = Lanes::ZERO;
        lanes.0.copy_from_slice(&pixel[first..first + LANES]);
        return lanes;
    }
    let mut lanes = Lanes::ZERO;
    for (lane, value) in lanes.0.iter_mut().zip(&pixel[first..]) {
        *lane = *value;
    }
    lanes
}

/// Writes a block of a pixel's channels into an activation `[pixels, channels]`.
#[inline(always)]
pub(crate) fn store(values: &mut [f32], channels: usize, pixel: usize, block: usize, lanes: Lanes) {
    let at = pixel * channels + block * LANES;
    let count = channels - block * LANES;
    if count >= LANES {
        values[at..at + LANES].copy_from_slice(&lanes.0);
    } else {
        for (value, lane) in values[at..at + count].iter_mut().zip(lanes.0) {
            *value = lane;
        }
    }
}
