//! Where every weight and statistic of a network lies, by the name that PyTorch would give it.

use super::Network;
use sdas_kernels::WeightKind;
use std::ops::Range;

/// A weight of a network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedWeight {
    /// `cells.0.edges.3.ops.4.0.1.weight`.
    pub name: String,
    /// The slot of the flat tensor it lies in.
    pub slot: usize,
    /// Its place there.
    pub range: Range<usize>,
    /// What it is; a linear layer's weight is a [`WeightKind::Pointwise`], its bias a [`WeightKind::Shift`].
    pub kind: WeightKind,
}

/// Running means or variances of one norm.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedStatistic {
    /// `cells.0.pre0.2.running_mean`.
    pub name: String,
    /// The slot of the flat tensor it lies in.
    pub slot: usize,
    /// Its place there.
    pub range: Range<usize>,
}

impl Network {
    /// All weights, the auxiliary head's included, in the order of their slots.
    pub fn weights(&self) -> Vec<NamedWeight> {
        let mut named: Vec<NamedWeight> = self
            .blocks()
            .flat_map(|block| {
                block.edge.weights().into_iter().map(|weight| NamedWeight {
                    name: block.pytorch_name(&weight.name),
                    slot: block.slot,
                    range: weight.range,
                    kind: weight.kind,
                })
            })
            .collect();
        for linear in self.linears() {
            let split = linear.inputs * linear.outputs;
            named.push(NamedWeight {
                name: format!("{}.weight", linear.name),
                slot: linear.slot,
                range: 0..split,
                kind: WeightKind::Pointwise { inputs: linear.inputs, outputs: linear.outputs },
            });
            named.push(NamedWeight {
                name: format!("{}.bias", linear.name),
                slot: linear.slot,
                range: split..split + linear.outputs,
                kind: WeightKind::Shift(linear.outputs),
            });
        }
        named.sort_by_key(|weight| (weight.slot, weight.range.start));
        named
    }

    /// All running statistics, in the order of their slots.
    pub fn statistics(&self) -> Vec<NamedStatistic> {
        let halves = |range: Range<usize>| {
            let middle = range.start + range.len() / 2;
            [("running_mean", range.start..middle), ("running_var", middle..range.end)]
        };
        self.blocks()
            .flat_map(|block| {
                block.edge.statistics().into_iter().flat_map(move |statistic| {
                    halves(statistic.range).map(|(what, range)| NamedStatistic {
                        name: block.pytorch_name(&format!("{}.{what}", statistic.name)),
                        slot: block.slot,
                        range,
                    })
                })
            })
            .collect()
    }
}
