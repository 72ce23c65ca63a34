//! A decision, and the plan of what still runs.

use super::budget::Room;
use super::{Budget, Criterion, Scores};
use crate::genotype::{Gene, Genes};
use crate::space::{Candidates, CellKind, Edge, Space};
use sdas_data::random::Stream;
use serde::{Deserialize, Serialize};

/// What an edge of a kind of cell runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EdgeState {
    /// All candidate operations.
    Mixed,
    /// One operation, by its index among the edge's candidates.
    Decided(usize),
    /// Nothing: its node has the edges that it keeps.
    Pruned,
}

/// The state of every edge of a kind of cell.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Plan {
    states: Vec<EdgeState>,
}

/// One decision as it is written down.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Decision {
    /// Share of the search that was done.
    pub progress: f64,
    /// Steps done.
    pub step: usize,
    /// The epoch it fell in, from 1.
    pub epoch: usize,
    /// The kind of cell.
    pub cell: CellKind,
    /// The edge, by its index.
    pub edge: usize,
    /// The state the edge reads: first come the cell's inputs.
    pub from: usize,
    /// The node it ends in, from 0.
    pub node: usize,
    /// The operation it got.
    pub operation: String,
    /// The criterion's score of every edge that was a candidate, best first.
    pub candidates: Vec<Candidate>,
    /// The edge with the second-best score, if another was left.
    pub runner_up: Option<usize>,
    /// The best score minus the second best.
    pub margin: Option<f64>,
    /// Edges that run nothing from now on, since the node has those that it keeps.
    pub pruned: Vec<usize>,
    /// What would have been taken but for the budget, where that is something else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<Refused>,
}

/// A choice that no cell that keeps the budget has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// The edge.
    pub edge: usize,
    /// The state it reads.
    pub from: usize,
    /// The node it ends in.
    pub node: usize,
    /// The operation.
    pub operation: String,
    /// What the network would have come to with it, at the best; in what is bounded.
    pub least: Budget,
}

/// An edge that a decision could have taken.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Candidate {
    /// The edge.
    pub edge: usize,
    /// The criterion's score.
    pub score: f64,
    /// The operation that it would have got.
    pub operation: String,
    /// That operation's share of q.
    pub share: f64,
}

/// What a decision changes.
#[derive(Debug)]
pub(crate) struct Choice {
    pub(crate) edge: usize,
    pub(crate) operation: usize,
    pub(crate) pruned: Vec<usize>,
    pub(crate) candidates: Vec<Candidate>,
    pub(crate) refused: Option<Refused>,
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
        !self.states.contains(&EdgeState::Mixed)
    }

    /// Takes one decision: the undecided edge with the highest score gets its strongest operation of those that can be
    /// chosen; where its node then has all the edges that it keeps, the node's other edges are pruned. Equal scores go to the
    /// first edge. What would leave no cell that there is `room` for is passed over: each edge's strongest operation is one
    /// that leaves some, and an edge that has none is no candidate.
    ///
    /// # Panics
    ///
    /// If all is decided, or there is no room for any cell.
    pub(crate) fn decide(
        &mut self,
        candidates: &Candidates,
        kind: CellKind,
        criterion: Criterion,
        seen: &Scores<'_>,
        room: &Room<'_>,
        stream: &mut Stream,
    ) -> Choice {
        let space = candidates.space;
        let scores = criterion.scores(seen, stream);
        let name = |edge, operation: usize| candidates.of(kind, edge)[operation].name.to_owned();
        let with = |edge, operation| {
            let mut plan = self.clone();
            plan.take(space, edge, operation);
            plan
        };
        let mut open: Vec<usize> =
            (0..self.states.len()).filter(|&index| self.states[index] == EdgeState::Mixed).collect();
        open.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]));
        let allowed: Vec<(usize, Candidate)> = open
            .iter()
            .filter_map(|&edge| {
                let mut ranked = ranked(&seen.mixes[edge], seen.never[edge]).into_iter();
                let (operation, share) = ranked.find(|&(operation, _)| room.holds(&with(edge, operation)))?;
                Some((operation, Candidate { edge, score: scores[edge], operation: name(edge, operation), share }))
            })
            .collect();
        let (operation, edge) = allowed.first().map(|(operation, candidate)| (*operation, candidate.edge)).expect(
            "an undecided edge is left, and of a plan that there is room for an edge and an operation can be decided",
        );
        let (best, strongest) = (open[0], strongest(&seen.mixes[open[0]], seen.never[open[0]]).0);
        let refused = ((best, strongest) != (edge, operation)).then(|| {
            let Edge { from, node } = space.edge(best);
            let least = room.nearest(&with(best, strongest));
            Refused { edge: best, from, node, operation: name(best, strongest), least }
        });
        let pruned = self.take(space, edge, operation);
        let candidates = allowed.into_iter().map(|(_, candidate)| candidate).collect();
        Choice { edge, operation, pruned, candidates, refused }
    }

    /// Decides an edge; where its node then has all the edges that it keeps, its others are pruned, and these are returned.
    pub(super) fn take(&mut self, space: &Space, edge: usize, operation: usize) -> Vec<usize> {
        self.states[edge] = EdgeState::Decided(operation);
        let node = space.edge(edge).node;
        let siblings = space.edges_into(node);
        let decided = |index: &usize| matches!(self.states[*index], EdgeState::Decided(_));
        let mut pruned = Vec::new();
        if siblings.clone().filter(decided).count() == space.kept(node) {
            pruned = siblings.filter(|index| self.states[*index] == EdgeState::Mixed).collect();
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
                EdgeState::Mixed => return None,
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

/// The strongest operation other than the one that is never chosen, and its share of q.
pub(crate) fn strongest(p: &[f64], never: Option<usize>) -> (usize, f64) {
    ranked(p, never)[0]
}

/// The operations other than the one that is never chosen with their shares of q, the strongest first; of equal ones the
/// first.
fn ranked(p: &[f64], never: Option<usize>) -> Vec<(usize, f64)> {
    let rest = 1.0 - never.map_or(0.0, |never| p[never]);
    let share = |index: usize| if rest > 0.0 { p[index] / rest } else { 0.0 };
    let mut all: Vec<usize> = (0..p.len()).filter(|&index| Some(index) != never).collect();
    all.sort_by(|&a, &b| p[b].total_cmp(&p[a]));
    all.into_iter().map(|index| (index, share(index))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::space::{IMAGE, Keep, SPACES};
    use proptest::prelude::*;
    use sdas_data::random::stream;

    const CRITERIA: [Criterion; 7] = [
        Criterion::Confidence,
        Criterion::Margin,
        Criterion::Certainty,
        Criterion::Strength,
        Criterion::Sgas1,
        Criterion::Sgas2,
        Criterion::Random,
    ];

    fn softmax(row: &[f64]) -> Vec<f64> {
        let high = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let sum: f64 = row.iter().map(|a| (a - high).exp()).sum();
        row.iter().map(|a| (a - high).exp() / sum).collect()
    }

    proptest! {
        /// In every space, whatever α does between decisions, and whichever criterion ranks the edges.
        #[test]
        fn a_finished_plan_has_the_edges_of_its_space_and_none_only_where_it_may_be(
            space in 0..SPACES.len(),
            reduction in any::<bool>(),
            criterion in 0..CRITERIA.len(),
            seed in any::<u64>(),
            alphas in prop::collection::vec(prop::collection::vec(prop::collection::vec(-30.0..30.0f64, 13), 14), 8),
        ) {
            let candidates = Candidates::whole(SPACES[space]);
            let space = candidates.space;
            let kind = space.kinds()[usize::from(reduction) % space.kinds().len()];
            let never = candidates.never_chosen(kind);
            let mut plan = Plan::new(space);
            let mut history: Vec<Vec<Vec<f64>>> = Vec::new();
            for (index, alpha) in alphas.iter().take(space.decisions()).enumerate() {
                let rows = candidates.edges(kind).iter().zip(alpha);
                let mixes: Vec<_> = rows.map(|(operations, row)| softmax(&row[..operations.len()])).collect();
                let seen = Scores { mixes: &mixes, weights: &[1.0; 14][..mixes.len()], never: &never, history: &history };
                let mut chance = stream(seed, "decide", [index as u64, 0]);
                let (criterion, room) = (CRITERIA[criterion], Room::new(None, &[], kind));
                let choice = plan.decide(&candidates, kind, criterion, &seen, &room, &mut chance);
                prop_assert_eq!(plan.decided(), index + 1);
                prop_assert_eq!(plan.is_complete(), index + 1 == space.decisions());
                prop_assert!(choice.candidates.is_sorted_by(|a, b| a.score >= b.score));
                history.push(mixes.iter().zip(&never).map(|(p, &never)| crate::schedule::others(p, never)).collect());
            }
            let genes = plan.genes(&candidates, kind).unwrap();
            for node in 0..space.nodes {
                let decided = space.edges_into(node).filter(|&e| matches!(plan.states()[e], EdgeState::Decided(_)));
                let expected = match space.keep {
                    Keep::TwoEdges => 2,
                    Keep::EveryEdge => space.inputs + node,
                };
                prop_assert_eq!(decided.count(), expected);
                prop_assert_eq!(genes.nodes[node].len(), expected);
            }
            for (node, gene) in genes.nodes.iter().enumerate().flat_map(|(n, genes)| genes.iter().map(move |g| (n, g))) {
                prop_assert!(space.none_is_chosen || !gene.operation.is_none());
                let edge = space.edges_into(node).start + gene.from;
                prop_assert!(space.allowed(kind, edge).any(|operation| operation == gene.operation));
            }
        }
    }

    #[test]
    fn at_end_with_strength_takes_each_nodes_two_strongest_edges() {
        let mut mixes = vec![vec![0.3, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1]; 14];
        for (index, p) in [(0, 0.2), (1, 0.3), (2, 0.5), (4, 0.4), (6, 0.5), (8, 0.6), (11, 0.25), (13, 0.22)] {
            mixes[index][0] -= p - 0.1;
            mixes[index][3] = p;
        }
        let candidates = Candidates::whole(&IMAGE);
        let seen = Scores {
            mixes: &mixes,
            weights: &[1.0; 14],
            never: &candidates.never_chosen(CellKind::Normal),
            history: &[],
        };
        let mut plan = Plan::new(&IMAGE);
        for _ in 0..8 {
            let (kind, mut chance) = (CellKind::Normal, stream(0, "", [0, 0]));
            plan.decide(&candidates, kind, Criterion::Strength, &seen, &Room::new(None, &[], kind), &mut chance);
        }
        let decided: Vec<_> = (0..14).filter(|&index| matches!(plan.states()[index], EdgeState::Decided(3))).collect();
        assert_eq!(decided, [0, 1, 2, 4, 6, 8, 11, 13]);
    }
}
