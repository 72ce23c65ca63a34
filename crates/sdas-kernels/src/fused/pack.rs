//! Weights in the order in which the loops read them, and their gradients back in the flat tensor's order.

use super::plan::{Body, Plan, Product, Rows, Segment};
use crate::lanes::{LANES, Lanes, blocks};
use crate::weights::volume;

/// A unit's weights, padded with zeros to whole blocks.
#[derive(Debug, Default)]
pub(crate) struct Packed {
    /// `[blocks, taps]`.
    pub(crate) depthwise: Vec<Lanes>,
    /// `[output blocks, inputs]`.
    pub(crate) product: Vec<Lanes>,
    /// `[input blocks, outputs]`.
    pub(crate) transposed: Vec<Lanes>,
}

/// Where the gradients of the units' weights lie among a group of images' partial sums, in the packed order: per unit
/// first those of the depthwise weights, then those of the product, its inputs padded to whole blocks.
#[derive(Debug)]
pub(crate) struct GradientLayout {
    /// Per unit: where the depthwise part starts, and where the product's.
    pub(crate) starts: Vec<[usize; 2]>,
    pub(crate) length: usize,
}

/// Packs the weights of all units for the way there.
pub(crate) fn pack(plan: &Plan, weights: &[f32]) -> Vec<Packed> {
    let unit = |product: &Product| {
        let mut packed = Packed::default();
        if let Rows::Depthwise(depthwise) = &product.rows {
            let taps = volume(depthwise.window.kernel);
            packed.depthwise = vec![Lanes::ZERO; plan.blocks() * taps];
            for tap in 0..taps {
                let channels = &weights[depthwise.weights + tap * plan.outputs..][..plan.outputs];
                for (block, values) in channels.chunks(LANES).enumerate() {
                    packed.depthwise[block * taps + tap].0[..values.len()].copy_from_slice(values);
                }
            }
        }
        packed.product = vec![Lanes::ZERO; plan.blocks() * product.inputs];
        for segment in &product.segments {
            for input in 0..segment.inputs {
                let values = row(weights, segment, input);
                for_blocks(segment, |block, lanes, of| {
                    let to = &mut packed.product[block * product.inputs + segment.first_input + input];
                    copy(&mut to.0[lanes], &values[of]);
                });
            }
        }
        plan.spread(packed.depthwise.iter_mut().chain(&mut packed.product));
        packed
    };
    let all = plan.units.iter().map(|of| match &of.body {
        Body::Product(product) => unit(product),
        Body::Pool(_) => Packed::default(),
    });
    all.collect()
}

/// Adds what the way back needs.
pub(crate) fn transpose(plan: &Plan, packed: &mut [Packed]) {
    for (unit, packed) in plan.units.iter().zip(packed) {
        let Body::Product(Product { inputs, .. }) = unit.body else { continue };
        packed.transposed = vec![Lanes::ZERO; blocks(inputs) * plan.outputs];
        for (input_block, to) in packed.transposed.chunks_exact_mut(plan.outputs).enumerate() {
            for (from, to) in packed.product.chunks_exact(inputs).zip(to.chunks_mut(LANES)) {
                let from = &from[input_block * LANES..];
                for (output, to) in to.iter_mut().enumerate() {
                    *to = match from.first_chunk::<LANES>() {
                        Some(inputs) => Lanes(std::array::from_fn(|lane| inputs[lane].0[output])),
                        None => Lanes(std::array::from_fn(|lane| from.get(lane).map_or(0.0, |input| input.0[output]))),
                    };
                }
            }
        }
        plan.spread(&mut packed.transposed);
    }
}

/// Copies a run, most of which are whole blocks: those need no call.
#[inline(always)]
pub(crate) fn copy(to: &mut [f32], from: &[f32]) {
    match (to.as_mut_array::<LANES>(), from.as_array::<LANES>()) {
        (Some(to), Some(from)) => *to = *from,
        _ => to.copy_from_slice(from),
    }
}

impl GradientLayout {
    pub(crate) fn new(plan: &Plan) -> Self {
        let mut length = 0;
        let mut next = |count: usize| {
            length += count;
            length - count
        };
        let starts = plan.units.iter().map(|unit| match &unit.body {
            Body::Product(product) => {
                let taps = match &product.rows {
                    Rows::Depthwise(depthwise) => volume(depthwise.window.kernel),
                    _ => 0,
                };
                let depthwise = next(plan.blocks() * taps);
                [depthwise, next(plan.blocks() * blocks(product.inputs) * LANES)]
            }
            Body::Pool(_) => [0, 0],
        });
        GradientLayout { starts: starts.collect(), length }
    }

    /// Writes packed gradients into the flat tensor's order.
    pub(crate) fn unpack(&self, plan: &Plan, packed: &[Lanes], flat: &mut [f32]) {
        for (unit, [depthwise_start, product_start]) in plan.units.iter().zip(&self.starts) {
            let Body::Product(product) = &unit.body else { continue };
            if let Rows::Depthwise(depthwise) = &product.rows {
                let taps = volume(depthwise.window.kernel);
                for tap in 0..taps {
                    let channels = &mut flat[depthwise.weights + tap * plan.outputs..][..plan.outputs];
                    for (block, values) in channels.chunks_mut(LANES).enumerate() {
                        let lanes = &packed[depthwise_start + block * taps + tap].0;
                        copy(values, &lanes[..values.len()]);
                    }
                }
            }
            let inputs = blocks(product.inputs) * LANES;
            for segment in &product.segments {
                for input in 0..segment.inputs {
                    let at = segment.weights + input * segment.outputs;
                    let values = &mut flat[at..at + segment.outputs];
                    for_blocks(segment, |block, lanes, of| {
                        let from = &packed[product_start + block * inputs + segment.first_input + input];
                        copy(&mut values[of], &from.0[lanes]);
                    });
                }
            }
        }
    }
}

fn row<'a>(weights: &'a [f32], segment: &Segment, input: usize) -> &'a [f32] {
    &weights[segment.weights + input * segment.outputs..][..segment.outputs]
}

fn split(channel: usize) -> (usize, usize) {
    (channel / LANES, channel % LANES)
}

/// The blocks that a segment's outputs fall into: the block, its lanes, and the outputs they hold.
fn for_blocks(segment: &Segment, mut body: impl FnMut(usize, std::ops::Range<usize>, std::ops::Range<usize>)) {
    let mut done = 0;
    while done < segment.outputs {
        let (block, lane) = split(segment.first_output + done);
        let count = (LANES - lane).min(segment.outputs - done);
        body(block, lane..lane + count, done..done + count);
        done += count;
    }
}
