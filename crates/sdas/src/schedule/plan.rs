//! The plan of what still runs of a kind of cell.

use crate::genotype::{Gene, Genes};
use crate::space::{Candidates, CellKind, Operation, Space};
use serde::{Deserialize, Serialize};

/// What an edge of a kind of cell runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EdgeState {
    /// All candidate operations.
    Mixed,
    /// Some of them, by their indices among the edge's candidates.
    Left(Operations),
    /// One operation, by its index.
    Decided(usize),
    /// Nothing: its node has the edges that it keeps.
    Pruned,
}

/// A set of an edge's candidates, by their indices.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(from = "Vec<usize>", into = "Vec<usize>")]
pub struct Operations(u64);

impl EdgeState {
    /// Whether something is to be decided of the edge.
    pub fn is_open(&self) -> bool {
        matches!(self, EdgeState::Mixed | EdgeState::Left(_))
    }

    /// Whether it runs the operation of this index.
    pub fn has(&self, operation: usize) -> bool {
        match *self {
            EdgeState::Mixed => true,
            EdgeState::Left(operations) => operations.has(operation),
            EdgeState::Decided(own) => own == operation,
            EdgeState::Pruned => false,
        }
    }

    /// What it runs of so many candidates.
    pub fn left(&self, candidates: usize) -> Operations {
        Operations::from_iter((0..candidates).filter(|&operation| self.has(operation)))
    }
}

impl Operations {
    /// Whether the operation of this index is among them.
    pub fn has(&self, operation: usize) -> bool {
        self.0 >> operation & 1 == 1
    }

    /// How many they are.
    pub fn count(&self) -> usize {
        self.0.count_ones() as usize
    }

    /// In the order of their indices.
    pub fn iter(self) -> impl Iterator<Item = usize> {
        (0..u64::BITS as usize).filter(move |&operation| self.has(operation))
    }

    /// The place of one among them.
    pub fn place(&self, operation: usize) -> Option<usize> {
        self.iter().position(|own| own == operation)
    }

    /// The others.
    fn without(self, operation: usize) -> Self {
        Operations(self.0 & !(1 << operation))
    }
}

impl FromIterator<usize> for Operations {
    fn from_iter<T: IntoIterator<Item = usize>>(operations: T) -> Self {
        Operations(operations.into_iter().fold(0, |set, operation| set | 1 << operation))
    }
}

impl From<Vec<usize>> for Operations {
    fn from(operations: Vec<usize>) -> Self {
        operations.into_iter().collect()
    }
}

impl From<Operations> for Vec<usize> {
    fn from(operations: Operations) -> Self {
        operations.iter().collect()
    }
}

/// The state of every edge of a kind of cell.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Plan {
    states: Vec<EdgeState>,
}

impl Plan {
    /// Nothing decided of a cell of this space.
    pub fn new(space: &Space) -> Self {
        Plan { states: vec![EdgeState::Mixed; space.edge_count()] }
    }

    /// The state of each edge.
    pub fn states(&self) -> &[EdgeState] {
        &self.states
    }

    /// Number of edges decided.
    pub fn decided(&self) -> usize {
        self.states.iter().filter(|state| matches!(state, EdgeState::Decided(_))).count()
    }

    /// Whether nothing is left to decide.
    pub fn is_complete(&self) -> bool {
        !self.states.iter().any(|state| state.is_open())
    }

    /// Operations that undecided edges have lost or that went with edges, of a kind of cell: the decisions taken where
    /// operations are decided.
    pub fn lost(&self, candidates: &Candidates, kind: CellKind) -> usize {
        (0..self.states.len())
            .map(|edge| candidates.choices(kind, edge).count() - self.choices(candidates, kind, edge))
            .sum()
    }

    /// Operations that an edge has and that can be chosen.
    fn choices(&self, candidates: &Candidates, kind: CellKind, edge: usize) -> usize {
        let operations = candidates.of(kind, edge).iter().enumerate();
        let can_be = |operation: &Operation| candidates.space.none_is_chosen || !operation.is_none();
        operations.filter(|(index, operation)| self.states[edge].has(*index) && can_be(operation)).count()
    }

    /// Whether an operation can be taken from an edge: it has another, or its node another edge than those that it keeps.
    pub(super) fn can_lose(&self, candidates: &Candidates, kind: CellKind, edge: usize) -> bool {
        let space = candidates.space;
        let node = space.edge(edge).node;
        self.states[edge].is_open()
            && (self.choices(candidates, kind, edge) > 1 || self.running(space, node).count() > space.kept(node))
    }

    /// The edges into a node that are not pruned.
    fn running(&self, space: &Space, node: usize) -> impl Iterator<Item = usize> {
        space.edges_into(node).filter(|&edge| self.states[edge] != EdgeState::Pruned)
    }

    /// Takes an operation from an edge, which is pruned with its last. Where its node has the edges that it keeps, those with
    /// one operation are decided. Returns the edges that are pruned, and those that are decided.
    pub(super) fn lose(
        &mut self,
        candidates: &Candidates,
        kind: CellKind,
        edge: usize,
        operation: usize,
    ) -> [Vec<usize>; 2] {
        let space = candidates.space;
        let node = space.edge(edge).node;
        let count = candidates.of(kind, edge).len();
        self.states[edge] = EdgeState::Left(self.states[edge].left(count).without(operation));
        let mut pruned = Vec::new();
        if self.choices(candidates, kind, edge) == 0 {
            self.states[edge] = EdgeState::Pruned;
            pruned.push(edge);
        }
        let mut settled = Vec::new();
        if self.running(space, node).count() == space.kept(node) {
            let single = |&edge: &usize| self.states[edge].is_open() && self.choices(candidates, kind, edge) == 1;
            settled = self.running(space, node).filter(single).collect();
        }
        for &edge in &settled {
            let never = candidates.never_chosen(kind)[edge];
            let left = self.states[edge].left(candidates.of(kind, edge).len());
            let last = left.iter().find(|&operation| Some(operation) != never).expect("one can be chosen");
            self.states[edge] = EdgeState::Decided(last);
        }
        [pruned, settled]
    }

    /// Decides an edge; where its node then has all the edges that it keeps, its others are pruned, and these are returned.
    pub(super) fn take(&mut self, space: &Space, edge: usize, operation: usize) -> Vec<usize> {
        self.states[edge] = EdgeState::Decided(operation);
        let node = space.edge(edge).node;
        let siblings = space.edges_into(node);
        let decided = |index: &usize| matches!(self.states[*index], EdgeState::Decided(_));
        let mut pruned = Vec::new();
        if siblings.clone().filter(decided).count() == space.kept(node) {
            pruned = siblings.filter(|index| self.states[*index].is_open()).collect();
        }
        for &index in &pruned {
            self.states[index] = EdgeState::Pruned;
        }
        pruned
    }

    /// The cell that the plan has come to; `None` while anything is undecided.
    pub fn genes(&self, candidates: &Candidates, kind: CellKind) -> Option<Genes> {
        let space = candidates.space;
        let mut nodes: Vec<Vec<Gene>> = vec![Vec::new(); space.nodes];
        for (index, (place, state)) in space.edges().zip(&self.states).enumerate() {
            match *state {
                EdgeState::Mixed | EdgeState::Left(_) => return None,
                EdgeState::Pruned => {}
                EdgeState::Decided(operation) => {
                    let operation = candidates.of(kind, index)[operation];
                    nodes[place.node].push(Gene { from: place.from, operation });
                }
            }
        }
        Some(Genes { nodes, concat: space.concat() })
    }
}
