//! Sixteen channels of one pixel: the unit that the fused edge computes with.

use crate::registers::Registers;

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

impl Pixels<'_> {
    /// A block of a pixel's channels, zeros beyond the last.
    #[inline(always)]
    pub(crate) fn load(&self, pixel: usize, block: usize) -> Lanes {
        let at = pixel * self.channels + block * LANES;
        let count = self.channels - block * LANES;
        let mut lanes = Lanes::ZERO;
        if count >= LANES {
            lanes.0.copy_from_slice(&self.values[at..at + LANES]);
        } else {
            for (lane, value) in lanes.0.iter_mut().zip(&self.values[at..at + count]) {
                *lane = *value;
            }
        }
        lanes
    }
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
