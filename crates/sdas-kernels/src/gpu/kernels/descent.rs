//! The optimizer's passes over all weights.

use super::super::table::UNITS;
use cubecl::prelude::*;

/// Elements that a cube sums.
pub const PART: usize = 16 * 1024;

/// Sums of squares of parts.
#[cube(launch_unchecked)]
pub fn squares(values: &[f32], sums: &mut [f32], count: usize) {
    let me = UNIT_POS as usize;
    let begin = CUBE_POS_X as usize * PART;
    let end = min(begin + PART, count);
    let mut sum = 0.0f32;
    let mut at = begin + me;
    while at < end {
        sum += values[at] * values[at];
        at += UNITS;
    }
    let mut tile = Shared::<[f32]>::new_slice(UNITS);
    tile[me] = sum;
    let mut step = comptime!(UNITS / 2).runtime();
    while step > 0 {
        sync_cube();
        if me < step {
            tile[me] += tile[me + step];
        }
        step /= 2;
    }
    sync_cube();
    if me == 0 {
        sums[CUBE_POS_X as usize] = tile[0];
    }
}

/// A step of SGD with momentum.
#[cube(launch_unchecked)]
pub fn step(
    weights: &[f32],
    momentum: &[f32],
    gradient: &[f32],
    new_weights: &mut [f32],
    new_momentum: &mut [f32],
    count: usize,
    scale: f32,
    weight_decay: f32,
    kept: f32,
    rate: f32,
) {
    let at = ABSOLUTE_POS;
    if at < count {
        let moved = momentum[at] * kept + gradient[at] * scale + weights[at] * weight_decay;
        new_momentum[at] = moved;
        new_weights[at] = weights[at] - moved * rate;
    }
}

/// `own` moved towards `target` by a share of the way.
#[cube(launch_unchecked)]
pub fn approach(own: &[f32], target: &[f32], moved: &mut [f32], count: usize, share: f32) {
    let at = ABSOLUTE_POS;
    if at < count {
        moved[at] = own[at] * (1.0 - share) + target[at] * share;
    }
}
