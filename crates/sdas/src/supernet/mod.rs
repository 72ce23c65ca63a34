//! The supernet: a network whose edges mix all candidate operations, its architecture parameters α, how they become the
//! factors of the mixes, and what decisions leave of both.

mod alpha;
mod drawn;
mod relaxation;

pub use alpha::{Alpha, AlphaSettings, Rows};
pub use drawn::Drawn;
pub(crate) use relaxation::{Half, Relaxed};
pub use relaxation::{Mixing, Relaxation};

use crate::network::Network;
use crate::parameters::Parameters;
use crate::schedule::{EdgeState, Plan};
use crate::space::{Candidates, CellKind};
use sdas_kernels::Extent;
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

/// What is left of a block after a decision, or for a pass.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Kept {
    slot: usize,
    weights: Range<usize>,
    statistics: Range<usize>,
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
                parameters.keep(kept.slot, kept.weights.clone());
            }
            statistics.keep(kept.slot, kept.statistics.clone());
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

    /// Fixes an edge of all cells of a kind to one operation.
    pub fn fix(&mut self, kind: CellKind, edge: usize, operation: usize, remains: &mut Remains) {
        for cell in self.network.cells.iter_mut().filter(|cell| cell.kind == Some(kind)) {
            for own in cell.edges.iter_mut().filter(|own| own.mixed == Some(edge)) {
                let (decided, weights, statistics) = own.block.edge.decide(operation);
                remains.0.push(Kept { slot: own.block.slot, weights, statistics });
                own.block.edge = decided;
                own.mixed = None;
            }
        }
    }

    /// Removes an undecided edge from all cells of a kind.
    pub fn prune(&mut self, kind: CellKind, edge: usize, remains: &mut Remains) {
        for cell in self.network.cells.iter_mut().filter(|cell| cell.kind == Some(kind)) {
            cell.edges.retain(|own| {
                let pruned = own.mixed == Some(edge);
                if pruned {
                    remains.0.push(Kept { slot: own.block.slot, weights: 0..0, statistics: 0..0 });
                }
                !pruned
            });
        }
    }

    /// The supernet with all that `plans` say fixed and pruned: how a checkpoint's structure is rebuilt.
    pub fn with_plans(mut self, plans: Vec<Plan>) -> Self {
        let mut remains = Remains::default();
        for (&kind, plan) in self.candidates.space.kinds().iter().zip(&plans) {
            for (edge, state) in plan.states().iter().enumerate() {
                match *state {
                    EdgeState::Mixed => {}
                    EdgeState::Decided(operation) => self.fix(kind, edge, operation, &mut remains),
                    EdgeState::Pruned => self.prune(kind, edge, &mut remains),
                }
            }
        }
        self.plans = plans;
        self
    }
}
