//! A decision: an edge gets an operation, or an operation is taken from an edge.

use super::budget::Room;
use super::{Budget, Criterion, EdgeState, Plan, Scores, Unit};
use crate::space::{Candidates, CellKind, Edge};
use rand::Rng;
use sdas_data::random::Stream;
use serde::{Deserialize, Serialize};

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
    /// What it decided: an edge, or an operation.
    #[serde(default, skip_serializing_if = "Unit::is_edge")]
    pub unit: Unit,
    /// The operation that the edge got, or lost.
    pub operation: String,
    /// The criterion's score of every edge that was a candidate, best first.
    pub candidates: Vec<Candidate>,
    /// The edge with the second-best score, if another was left.
    pub runner_up: Option<usize>,
    /// The best score minus the second best.
    pub margin: Option<f64>,
    /// softmax(α) of every edge of this kind of cell as the decision found it, over what the edge had; empty of edges that
    /// mixed nothing. Runs of before have none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mixes: Vec<Vec<f64>>,
    /// Edges that run nothing from now on, since the node has those that it keeps, or since they have lost all.
    pub pruned: Vec<usize>,
    /// Where operations are decided, the edges that have one left from now on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub settled: Vec<Settled>,
    /// What would have been taken but for the budget, where that is something else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<Refused>,
}

/// An edge that has one operation left.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settled {
    /// The edge.
    pub edge: usize,
    /// Its operation.
    pub operation: String,
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
    /// The operation that it would have got, or lost.
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
    /// Edges that have one operation left, where operations are decided.
    pub(crate) settled: Vec<usize>,
    pub(crate) candidates: Vec<Candidate>,
    pub(crate) refused: Option<Refused>,
}

/// An operation that can go.
#[derive(Clone, Copy)]
struct Weak {
    edge: usize,
    operation: usize,
    score: f64,
    share: f64,
}

impl Plan {
    /// Takes the weakest operation from the edges: of all that an undecided edge has, the one with the smallest b p (see
    /// [`Criterion`]), or any with [`Criterion::Random`]. p is softmax(α) over all operations that the edge began with,
    /// those that are gone with the α that they went with, so that at α as it is the operations that are left in the end
    /// are those that DARTS would choose. The last one of an edge can go, and the edge with it, while its node has more
    /// edges than it keeps. What would leave no cell that there is `room` for is passed over.
    ///
    /// # Panics
    ///
    /// If all is decided, or there is no room for any cell.
    pub(crate) fn reduce(
        &mut self,
        candidates: &Candidates,
        kind: CellKind,
        criterion: Criterion,
        seen: &Scores<'_>,
        room: &Room<'_>,
        stream: &mut Stream,
    ) -> Choice {
        let name = |edge, operation: usize| candidates.of(kind, edge)[operation].name.to_owned();
        let without = |weak: &Weak| {
            let mut plan = self.clone();
            plan.lose(candidates, kind, weak.edge, weak.operation);
            plan
        };
        // Of equal ones the last goes first, as the first is the strongest.
        let sort = |all: &mut Vec<Weak>| all.sort_by(|a, b| b.score.total_cmp(&a.score));
        let mut of_edge = |edge: usize| {
            let ranked = ranked(&seen.mixes[edge], seen.never[edge], self.states()[edge]).into_iter().rev();
            let mut all: Vec<Weak> = ranked
                .map(|(operation, share)| {
                    let score = match criterion {
                        Criterion::Random => stream.random(),
                        _ => 1.0 - seen.weights[edge] * seen.mixes[edge][operation],
                    };
                    Weak { edge, operation, score, share }
                })
                .collect();
            sort(&mut all);
            all
        };
        let open = (0..self.states().len()).rev().filter(|&edge| self.can_lose(candidates, kind, edge));
        let edges: Vec<Vec<Weak>> = open.map(&mut of_edge).collect();
        let mut weakest: Vec<Weak> = edges.iter().map(|all| all[0]).collect();
        let mut allowed: Vec<Weak> =
            edges.iter().filter_map(|all| all.iter().find(|weak| room.holds(&without(weak))).copied()).collect();
        [&mut weakest, &mut allowed].into_iter().for_each(sort);
        let Weak { edge, operation, .. } = *allowed
            .first()
            .expect("an undecided edge has an operation too many, and of a plan that there is room for one can go");
        let best = weakest[0];
        let refused = ((best.edge, best.operation) != (edge, operation)).then(|| {
            let Edge { from, node } = candidates.space.edge(best.edge);
            let least = room.nearest(&without(&best));
            Refused { edge: best.edge, from, node, operation: name(best.edge, best.operation), least }
        });
        let listed = |&Weak { edge, operation, score, share }: &Weak| Candidate {
            edge,
            score,
            operation: name(edge, operation),
            share,
        };
        let listed = allowed.iter().map(listed).collect();
        let [pruned, settled] = self.lose(candidates, kind, edge, operation);
        Choice { edge, operation, pruned, settled, candidates: listed, refused }
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
        let mut open: Vec<usize> = (0..self.states().len()).filter(|&index| self.states()[index].is_open()).collect();
        open.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]));
        let allowed: Vec<(usize, Candidate)> = open
            .iter()
            .filter_map(|&edge| {
                let mut ranked = ranked(&seen.mixes[edge], seen.never[edge], self.states()[edge]).into_iter();
                let (operation, share) = ranked.find(|&(operation, _)| room.holds(&with(edge, operation)))?;
                Some((operation, Candidate { edge, score: scores[edge], operation: name(edge, operation), share }))
            })
            .collect();
        let (operation, edge) = allowed.first().map(|(operation, candidate)| (*operation, candidate.edge)).expect(
            "an undecided edge is left, and of a plan that there is room for an edge and an operation can be decided",
        );
        let best = open[0];
        let strongest = strongest(&seen.mixes[best], seen.never[best], self.states()[best]).0;
        let refused = ((best, strongest) != (edge, operation)).then(|| {
            let Edge { from, node } = space.edge(best);
            let least = room.nearest(&with(best, strongest));
            Refused { edge: best, from, node, operation: name(best, strongest), least }
        });
        let pruned = self.take(space, edge, operation);
        let candidates = allowed.into_iter().map(|(_, candidate)| candidate).collect();
        Choice { edge, operation, pruned, settled: Vec::new(), candidates, refused }
    }
}

/// Of the operations that an edge in this state has, the strongest other than the one that is never chosen, and its share
/// of q.
pub(crate) fn strongest(p: &[f64], never: Option<usize>, state: EdgeState) -> (usize, f64) {
    ranked(p, never, state)[0]
}

/// The operations that an edge in this state has, other than the one that is never chosen, with their shares of q, the
/// strongest first; of equal ones the first.
fn ranked(p: &[f64], never: Option<usize>, state: EdgeState) -> Vec<(usize, f64)> {
    let rest = 1.0 - never.map_or(0.0, |never| p[never]);
    let share = |index: usize| if rest > 0.0 { p[index] / rest } else { 0.0 };
    let mut all: Vec<usize> = (0..p.len()).filter(|&index| Some(index) != never && state.has(index)).collect();
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

    proptest! {
        /// At α as it is, what is left in the end is what DARTS takes.
        #[test]
        fn taking_the_weakest_away_leaves_the_strongest(
            space in 0..SPACES.len(),
            reduction in any::<bool>(),
            alpha in prop::collection::vec(prop::collection::vec(-3.0..3.0f64, 13), 14),
        ) {
            let candidates = Candidates::whole(SPACES[space]);
            let space = candidates.space;
            let kind = space.kinds()[usize::from(reduction) % space.kinds().len()];
            let never = candidates.never_chosen(kind);
            let rows = candidates.edges(kind).iter().zip(&alpha);
            let mixes: Vec<_> = rows.map(|(operations, row)| softmax(&row[..operations.len()])).collect();
            let seen = Scores { mixes: &mixes, weights: &[1.0; 14][..mixes.len()], never: &never, history: &[] };
            let (room, mut chance) = (Room::new(None, &[], kind), stream(0, "", [0, 0]));
            let (mut plan, mut darts) = (Plan::new(space), Plan::new(space));
            for _ in 0..space.decisions() {
                darts.decide(&candidates, kind, Criterion::Strength, &seen, &room, &mut chance);
            }
            for taken in 0..Unit::Operation.decisions(&candidates, kind) {
                prop_assert_eq!(Unit::Operation.taken(&candidates, kind, &plan), taken);
                let text = serde_json::to_string(&plan).unwrap();
                prop_assert_eq!(serde_json::from_str::<Plan>(&text).unwrap(), plan.clone());
                let choice = plan.reduce(&candidates, kind, Criterion::Strength, &seen, &room, &mut chance);
                prop_assert!(!plan.states()[choice.edge].has(choice.operation));
                prop_assert!(choice.candidates.is_sorted_by(|a, b| a.score >= b.score));
                // An edge has nothing to choose from where it is told to be settled, and nowhere else.
                for edge in 0..space.edge_count() {
                    let is_settled = matches!(plan.states()[edge], EdgeState::Decided(_));
                    prop_assert!(is_settled || !choice.settled.contains(&edge));
                    prop_assert_eq!(choice.pruned.contains(&edge), plan.states()[edge] == EdgeState::Pruned && choice.edge == edge);
                }
            }
            prop_assert_eq!(plan, darts);
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
