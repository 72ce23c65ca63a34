//! Cells and networks as pictures: SVG for documents and browsers, PNG for what takes no SVG, lines of text for the terminal.
//!
//! What is drawn is a [`Picture`], a value that knows nothing of searches or networks: a found cell becomes one with
//! [`Picture::of`], and a search makes one of the state it is in. [`svg`] and [`png`] then find a place for everything: nodes
//! stand on one line from left to right, edges run in lanes above and below it, each with its label in its own stretch
//! of a lane, so that labels can never cover each other or a node. A network's layers become [`Blocks`], which stand in rows
//! from top to bottom.

mod blocks;
mod growing;
mod lanes;
mod layout;
mod network;
mod png;
mod rows;
mod scene;
mod svg;
mod text;

pub use blocks::{BlockKind, Blocks, LayerBlock};
pub(crate) use growing::growing;
pub use png::png;
pub use scene::Scene;
pub use svg::svg;
pub use text::{state_name, to_text};

use crate::genotype::Genotype;
use crate::space::{Edge, Operation, OperationKind, Space};

/// A row of cells under one title.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    /// Stands above the cells; may be empty.
    pub title: String,
    /// The cells, from left to right.
    pub cells: Vec<CellPicture>,
}

/// One cell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CellPicture {
    /// Stands above the cell, as in `normal cell`.
    pub name: String,
    /// Number of inputs: the first states.
    pub inputs: usize,
    /// Number of nodes: the states after them.
    pub nodes: usize,
    /// Its edges. One that cannot be, because it does not lead from a state to a later node, is left out; so is one that
    /// runs nothing, by not being in the list.
    pub edges: Vec<EdgePicture>,
    /// The states that form its output.
    pub concat: Vec<usize>,
}

/// One edge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EdgePicture {
    /// The state that it reads.
    pub from: usize,
    /// The state that it adds to, a node.
    pub to: usize,
    /// Its operation; of an undecided edge the one that is strongest.
    pub label: String,
    /// What that operation looks at, which gives the colour.
    pub kind: OperationKind,
    /// Whether it is settled.
    pub state: EdgeState,
}

/// Whether a search has settled an edge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EdgeState {
    /// Its operation is fixed: drawn in the operation's colour.
    Decided,
    /// It still mixes operations: drawn thin and grey.
    Undecided,
}

impl EdgePicture {
    /// The edge at this place of a cell of the space, with this operation.
    pub fn new(space: &Space, place: Edge, operation: &Operation, state: EdgeState) -> Self {
        let label = operation.name.to_owned();
        EdgePicture { from: place.from, to: space.inputs + place.node, label, kind: operation.kind, state }
    }
}

impl CellPicture {
    /// A cell of the space; decided edges that run nothing are left out.
    pub fn new(space: &Space, name: &str, edges: impl Iterator<Item = EdgePicture>, concat: Vec<usize>) -> Self {
        let runs = |edge: &EdgePicture| edge.kind != OperationKind::None || edge.state == EdgeState::Undecided;
        let edges = edges.filter(runs).collect();
        CellPicture { name: name.to_owned(), inputs: space.inputs, nodes: space.nodes, edges, concat }
    }

    fn states(&self) -> usize {
        self.inputs + self.nodes
    }

    fn is_possible(&self, edge: &EdgePicture) -> bool {
        (self.inputs..self.states()).contains(&edge.to) && edge.from < edge.to
    }
}

impl Picture {
    /// The cells of a genotype.
    pub fn of(genotype: &Genotype, title: &str) -> Self {
        let cells = genotype.kinds().map(|(kind, genes)| {
            let edges = genes.edges().map(|(node, gene)| {
                let place = Edge { from: gene.from, node };
                EdgePicture::new(genotype.space, place, gene.operation, EdgeState::Decided)
            });
            CellPicture::new(genotype.space, &format!("{kind} cell"), edges, genes.concat.clone())
        });
        Picture { title: title.to_owned(), cells: cells.collect() }
    }
}

/// The cells of a genotype side by side, as an SVG document.
pub fn cell_pair(genotype: &Genotype, title: &str) -> String {
    svg(&Picture::of(genotype, title))
}
