//! Cells as pictures: SVG for documents and browsers, PNG for what takes no SVG, a few lines of text for the terminal.
//!
//! What is drawn is a [`Picture`], a value that knows nothing of searches or networks: a found cell becomes one with
//! [`Picture::of`], and a search makes one of the state it is in. [`svg`] and [`png`] then find a place for everything: nodes
//! stand on one line from left to right, edges run in lanes above and below it, each with its label in its own stretch
//! of a lane, so that labels can never cover each other or a node.

mod lanes;
mod layout;
mod png;
mod scene;
mod svg;
mod text;

pub use png::png;
pub use svg::svg;
pub use text::to_text;

use crate::genotype::{Genes, Genotype};
use crate::space::{CellKind, INPUTS, NODES, OperationKind};

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
    /// Its edges. One that cannot be, because it does not lead from a state to a later node, is left out; so is a
    /// pruned one, by not being in the list.
    pub edges: Vec<EdgePicture>,
    /// The states that form its output: 0 and 1 are the inputs, 2 to 5 the nodes.
    pub concat: Vec<usize>,
}

/// One edge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EdgePicture {
    /// The state that it reads, 0 to 4.
    pub from: usize,
    /// The state that it adds to, 2 to 5: node n is state n + 2.
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
    fn is_possible(&self) -> bool {
        (INPUTS..INPUTS + NODES).contains(&self.to) && self.from < self.to
    }
}

impl CellPicture {
    fn of(name: &str, genes: &Genes) -> Self {
        let edges = genes.nodes.iter().enumerate().flat_map(|(node, edges)| {
            edges.iter().map(move |gene| EdgePicture {
                from: gene.from,
                to: INPUTS + node,
                label: gene.operation.name.to_owned(),
                kind: gene.operation.kind,
                state: EdgeState::Decided,
            })
        });
        CellPicture { name: name.to_owned(), edges: edges.collect(), concat: genes.concat.clone() }
    }
}

impl Picture {
    /// The two cells of a genotype.
    pub fn of(genotype: &Genotype, title: &str) -> Self {
        let cell = |kind: CellKind| CellPicture::of(&format!("{kind} cell"), genotype.genes(kind));
        Picture { title: title.to_owned(), cells: CellKind::ALL.map(cell).to_vec() }
    }
}

/// The normal and the reduction cell side by side, as an SVG document.
pub fn cell_pair(genotype: &Genotype, title: &str) -> String {
    svg(&Picture::of(genotype, title))
}
