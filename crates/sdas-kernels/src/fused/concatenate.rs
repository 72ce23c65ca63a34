//! A cell's output: its nodes' channels side by side, and the way back.

use super::memory::Buffer;
use super::pack::copy;
use super::plan::STRIP;
use crate::crew::each;
use crate::lanes::LANES;

/// Tasks that the pixels are split into.
const PARTS: usize = 16;

/// Pixels that one task copies.
fn part(pixels: usize) -> usize {
    pixels.div_ceil(PARTS).max(1)
}

/// Copies a pixel's channels of one node, block by block.
#[inline]
fn copy_pixel(to: &mut [f32], from: &[f32]) {
    for (to, from) in to.chunks_mut(LANES).zip(from.chunks(LANES)) {
        copy(to, from);
    }
}

/// Puts the channels of nodes, `[pixels, channels]` each, side by side: `[pixels, channels of all]`.
pub(super) fn beside(nodes: &[(&[f32], usize)]) -> Buffer {
    let count = nodes.iter().map(|(node, _)| node.len()).sum();
    let all: usize = nodes.iter().map(|(_, channels)| channels).sum();
    let mut whole = Buffer::of_floats(count);
    let part = part(count / all);
    let parts = whole.floats()[..count].chunks_mut(part * all).enumerate();
    each(parts, |(index, whole)| {
        for (strip, whole) in whole.chunks_mut(STRIP * all).enumerate() {
            let (first, mut at) = (index * part + strip * STRIP, 0);
            for (node, channels) in nodes {
                let pixels = node[first * channels..].chunks_exact(*channels);
                for (whole, from) in whole.chunks_exact_mut(all).zip(pixels) {
                    copy_pixel(&mut whole[at..at + channels], from);
                }
                at += channels;
            }
        }
    });
    whole
}

/// Takes nodes of so many channels each apart again.
pub(super) fn apart(whole: &[f32], channels: &[usize]) -> Vec<Buffer> {
    let all: usize = channels.iter().sum();
    let pixels = whole.len() / all;
    let mut buffers: Vec<_> = channels.iter().map(|channels| Buffer::borrow_floats(pixels * channels)).collect();
    let part = part(pixels);
    let nodes = buffers.iter_mut().zip(channels);
    let mut parts: Vec<_> =
        nodes.map(|(node, channels)| node.floats()[..pixels * channels].chunks_mut(part * channels)).collect();
    let parts = whole.chunks(part * all).map(|whole| {
        let nodes: Vec<_> = parts.iter_mut().map(|parts| parts.next().expect("as many as the whole has")).collect();
        (whole, nodes)
    });
    each(parts, |(whole, mut nodes)| {
        for (strip, whole) in whole.chunks(STRIP * all).enumerate() {
            let mut at = 0;
            for (node, channels) in nodes.iter_mut().zip(channels) {
                let pixels = node[strip * STRIP * channels..].chunks_exact_mut(*channels);
                for (to, whole) in pixels.zip(whole.chunks_exact(all)) {
                    copy_pixel(to, &whole[at..at + channels]);
                }
                at += channels;
            }
        }
    });
    buffers
}
