//! Edges of one plan that read the same activation: a fan. What they share is computed once: the input's grids, the pools,
//! the input's gradient. An edge by itself is a fan of one.

use super::memory::Buffer;
use super::normal::Normal;
use super::pack::{Packed, pack};
use super::plan::{Body, Plan, Unit};
use crate::crew::map;
use crate::lanes::LANES;
use crate::together::Together;
use crate::weights::volume;
use crate::width::Width;
use std::fmt;

/// Groups of images, the tasks of a pass. Their number depends on the shape alone, so that sums over them do, too.
const GROUPS: usize = 16;

/// Output pixels that a group has at least, so that its sums of weights' gradients do not cost more than what is summed.
const PIXELS: usize = 128;

/// Everything that the passes over a fan read.
pub(crate) struct Fan<'a> {
    pub(crate) plan: &'a Plan,
    pub(crate) width: Width,
    /// Who has the other samples that the norms go by, where these are not all.
    pub(crate) together: Option<&'a Together>,
    /// `[images, pixels, inputs]`.
    pub(crate) input: &'a [f32],
    pub(crate) edges: Vec<Given<'a>>,
}

/// What an edge of a fan is given besides the input.
pub(crate) struct Given<'a> {
    pub(crate) weights: &'a [f32],
    /// One factor per operation.
    pub(crate) mix: Vec<f32>,
}

/// What an edge keeps for the way back: the units' results, their norms and their weights.
pub struct Kept {
    pub(super) results: Buffer,
    pub(super) normals: Vec<Normal>,
    pub(super) packed: Vec<Packed>,
}

impl fmt::Debug for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Kept({} elements)", self.results.len() * LANES)
    }
}

/// The statistics that the norms of a fan's edges use, a slice an edge.
pub(crate) enum Statistics<'a> {
    /// Those of the batch, which are written here.
    Batch(&'a mut [Vec<f32>]),
    Running(Vec<&'a [f32]>),
}

impl Fan<'_> {
    /// Images per task.
    pub(crate) fn group(&self) -> usize {
        let images = self.plan.images;
        images.div_ceil(GROUPS.min(images)).max(PIXELS.div_ceil(volume(self.plan.output))).min(images)
    }

    pub(crate) fn groups(&self) -> usize {
        self.plan.images.div_ceil(self.group())
    }

    /// Input values of what is worked on one by one.
    pub(crate) fn image(&self) -> usize {
        self.plan.input_values()
    }

    /// Its output values.
    pub(crate) fn output(&self) -> usize {
        self.plan.output_values()
    }

    /// Samples that the norms go by.
    pub(crate) fn samples(&self) -> usize {
        self.together.map_or(self.plan.samples, |together| together.samples)
    }

    /// Computes all units of every edge.
    pub(crate) fn units(&self, mut statistics: Statistics) -> Vec<Kept> {
        let plan = self.plan;
        let packed = map(&self.edges, |edge| pack(plan, edge.weights));
        let mut results: Vec<_> = self.edges.iter().map(|_| Buffer::take(plan.images * plan.kept)).collect();
        // Those of units with a norm are known once their level is computed.
        let normal = |unit: &Unit| if unit.statistics.is_some() { Normal::default() } else { Normal::absent(plan) };
        let mut normals: Vec<Vec<_>> = self.edges.iter().map(|_| plan.units.iter().map(normal).collect()).collect();
        for level in 0..plan.levels {
            let mut sums = self.level(level, &packed, &normals, &mut results);
            if let (Some(together), Statistics::Batch(_)) = (self.together, &statistics)
                && plan.level(level).any(|(_, unit)| unit.statistics.is_some())
            {
                together.sum(sums.iter_mut().flatten().flatten());
            }
            for (edge, normals) in normals.iter_mut().enumerate() {
                let weights = self.edges[edge].weights;
                let units = plan.level(level).enumerate();
                for (place, (index, unit)) in units.filter(|(_, (_, unit))| unit.statistics.is_some()) {
                    // Pools have no weights, so that those of all edges are one.
                    let of = if matches!(unit.body, Body::Pool(_)) { 0 } else { edge };
                    normals[index] = match &mut statistics {
                        Statistics::Batch(statistics) => {
                            batch_normal(self, unit, weights, &sums[of][place], &mut statistics[edge])
                        }
                        Statistics::Running(running) => running_normal(plan, unit, weights, running[edge]),
                    };
                }
            }
        }
        let kept = results.into_iter().zip(normals).zip(packed);
        kept.map(|((results, normals), packed)| Kept { results, normals, packed }).collect()
    }
}

/// The norm of a unit by the batch's statistics, which are written among the edge's.
fn batch_normal(fan: &Fan, unit: &Unit, weights: &[f32], sums: &[Vec<f64>; 2], statistics: &mut [f32]) -> Normal {
    let (plan, at) = (fan.plan, unit.statistics.expect("a unit with a norm"));
    let elements = (fan.samples() * unit.pixels()) as f64;
    let mean: Vec<f64> = sums[0][..plan.outputs].iter().map(|sum| sum / elements).collect();
    let variance: Vec<f64> =
        sums[1].iter().zip(&mean).map(|(square, mean)| (square / elements - mean * mean).max(0.0)).collect();
    // Running variances are unbiased, the batch's own is not (as in PyTorch).
    let unbiased = elements / (elements - 1.0).max(1.0);
    for channel in 0..plan.outputs {
        statistics[at + channel] = mean[channel] as f32;
        statistics[at + plan.outputs + channel] = (variance[channel] * unbiased) as f32;
    }
    Normal::new(plan, unit, weights, mean, &variance)
}

fn running_normal(plan: &Plan, unit: &Unit, weights: &[f32], running: &[f32]) -> Normal {
    let at = unit.statistics.expect("a unit with a norm");
    let doubles = |at: usize| running[at..at + plan.outputs].iter().map(|&v| f64::from(v)).collect::<Vec<f64>>();
    Normal::new(plan, unit, weights, doubles(at), &doubles(at + plan.outputs))
}
