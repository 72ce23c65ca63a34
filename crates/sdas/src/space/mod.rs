//! Search spaces: the candidate operations as data, and the topology of a cell.
//!
//! An operation is a name and an expression over stages; the supernet, the derived network, parameter counts and the
//! drawing all read the same value, so that a new operation is a new line in `image` or `video`.

mod image;
mod topology;
mod video;

pub use topology::{CellKind, EDGES, Edge, INPUTS, NODES, edge, edges, edges_into, reduction_cells};

use sdas_kernels::{Expression, Extent};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// A candidate operation.
#[derive(Debug, PartialEq, Eq)]
pub struct Operation {
    /// Its name in recipes, genotypes and drawings.
    pub name: &'static str,
    /// What it looks at: how drawings colour it and statistics group it.
    pub kind: OperationKind,
    /// What it computes.
    pub expression: Expression,
}

impl Operation {
    /// Whether this is the absence of an edge, which takes part in the search and is never chosen.
    pub fn is_none(&self) -> bool {
        self.expression == Expression::Zero
    }
}

/// What an operation looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum OperationKind {
    /// The absence of an edge.
    None,
    /// The input itself.
    Skip,
    /// Pooling.
    Pool,
    /// Convolution over height and width.
    Spatial,
    /// Convolution or difference over time.
    Temporal,
    /// Convolution over space and time, in one or in turn.
    SpaceTime,
}

/// The two built-in tables of operations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SpaceName {
    /// The eight operations of DARTS (Liu, Simonyan, Yang, 2018).
    Image,
    /// Thirteen operations for clips: spatial, temporal, joint, P3D, dilated, frame difference.
    Video,
}

impl SpaceName {
    /// The table.
    pub fn operations(self) -> &'static [Operation] {
        match self {
            SpaceName::Image => image::OPERATIONS,
            SpaceName::Video => video::OPERATIONS,
        }
    }

    /// The operation called `name`.
    ///
    /// # Errors
    ///
    /// An unknown name; the message lists the known ones.
    pub fn operation(self, name: &str) -> Result<&'static Operation, UnknownOperation> {
        self.operations()
            .iter()
            .find(|operation| operation.name == name)
            .ok_or_else(|| UnknownOperation { name: name.to_owned(), space: self })
    }

    /// Stride of the edges from the inputs of a reduction cell, along time, height and width.
    pub fn reduction_stride(self) -> Extent {
        match self {
            SpaceName::Image => [1, 2, 2],
            SpaceName::Video => [2, 2, 2],
        }
    }
}

impl fmt::Display for SpaceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            SpaceName::Image => "image",
            SpaceName::Video => "video",
        })
    }
}

impl FromStr for SpaceName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "image" => Ok(SpaceName::Image),
            "video" => Ok(SpaceName::Video),
            other => Err(format!("unknown space \"{other}\"; there are \"image\" and \"video\"")),
        }
    }
}

/// An operation's name that its space does not have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown operation \"{name}\" in the {space} space, which has {}", names(*space))]
pub struct UnknownOperation {
    /// The name.
    pub name: String,
    /// The space it was looked for in.
    pub space: SpaceName,
}

fn names(space: SpaceName) -> String {
    space.operations().iter().map(|operation| operation.name).collect::<Vec<_>>().join(", ")
}

/// The candidate operations of a search: a table, or a part of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Space {
    /// The table.
    pub name: SpaceName,
    /// The candidates, in the table's order.
    pub operations: Vec<&'static Operation>,
}

/// Why a choice of operations is no search space.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SpaceError {
    /// A name that the table does not have.
    #[error(transparent)]
    Unknown(#[from] UnknownOperation),
    /// A name given twice.
    #[error("operation \"{0}\" is listed twice")]
    Repeated(String),
    /// Nothing to choose from.
    #[error("a search needs at least two operations besides \"none\"; {0} given")]
    TooFew(usize),
}

impl Space {
    /// The whole table.
    pub fn whole(name: SpaceName) -> Self {
        Space { name, operations: name.operations().iter().collect() }
    }

    /// The operations with the given names, in the table's order; no names mean the whole table.
    ///
    /// # Errors
    ///
    /// Unknown or repeated names, or fewer than two operations besides `none`.
    pub fn subset(name: SpaceName, chosen: &[String]) -> Result<Self, SpaceError> {
        if chosen.is_empty() {
            return Ok(Space::whole(name));
        }
        for (index, choice) in chosen.iter().enumerate() {
            name.operation(choice)?;
            if chosen[..index].contains(choice) {
                return Err(SpaceError::Repeated(choice.clone()));
            }
        }
        let operations: Vec<_> =
            name.operations().iter().filter(|operation| chosen.iter().any(|c| c == operation.name)).collect();
        let real = operations.iter().filter(|operation| !operation.is_none()).count();
        if real < 2 {
            return Err(SpaceError::TooFew(real));
        }
        Ok(Space { name, operations })
    }

    /// Number of candidate operations, `none` included.
    pub fn len(&self) -> usize {
        self.operations.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.operations.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_hold_eight_and_thirteen_operations_with_none_first() {
        assert_eq!(SpaceName::Image.operations().len(), 8);
        assert_eq!(SpaceName::Video.operations().len(), 13);
        for space in [SpaceName::Image, SpaceName::Video] {
            assert!(space.operations()[0].is_none());
            assert_eq!(space.operations().iter().filter(|operation| operation.is_none()).count(), 1);
        }
    }

    #[test]
    fn a_subset_keeps_the_order_of_the_table() {
        let chosen = ["sep_conv_3x3", "none", "skip_connect"].map(str::to_owned);
        let space = Space::subset(SpaceName::Image, &chosen).unwrap();
        let names: Vec<_> = space.operations.iter().map(|operation| operation.name).collect();
        assert_eq!(names, ["none", "skip_connect", "sep_conv_3x3"]);
    }

    #[test]
    fn a_bad_subset_is_refused_by_name() {
        let subset = |names: &[&str]| {
            Space::subset(SpaceName::Image, &names.iter().map(|n| n.to_string()).collect::<Vec<_>>())
                .unwrap_err()
                .to_string()
        };
        assert!(subset(&["sep_conv_3x3", "conv_9x9"]).contains("unknown operation \"conv_9x9\""));
        assert!(subset(&["skip_connect", "skip_connect"]).contains("twice"));
        assert!(subset(&["none", "skip_connect"]).contains("at least two"));
    }
}
