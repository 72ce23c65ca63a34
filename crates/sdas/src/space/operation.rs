//! Candidate operations.

use super::Space;
use sdas_kernels::Expression;

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
    /// Whether this is the absence of an edge.
    pub fn is_none(&self) -> bool {
        self.kind == OperationKind::None
    }

    /// Whether it has weights that learn.
    pub fn learns(&self) -> bool {
        !matches!(self.kind, OperationKind::None | OperationKind::Noise | OperationKind::Skip | OperationKind::Pool)
    }
}

/// What an operation looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum OperationKind {
    /// The absence of an edge.
    None,
    /// Nothing of the input: random numbers.
    Noise,
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

/// An operation's name that its space does not have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown operation \"{name}\" in the {space} space, which has {}", names(&space.operations.iter().collect::<Vec<_>>()))]
pub struct UnknownOperation {
    /// The name.
    pub name: String,
    /// The space it was looked for in.
    pub space: &'static Space,
}

/// Names of operations, for messages.
pub(crate) fn names(operations: &[&Operation]) -> String {
    operations.iter().map(|operation| operation.name).collect::<Vec<_>>().join(", ")
}
