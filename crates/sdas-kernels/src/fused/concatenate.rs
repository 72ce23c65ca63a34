//! A cell's output: its nodes' channels side by side, and the way back.

use super::memory::Buffer;
use crate::crew::each;

/// Pixels that one task copies.
const PART: usize = 4096;

/// Puts the channels of nodes, `[pixels, channels]` each, side by side: `[pixels, nodes × channels]`.
pub(super) fn beside(nodes: &[&[f32]], channels: usize) -> Buffer {
    let count = nodes.iter().map(|node| node.len()).sum();
    let mut whole = Buffer::of_floats(count);
    let parts = whole.floats()[..count].chunks_mut(PART * nodes.len() * channels).enumerate();
    each(parts, |(part, whole)| {
        for (pixel, whole) in whole.chunks_exact_mut(nodes.len() * channels).enumerate() {
            let at = (part * PART + pixel) * channels;
            for (to, node) in whole.chunks_exact_mut(channels).zip(nodes) {
                to.copy_from_slice(&node[at..at + channels]);
            }
        }
    });
    whole
}

/// Takes `nodes` nodes apart again.
pub(super) fn apart(whole: &[f32], nodes: usize, channels: usize) -> Vec<Buffer> {
    let count = whole.len() / nodes;
    let mut buffers: Vec<_> = (0..nodes).map(|_| Buffer::borrow_floats(count)).collect();
    let mut parts: Vec<_> = buffers.iter_mut().map(|node| node.floats()[..count].chunks_mut(PART * channels)).collect();
    let parts = whole.chunks(PART * nodes * channels).map(|whole| {
        let nodes: Vec<_> = parts.iter_mut().map(|parts| parts.next().expect("as many as the whole has")).collect();
        (whole, nodes)
    });
    each(parts, |(whole, mut nodes)| {
        for (pixel, whole) in whole.chunks_exact(nodes.len() * channels).enumerate() {
            for (node, from) in nodes.iter_mut().zip(whole.chunks_exact(channels)) {
                node[pixel * channels..][..channels].copy_from_slice(from);
            }
        }
    });
    buffers
}
