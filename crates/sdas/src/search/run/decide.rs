//! Decisions: those that are due, those that are left, and what the search would come to without any more.

use super::{Search, SearchState};
use crate::draw;
use crate::genotype::{Genes, Genotype};
use crate::run::{Event, RunError};
use crate::schedule::{Criterion, Decision, EdgeState, Moment, Plan, Room, Scores, Settled, Unit, strongest};
use crate::space::{CellKind, Operation};
use crate::supernet::{Remains, Supernet};
use sdas_data::random::stream;

impl Search<'_> {
    /// Takes the decisions that are due.
    pub(super) fn decide(&mut self, moment: Moment) -> Result<(), RunError> {
        let schedule = self.recipe.search.schedule.clone();
        self.decide_until(|all| schedule.due(moment, all), moment)
    }

    /// Whether a decision is due then.
    pub(super) fn is_due(&self, moment: Moment) -> bool {
        let schedule = &self.recipe.search.schedule;
        self.space().kinds().iter().any(|&kind| self.is_behind(kind, |all| schedule.due(moment, all)))
    }

    /// Whether fewer decisions of a kind of cell are taken than are due of all.
    fn is_behind(&self, kind: CellKind, due: impl Fn(usize) -> usize) -> bool {
        let Supernet { candidates, plans, .. } = &self.state.supernet;
        let taken = self.recipe.search.schedule.unit().taken(candidates, kind, &plans[kind.index()]);
        taken < due(self.decisions(kind))
    }

    /// Decisions of a kind of cell, from the first to the last.
    pub(super) fn decisions(&self, kind: CellKind) -> usize {
        self.recipe.search.schedule.unit().decisions(&self.state.supernet.candidates, kind)
    }

    /// Takes decisions until as many of each kind of cell are taken as are due of all, one of each kind at a time.
    pub(super) fn decide_until(&mut self, due: impl Fn(usize) -> usize, moment: Moment) -> Result<(), RunError> {
        while self.space().kinds().iter().any(|&kind| self.is_behind(kind, &due)) {
            for &kind in self.space().kinds() {
                if self.is_behind(kind, &due) {
                    self.decide_one(kind, moment)?;
                }
            }
        }
        Ok(())
    }

    fn decide_one(&mut self, kind: CellKind, moment: Moment) -> Result<(), RunError> {
        let idle = self.idle(kind);
        let SearchState { supernet, weights, statistics, sgd, alpha, .. } = &mut self.state;
        let Supernet { candidates, plans, .. } = supernet;
        let (mixes, never) = (alpha.mixes(kind), candidates.never_chosen(kind));
        let weights_of_edges = alpha.edge_weights(kind, &plans[kind.index()]);
        let history = &self.progress.history[kind.index()];
        let seen = Scores { mixes: &mixes, weights: &weights_of_edges, never: &never, history };
        let room = Room::new(self.costs.as_ref(), plans, kind);
        let mut chance = stream(self.recipe.search.seed, "decide", [self.progress.decisions as u64, 0]);
        let (criterion, unit) = (self.recipe.search.criterion, self.recipe.search.schedule.unit());
        let plan = &mut plans[kind.index()];
        let before = plan.clone();
        let found = alpha.mixes_written(kind, plan);
        let choice = match unit {
            Unit::Edge => plan.decide(candidates, kind, criterion, &seen, &room, &mut chance),
            Unit::Operation => plan.reduce(candidates, kind, criterion, &seen, &room, &mut chance),
        };
        let mut remains = Remains::default();
        supernet.follow(kind, &before, &mut remains);
        remains.apply(&mut [weights, &mut sgd.momentum], statistics);
        sdas_kernels::release_memory();
        let runner_up = choice.candidates.get(1);
        let Supernet { candidates, plans, .. } = supernet;
        let place = candidates.space.edge(choice.edge);
        let name = |edge, operation: usize| candidates.of(kind, edge)[operation].name.to_owned();
        let settled = |&edge: &usize| match plans[kind.index()].states()[edge] {
            EdgeState::Decided(operation) => Some(Settled { edge, operation: name(edge, operation) }),
            _ => None,
        };
        let decision = Decision {
            progress: moment.progress(),
            step: moment.step,
            epoch: self.progress.epoch + 1,
            cell: kind,
            edge: choice.edge,
            from: place.from,
            node: place.node,
            unit,
            operation: name(choice.edge, choice.operation),
            runner_up: runner_up.map(|candidate| candidate.edge),
            margin: runner_up.map(|candidate| choice.candidates[0].score - candidate.score),
            candidates: choice.candidates,
            mixes: found,
            pruned: choice.pruned,
            settled: choice.settled.iter().filter_map(settled).collect(),
            refused: choice.refused,
        };
        self.folder.append("decisions.jsonl", &decision)?;
        self.progress.decisions += 1;
        let decided = self.decided();
        let picture = self.picture();
        self.context.observer.notice(&Event::Decided { decision: &decision, decided: &decided, picture });
        let (most, edges) = (self.space().collapsed(), self.idle(kind));
        if idle < most && edges >= most {
            self.context.observer.notice(&Event::Collapsed { cell: kind, edges });
        }
        Ok(())
    }

    /// Decided edges of a kind of cell that learn nothing: where most are, the cell has collapsed, which is told once.
    fn idle(&self, kind: CellKind) -> usize {
        let Supernet { candidates, plans, .. } = &self.state.supernet;
        let idle = |(state, operations): &(&EdgeState, &Vec<&Operation>)| match **state {
            EdgeState::Decided(operation) => !operations[operation].learns(),
            EdgeState::Mixed | EdgeState::Left(_) | EdgeState::Pruned => false,
        };
        plans[kind.index()].states().iter().zip(candidates.edges(kind)).filter(idle).count()
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
                    EdgeState::Mixed | EdgeState::Left(_) => {
                        (strongest(&mixes[index], never[index], *state).0, draw::EdgeState::Undecided)
                    }
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
