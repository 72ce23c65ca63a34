//! Arithmetic on sixteen lanes in the registers of each instruction set. Written with the instruction set's own vectors:
//! left to itself, the compiler sometimes takes the pixels, and not the lanes, for the elements of a vector.
//!
//! Every width gives the same bits: a multiply-add is rounded once in all of them, of equal numbers the larger is the second,
//! and none of them adds lanes to one another.
#![allow(unsafe_code)]

use crate::lanes::Lanes;

/// The registers of a width, and what can be done in them.
pub(crate) trait Registers {
    /// How many accumulators of sixteen lanes fit the registers beside their operands.
    const ACCUMULATORS: usize;
    /// Registers that sixteen lanes take.
    const PARTS: usize;
    /// The lanes of one of them.
    type Part: Copy;

    fn part(lanes: &Lanes, part: usize) -> Self::Part;
    fn set_part(lanes: &mut Lanes, part: usize, value: Self::Part);
    /// [`add_product`](Self::add_product) of one part.
    fn add_product_of(sum: Self::Part, a: Self::Part, b: Self::Part) -> Self::Part;
    /// [`plus`](Self::plus) of one part.
    fn plus_of(a: Self::Part, b: Self::Part) -> Self::Part;

    fn splat(value: f32) -> Lanes;
    /// `lower` in the lower half of the lanes, `upper` in the other.
    fn splat_halves(lower: f32, upper: f32) -> Lanes;
    /// `sum + a × b`, rounded once.
    fn add_product(sum: Lanes, a: Lanes, b: Lanes) -> Lanes;
    fn times(a: Lanes, b: Lanes) -> Lanes;
    fn plus(a: Lanes, b: Lanes) -> Lanes;
    fn minus(a: Lanes, b: Lanes) -> Lanes;
    /// `a` where `a > b`, `b` elsewhere: where both are zeros, or one is no number.
    fn max(a: Lanes, b: Lanes) -> Lanes;
    /// `value` where `a > b`, zero elsewhere.
    fn where_greater(value: Lanes, a: Lanes, b: Lanes) -> Lanes;
    /// `value` where `a = b`, zero elsewhere.
    fn where_equal(value: Lanes, a: Lanes, b: Lanes) -> Lanes;
}

/// Implements [`Registers`] by vectors, several of which make sixteen lanes.
///
/// SAFETY, for every `unsafe` in it: `Lanes` is sixteen plain floats, and so is the array of vectors, so that either may
/// be read as the other; and code in a width only runs where [`Width`](crate::width::Width) has found its instructions.
macro_rules! registers {
    (
        $(#[$doc:meta])* $name:ident, [$vector:ty; $parts:literal], accumulators: $accumulators:literal,
        splat: $splat:expr, splat_halves: $splat_halves:expr, add_product: $add_product:expr, times: $times:expr, plus: $plus:expr, minus: $minus:expr,
        max: $max:expr, where_greater: $where_greater:expr, where_equal: $where_equal:expr $(,)?
    ) => {
        $(#[$doc])*
        pub(crate) struct $name;

        impl $name {
            #[inline(always)]
            fn vectors(lanes: Lanes) -> [$vector; $parts] {
                // SAFETY: see the macro.
                unsafe { std::mem::transmute::<Lanes, [$vector; $parts]>(lanes) }
            }

            #[inline(always)]
            fn lanes(vectors: [$vector; $parts]) -> Lanes {
                // SAFETY: see the macro.
                unsafe { std::mem::transmute::<[$vector; $parts], Lanes>(vectors) }
            }
        }

        #[allow(unused_unsafe)] // some instructions are always there
        impl Registers for $name {
            const ACCUMULATORS: usize = $accumulators;
            const PARTS: usize = $parts;
            type Part = $vector;

            #[inline(always)]
            fn part(lanes: &Lanes, part: usize) -> $vector {
                assert!(part < $parts);
                // SAFETY: see the macro; the part lies within the lanes.
                unsafe { std::ptr::from_ref(lanes).cast::<$vector>().add(part).read() }
            }

            #[inline(always)]
            fn set_part(lanes: &mut Lanes, part: usize, value: $vector) {
                assert!(part < $parts);
                // SAFETY: see the macro; the part lies within the lanes.
                unsafe { std::ptr::from_mut(lanes).cast::<$vector>().add(part).write(value) }
            }

            #[inline(always)]
            fn plus_of(a: $vector, b: $vector) -> $vector {
                // SAFETY: see the macro.
                unsafe { $plus(a, b) }
            }

            #[inline(always)]
            fn add_product_of(sum: $vector, a: $vector, b: $vector) -> $vector {
                // SAFETY: see the macro.
                unsafe { $add_product(sum, a, b) }
            }

            #[inline(always)]
            fn splat(value: f32) -> Lanes {
                // SAFETY: see the macro.
                Self::lanes([unsafe { $splat(value) }; $parts])
            }

            #[inline(always)]
            fn splat_halves(lower: f32, upper: f32) -> Lanes {
                // SAFETY: see the macro.
                Self::lanes(unsafe { $splat_halves(lower, upper) })
            }

            #[inline(always)]
            fn add_product(sum: Lanes, a: Lanes, b: Lanes) -> Lanes {
                let (mut sum, a, b) = (Self::vectors(sum), Self::vectors(a), Self::vectors(b));
                for i in 0..$parts {
                    // SAFETY: see the macro.
                    sum[i] = unsafe { $add_product(sum[i], a[i], b[i]) };
                }
                Self::lanes(sum)
            }

            registers!(@binary $parts, times, $times);
            registers!(@binary $parts, plus, $plus);
            registers!(@binary $parts, minus, $minus);
            registers!(@binary $parts, max, $max);
            registers!(@select $parts, where_greater, $where_greater);
            registers!(@select $parts, where_equal, $where_equal);
        }
    };
    (@binary $parts:literal, $name:ident, $f:expr) => {
        #[inline(always)]
        fn $name(a: Lanes, b: Lanes) -> Lanes {
            let (mut a, b) = (Self::vectors(a), Self::vectors(b));
            for i in 0..$parts {
                // SAFETY: see the macro.
                a[i] = unsafe { $f(a[i], b[i]) };
            }
            Self::lanes(a)
        }
    };
    (@select $parts:literal, $name:ident, $f:expr) => {
        #[inline(always)]
        fn $name(value: Lanes, a: Lanes, b: Lanes) -> Lanes {
            let (mut value, a, b) = (Self::vectors(value), Self::vectors(a), Self::vectors(b));
            for i in 0..$parts {
                // SAFETY: see the macro.
                value[i] = unsafe { $f(value[i], a[i], b[i]) };
            }
            Self::lanes(value)
        }
    };
}

#[cfg(target_arch = "x86_64")]
pub(crate) use x86::{Half, Quarter, Wide};

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::{Lanes, Registers};
    use std::arch::x86_64::*;

    registers! {
        /// 32 registers of 16 floats: AVX-512.
        Wide, [__m512; 1], accumulators: 16,
        splat: _mm512_set1_ps,
        splat_halves: wide_splat_halves,
        add_product: wide_add_product,
        times: _mm512_mul_ps,
        plus: _mm512_add_ps,
        minus: _mm512_sub_ps,
        max: _mm512_max_ps,
        where_greater: wide_where::<_CMP_GT_OQ>,
        where_equal: wide_where::<_CMP_EQ_OQ>,
    }

    #[inline]
    #[target_feature(enable = "avx512f")]
    fn wide_splat_halves(lower: f32, upper: f32) -> [__m512; 1] {
        [_mm512_mask_broadcastss_ps(_mm512_set1_ps(lower), 0xff00, _mm_set_ss(upper))]
    }

    #[inline]
    #[target_feature(enable = "avx512f")]
    fn wide_add_product(sum: __m512, a: __m512, b: __m512) -> __m512 {
        _mm512_fmadd_ps(a, b, sum)
    }

    #[inline]
    #[target_feature(enable = "avx512f")]
    fn wide_where<const COMPARE: i32>(value: __m512, a: __m512, b: __m512) -> __m512 {
        _mm512_maskz_mov_ps(_mm512_cmp_ps_mask::<COMPARE>(a, b), value)
    }

    registers! {
        /// 16 registers of 8 floats: AVX2 with fused multiply-add.
        Half, [__m256; 2], accumulators: 6,
        splat: _mm256_set1_ps,
        splat_halves: half_splat_halves,
        add_product: half_add_product,
        times: _mm256_mul_ps,
        plus: _mm256_add_ps,
        minus: _mm256_sub_ps,
        max: _mm256_max_ps,
        where_greater: half_where::<_CMP_GT_OQ>,
        where_equal: half_where::<_CMP_EQ_OQ>,
    }

    #[inline]
    #[target_feature(enable = "avx2,fma")]
    fn half_splat_halves(lower: f32, upper: f32) -> [__m256; 2] {
        [_mm256_set1_ps(lower), _mm256_set1_ps(upper)]
    }

    #[inline]
    #[target_feature(enable = "avx2,fma")]
    fn half_add_product(sum: __m256, a: __m256, b: __m256) -> __m256 {
        _mm256_fmadd_ps(a, b, sum)
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    fn half_where<const COMPARE: i32>(value: __m256, a: __m256, b: __m256) -> __m256 {
        _mm256_and_ps(_mm256_cmp_ps::<COMPARE>(a, b), value)
    }

    registers! {
        /// 16 registers of 4 floats: SSE2, which every x86-64 has.
        Quarter, [__m128; 4], accumulators: 2,
        splat: _mm_set1_ps,
        splat_halves: quarter_splat_halves,
        add_product: quarter_add_product,
        times: _mm_mul_ps,
        plus: _mm_add_ps,
        minus: _mm_sub_ps,
        max: _mm_max_ps,
        where_greater: quarter_where_greater,
        where_equal: quarter_where_equal,
    }

    #[inline]
    #[target_feature(enable = "sse2")]
    fn quarter_splat_halves(lower: f32, upper: f32) -> [__m128; 4] {
        let (lower, upper) = (_mm_set1_ps(lower), _mm_set1_ps(upper));
        [lower, lower, upper, upper]
    }

    /// Rounded once, without an instruction for it: in double precision the product is exact. Where the sum is not, its last
    /// bit is made to say so (rounding to odd), which the second rounding then respects (Boldo, Melquiond, 2008).
    #[inline]
    #[target_feature(enable = "sse2")]
    fn quarter_add_product(sum: __m128, a: __m128, b: __m128) -> __m128 {
        let upper = |v| _mm_movehl_ps(v, v);
        let low = sum_to_odd(sum, a, b);
        let high = sum_to_odd(upper(sum), upper(a), upper(b));
        _mm_movelh_ps(_mm_cvtpd_ps(low), _mm_cvtpd_ps(high))
    }

    /// `sum + a × b` of the lower two lanes, in double precision, rounded to odd.
    #[inline]
    #[target_feature(enable = "sse2")]
    fn sum_to_odd(sum: __m128, a: __m128, b: __m128) -> __m128d {
        let product = _mm_mul_pd(_mm_cvtps_pd(a), _mm_cvtps_pd(b));
        let sum = _mm_cvtps_pd(sum);
        let whole = _mm_add_pd(product, sum);
        // What the sum has lost (Knuth's TwoSum). Infinities and what is no number lose nothing.
        let other = _mm_sub_pd(whole, product);
        let lost = _mm_add_pd(_mm_sub_pd(product, _mm_sub_pd(whole, other)), _mm_sub_pd(sum, other));
        let inexact = _mm_and_pd(_mm_cmpneq_pd(lost, _mm_setzero_pd()), _mm_cmpord_pd(lost, lost));
        // Towards zero: one back where the sum was rounded away from it, which is where what was lost has the other sign.
        let signs = _mm_srai_epi32::<31>(_mm_castpd_si128(_mm_xor_pd(whole, lost)));
        let back = _mm_and_si128(_mm_shuffle_epi32::<0b11_11_01_01>(signs), _mm_castpd_si128(inexact));
        let odd = _mm_and_si128(_mm_set1_epi64x(1), _mm_castpd_si128(inexact));
        _mm_castsi128_pd(_mm_or_si128(_mm_add_epi64(_mm_castpd_si128(whole), back), odd))
    }

    #[inline]
    #[target_feature(enable = "sse2")]
    fn quarter_where_greater(value: __m128, a: __m128, b: __m128) -> __m128 {
        _mm_and_ps(_mm_cmpgt_ps(a, b), value)
    }

    #[inline]
    #[target_feature(enable = "sse2")]
    fn quarter_where_equal(value: __m128, a: __m128, b: __m128) -> __m128 {
        _mm_and_ps(_mm_cmpeq_ps(a, b), value)
    }
}

#[cfg(target_arch = "aarch64")]
pub(crate) use arm::Half;

#[cfg(target_arch = "aarch64")]
mod arm {
    use super::{Lanes, Registers};
    use std::arch::aarch64::*;

    registers! {
        /// 32 registers of 4 floats: NEON.
        Half, [float32x4_t; 4], accumulators: 4,
        splat: vdupq_n_f32,
        splat_halves: splat_halves,
        add_product: vfmaq_f32,
        times: vmulq_f32,
        plus: vaddq_f32,
        minus: vsubq_f32,
        max: larger,
        where_greater: where_greater,
        where_equal: where_equal,
    }

    #[inline]
    #[target_feature(enable = "neon")]
    fn splat_halves(lower: f32, upper: f32) -> [float32x4_t; 4] {
        let (lower, upper) = (vdupq_n_f32(lower), vdupq_n_f32(upper));
        [lower, lower, upper, upper]
    }

    #[inline]
    #[target_feature(enable = "neon")]
    fn larger(a: float32x4_t, b: float32x4_t) -> float32x4_t {
        vbslq_f32(vcgtq_f32(a, b), a, b)
    }

    #[inline]
    #[target_feature(enable = "neon")]
    fn where_greater(value: float32x4_t, a: float32x4_t, b: float32x4_t) -> float32x4_t {
        vreinterpretq_f32_u32(vandq_u32(vcgtq_f32(a, b), vreinterpretq_u32_f32(value)))
    }

    #[inline]
    #[target_feature(enable = "neon")]
    fn where_equal(value: float32x4_t, a: float32x4_t, b: float32x4_t) -> float32x4_t {
        vreinterpretq_f32_u32(vandq_u32(vceqq_f32(a, b), vreinterpretq_u32_f32(value)))
    }
}

#[cfg(not(target_arch = "x86_64"))]
pub(crate) use plain::Quarter;

#[cfg(not(target_arch = "x86_64"))]
mod plain {
    use super::{Lanes, Registers};
    use crate::lanes::HALF;

    registers! {
        /// Whatever the target has.
        Quarter, [f32; 16], accumulators: 2,
        splat: |value| value,
        splat_halves: |lower, upper| std::array::from_fn(|lane| if lane < HALF { lower } else { upper }),
        add_product: |sum: f32, a: f32, b: f32| a.mul_add(b, sum),
        times: |a: f32, b: f32| a * b,
        plus: |a: f32, b: f32| a + b,
        minus: |a: f32, b: f32| a - b,
        max: |a: f32, b: f32| if a > b { a } else { b },
        where_greater: |value: f32, a: f32, b: f32| if a > b { value } else { 0.0 },
        where_equal: |value: f32, a: f32, b: f32| if a == b { value } else { 0.0 },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lanes::LANES;
    use crate::width::{Task, Width, run};

    /// What a width makes of three numbers a lane.
    struct All<'a> {
        of: [Lanes; 3],
        to: &'a mut [Lanes; 7],
    }

    impl Task for All<'_> {
        #[inline(always)]
        fn run<R: Registers>(self) {
            let [a, b, c] = self.of;
            *self.to = [
                R::add_product(a, b, c),
                R::times(a, b),
                R::plus(a, b),
                R::minus(a, b),
                R::max(a, b),
                R::where_greater(a, b, c),
                R::where_equal(a, b, c),
            ];
        }
    }

    fn expected([a, b, c]: [f32; 3]) -> [f32; 7] {
        let larger = if a > b { a } else { b };
        let [greater, equal] = [b > c, b == c].map(|holds| if holds { a } else { 0.0 });
        [b.mul_add(c, a), a * b, a + b, a - b, larger, greater, equal]
    }

    /// Numbers of any exponent, and those whose products and sums lie at a rounding's border: few bits, far apart.
    fn number(chance: &mut u64) -> f32 {
        *chance = chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let bits = (*chance >> 32) as u32;
        let near = f32::from_bits(bits & 0x807f_ffff | (120 + (bits >> 23 & 15)) << 23);
        match *chance >> 28 & 15 {
            0 => {
                [0.0, -0.0, 1.0, -1.0, f32::INFINITY, f32::MIN_POSITIVE, f32::MAX, f32::from_bits(1)][bits as usize % 8]
            }
            1..6 => f32::from_bits(bits),
            6..11 => f32::from_bits(near.to_bits() & 0xffff_e000),
            11..14 => f32::from_bits(near.to_bits() & 0xff80_0001),
            _ => near,
        }
    }

    #[test]
    fn every_width_rounds_alike() {
        let mut chance = 1;
        let mut checked = 0usize;
        while checked < 2_000_000 {
            let of: [Lanes; 3] = std::array::from_fn(|_| Lanes(std::array::from_fn(|_| number(&mut chance))));
            for width in Width::available() {
                let mut to = [Lanes::ZERO; 7];
                run(width, All { of, to: &mut to });
                for lane in 0..LANES {
                    let of = of.map(|lanes| lanes.0[lane]);
                    for (operation, (got, expected)) in to.iter().zip(expected(of)).enumerate() {
                        let got = got.0[lane];
                        let same = got.to_bits() == expected.to_bits() || got.is_nan() && expected.is_nan();
                        assert!(same, "{width:?}, operation {operation} of {of:?}: {got:?} for {expected:?}");
                    }
                }
            }
            checked += LANES;
        }
    }
}
