//! The found cell: per node, two edges and the operation of each.

use crate::space::{Operation, SpaceName};
use serde::{Deserialize, Serialize};

/// The architecture that a search ends in.
#[derive(Debug, Clone, PartialEq)]
pub struct Genotype {
    /// The table that the operations are from.
    pub space: SpaceName,
    /// The cell that keeps the size.
    pub normal: Genes,
    /// The cell that halves it.
    pub reduction: Genes,
    /// Where it came from, if that is known.
    pub origin: Option<Origin>,
}

/// One kind of cell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Genes {
    /// Two edges for each of the four nodes.
    pub nodes: [[Gene; 2]; 4],
    /// The states that are concatenated into the cell's output: 0 and 1 are its inputs, 2 to 5 its nodes.
    pub concat: Vec<usize>,
}

/// One edge of a found cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gene {
    /// The state that it reads.
    pub from: usize,
    /// The operation that it runs.
    pub operation: &'static Operation,
}

/// Where a genotype came from.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Origin {
    /// The method that found it.
    pub method: String,
    /// The data it was found on.
    pub dataset: String,
    /// The search's seed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    /// The recipe's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recipe: Option<String>,
}
