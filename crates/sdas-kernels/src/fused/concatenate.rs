//! A cell's output: its nodes' channels side by side, and the way back.

use super::memory::Buffer;
use super::pack::copy;
use crate::crew::each;
use crate::lanes::LANES;

/// Tasks that the pixels are split into.
const PARTS: usize = 16;

/// Pixels that one task copies.
fn part(pixels: usize) -> usize {
    pixels.div_ceil(PARTS).max(1)
}

/// Copies a pixel's channels of one node, block by block.
fn copy_pixel(to: &mut [f32], from: &[f32]) {
    to.chunks_mut(LANES).zip(from.chunks(LANES)).for_each(|(to, from)| copy(to, from));
}

/// Puts the channels of nodes, `[pixels, channels]` each, side by side: `[pixels, nodes × channels]`.
pub(super) fn beside(nodes: &[&[f32]], channels: usize) -> Buffer {
    let count = nodes.iter().map(|node| node.len()).sum();
    let mut whole = Buffer::of_floats(count);
    let part = part(nodes[0].len() / channels);
    let parts = whole.floats()[..count].chunks_mut(part * nodes.len() * channels).enumerate();
    each(parts, |(index, whole)| {
        for (pixel, whole) in whole.chunks_exact_mut(nodes.len() * channels).enumerate() {
            let at = (index * part + pixel) * channels;
            for (to, node) in whole.chunks_exact_mut(channels).zip(nodes) {
                copy_pixel(to, &node[at..at + channels]);
            }
        }
    });
    whole
}

/// Takes `nodes` nodes apart again.
pub(super) fn apart(whole: &[f32], nodes: usize, channels: usize) -> Vec<Buffer> {
    let count = whole.len() / nodes;
    let mut buffers: Vec<_> = (0..nodes).map(|_| Buffer::borrow_floats(count)).collect();
    let part = part(count / channels);
    let mut parts: Vec<_> = buffers.iter_mut().map(|node| node.floats()[..count].chunks_mut(part * channels)).collect();
    let parts = whole.chunks(part * nodes * channels).map(|whole| {
        let nodes: Vec<_> = parts.iter_mut().map(|parts| parts.next().expect("as many as the whole has")).collect();
        (whole, nodes)
    });
    each(parts, |(whole, mut nodes)| {
        for (pixel, whole) in whole.chunks_exact(nodes.len() * channels).enumerate() {
            for (node, from) in nodes.iter_mut().zip(whole.chunks_exact(channels)) {
                copy_pixel(&mut node[pixel * channels..][..channels], from);
            }
        }
    });
    buffers
}
