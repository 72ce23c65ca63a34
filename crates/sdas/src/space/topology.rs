//! The topology of a cell: a directed acyclic graph in which every node is the sum of its edges.

use super::{Between, Keep, Output, Space};
use serde::{Deserialize, Serialize};
use std::fmt;

/// The kinds of cell; all cells of a kind share one architecture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CellKind {
    /// Keeps the size.
    Normal,
    /// Its edges from the inputs are strided, and it has twice the channels.
    Reduction,
}

impl CellKind {
    /// 0 for normal, 1 for reduction: its place in all that is kept by kind.
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

/// Where an edge lies. States are the cell's inputs, then its nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Edge {
    /// The state it reads.
    pub from: usize,
    /// The node it ends in, from 0.
    pub node: usize,
}

impl Space {
    /// The kinds of cell that there are, normal first.
    pub fn kinds(&self) -> &'static [CellKind] {
        match self.between {
            Between::ReductionCells => &[CellKind::Normal, CellKind::Reduction],
            Between::ResidualBlocks => &[CellKind::Normal],
        }
    }

    /// Number of states of a cell: its inputs and its nodes.
    pub fn states(&self) -> usize {
        self.inputs + self.nodes
    }

    /// All edges in the order of their indices: node by node, and by the state they read within a node.
    pub fn edges(&self) -> impl Iterator<Item = Edge> + use<> {
        let inputs = self.inputs;
        (0..self.nodes).flat_map(move |node| (0..inputs + node).map(move |from| Edge { from, node }))
    }

    /// The edge of the given index.
    ///
    /// # Panics
    ///
    /// If there are not so many.
    pub fn edge(&self, index: usize) -> Edge {
        self.edges().nth(index).expect("an edge's index is below their number")
    }

    /// Number of edges of a cell before any is decided: one from every input and earlier node to each node.
    pub fn edge_count(&self) -> usize {
        self.first_edge(self.nodes)
    }

    /// The indices of the edges that end in `node`.
    pub fn edges_into(&self, node: usize) -> std::ops::Range<usize> {
        self.first_edge(node)..self.first_edge(node + 1)
    }

    fn first_edge(&self, node: usize) -> usize {
        (0..node).map(|earlier| self.inputs + earlier).sum()
    }

    /// Edges into `node` that a found cell has.
    pub fn kept(&self, node: usize) -> usize {
        match self.keep {
            Keep::TwoEdges => 2,
            Keep::EveryEdge => self.inputs + node,
        }
    }

    /// Decisions that are due for each kind of cell: the edges that a found cell has.
    pub fn decisions(&self) -> usize {
        (0..self.nodes).map(|node| self.kept(node)).sum()
    }

    /// The states that form the output of a cell as it is searched.
    pub fn concat(&self) -> Vec<usize> {
        match self.output {
            Output::Nodes => (self.inputs..self.states()).collect(),
            Output::LastNode => vec![self.states() - 1],
        }
    }
}

/// The cells, of `cells`, that begin the second and the third stage: at a third and at two thirds.
pub fn stage_starts(cells: usize) -> [usize; 2] {
    [cells / 3, 2 * cells / 3]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::space::{IMAGE, NB201, SPACES};

    #[test]
    fn edges_are_numbered_node_by_node() {
        assert_eq!((IMAGE.edge_count(), IMAGE.decisions(), IMAGE.concat()), (14, 8, vec![2, 3, 4, 5]));
        assert_eq!(IMAGE.edge(0), Edge { from: 0, node: 0 });
        assert_eq!(IMAGE.edge(4), Edge { from: 2, node: 1 });
        assert_eq!(IMAGE.edge(13), Edge { from: 4, node: 3 });
        assert_eq!((NB201.edge_count(), NB201.decisions(), NB201.concat()), (6, 6, vec![3]));
        assert_eq!(NB201.edge(2), Edge { from: 1, node: 1 });
        for space in SPACES {
            assert_eq!(space.edges().count(), space.edge_count());
            for node in 0..space.nodes {
                assert!(space.edges_into(node).all(|index| space.edge(index).node == node));
            }
        }
    }
}
