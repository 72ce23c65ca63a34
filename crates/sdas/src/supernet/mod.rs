//! The supernet: a network whose edges mix all candidate operations, its architecture parameters α, how they become the
//! factors of the mixes, and what decisions leave of both.

mod alpha;
mod drawn;
mod relaxation;

pub use alpha::{Alpha, AlphaSettings, Rows};
pub use drawn::Drawn;
pub(crate) use relaxation::{Half, Relaxed};
pub use relaxation::{Mixing, Relaxation};

use crate::genotype::Genes;
use crate::network::Network;
use crate::parameters::Parameters;
use crate::schedule::{EdgeState, Plan};
use crate::space::{Candidates, CellKind};
use sdas_kernels::{Edge, Extent};
use std::ops::Range;

/// A network being searched.
#[derive(Debug, Clone)]
pub struct Supernet {
    /// The candidate operations.
    pub candidates: Candidates,
    /// What still runs.
    pub network: Network,
    /// The state of the edges, by kind of cell.
    pub plans: Vec<Plan>,
}

/// The sizes of a supernet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SupernetShape {
    /// Channels of the first cells' nodes.
    pub channels: usize,
    /// Number of cells.
    pub cells: usize,
    /// Number of classes.
    pub classes: usize,
    /// Channels of the pictures or clips.
    pub inputs: usize,
    /// Stride of the stem's convolution.
    pub stem_stride: Extent,
    /// Parts that the channels of the cells are in, of which the edges work on the first; 1 where they work on all.
    pub share: usize,
}

/// What is left of a block after a decision.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Kept {
    slot: usize,
    weights: Vec<Range<usize>>,
    statistics: Vec<Range<usize>>,
}

/// What decisions have left to be kept of every block they touched; see [`Remains::apply`].
#[derive(Debug, Default)]
pub struct Remains(Vec<Kept>);

impl Remains {
    /// Frees what was dropped, from weights and what goes with them (an optimizer's momentum), and from running
    /// statistics.
    pub fn apply(&self, weights: &mut [&mut Parameters], statistics: &mut Parameters) {
        for kept in &self.0 {
            for parameters in weights.iter_mut() {
                parameters.keep(kept.slot, &kept.weights);
            }
            statistics.keep(kept.slot, &kept.statistics);
        }
    }
}

impl Supernet {
    /// The supernet of `candidates` with nothing decided.
    pub fn new(candidates: Candidates, shape: SupernetShape) -> Self {
        let network = Network::supernet(&candidates, shape);
        let plans = candidates.space.kinds().iter().map(|_| Plan::new(candidates.space)).collect();
        Supernet { candidates, network, plans }
    }

    /// Whether every edge of every cell is decided or pruned.
    pub fn is_decided(&self) -> bool {
        self.plans.iter().all(Plan::is_complete)
    }

    /// The cells that are found, by kind; `None` while an edge is undecided.
    pub fn genes(&self) -> Option<Vec<Genes>> {
        let kinds = self.candidates.space.kinds().iter();
        kinds.zip(&self.plans).map(|(&kind, plan)| plan.genes(&self.candidates, kind)).collect()
    }

    /// Leaves an undecided edge of all cells of a kind some of its operations, by their places among those that it has.
    fn keep(&mut self, kind: CellKind, edge: usize, places: &[usize], remains: &mut Remains) {
        for cell in self.network.cells.iter_mut().filter(|cell| cell.kind == Some(kind)) {
            for own in cell.edges.iter_mut().filter(|own| own.mixed == Some(edge)) {
                let whole = &own.block.edge;
                let parts: Vec<_> = places.iter().map(|&place| whole.decide(place)).collect();
                let operations = places.iter().map(|&place| whole.operations[place].clone()).collect();
                let (weights, statistics) =
                    parts.into_iter().map(|(_, weights, statistics)| (weights, statistics)).unzip();
                remains.0.push(Kept { slot: own.block.slot, weights, statistics });
                own.block.edge = Edge { operations, ..whole.clone() };
            }
        }
    }

    /// Fixes an undecided edge of all cells of a kind to one operation, by its place among those that it has.
    pub fn fix(&mut self, kind: CellKind, edge: usize, place: usize, remains: &mut Remains) {
        self.keep(kind, edge, &[place], remains);
        for cell in self.network.cells.iter_mut().filter(|cell| cell.kind == Some(kind)) {
            cell.edges.iter_mut().filter(|own| own.mixed == Some(edge)).for_each(|own| own.mixed = None);
        }
    }

    /// Removes an undecided edge from all cells of a kind.
    pub fn prune(&mut self, kind: CellKind, edge: usize, remains: &mut Remains) {
        for cell in self.network.cells.iter_mut().filter(|cell| cell.kind == Some(kind)) {
            cell.edges.retain(|own| {
                let pruned = own.mixed == Some(edge);
                if pruned {
                    remains.0.push(Kept { slot: own.block.slot, weights: Vec::new(), statistics: Vec::new() });
                }
                !pruned
            });
        }
    }

    /// Brings the cells of a kind from the plan `before` to where it is now.
    pub fn follow(&mut self, kind: CellKind, before: &Plan, remains: &mut Remains) {
        let now = self.plans[kind.index()].clone();
        for (edge, (before, now)) in before.states().iter().zip(now.states()).enumerate() {
            let had = before.left(self.candidates.of(kind, edge).len());
            match *now {
                _ if before == now => {}
                EdgeState::Mixed => {}
                EdgeState::Left(operations) => {
                    let places: Vec<usize> = operations.iter().filter_map(|operation| had.place(operation)).collect();
                    self.keep(kind, edge, &places, remains);
                }
                EdgeState::Decided(operation) => {
                    let place = had.place(operation).expect("an edge is decided for an operation that it has");
                    self.fix(kind, edge, place, remains);
                }
                EdgeState::Pruned => self.prune(kind, edge, remains),
            }
        }
    }

    /// The supernet with all that `plans` say fixed and pruned: how a checkpoint's structure is rebuilt.
    pub fn with_plans(mut self, plans: Vec<Plan>) -> Self {
        let before = std::mem::replace(&mut self.plans, plans);
        for (&kind, before) in self.candidates.space.kinds().iter().zip(&before) {
            self.follow(kind, before, &mut Remains::default());
        }
        self
    }
}
