//! Where the nodes of a cell lie: all in one buffer, so that one launch adds to several of them.

use crate::fused::CellCall;
use crate::weights::volume;

/// A node, in vectors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Node {
    /// Where its first pixel lies.
    pub(super) start: usize,
    /// From one pixel to the next.
    pub(super) pitch: usize,
    /// Whether an earlier phase has begun its sum.
    pub(super) begun: bool,
}

/// The nodes of a cell: those of its output side by side, and behind them the others, each for itself.
#[derive(Debug)]
pub(super) struct Nodes {
    pub(super) all: Vec<Node>,
    /// Shape of the output.
    pub(super) output: [usize; 5],
    /// Vectors of them all.
    pub(super) length: usize,
}

impl Nodes {
    pub(super) fn of(call: &CellCall, lanes: usize) -> Self {
        let (states, channels) = call.output();
        let [t, h, w] = call.shapes[call.concat[0]].extent;
        let pitch = channels.iter().sum();
        let mut length = call.samples * volume([t, h, w]) * pitch / lanes;
        let node = |start: usize, pitch: usize| Node { start, pitch: pitch / lanes, begun: false };
        let mut all = Vec::with_capacity(call.nodes());
        for of in 0..call.nodes() {
            all.push(match states.iter().position(|&state| state == of) {
                Some(at) => node(channels[..at].iter().sum::<usize>() / lanes, pitch),
                None => {
                    let start = length;
                    length += call.count(of) / lanes;
                    node(start, call.shapes[call.inputs + of].channels)
                }
            });
        }
        Nodes { all, output: [call.samples, t, h, w, pitch], length }
    }
}
