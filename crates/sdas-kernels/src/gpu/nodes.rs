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

/// The nodes of a cell: those of its output side by side, behind them the others, each for itself, and behind these their sums
/// where edges work on a part of the channels.
#[derive(Debug)]
pub(super) struct Nodes {
    /// Where they are read.
    pub(super) all: Vec<Node>,
    /// Where they are added to: there, or, where they are yet to be mingled, with what edges give in front of what passes them
    /// by.
    pub(super) sums: Vec<Node>,
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
        let mut alone = |of: usize| {
            let start = length;
            length += call.count(of) / lanes;
            node(start, call.shapes[call.inputs + of].channels)
        };
        let all: Vec<_> = (0..call.nodes())
            .map(|of| match states.iter().position(|&state| state == of) {
                Some(at) => node(channels[..at].iter().sum::<usize>() / lanes, pitch),
                None => alone(of),
            })
            .collect();
        let sums = match call.share {
            1 => all.clone(),
            _ => (0..call.nodes()).map(alone).collect(),
        };
        Nodes { all, sums, output: [call.samples, t, h, w, pitch], length }
    }
}
