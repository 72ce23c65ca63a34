//! What the way back takes of the output's gradient first: sums for the norms and for the mix.

use super::backward::Branch;
use super::forward::{add_to_doubles, fill_pooled, pad_for_pools, total};
use super::memory::Scratch;
use super::plan::{Body, Plan};
use crate::lanes::{LANES, Lanes, Pixels, prefetch};
use crate::registers::Registers;
use crate::weights::volume;
use crate::width::Task;
use std::ops::Range;

/// Sums over the outputs' gradients for a group of images: `Σ G`, then `Σ G u` for every term, edge after edge.
pub(crate) struct TermSums<'a> {
    pub(crate) plan: &'a Plan,
    pub(crate) input: &'a [f32],
    pub(crate) edges: Vec<Branch<'a>>,
    pub(crate) sums: &'a mut [f64],
    pub(crate) scratch: &'a mut Scratch,
}

impl Task for TermSums<'_> {
    #[inline(always)]
    fn run<R: Registers>(self) {
        let (plan, pixels) = (self.plan, volume(self.plan.output));
        let per_edge = self.sums.len() / self.edges.len();
        for (image, input) in self.input.chunks(plan.input_values()).enumerate() {
            let input = plan.input_pixels(input, 0);
            pad_for_pools::<R>(plan, input, self.scratch);
            let mut pixel = 0;
            while pixel < pixels {
                let count = plan.strip().min(pixels - pixel);
                fill_pooled::<R>(plan, input, (pixel, count), self.scratch);
                for (edge, sums) in self.edges.iter().zip(self.sums.chunks_exact_mut(per_edge)) {
                    let (kept, gradient) = (&edge.kept[image * plan.kept..][..plan.kept], edge.output(plan, image));
                    strip_sums::<R>(plan, (pixel, count), (input, gradient), (kept, &self.scratch.pooled), sums);
                }
                pixel += count;
            }
        }
    }
}

#[inline(always)]
fn strip_sums<R: Registers>(
    plan: &Plan,
    (pixel, count): (usize, usize),
    (input, gradient): (Pixels, Pixels),
    (kept, pooled): (&[Lanes], &[Lanes]),
    sums: &mut [f64],
) {
    let (pixels, lanes) = (volume(plan.output), plan.blocks() * LANES);
    let (plain, with_results) = sums.split_at_mut(lanes);
    for block in 0..plan.blocks() {
        let parts = plain_sums::<R>(gradient, pixel..pixel + count, block);
        add_to_doubles(&mut plain[block * LANES..][..LANES], total::<R>(parts));
        for (term, sums) in plan.terms.iter().zip(with_results.chunks_exact_mut(lanes)) {
            let results = match term.unit.map(|unit| (&plan.units[unit].body, plan.units[unit].kept)) {
                Some((Body::Product(_), start)) => Some(&kept[start + block * pixels + pixel..]),
                Some((Body::Pool(_), start)) => Some(&pooled[start + block * count..]),
                None => None,
            };
            let parts = match results {
                Some(results) => result_products::<R>(results, count, gradient, pixel, block),
                None => input_products::<R>(input, gradient, pixel..pixel + count, block),
            };
            add_to_doubles(&mut sums[block * LANES..][..LANES], total::<R>(parts));
        }
    }
}

/// `Σ G` over a strip, in four parts.
#[inline(always)]
fn plain_sums<R: Registers>(gradient: Pixels, strip: Range<usize>, block: usize) -> [Lanes; 4] {
    let mut parts = [Lanes::ZERO; 4];
    let mut pixel = strip.start;
    while pixel + 4 <= strip.end {
        let gradients = gradient.tile::<4>(pixel, block);
        gradient.prefetch::<4>(pixel + strip.len(), block);
        for p in 0..4 {
            parts[p] = parts[p].plus::<R>(gradients[p]);
        }
        pixel += 4;
    }
    for pixel in pixel..strip.end {
        parts[0] = parts[0].plus::<R>(gradient.load(pixel, block));
    }
    parts
}

/// `Σ G u` over a strip, in four parts.
#[inline(always)]
fn result_products<R: Registers>(
    results: &[Lanes],
    count: usize,
    gradient: Pixels,
    pixel: usize,
    block: usize,
) -> [Lanes; 4] {
    let mut parts = [Lanes::ZERO; 4];
    let mut chunks = results[..count].chunks_exact(4);
    let mut at = pixel;
    for chunk in &mut chunks {
        let gradients = gradient.tile::<4>(at, block);
        for p in 0..4 {
            // The next strip's.
            prefetch(results, count + at - pixel + p);
            parts[p] = parts[p].add_product::<R>(chunk[p], gradients[p]);
        }
        at += 4;
    }
    for (p, result) in chunks.remainder().iter().enumerate() {
        parts[0] = parts[0].add_product::<R>(*result, gradient.load(at + p, block));
    }
    parts
}

/// `Σ G x` over a strip, in four parts.
#[inline(always)]
fn input_products<R: Registers>(input: Pixels, gradient: Pixels, strip: Range<usize>, block: usize) -> [Lanes; 4] {
    let mut parts = [Lanes::ZERO; 4];
    let mut pixel = strip.start;
    while pixel + 4 <= strip.end {
        let (inputs, gradients) = (input.tile::<4>(pixel, block), gradient.tile::<4>(pixel, block));
        for p in 0..4 {
            parts[p] = parts[p].add_product::<R>(inputs[p], gradients[p]);
        }
        pixel += 4;
    }
    for pixel in pixel..strip.end {
        parts[0] = parts[0].add_product::<R>(input.load(pixel, block), gradient.load(pixel, block));
    }
    parts
}
