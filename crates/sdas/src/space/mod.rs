//! Search spaces: the candidate operations, the topology of a cell and what lies around the cells, as data.
//!
//! A space is a value in a file of its own and a line in [`SPACES`], or one that a program [adds](add); nothing else knows its
//! numbers. An operation is a name
//! and an expression over stages; the supernet, the derived network, parameter counts and the drawing all read the same
//! value.

mod candidates;
mod image;
mod nb201;
mod operation;
mod robust;
mod stem;
mod topology;
mod video;

pub use candidates::{Candidates, SpaceError};
pub use image::IMAGE;
pub use nb201::NB201;
pub(crate) use operation::names;
pub use operation::{Operation, OperationKind, UnknownOperation};
pub use robust::{S1, S2, S3, S4};
pub use stem::Stem;
pub use topology::{CellKind, Edge, stage_starts};
pub use video::VIDEO;

pub use sdas_kernels::{Expression, Extent, Padding, Pool, Stage};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::fmt;
use std::str::FromStr;
use std::sync::{PoisonError, RwLock};

/// The spaces that are built in. Where operations' names alone are to tell a space, the first that knows them is meant.
pub static SPACES: &[&Space] = &[&IMAGE, &VIDEO, &NB201, &S1, &S2, &S3, &S4];

/// Those that a program has added.
static ADDED: RwLock<Vec<&Space>> = RwLock::new(Vec::new());

/// All spaces: first those that are built in, then those that were added.
pub fn spaces() -> Vec<&'static Space> {
    let added = ADDED.read().unwrap_or_else(PoisonError::into_inner);
    SPACES.iter().chain(added.iter()).copied().collect()
}

/// Makes a program's own space known, so that recipes, genotypes and checkpoints find it by its name. To be called before any
/// of them is read.
///
/// # Panics
///
/// If another space has the name, or an edge has fewer than two operations to choose from.
pub fn add(space: &'static Space) {
    let candidates = Candidates::whole(space);
    for &kind in space.kinds() {
        let choices = (0..space.edge_count()).map(|edge| candidates.choices(kind, edge).count());
        assert!(choices.min() >= Some(2), "an edge of {space} has nothing to choose from");
    }
    assert!(spaces().iter().all(|other| other.name != space.name), "there is a space called {space} already");
    ADDED.write().unwrap_or_else(PoisonError::into_inner).push(space);
}

/// A search space.
pub struct Space {
    /// Its name in recipes and genotypes.
    pub name: &'static str,
    /// The candidate operations.
    pub operations: &'static [Operation],
    /// By kind of cell and edge, the names of those that it may have; nothing where every edge may have all.
    pub by_edge: &'static [&'static [&'static [&'static str]]],
    /// Inputs of a cell: the outputs of so many cells before it.
    pub inputs: usize,
    /// Nodes of a cell, each the sum of its edges.
    pub nodes: usize,
    /// What is done to the inputs.
    pub preprocessing: Preprocessing,
    /// What decisions leave of the edges.
    pub keep: Keep,
    /// Whether a decision may take `none`, the absence of an edge; otherwise `none` takes part in the search alone.
    pub none_is_chosen: bool,
    /// What a cell's output is.
    pub output: Output,
    /// What begins the second and the third stage.
    pub between: Between,
    /// Its stride along time, height and width.
    pub stride: Extent,
    /// Kernel of the stems' convolutions.
    pub stem_kernel: Extent,
    /// A stem of one convolution gives so many times the channels of the first cells' nodes.
    pub stem_width: usize,
    /// The stems that a derived network can have.
    pub stems: &'static [Stem],
    /// What lies between the last cell and the global average.
    pub closing: Closing,
    /// Channels and number of cells that its literature trains on small pictures.
    pub usual: [usize; 2],
}

/// What is done to a cell's inputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Preprocessing {
    /// ReLU, 1×1 convolution and norm, which bring them to the channels of the nodes.
    Projected,
    /// Nothing: they have the channels of the nodes.
    Absent,
}

/// What decisions leave of a cell's edges.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// Two edges into every node; its others are pruned.
    TwoEdges,
    /// Every edge.
    EveryEdge,
}

/// What a cell's output is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Output {
    /// The nodes side by side; a found cell may say which states.
    Nodes,
    /// The last node.
    LastNode,
}

/// What begins the second and the third stage, doubles the channels and reduces the size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Between {
    /// Cells of a second kind, counted among the cells.
    ReductionCells,
    /// Residual blocks of two 3×3 convolutions, the same in every network.
    ResidualBlocks,
}

/// What lies between the last cell and the global average.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Closing {
    /// Nothing.
    Absent,
    /// Batch norm and ReLU.
    Normalised,
}

impl Space {
    /// The operation called `name`.
    ///
    /// # Errors
    ///
    /// An unknown name; the message lists the known ones.
    pub fn operation(&'static self, name: &str) -> Result<&'static Operation, UnknownOperation> {
        self.operations
            .iter()
            .find(|operation| operation.name == name)
            .ok_or_else(|| UnknownOperation { name: name.to_owned(), space: self })
    }

    /// The operations that an edge of a kind of cell may have, in the table's order.
    pub fn allowed(&'static self, kind: CellKind, edge: usize) -> impl Iterator<Item = &'static Operation> {
        let names = self.by_edge.get(kind.index()).map(|edges| edges[edge]);
        let is_allowed = move |operation: &&Operation| names.is_none_or(|names| names.contains(&operation.name));
        self.operations.iter().filter(is_allowed)
    }

    /// Whether a derived network can have this stem.
    ///
    /// # Errors
    ///
    /// If not: what would be right.
    pub fn check_stem(&self, stem: Stem) -> Result<(), String> {
        if self.stems.contains(&stem) {
            return Ok(());
        }
        let stems: Vec<_> = self.stems.iter().map(Stem::to_string).collect();
        Err(format!("must be {} in the {self} space, not {stem}", stems.join(" or ")))
    }

    /// So many edges of a kind of cell that learn nothing (skip connections, pools, noise, none) make it a collapsed one: three
    /// quarters of them.
    pub fn collapsed(&self) -> usize {
        (3 * self.decisions()).div_ceil(4)
    }
}

impl PartialEq for Space {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Space {}

impl fmt::Debug for Space {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

impl fmt::Display for Space {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

impl FromStr for &'static Space {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let spaces = spaces();
        spaces.iter().copied().find(|space| space.name == text).ok_or_else(|| {
            let known: Vec<_> = spaces.iter().map(|space| format!("\"{space}\"")).collect();
            format!("unknown space \"{text}\"; there are {}", known.join(", "))
        })
    }
}

impl Serialize for Space {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name)
    }
}

impl<'de> Deserialize<'de> for &'static Space {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_space_is_found_by_its_name_and_can_be_searched() {
        let names: HashSet<_> = SPACES.iter().map(|space| space.name).collect();
        assert_eq!(names.len(), SPACES.len());
        for space in SPACES {
            assert_eq!(space.name.parse(), Ok(*space));
            assert!(space.operations.iter().filter(|operation| operation.is_none()).count() <= 1);
            let candidates = Candidates::whole(space);
            for &kind in space.kinds() {
                assert!((0..space.edge_count()).all(|edge| candidates.choices(kind, edge).count() >= 2), "{space}");
            }
        }
        assert!("sound".parse::<&Space>().unwrap_err().contains("there are \"image\", \"video\", \"nb201\""));
    }

    #[test]
    fn tables_hold_what_their_papers_say() {
        let count = |space: &Space| space.operations.len();
        assert_eq!([&IMAGE, &VIDEO, &NB201, &S1, &S2, &S3, &S4].map(count), [8, 13, 5, 6, 2, 3, 2]);
        for space in [&IMAGE, &VIDEO] {
            assert!(space.operations[0].is_none());
        }
        let tables = S1.by_edge.iter().flat_map(|edges| edges.iter());
        assert_eq!(tables.clone().count(), 28);
        assert!(tables.flat_map(|names| names.iter()).all(|name| S1.operation(name).is_ok()));
    }
}
