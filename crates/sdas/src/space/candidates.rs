//! The candidate operations of a search: those of a space, or a part of them.

use super::{CellKind, Operation, OperationKind, Space, UnknownOperation, names};

/// What a search chooses from: of every edge of every kind of cell, the candidate operations.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidates {
    /// The space.
    pub space: &'static Space,
    /// By kind of cell and edge, in the order of the space's table.
    by_kind: Vec<Vec<Vec<&'static Operation>>>,
}

/// Why a choice of operations can not be searched.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SpaceError {
    /// A name that the space does not have.
    #[error(transparent)]
    Unknown(#[from] UnknownOperation),
    /// A name given twice.
    #[error("operation \"{0}\" is listed twice")]
    Repeated(String),
    /// Nothing to choose from.
    #[error("a search needs at least two operations besides \"none\"; {0} given")]
    TooFew(usize),
    /// Nothing to choose from where `none` may be chosen.
    #[error("a search needs at least two operations; {0} given")]
    One(usize),
    /// Nothing to choose from for one edge, where edges differ.
    #[error("edge {edge} of the {kind} cell may have {has} in the {space} space, of which {left} given")]
    Edge {
        /// The kind of cell.
        kind: CellKind,
        /// The edge.
        edge: usize,
        /// What it may have.
        has: String,
        /// How many of these are left; at least two are needed.
        left: usize,
        /// The space.
        space: &'static Space,
    },
}

impl Candidates {
    /// All that the space has.
    pub fn whole(space: &'static Space) -> Self {
        Candidates::with(space, |_| true)
    }

    fn with(space: &'static Space, is_chosen: impl Fn(&Operation) -> bool) -> Self {
        let of = |kind: CellKind| {
            (0..space.edge_count())
                .map(|edge| space.allowed(kind, edge).filter(|operation| is_chosen(operation)).collect())
                .collect()
        };
        Candidates { space, by_kind: space.kinds().iter().map(|&kind| of(kind)).collect() }
    }

    /// The operations with the given names, in the table's order; no names mean all of them.
    ///
    /// # Errors
    ///
    /// Unknown or repeated names, or fewer than two operations that an edge can be given.
    pub fn subset(space: &'static Space, chosen: &[String]) -> Result<Self, SpaceError> {
        if chosen.is_empty() {
            return Ok(Candidates::whole(space));
        }
        for (index, choice) in chosen.iter().enumerate() {
            space.operation(choice)?;
            if chosen[..index].contains(choice) {
                return Err(SpaceError::Repeated(choice.clone()));
            }
        }
        let candidates = Candidates::with(space, |operation| chosen.iter().any(|name| name == operation.name));
        let real = chosen.iter().filter(|name| space.none_is_chosen || *name != "none").count();
        if real < 2 {
            return Err(if space.none_is_chosen { SpaceError::One(real) } else { SpaceError::TooFew(real) });
        }
        for &kind in space.kinds() {
            for edge in 0..space.edge_count() {
                let left = candidates.choices(kind, edge).count();
                if left < 2 {
                    let has = names(&space.allowed(kind, edge).collect::<Vec<_>>());
                    return Err(SpaceError::Edge { kind, edge, has, left, space });
                }
            }
        }
        Ok(candidates)
    }

    /// The candidate operations of an edge.
    pub fn of(&self, kind: CellKind, edge: usize) -> &[&'static Operation] {
        &self.by_kind[kind.index()][edge]
    }

    /// Whether any edge has an operation of a kind.
    pub fn have(&self, kind: OperationKind) -> bool {
        let edges = self.space.kinds().iter().flat_map(|&cell| self.edges(cell)).flatten();
        edges.into_iter().any(|operation| operation.kind == kind)
    }

    /// Those of every edge of a kind of cell.
    pub fn edges(&self, kind: CellKind) -> &[Vec<&'static Operation>] {
        &self.by_kind[kind.index()]
    }

    /// Those of an edge that a decision can take.
    pub fn choices(&self, kind: CellKind, edge: usize) -> impl Iterator<Item = &'static Operation> {
        let (none_is_chosen, operations) = (self.space.none_is_chosen, self.of(kind, edge));
        operations.iter().copied().filter(move |operation| none_is_chosen || !operation.is_none())
    }

    /// By edge, the index of the operation that takes part in the mix and is never chosen, if there is one: `none`, in spaces
    /// where an edge is left out by keeping others.
    pub fn never_chosen(&self, kind: CellKind) -> Vec<Option<usize>> {
        let index = |operations: &Vec<&'static Operation>| {
            operations.iter().position(|operation| operation.kind == OperationKind::None && !self.space.none_is_chosen)
        };
        self.edges(kind).iter().map(index).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::space::{IMAGE, NB201, S1};

    fn subset(space: &'static Space, names: &[&str]) -> Result<Candidates, String> {
        let names: Vec<_> = names.iter().map(|name| name.to_string()).collect();
        Candidates::subset(space, &names).map_err(|error| error.to_string())
    }

    #[test]
    fn a_subset_keeps_the_order_of_the_table() {
        let candidates = subset(&IMAGE, &["sep_conv_3x3", "none", "skip_connect"]).unwrap();
        for edge in 0..14 {
            let names: Vec<_> = candidates.of(CellKind::Reduction, edge).iter().map(|o| o.name).collect();
            assert_eq!(names, ["none", "skip_connect", "sep_conv_3x3"]);
        }
        assert_eq!(candidates.never_chosen(CellKind::Normal), [Some(0); 14]);
        let candidates = subset(&NB201, &["none", "skip_connect"]).unwrap();
        assert_eq!(candidates.never_chosen(CellKind::Normal), [None; 6]);
        assert_eq!(candidates.choices(CellKind::Normal, 0).count(), 2);
    }

    #[test]
    fn a_bad_subset_is_refused_by_name() {
        let text = |space, names: &[&str]| subset(space, names).unwrap_err();
        assert!(text(&IMAGE, &["sep_conv_3x3", "conv_9x9"]).contains("unknown operation \"conv_9x9\""));
        assert!(text(&IMAGE, &["skip_connect", "skip_connect"]).contains("twice"));
        assert!(text(&IMAGE, &["none", "skip_connect"]).contains("at least two operations besides"));
        assert!(text(&NB201, &["none"]).contains("at least two operations; 1 given"));
        assert_eq!(
            text(&S1, &["skip_connect", "dil_conv_3x3"]),
            "edge 1 of the normal cell may have skip_connect, dil_conv_5x5 in the s1 space, of which 1 given"
        );
    }
}
