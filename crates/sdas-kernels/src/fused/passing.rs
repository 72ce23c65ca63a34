//! What passes a cell's edges by, where they work on the first of several parts of the channels alone: joined to their
//! results in a node, and on the way back taken apart again. Each image is a task, so that no sum depends on the threads.

use super::extension::values;
use super::memory::Buffer;
use super::topology::{Call, Place};
use crate::crew::{each, map};
use crate::expression::Extent;
use crate::weights::{strided, volume};
use burn_flex::FlexTensor;
use std::ops::Range;

/// A pixel's channels: so many parts, of which the first is the edges'.
#[derive(Debug, Clone, Copy)]
pub(super) struct Parts {
    pub(super) channels: usize,
    pub(super) share: usize,
    pub(super) images: usize,
}

/// What passes one edge by.
pub(super) struct Passing<'a> {
    /// The maxima that go on of a state, `[images, pixels, channels]`; of an edge without a stride the state itself.
    pub(super) state: &'a [f32],
    /// What it is multiplied by.
    pub(super) factor: f32,
    /// Where that lies among the mixes.
    pub(super) mixed: Option<usize>,
}

/// The maxima of a state's windows and where they lie: what passes edges with a stride by.
pub(super) struct Maxima {
    largest: Buffer,
    /// Which element of its window each is.
    elements: Vec<u32>,
}

/// Pixels after which sums in single precision are added to those in double.
const RUN: usize = 64;

impl Call {
    /// How the states' channels are shared, where edges work on a part of them.
    pub(super) fn parts(&self) -> Option<Parts> {
        let Call { share, samples: images, .. } = *self;
        (share > 1).then(|| Parts { channels: self.shapes[0].channels, share, images })
    }

    /// The stride of the edges that read a state: one, where channels pass them by.
    pub(super) fn stride(&self, from: usize) -> Extent {
        self.places.iter().find(|place| place.from == from).map_or([1; 3], |place| place.stride)
    }

    /// The maxima of a state that edges with a stride read.
    pub(super) fn maxima(&self, from: usize, state: &[f32]) -> Option<Maxima> {
        let (parts, stride) = (self.parts()?, self.stride(from));
        (volume(stride) > 1).then(|| parts.maxima(state, self.shapes[from].extent, stride))
    }

    /// What passes the edge of a link by, given what goes on of the state that it reads.
    fn passing<'a>(&self, place: &Place, state: &'a [f32], mixes: &[f32]) -> Passing<'a> {
        let mixed = place.mixed.map(|row| row * self.columns + place.plan.operations);
        Passing { state, factor: mixed.map_or(1.0, |at| mixes[at]), mixed }
    }

    /// Makes nodes of what their edges gave, in their order; `maxima` are those of the inputs.
    pub(super) fn join(
        &self,
        nodes: &mut [Buffer],
        those: Range<usize>,
        inputs: &[FlexTensor],
        maxima: &[Option<Maxima>],
        mixes: &[f32],
    ) {
        let Some(parts) = self.parts() else { return };
        for node in those {
            let state = |from: usize| match (from.checked_sub(self.inputs), maxima.get(from)) {
                (None, Some(Some(maxima))) => maxima.values(),
                (None, _) => values(&inputs[from]),
                (Some(before), _) => &nodes[before].as_floats()[..self.count(before)],
            };
            let ending = self.places.iter().filter(|place| place.node == node);
            let passing: Vec<_> = ending.map(|place| self.passing(place, state(place.from), mixes)).collect();
            nodes[node] = parts.join(&nodes[node].as_floats()[..self.own_count(node)], &passing);
        }
    }

    /// What passes by on the way from a state, of which this goes on, with the gradients that have come to it in the nodes.
    pub(super) fn passing_from<'a>(
        &self,
        from: usize,
        state: &'a [f32],
        mixes: &[f32],
        passed: &'a [Option<Buffer>],
    ) -> Vec<(Passing<'a>, &'a [f32])> {
        let leaving = self.places.iter().filter(|place| place.from == from);
        let with_gradient = |place: &Place| {
            let gradient = passed[self.inputs + place.node].as_ref()?;
            Some((self.passing(place, state, mixes), &gradient.as_floats()[..self.count(place.node)]))
        };
        leaving.filter_map(with_gradient).collect()
    }
}

impl Maxima {
    pub(super) fn values(&self) -> &[f32] {
        &self.largest.as_floats()[..self.elements.len()]
    }
}

impl Parts {
    /// Channels of the edges.
    fn own(&self) -> usize {
        self.channels / self.share
    }

    /// By channel of a node, its place before the parts were mingled.
    fn places(&self) -> Vec<usize> {
        (0..self.channels).map(|channel| channel % self.share * self.own() + channel / self.share).collect()
    }

    /// What the edges work on of a state.
    pub(super) fn first(&self, state: &[f32]) -> Buffer {
        let (own, count) = (self.own(), state.len() / self.share);
        let mut first = Buffer::borrow_floats(count);
        let images = first.floats()[..count].chunks_mut(count / self.images);
        each(images.zip(state.chunks(state.len() / self.images)), |(to, from)| {
            let pixels = to.chunks_exact_mut(own).zip(from.chunks_exact(self.channels));
            pixels.for_each(|(to, from)| to.copy_from_slice(&from[..own]));
        });
        first
    }

    /// The largest element of each window of a state; of equal ones the first.
    fn maxima(&self, state: &[f32], extent: Extent, stride: Extent) -> Maxima {
        let output = strided(extent, stride);
        let count = self.images * volume(output) * self.channels;
        let (mut largest, mut elements) = (Buffer::of_floats(count), vec![0; count]);
        let image = count / self.images;
        let images = largest.floats()[..count].chunks_mut(image).zip(elements.chunks_mut(image));
        each(images.zip(state.chunks(state.len() / self.images)), |((largest, elements), state)| {
            let pixels = largest.chunks_exact_mut(self.channels).zip(elements.chunks_exact_mut(self.channels));
            for (pixel, (largest, elements)) in pixels.enumerate() {
                for (element, at) in window(extent, stride, pixel) {
                    let from = &state[at * self.channels..][..self.channels];
                    if element == 0 {
                        largest.copy_from_slice(from);
                        continue;
                    }
                    for ((largest, own), &value) in largest.iter_mut().zip(elements.iter_mut()).zip(from) {
                        let is_larger = value > *largest;
                        *largest = if is_larger { value } else { *largest };
                        *own = if is_larger { element } else { *own };
                    }
                }
            }
        });
        Maxima { largest, elements }
    }

    /// A node out of what its edges gave and what passes them by.
    pub(super) fn join(&self, edges: &[f32], passing: &[Passing]) -> Buffer {
        let (count, places, own) = (edges.len() * self.share, self.places(), self.own());
        let mut node = Buffer::of_floats(count);
        let length = count / self.images;
        let images = node.floats()[..count].chunks_mut(length).zip(edges.chunks(length / self.share));
        each(images.enumerate(), |(image, (node, edges))| {
            let mut sum = vec![0.0; length];
            for Passing { state, factor, .. } in passing {
                let state = &state[image * length..][..length];
                sum.iter_mut().zip(state).for_each(|(sum, x)| *sum += factor * x);
            }
            let pixels = sum.chunks_exact_mut(self.channels).zip(edges.chunks_exact(own));
            for ((sum, edges), node) in pixels.zip(node.chunks_exact_mut(self.channels)) {
                sum[..own].copy_from_slice(edges);
                node.iter_mut().zip(&places).for_each(|(to, &place)| *to = sum[place]);
            }
        });
        node
    }

    /// A node's gradient as that of what its edges gave, and that of what passed them by, the edges' part of which is zeros.
    pub(super) fn part(&self, gradient: &[f32]) -> [Buffer; 2] {
        let (count, places, own) = (gradient.len(), self.places(), self.own());
        let mut parts = [count / self.share, count].map(Buffer::borrow_floats);
        let [edges, rest] = &mut parts;
        let (edges, rest) = (&mut edges.floats()[..count / self.share], &mut rest.floats()[..count]);
        let image = count / self.images;
        let images = edges.chunks_mut(image / self.share).zip(rest.chunks_mut(image)).zip(gradient.chunks(image));
        each(images, |((edges, rest), gradient)| {
            let pixels = edges.chunks_exact_mut(own).zip(rest.chunks_exact_mut(self.channels));
            for ((edges, rest), gradient) in pixels.zip(gradient.chunks_exact(self.channels)) {
                gradient.iter().zip(&places).for_each(|(&from, &place)| rest[place] = from);
                edges.copy_from_slice(&rest[..own]);
                rest[..own].fill(0.0);
            }
        });
        parts
    }

    /// Adds to a state's gradient, or begins it, what comes of the edges' part and of what passes edges by. An empty one is
    /// not wanted. Returns the gradients of the factors.
    pub(super) fn back(&self, state: StateBack, passing: &[(Passing, &[f32])]) -> Vec<f64> {
        let StateBack { to, begun, edges, maxima, extent, stride, wants_factors } = state;
        let mut targets: Vec<Option<&mut [f32]>> = (0..self.images).map(|_| None).collect();
        if !to.is_empty() {
            let image = to.len() / self.images;
            targets = to.chunks_mut(image).map(Some).collect();
        }
        let of_images = map(targets.into_iter().enumerate(), |(image, to)| {
            let image_of = |all: &'_ [f32]| {
                let length = all.len() / self.images;
                image * length..(image + 1) * length
            };
            if let Some(to) = to {
                if !begun {
                    to.fill(0.0);
                }
                if let Some(edges) = edges {
                    let edges = edges[image_of(edges)].chunks_exact(self.own());
                    for (to, edges) in to.chunks_exact_mut(self.channels).zip(edges) {
                        to.iter_mut().zip(edges).for_each(|(to, edges)| *to += edges);
                    }
                }
                let mut sum = vec![0.0; maxima.map_or(0, |maxima| maxima.elements.len() / self.images)];
                for (Passing { factor, .. }, gradient) in passing {
                    let sum = if maxima.is_some() { &mut sum[..] } else { &mut *to };
                    sum.iter_mut().zip(&gradient[image_of(gradient)]).for_each(|(sum, g)| *sum += factor * g);
                }
                if let Some(maxima) = maxima {
                    let elements = maxima.elements[image_of(maxima.values())].chunks_exact(self.channels);
                    for (pixel, (sum, elements)) in sum.chunks_exact(self.channels).zip(elements).enumerate() {
                        for (element, at) in window(extent, stride, pixel) {
                            let to = &mut to[at * self.channels..][..self.channels];
                            for ((to, &g), &own) in to.iter_mut().zip(sum).zip(elements) {
                                *to += if own == element { g } else { 0.0 };
                            }
                        }
                    }
                }
            }
            let of_factor = |(passing, gradient): &(Passing, &[f32])| match wants_factors {
                true => product(&passing.state[image_of(passing.state)], &gradient[image_of(gradient)], self.channels),
                false => 0.0,
            };
            passing.iter().map(of_factor).collect::<Vec<f64>>()
        });
        (0..passing.len()).map(|at| of_images.iter().map(|of_image| of_image[at]).sum()).collect()
    }
}

/// The scalar product of two images of so many channels.
pub(super) fn product(state: &[f32], gradient: &[f32], channels: usize) -> f64 {
    let mut sums = vec![0.0f32; channels];
    let runs = gradient.chunks(RUN * channels).zip(state.chunks(RUN * channels));
    runs.map(|(gradient, state)| {
        sums.fill(0.0);
        for (g, x) in gradient.chunks_exact(channels).zip(state.chunks_exact(channels)) {
            sums.iter_mut().zip(g.iter().zip(x)).for_each(|(sum, (g, x))| *sum += g * x);
        }
        sums.iter().map(|&sum| f64::from(sum)).sum::<f64>()
    })
    .sum()
}

/// A state on the way back.
pub(super) struct StateBack<'a> {
    /// Its gradient.
    pub(super) to: &'a mut [f32],
    /// Whether there is any of it already.
    pub(super) begun: bool,
    /// That of what edges work on.
    pub(super) edges: Option<&'a [f32]>,
    pub(super) maxima: Option<&'a Maxima>,
    pub(super) extent: Extent,
    pub(super) stride: Extent,
    /// Whether the gradients of the factors are asked for.
    pub(super) wants_factors: bool,
}

/// The elements of a window by their place in it, and the pixels that they are.
fn window(extent: Extent, stride: Extent, pixel: usize) -> impl Iterator<Item = (u32, usize)> {
    let [_, height, width] = strided(extent, stride);
    let corner = [pixel / (height * width), pixel / width % height, pixel % width];
    let [frames, rows, columns]: [Range<usize>; 3] = std::array::from_fn(|axis| {
        let first = corner[axis] * stride[axis];
        first..(first + stride[axis]).min(extent[axis])
    });
    let pixels = frames.flat_map(move |t| {
        let columns = columns.clone();
        rows.clone().flat_map(move |y| columns.clone().map(move |x| (t * extent[1] + y) * extent[2] + x))
    });
    (0..).zip(pixels)
}
