//! A supernet with one operation left of each mixed edge, for one pass.

use super::Supernet;
use crate::network::Network;
use crate::parameters::Parameters;
use crate::schedule::EdgeState;
use burn::tensor::{Device, Int, Tensor, TensorData};
use std::ops::Range;

/// A supernet of which one operation of each mixed edge was drawn: what is computed is a decided network's. Its weights
/// are parts of the whole ones, so that gradients find their way back.
#[derive(Debug, Clone)]
pub struct Drawn {
    /// What runs. An edge that was mixed still has its row, of one factor.
    pub network: Network,
    /// Where the drawn operations' numbers lie in the whole.
    parts: Vec<Part>,
    /// By kind of cell and edge, the place among those that the edge has.
    pub(super) places: Vec<Vec<usize>>,
}

/// Where a drawn operation's numbers lie in its block's.
#[derive(Debug, Clone)]
struct Part {
    slot: usize,
    weights: Range<usize>,
    statistics: Range<usize>,
}

impl Drawn {
    /// `choices` has an operation for every edge of every kind of cell, one that it has if it is mixed; others are ignored.
    pub fn new(supernet: &Supernet, choices: Vec<Vec<usize>>) -> Self {
        let places: Vec<Vec<usize>> = supernet
            .plans
            .iter()
            .zip(choices)
            .map(|(plan, choices)| {
                let place = |(state, choice): (&EdgeState, usize)| match state {
                    EdgeState::Left(operations) => {
                        operations.place(choice).expect("a drawn operation is one that is left")
                    }
                    _ => choice,
                };
                plan.states().iter().zip(choices).map(place).collect()
            })
            .collect();
        let (mut network, mut parts) = (supernet.network.clone(), Vec::new());
        for cell in &mut network.cells {
            let Some(kind) = cell.kind else { continue };
            for own in &mut cell.edges {
                let Some(row) = own.mixed else { continue };
                let (edge, weights, statistics) = own.block.edge.decide(places[kind.index()][row]);
                parts.push(Part { slot: own.block.slot, weights, statistics });
                own.block.edge = edge;
            }
        }
        Drawn { network, parts, places }
    }

    /// What the drawn network has of the whole weights.
    pub fn weights(&self, whole: &Parameters) -> Parameters {
        self.slices(whole, |part| part.weights.clone())
    }

    /// What it has of the running statistics.
    pub fn statistics(&self, whole: &Parameters) -> Parameters {
        self.slices(whole, |part| part.statistics.clone())
    }

    fn slices(&self, whole: &Parameters, range: impl Fn(&Part) -> Range<usize>) -> Parameters {
        let mut own = whole.clone();
        for part in &self.parts {
            let range = range(part);
            let slice = whole.get(part.slot).filter(|_| !range.is_empty()).map(|whole| whole.slice([range]));
            own.set(part.slot, slice);
        }
        own
    }

    /// Moves running statistics towards those of a batch by `share` of the way; what was not drawn keeps its own.
    pub fn approach(&self, whole: &Parameters, batch: &Parameters, share: f64) -> Parameters {
        let mut moved = self.statistics(whole).approach(batch, share);
        for Part { slot, statistics, .. } in &self.parts {
            let whole = whole.get(*slot).map(|whole| match moved.get(*slot) {
                Some(part) => whole.slice_assign([statistics.clone()], part),
                None => whole,
            });
            moved.set(*slot, whole);
        }
        moved
    }

    /// The drawn operations of a kind of cell, `[edges, 1]`.
    pub(crate) fn indices(&self, kind: usize, device: &Device) -> Tensor<2, Int> {
        let places: Vec<i64> = self.places[kind].iter().map(|&place| place as i64).collect();
        let shape = [places.len(), 1];
        Tensor::from_data(TensorData::new(places, shape), device)
    }
}
