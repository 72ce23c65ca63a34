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

    /// The same number for every channel of either of two images that share the lanes.
    #[inline(always)]
    pub(crate) fn spread(&mut self) {
        self.0.copy_within(..HALF, HALF);
    }

    /// The sums over both images, in the lower half.
    pub(crate) fn fold(&mut self) {
        for lane in 0..HALF {
            self.0[lane] += self.0[lane + HALF];
        }
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

/// Lanes of either image where two share them.
pub(crate) const HALF: usize = LANES / 2;
/// Numbers of channels that are moved without a call, as half of the lanes are.
const QUARTER: usize = LANES / 4;
const EIGHTH: usize = LANES / 8;

/// What fills the lanes: an image's activation, `[pixels, channels]` as tensors hold it, or two of few channels.
#[derive(Clone, Copy)]
pub(crate) struct Pixels<'a> {
    values: &'a [f32],
    channels: usize,
    /// The image in the upper half of the lanes where two share them, empty if there is none.
    upper: Option<&'a [f32]>,
}

impl<'a> Pixels<'a> {
    /// Of one image.
    pub(crate) fn one(values: &'a [f32], channels: usize) -> Self {
        Pixels { values, channels, upper: None }
    }

    /// Of one image, or of two that share the lanes.
    pub(crate) fn two(values: &'a [f32], channels: usize, length: usize) -> Self {
        let (values, upper) = values.split_at(length);
        Pixels { values, channels, upper: Some(upper) }
    }

    /// The numbers of one image.
    #[inline(always)]
    pub(crate) fn values(&self) -> &'a [f32] {
        self.values
    }

    /// Channels of an image.
    #[inline(always)]
    pub(crate) fn channels(&self) -> usize {
        self.channels
    }

    /// `lanes`, zero in those of an image that is not there.
    #[inline(always)]
    pub(crate) fn present(&self, mut lanes: Lanes) -> Lanes {
        if self.upper.is_some_and(<[f32]>::is_empty) {
            lanes.0[HALF..].fill(0.0);
        }
        lanes
    }

    /// A block of a pixel's channels, zeros beyond the last.
    #[inline(always)]
    pub(crate) fn load(&self, pixel: usize, block: usize) -> Lanes {
        let at = pixel * self.channels..(pixel + 1) * self.channels;
        match self.upper {
            None => lanes_of(&self.values[at], block),
            Some(upper) => halves(&self.values[at.clone()], upper.get(at).unwrap_or_default()),
        }
    }

    /// Fills `to` with a block of the channels of each pixel from `first` on, after a ReLU if `ACTIVATED`. No closure says
    /// what is done to them: it would be compiled by itself, without the width's instructions.
    #[inline(always)]
    pub(crate) fn fill<R: Registers, const ACTIVATED: bool>(&self, first: usize, block: usize, to: &mut [Lanes]) {
        const TILE: usize = 8;
        let (mut pixel, mut tiles) = (first, to.chunks_exact_mut(TILE));
        for to in &mut tiles {
            for (to, lanes) in to.iter_mut().zip(self.tile::<TILE>(pixel, block)) {
                *to = if ACTIVATED { lanes.relu::<R>() } else { lanes };
            }
            pixel += TILE;
        }
        for (pixel, to) in (pixel..).zip(tiles.into_remainder()) {
            let lanes = self.load(pixel, block);
            *to = if ACTIVATED { lanes.relu::<R>() } else { lanes };
        }
    }

    /// A block of the channels of `P` pixels from one on.
    #[inline(always)]
    #[allow(unsafe_code)]
    pub(crate) fn tile<const P: usize>(&self, pixel: usize, block: usize) -> [Lanes; P] {
        let first = block * LANES;
        if let Some(upper) = self.upper.filter(|upper| !upper.is_empty()) {
            let at = pixel * self.channels..(pixel + P) * self.channels;
            let (lower, upper) = (&self.values[at.clone()], &upper[at]);
            match self.channels {
                HALF => return pairs::<P, HALF>(lower, upper),
                QUARTER => return pairs::<P, QUARTER>(lower, upper),
                EIGHTH => return pairs::<P, EIGHTH>(lower, upper),
                _ => {}
            }
        }
        if first + LANES > self.channels {
            return std::array::from_fn(|p| self.load(pixel + p, block));
        }
        let values = &self.values[pixel * self.channels..][..P * self.channels];
        // SAFETY: p < P, and the block ends within its pixel, so that all sixteen lie within the slice. Sixteen checks of it
        // would cost more than what is done with the numbers.
        let block = |p: usize| unsafe { values.as_ptr().add(p * self.channels + first).cast::<[f32; LANES]>().read() };
        std::array::from_fn(|p| Lanes(block(p)))
    }

    /// Asks for a block of the channels of `P` pixels that are read or written soon, where the machine can be asked.
    #[inline(always)]
    pub(crate) fn prefetch<const P: usize>(&self, pixel: usize, block: usize) {
        let at = |p: usize| (pixel + p) * self.channels + block * LANES;
        (0..P).for_each(|p| prefetch(self.values, at(p)));
        if let Some(upper) = self.upper {
            (0..P).for_each(|p| prefetch(upper, at(p)));
        }
    }
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

/// `P` pixels of two images of `C` channels.
#[inline(always)]
fn pairs<const P: usize, const C: usize>(lower: &[f32], upper: &[f32]) -> [Lanes; P] {
    let (lower, upper) = (lower.as_chunks().0, upper.as_chunks().0);
    let (lower, upper): (&[[f32; C]; P], &[[f32; C]; P]) =
        (lower.try_into().expect("P pixels"), upper.try_into().expect("P pixels"));
    std::array::from_fn(|p| {
        let mut lanes = Lanes::ZERO;
        lanes.0[..C].copy_from_slice(&lower[p]);
        lanes.0[HALF..HALF + C].copy_from_slice(&upper[p]);
        lanes
    })
}

/// The channels of two images' pixels, zeros beyond the last.
#[inline(always)]
fn halves(lower: &[f32], upper: &[f32]) -> Lanes {
    let mut lanes = Lanes::ZERO;
    let (low, high) = lanes.0.split_at_mut(HALF);
    fill_half(low, lower);
    fill_half(high, upper);
    lanes
}

#[inline(always)]
fn fill_half(half: &mut [f32], values: &[f32]) {
    write(half, values.len(), values);
}

/// [`Pixels`] to write to.
pub(crate) struct PixelsMut<'a> {
    pub(crate) values: &'a mut [f32],
    pub(crate) channels: usize,
    /// Numbers of one image where two share the lanes.
    pub(crate) shared: Option<usize>,
}

impl PixelsMut<'_> {
    /// What stands there.
    #[inline(always)]
    pub(crate) fn as_pixels(&self) -> Pixels<'_> {
        match self.shared {
            None => Pixels::one(self.values, self.channels),
            Some(length) => Pixels::two(self.values, self.channels, length),
        }
    }

    /// Writes a block of the channels of `P` pixels from one on.
    #[inline(always)]
    pub(crate) fn store<const P: usize>(&mut self, pixel: usize, block: usize, lanes: &[Lanes; P]) {
        let (channels, count) = (self.channels, self.channels - block * LANES);
        let at = |p: usize| (pixel + p) * channels + block * LANES;
        let Some(length) = self.shared else {
            return (0..P).for_each(|p| write(&mut self.values[at(p)..], count.min(LANES), &lanes[p].0));
        };
        let (lower, upper) = self.values.split_at_mut(length);
        (0..P).for_each(|p| write(&mut lower[at(p)..], count, &lanes[p].0));
        if !upper.is_empty() {
            (0..P).for_each(|p| write(&mut upper[at(p)..], count, &lanes[p].0[HALF..]));
        }
    }
}

/// Writes the first `count` lanes; whole units, halves and so on need no call.
#[inline(always)]
fn write(to: &mut [f32], count: usize, lanes: &[f32]) {
    match count {
        LANES => to[..LANES].copy_from_slice(&lanes[..LANES]),
        HALF => to[..HALF].copy_from_slice(&lanes[..HALF]),
        QUARTER => to[..QUARTER].copy_from_slice(&lanes[..QUARTER]),
        EIGHTH => to[..EIGHTH].copy_from_slice(&lanes[..EIGHTH]),
        _ => to[..count].iter_mut().zip(lanes).for_each(|(to, lane)| *to = *lane),
    }
}
