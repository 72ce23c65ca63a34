//! Sixteen channels of one pixel: the unit that the fused edge computes with.

use crate::width::Registers;

/// Channels that are computed together. Channels are padded to a multiple of it within the fused edge.
pub(crate) const LANES: usize = 16;

/// Sixteen floats that lie on one cache line, and in one register where the machine has such wide ones.
#[derive(Debug, Clone, Copy)]
#[repr(C, align(64))]
pub(crate) struct Lanes(pub(crate) [f32; LANES]);

impl Lanes {
    pub(crate) const ZERO: Lanes = Lanes([0.0; LANES]);

    #[inline(always)]
    pub(crate) fn splat(value: f32) -> Self {
        Lanes([value; LANES])
    }

    /// `self + a × b`.
    #[inline(always)]
    pub(crate) fn add_product<R: Registers>(self, a: Lanes, b: Lanes) -> Self {
        let mut sum = self;
        for i in 0..LANES {
            sum.0[i] = if R::FUSED { a.0[i].mul_add(b.0[i], sum.0[i]) } else { a.0[i] * b.0[i] + sum.0[i] };
        }
        sum
    }

    #[inline(always)]
    pub(crate) fn times(self, other: Lanes) -> Self {
        self.with(other, |a, b| a * b)
    }

    #[inline(always)]
    pub(crate) fn plus(self, other: Lanes) -> Self {
        self.with(other, |a, b| a + b)
    }

    #[inline(always)]
    pub(crate) fn minus(self, other: Lanes) -> Self {
        self.with(other, |a, b| a - b)
    }

    #[inline(always)]
    pub(crate) fn max(self, other: Lanes) -> Self {
        self.with(other, |a, b| if a > b { a } else { b })
    }

    /// max(self, 0).
    #[inline(always)]
    pub(crate) fn relu(self) -> Self {
        self.max(Lanes::ZERO)
    }

    /// `self` where `of` is positive, zero elsewhere: the way back through a ReLU.
    #[inline(always)]
    pub(crate) fn where_positive(self, of: Lanes) -> Self {
        self.with(of, |gradient, of| if of > 0.0 { gradient } else { 0.0 })
    }

    #[inline(always)]
    fn with(self, other: Lanes, f: impl Fn(f32, f32) -> f32) -> Self {
        let mut result = self;
        for i in 0..LANES {
            result.0[i] = f(self.0[i], other.0[i]);
        }
        result
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
