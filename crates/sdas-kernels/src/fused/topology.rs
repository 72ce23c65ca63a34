//! A cell's states and edges, without its tensors' numbers: what is read where, what is added to what.

use super::extension::values;
use super::fan::{Fan, Given};
use super::plan::Plan;
use crate::Link;
use crate::expression::Extent;
use crate::together::Together;
use crate::weights::volume;
use crate::width::Width;
use burn::tensor::Tensor;
use burn_flex::FlexTensor;
use std::sync::Arc;

/// Size of a state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shape {
    pub(crate) extent: Extent,
    pub(crate) channels: usize,
}

/// The sizes of all states, of whose channels edges work on one of `share` parts; none if edges do not fit them, or one
/// another.
pub(super) fn shapes(inputs: &[Tensor<5>], links: &[Link], share: usize) -> Option<Vec<Shape>> {
    let of_input = |input: &Tensor<5>| {
        let [_, t, h, w, channels] = input.dims();
        Shape { extent: [t, h, w], channels }
    };
    let mut shapes: Vec<_> = inputs.iter().map(of_input).collect();
    for Link { edge, from, node, .. } in links {
        let read = shapes[*from];
        let shape = Shape { extent: edge.output_extent(read.extent), channels: edge.outputs * share };
        match shapes.get(inputs.len() + node) {
            None => shapes.push(shape),
            Some(other) if *other != shape => return None,
            Some(_) => {}
        }
        if edge.inputs * share != read.channels {
            return None;
        }
    }
    Some(shapes)
}

/// What a call of the fused cell is besides its tensors.
#[derive(Debug)]
pub struct Call {
    width: Width,
    pub(crate) batch: bool,
    together: Option<Together>,
    pub(crate) samples: usize,
    /// Parts that the states' channels are in, of which the edges work on the first.
    pub(crate) share: usize,
    /// How many of the tensors that are given are inputs; the others are there to make up the number.
    pub(crate) inputs: usize,
    /// By state.
    pub(crate) shapes: Vec<Shape>,
    /// The states that the output is made of.
    pub(crate) concat: Vec<usize>,
    /// Factors of a row of the mixes.
    pub(crate) columns: usize,
    /// By link.
    pub(crate) places: Vec<Place>,
    /// In the order of the states that they read. Links that compute nothing are in none.
    pub(super) fans: Vec<Members>,
}

/// A link's place.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) plan: Arc<Plan>,
    pub(crate) stride: Extent,
    /// Which of its operations is noise, where it brings any.
    pub(crate) noise: Option<usize>,
    pub(crate) from: usize,
    pub(crate) node: usize,
    pub(crate) mixed: Option<usize>,
    pub(crate) factors: Option<Vec<f32>>,
}

/// Links of equal edges that read the same state and end in different nodes.
#[derive(Debug)]
pub(super) struct Members {
    pub(super) from: usize,
    pub(super) links: Vec<usize>,
}

/// The fans of a cell, in the order of the states that they read. By the edges themselves: the order in which gradients are
/// added follows from it, and plans of equal edges are one only until somebody, elsewhere in the process, forgets them.
fn fans(links: &[Link]) -> Vec<Members> {
    let mut fans: Vec<Members> = Vec::new();
    for (index, link) in links.iter().enumerate().filter(|(_, link)| link.edge.computes()) {
        let fits = |members: &&mut Members| {
            members.from == link.from
                && links[members.links[0]].edge == link.edge
                && members.links.iter().all(|&member| links[member].node != link.node)
        };
        match fans.iter_mut().find(fits) {
            Some(members) => members.links.push(index),
            None => fans.push(Members { from: link.from, links: vec![index] }),
        }
    }
    fans.sort_by_key(|members| members.from);
    fans
}

impl Call {
    pub(super) fn new(
        inputs: &[Tensor<5>],
        links: &[Link],
        mixes: Option<&Tensor<2>>,
        concat: &[usize],
        share: usize,
        (batch, together): (bool, Option<Together>),
    ) -> Self {
        let samples = inputs[0].dims()[0];
        let shapes =
            shapes(inputs, links, share).expect("edges fit the states of a cell that is computed in one piece");
        let place = |link: &Link| Place {
            plan: Plan::of(link.edge, samples, shapes[link.from].extent),
            stride: link.edge.stride,
            noise: link.noise.as_ref().map(|_| link.edge.noise()),
            from: link.from,
            node: link.node,
            mixed: link.mixed,
            factors: link.factors.clone(),
        };
        let places: Vec<_> = links.iter().map(place).collect();
        let fans = fans(links);
        Call {
            width: Width::current(),
            batch,
            together,
            samples,
            share,
            inputs: inputs.len(),
            shapes,
            concat: concat.to_vec(),
            columns: mixes.map_or(0, |mixes| mixes.dims()[1]),
            places,
            fans,
        }
    }

    pub(crate) fn nodes(&self) -> usize {
        self.shapes.len() - self.inputs
    }

    /// Values of a node.
    pub(crate) fn count(&self, node: usize) -> usize {
        let Shape { extent, channels } = self.shapes[self.inputs + node];
        self.samples * volume(extent) * channels
    }

    /// Values of a node that edges give.
    pub(super) fn own_count(&self, node: usize) -> usize {
        self.count(node) / self.share
    }

    /// Nodes up to the one that is the state `from`: those that links from there do not end in.
    pub(super) fn nodes_before(&self, from: usize) -> usize {
        (from + 1).saturating_sub(self.inputs)
    }

    /// Whether an edge reads a node, or hands a part of it on.
    pub(super) fn reads(&self, node: usize) -> bool {
        let from = self.inputs + node;
        match self.share {
            1 => self.fans.iter().any(|members| members.from == from),
            _ => self.places.iter().any(|place| place.from == from),
        }
    }

    /// Whether edges add anything to a node.
    pub(crate) fn ends_in(&self, node: usize) -> bool {
        self.fans.iter().any(|members| members.links.iter().any(|&link| self.places[link].node == node))
    }

    /// The output's nodes with their channels.
    pub(crate) fn output(&self) -> (Vec<usize>, Vec<usize>) {
        self.concat.iter().map(|&state| (state - self.inputs, self.shapes[state].channels)).unzip()
    }

    /// A fan, its input given.
    pub(super) fn fan<'a>(
        &'a self,
        members: &Members,
        input: &'a [f32],
        weights: &'a [FlexTensor],
        mixes: &[f32],
    ) -> Fan<'a> {
        let plan = &*self.places[members.links[0]].plan;
        let given = |&link: &usize| {
            let mix = match self.places[link].mixed {
                Some(row) => mixes[row * self.columns..][..plan.operations].to_vec(),
                None => vec![1.0; plan.operations],
            };
            Given { weights: values(&weights[link]), mix }
        };
        Fan {
            plan,
            width: self.width,
            together: self.together.as_ref(),
            input,
            edges: members.links.iter().map(given).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fused::plan::forget_plans;
    use crate::{Edge, Epsilon, Expression, Mode, Norm};
    use burn::tensor::Device;
    use std::sync::atomic::{AtomicBool, Ordering};

    /// Another run in the process forgets all plans whenever it decides.
    #[test]
    fn fans_do_not_depend_on_who_forgets_plans() {
        let operations = vec![Expression::Skip, Expression::Normalise];
        let edge =
            Edge { inputs: 3, outputs: 3, stride: [1; 3], operations, norm: Norm::Plain, epsilon: Epsilon::USUAL };
        let link = |(from, node)| Link {
            edge: &edge,
            from,
            node,
            weights: None,
            mode: Mode::Batch,
            mixed: None,
            noise: None,
            factors: None,
        };
        let links: Vec<_> = (0..4).flat_map(|node| (0..2 + node).map(move |from| link((from, node)))).collect();
        let inputs = vec![Tensor::zeros([2, 1, 4, 4, 3], &Device::flex()); 2];
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    forget_plans();
                }
            });
            let of = |_| Call::new(&inputs, &links, None, &[2, 3, 4, 5], 1, (true, None)).fans.len();
            let counts: Vec<usize> = (0..1000).map(of).collect();
            done.store(true, Ordering::Relaxed);
            assert_eq!(counts, vec![5; 1000]);
        });
    }
}
