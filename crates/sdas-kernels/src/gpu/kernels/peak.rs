//! What does one thing only, as fast as a card can.

use cubecl::prelude::*;

/// Independent chains of a unit.
pub const CHAINS: usize = 16;

/// Multiply-adds of a chain in a round.
pub const LENGTH: usize = 4;

/// A copy, a vector a unit.
#[cube(launch_unchecked)]
pub fn copy<N: Size>(from: &[Vector<f32, N>], to: &mut [Vector<f32, N>]) {
    to[ABSOLUTE_POS] = from[ABSOLUTE_POS];
}

/// Chains of multiply-adds in registers. What goes in comes from memory, so that nothing can be computed beforehand.
#[cube(launch_unchecked)]
pub fn multiply_adds(values: &mut [f32], rounds: usize) {
    let factor = values[ABSOLUTE_POS];
    let mut sums = Array::<f32>::new(CHAINS);
    #[unroll]
    for chain in 0..CHAINS {
        sums[chain] = factor + comptime!(chain as f32);
    }
    for _ in 0..rounds {
        #[unroll]
        for _ in 0..LENGTH {
            #[unroll]
            for chain in 0..CHAINS {
                sums[chain] = fma(sums[chain], factor, factor);
            }
        }
    }
    let mut sum = 0.0f32;
    #[unroll]
    for chain in 0..CHAINS {
        sum += sums[chain];
    }
    values[ABSOLUTE_POS] = sum;
}
