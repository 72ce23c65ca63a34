//! A decision, and the plan of what still runs.

use super::{Criterion, DECISIONS, Scores};
use crate::genotype::{Gene, Genes};
use crate::space::{CellKind, EDGES, NODES, Space, edge, edges, edges_into};
use sdas_data::random::Stream;
use serde::{Deserialize, Serialize};

/// What an edge of a kind of cell runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EdgeState {
    /// All candidate operations.
    Mixed,
    /// One operation, by its index in the space.
    Decided(usize),
    /// Nothing: its node has its two edges.
    Pruned,
}

/// The state of every edge of a kind of cell.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Plan {
    states: [EdgeState; EDGES],
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
    /// The edge, 0 to 13.
    pub edge: usize,
    /// The state the edge reads: 0 and 1 are the cell's inputs.
    pub from: usize,
    /// The node it ends in, 0 to 3.
    pub node: usize,
    /// The operation it got.
    pub operation: String,
    /// The criterion's score of every edge that was a candidate, best first.
    pub candidates: Vec<Candidate>,
    /// The edge with the second-best score, if another was left.
    pub runner_up: Option<usize>,
    /// The best score minus the second best.
    pub margin: Option<f64>,
    /// Edges that run nothing from now on, since the node has its two.
    pub pruned: Vec<usize>,
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
pub(crate) struct Choice {
    pub(crate) edge: usize,
    pub(crate) operation: usize,
    pub(crate) pruned: Vec<usize>,
    pub(crate) candidates: Vec<Candidate>,
}

impl Default for Plan {
    fn default() -> Self {
        Plan { states: [EdgeState::Mixed; EDGES] }
    }
}

impl Plan {
    /// The state of each edge.
    pub fn states(&self) -> &[EdgeState; EDGES] {
        &self.states
    }

    /// Number of edges decided.
    pub fn decided(&self) -> usize {
        self.states.iter().filter(|state| matches!(state, EdgeState::Decided(_))).count()
    }

    /// Whether every node has its two edges.
    pub fn is_complete(&self) -> bool {
        self.decided() == DECISIONS
    }

    /// Takes one decision: the undecided edge with the highest score gets its strongest operation other than `none`;
    /// where its node then has two, the node's other edges are pruned. Equal scores go to the first edge.
    ///
    /// # Panics
    ///
    /// If all is decided.
    pub(crate) fn decide(
        &mut self,
        space: &Space,
        criterion: Criterion,
        seen: &Scores<'_>,
        stream: &mut Stream,
    ) -> Choice {
        let scores = criterion.scores(seen, stream);
        let mut candidates: Vec<(usize, Candidate)> = (0..EDGES)
            .filter(|&index| self.states[index] == EdgeState::Mixed)
            .map(|index| {
                let (operation, share) = strongest(&seen.mixes[index], seen.none);
                let name = space.operations[operation].name.to_owned();
                (operation, Candidate { edge: index, score: scores[index], operation: name, share })
            })
            .collect();
        candidates.sort_by(|(_, a), (_, b)| b.score.total_cmp(&a.score));
        let (operation, Candidate { edge: chosen, .. }) = *candidates.first().expect("an undecided edge is left");
        self.states[chosen] = EdgeState::Decided(operation);
        let siblings = edges_into(edge(chosen).node);
        let decided = |index: &usize| matches!(self.states[*index], EdgeState::Decided(_));
        let mut pruned = Vec::new();
        if siblings.clone().filter(decided).count() == 2 {
            pruned = siblings.filter(|index| self.states[*index] == EdgeState::Mixed).collect();
        }
        for &index in &pruned {
            self.states[index] = EdgeState::Pruned;
        }
        let candidates = candidates.into_iter().map(|(_, candidate)| candidate).collect();
        Choice { edge: chosen, operation, pruned, candidates }
    }

    /// The cell that the plan has come to; `None` while anything is undecided.
    pub fn genes(&self, space: &Space) -> Option<Genes> {
        let mut nodes: [Vec<Gene>; NODES] = Default::default();
        for (place, state) in edges().zip(&self.states) {
            if let EdgeState::Decided(operation) = state {
                nodes[place.node].push(Gene { from: place.from, operation: space.operations[*operation] });
            }
        }
        let mut pairs = Vec::with_capacity(NODES);
        for node in nodes {
            pairs.push(<[Gene; 2]>::try_from(node).ok()?);
        }
        Some(Genes { nodes: pairs.try_into().ok()?, concat: vec![2, 3, 4, 5] })
    }
}

/// The strongest operation other than `none` and its share of q.
pub(crate) fn strongest(p: &[f64], none: Option<usize>) -> (usize, f64) {
    let candidates = (0..p.len()).filter(|&index| Some(index) != none);
    let best = candidates.reduce(|best, index| if p[index] > p[best] { index } else { best });
    let best = best.expect("a space has operations other than none");
    let rest = 1.0 - none.map_or(0.0, |none| p[none]);
    (best, if rest > 0.0 { p[best] / rest } else { 0.0 })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::space::SpaceName;
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
        /// Whatever α does between decisions, and whichever criterion ranks the edges.
        #[test]
        fn a_finished_plan_has_two_edges_a_node_and_never_none(
            criterion in 0..CRITERIA.len(),
            seed in any::<u64>(),
            alphas in prop::collection::vec(prop::collection::vec(prop::collection::vec(-30.0..30.0f64, 8), EDGES), 8),
        ) {
            let space = Space::whole(SpaceName::Image);
            let mut plan = Plan::default();
            let mut history = Vec::new();
            for (index, alpha) in alphas.iter().enumerate() {
                let mixes: Vec<_> = alpha.iter().map(|row| softmax(row)).collect();
                let seen = Scores { mixes: &mixes, none: Some(0), history: &history };
                let mut chance = stream(seed, "decide", [index as u64, 0]);
                let choice = plan.decide(&space, CRITERIA[criterion], &seen, &mut chance);
                prop_assert_eq!(plan.decided(), index + 1);
                prop_assert!(choice.candidates.is_sorted_by(|a, b| a.score >= b.score));
                history.push(mixes.iter().map(|p| crate::schedule::others(p, Some(0))).collect());
            }
            prop_assert!(plan.is_complete());
            for node in 0..NODES {
                let states: Vec<_> = edges_into(node).map(|index| plan.states()[index]).collect();
                prop_assert_eq!(states.iter().filter(|s| matches!(s, EdgeState::Decided(_))).count(), 2);
                prop_assert!(states.iter().all(|s| !matches!(s, EdgeState::Mixed | EdgeState::Decided(0))));
            }
            let genes = plan.genes(&space).unwrap();
            prop_assert!(genes.nodes.iter().flatten().all(|gene| !gene.operation.is_none()));
        }
    }

    #[test]
    fn at_end_with_strength_takes_each_nodes_two_strongest_edges() {
        let mut mixes = vec![vec![0.3, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1]; EDGES];
        for (index, p) in [(0, 0.2), (1, 0.3), (2, 0.5), (4, 0.4), (6, 0.5), (8, 0.6), (11, 0.25), (13, 0.22)] {
            mixes[index][0] -= p - 0.1;
            mixes[index][3] = p;
        }
        let space = Space::whole(SpaceName::Image);
        let seen = Scores { mixes: &mixes, none: Some(0), history: &[] };
        let mut plan = Plan::default();
        for _ in 0..DECISIONS {
            plan.decide(&space, Criterion::Strength, &seen, &mut stream(0, "", [0, 0]));
        }
        let decided: Vec<_> =
            (0..EDGES).filter(|&index| matches!(plan.states()[index], EdgeState::Decided(3))).collect();
        assert_eq!(decided, [0, 1, 2, 4, 6, 8, 11, 13]);
    }
}
