//! Tensors side by side in one buffer.

use super::super::table::UNITS;
use cubecl::prelude::*;

/// Lays tensors side by side: `places` says where each starts, ends, and where the next starts; zeros come between. The
/// grid is (parts of the longest, tensors).
#[cube(launch_unchecked)]
pub fn pack(tensors: &Sequence<Box<[f32]>>, packed: &mut [f32], places: &[i32]) {
    let own = CUBE_POS_X as usize * UNITS + UNIT_POS as usize;
    #[unroll]
    for tensor in 0..tensors.len() {
        if CUBE_POS_Y as usize == tensor {
            let at = places[3 * tensor] as usize + own;
            if at < places[3 * tensor + 1] as usize {
                packed[at] = tensors[tensor][own];
            } else if at < places[3 * tensor + 2] as usize {
                packed[at] = 0.0;
            }
        }
    }
}

/// A copy of so many elements, from `start` on.
#[cube(launch_unchecked)]
pub fn copy(from: &[f32], to: &mut [f32], start: usize, count: usize) {
    let at = ABSOLUTE_POS;
    if at < count {
        to[start + at] = from[at];
    }
}

/// Copies pixels within a buffer, whose channels lie in so many parts: those at one place in all parts come to lie side by
/// side. With the channels of a part in the place of the parts' number, it is the way back. The grid is the elements.
#[cube(launch_unchecked)]
pub fn mingle(
    nodes: &mut [f32],
    from: usize,
    from_pitch: usize,
    to: usize,
    to_pitch: usize,
    channels: usize,
    parts: usize,
    count: usize,
) {
    let at = ABSOLUTE_POS;
    if at < count {
        let pixel = at / channels;
        let channel = at % channels;
        let own = channel % parts * (channels / parts) + channel / parts;
        nodes[to + pixel * to_pitch + channel] = nodes[from + pixel * from_pitch + own];
    }
}
