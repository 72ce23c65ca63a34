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
    let sum = sum_of_units(sum);
    if me == 0 {
        sums[CUBE_POS_X as usize] = sum;
    }
}

/// The sum of what the units of a cube have, in a fixed order.
#[cube]
fn sum_of_units(own: f32) -> f32 {
    let me = UNIT_POS as usize;
    let mut tile = Shared::<[f32]>::new_slice(UNITS);
    tile[me] = own;
    let mut step = comptime!(UNITS / 2).runtime();
    while step > 0 {
        sync_cube();
        if me < step {
            tile[me] += tile[me + step];
        }
        step /= 2;
    }
    sync_cube();
    tile[0]
}

/// What brings a gradient within the bound of its norm, from the sums of its squares; a bound of 0 is none. One cube.
#[cube(launch_unchecked)]
pub fn scale(sums: &[f32], scale: &mut [f32], count: usize, clip: f32) {
    let me = UNIT_POS as usize;
    let mut sum = 0.0f32;
    let mut at = me;
    while at < count {
        sum += sums[at];
        at += UNITS;
    }
    let sum = sum_of_units(sum);
    if me == 0 {
        let mut own = 1.0f32;
        if clip > 0.0 {
            own = min(clip / (f32::sqrt(sum) + 1e-6), 1.0f32);
        }
        scale[0] = own;
    }
}

/// Whether an element lies in one of so many ranges, pairs of begin and end in their order.
#[cube]
fn lies_within(ranges: &[i32], count: usize, at: usize) -> bool {
    // The first range that ends behind the element.
    let mut low = 0usize;
    let mut high = count;
    while low < high {
        let middle = (low + high) / 2;
        if ranges[2 * middle + 1] as usize <= at {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    let mut within = false;
    if low < count {
        within = ranges[2 * low] as usize <= at;
    }
    within
}

/// A step of SGD with momentum; see [`Descent`](crate::Descent).
#[cube(launch_unchecked)]
pub fn step(
    weights: &[f32],
    momentum: &[f32],
    gradient: &[f32],
    new_weights: &mut [f32],
    new_momentum: &mut [f32],
    scale: &[f32],
    undecayed: &[i32],
    count: usize,
    ranges: usize,
    weight_decay: f32,
    kept: f32,
    rate: f32,
    #[comptime] nesterov: bool,
) {
    let at = ABSOLUTE_POS;
    if at < count {
        let mut direction = gradient[at] * scale[0];
        if !lies_within(undecayed, ranges, at) {
            direction += weights[at] * weight_decay;
        }
        let moved = momentum[at] * kept + direction;
        new_momentum[at] = moved;
        if comptime!(nesterov) {
            new_weights[at] = weights[at] - (direction + moved * kept) * rate;
        } else {
            new_weights[at] = weights[at] - moved * rate;
        }
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
