//! Decisions: those that are due, those that are left, and what the search would come to without any more.

use super::{Search, SearchState};
use crate::draw;
use crate::genotype::{Genes, Genotype};
use crate::run::{Event, RunError};
use crate::schedule::{Criterion, Decision, EdgeState, Moment, Plan, Room, Scores, strongest};
use crate::space::{CellKind, Operation};
use crate::supernet::{Remains, Supernet};
use sdas_data::random::stream;

impl Search<'_> {
    /// Takes the decisions that are due.
    pub(super) fn decide(&mut self, moment: Moment) -> Result<(), RunError> {
        self.decide_until(self.recipe.search.schedule.due(moment, self.space().decisions()), moment)
    }

    /// Takes decisions until so many are taken, one edge of each kind of cell at a time.
    pub(super) fn decide_until(&mut self, due: usize, moment: Moment) -> Result<(), RunError> {
        while self.state.supernet.plans.iter().any(|plan| plan.decided() < due) {
            for &kind in self.space().kinds() {
                if self.state.supernet.plans[kind.index()].decided() < due {
                    self.decide_one(kind, moment)?;
                }
            }
        }
        Ok(())
    }

    fn decide_one(&mut self, kind: CellKind, moment: Moment) -> Result<(), RunError> {
        let SearchState { supernet, weights, statistics, sgd, alpha, .. } = &mut self.state;
        let Supernet { candidates, plans, .. } = supernet;
        let (mixes, never) = (alpha.mixes(kind), candidates.never_chosen(kind));
        let weights_of_edges = alpha.edge_weights(kind, &plans[kind.index()]);
        let history = &self.progress.history[kind.index()];
        let seen = Scores { mixes: &mixes, weights: &weights_of_edges, never: &never, history };
        let room = Room::new(self.costs.as_ref(), plans, kind);
        let mut chance = stream(self.recipe.search.seed, "decide", [self.progress.decisions as u64, 0]);
        let criterion = self.recipe.search.criterion;
        let choice = plans[kind.index()].decide(candidates, kind, criterion, &seen, &room, &mut chance);
        let mut remains = Remains::default();
        supernet.fix(kind, choice.edge, choice.operation, &mut remains);
        for &pruned in &choice.pruned {
            supernet.prune(kind, pruned, &mut remains);
        }
        remains.apply(&mut [weights, &mut sgd.momentum], statistics);
        sdas_kernels::release_memory();
        let runner_up = choice.candidates.get(1);
        let place = supernet.candidates.space.edge(choice.edge);
        let operation = supernet.candidates.of(kind, choice.edge)[choice.operation];
        let decision = Decision {
            progress: moment.progress(),
            step: moment.step,
            epoch: self.progress.epoch + 1,
            cell: kind,
            edge: choice.edge,
            from: place.from,
            node: place.node,
            operation: operation.name.to_owned(),
            runner_up: runner_up.map(|candidate| candidate.edge),
            margin: runner_up.map(|candidate| choice.candidates[0].score - candidate.score),
            candidates: choice.candidates,
            pruned: choice.pruned,
            refused: choice.refused,
        };
        self.folder.append("decisions.jsonl", &decision)?;
        self.progress.decisions += 1;
        let decided = self.decided();
        let picture = self.picture();
        self.context.observer.notice(&Event::Decided { decision: &decision, decided: &decided, picture });
        if !operation.learns() {
            self.warn_of_collapse(kind);
        }
        Ok(())
    }

    /// Tells once when a kind of cell has run out of edges that learn, after one more that does not.
    fn warn_of_collapse(&mut self, cell: CellKind) {
        let Supernet { candidates, plans, .. } = &self.state.supernet;
        let idle = |(state, operations): &(&EdgeState, &Vec<&Operation>)| match **state {
            EdgeState::Decided(operation) => !operations[operation].learns(),
            EdgeState::Mixed | EdgeState::Pruned => false,
        };
        let edges = plans[cell.index()].states().iter().zip(candidates.edges(cell)).filter(idle).count();
        if edges == self.space().collapsed() {
            self.context.observer.notice(&Event::Collapsed { cell, edges });
        }
    }

    /// The cells as they stand: what is decided, and what undecided edges lean towards.
    fn picture(&self) -> draw::Picture {
        let Supernet { candidates, plans, .. } = &self.state.supernet;
        let space = candidates.space;
        let cell = |&kind: &CellKind| {
            let (mixes, never) = (self.state.alpha.mixes(kind), candidates.never_chosen(kind));
            let states = plans[kind.index()].states();
            let edges = states.iter().enumerate().filter_map(|(index, state)| {
                let (operation, state) = match *state {
                    EdgeState::Pruned => return None,
                    EdgeState::Decided(operation) => (operation, draw::EdgeState::Decided),
                    EdgeState::Mixed => (strongest(&mixes[index], never[index]).0, draw::EdgeState::Undecided),
                };
                Some(draw::EdgePicture::new(space, space.edge(index), candidates.of(kind, index)[operation], state))
            });
            draw::CellPicture::new(space, &kind.to_string(), edges, space.concat())
        };
        let title = format!("{}, epoch {}", self.recipe.recipe, self.progress.epoch + 1);
        draw::Picture { title, cells: space.kinds().iter().map(cell).collect() }
    }

    /// The cells that the search would come to if it ended now.
    pub(super) fn leaning(&self) -> Genotype {
        let Supernet { candidates, plans, .. } = &self.state.supernet;
        let mut unused = stream(self.recipe.search.seed, "leaning", [0, 0]);
        let mut plans = plans.clone();
        while plans.iter().any(|plan| !plan.is_complete()) {
            for &kind in candidates.space.kinds() {
                if plans[kind.index()].is_complete() {
                    continue;
                }
                let room = Room::new(self.costs.as_ref(), &plans, kind);
                let (mixes, never) = (self.state.alpha.mixes(kind), candidates.never_chosen(kind));
                let weights = self.state.alpha.edge_weights(kind, &plans[kind.index()]);
                let seen = Scores { mixes: &mixes, weights: &weights, never: &never, history: &[] };
                plans[kind.index()].decide(candidates, kind, Criterion::Strength, &seen, &room, &mut unused);
            }
        }
        let genes = |(&kind, plan): (&CellKind, &Plan)| plan.genes(candidates, kind).expect("the plan is complete");
        let cells: Vec<Genes> = candidates.space.kinds().iter().zip(&plans).map(genes).collect();
        Genotype { space: candidates.space, cells, origin: None }
    }
}
