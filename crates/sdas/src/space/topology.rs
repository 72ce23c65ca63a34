//! The topology of a cell: a directed acyclic graph with two inputs and four nodes.

use serde::{Deserialize, Serialize};
use std::fmt;

/// Inputs of a cell: the outputs of the two cells before.
pub const INPUTS: usize = 2;
/// Nodes of a cell, each the sum of its edges.
pub const NODES: usize = 4;
/// Edges of a cell before any is decided: one from every input and earlier node to each node.
pub const EDGES: usize = 14;

/// The two kinds of cell; all cells of a kind share one architecture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CellKind {
    /// Keeps the size.
    Normal,
    /// Its edges from the inputs are strided, and it has twice the channels.
    Reduction,
}

impl CellKind {
    /// Both kinds, normal first.
    pub const ALL: [CellKind; 2] = [CellKind::Normal, CellKind::Reduction];

    /// 0 for normal, 1 for reduction.
    pub fn index(self) -> usize {
        self as usize
    }
}

impl fmt::Display for CellKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            CellKind::Normal => "normal",
            CellKind::Reduction => "reduction",
        })
    }
}

/// Where an edge lies: states 0 and 1 are the cell's inputs, states 2 to 5 its nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Edge {
    /// The state it reads.
    pub from: usize,
    /// The node it ends in, 0 to 3 (state `node + 2`).
    pub node: usize,
}

/// The edge of the given index: edges are numbered node by node, and by the state they read within a node.
pub fn edge(index: usize) -> Edge {
    edges().nth(index).expect("an edge's index is below EDGES")
}

/// All edges in the order of their indices.
pub fn edges() -> impl Iterator<Item = Edge> {
    (0..NODES).flat_map(|node| (0..INPUTS + node).map(move |from| Edge { from, node }))
}

/// The indices of the edges that end in `node`.
pub fn edges_into(node: usize) -> std::ops::Range<usize> {
    let start = (0..node).map(|earlier| INPUTS + earlier).sum();
    start..start + INPUTS + node
}

/// The cells, of `cells`, that are reduction cells: at a third and at two thirds.
pub fn reduction_cells(cells: usize) -> [usize; 2] {
    [cells / 3, 2 * cells / 3]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edges_are_numbered_node_by_node() {
        assert_eq!(edges().count(), EDGES);
        assert_eq!(edge(0), Edge { from: 0, node: 0 });
        assert_eq!(edge(4), Edge { from: 2, node: 1 });
        assert_eq!(edge(13), Edge { from: 4, node: 3 });
        for node in 0..NODES {
            assert!(edges_into(node).all(|index| edge(index).node == node));
        }
    }
}
