//! The gradient of a fan's input, all its parts together.

use super::plan::{Plan, STRIP};
use crate::lanes::{Lanes, Pixels, PixelsMut, blocks};
use crate::registers::Registers;
use crate::weights::volume;

/// Which parts the gradient of an input has: what came back through its ReLU, and what came back to it as it is.
pub(crate) struct Parts<'a> {
    /// `[blocks, pixels]`, like the other.
    pub(crate) activated: Option<&'a [Lanes]>,
    pub(crate) raw: Option<&'a [Lanes]>,
    /// The gradients of the outputs that the identity passes on, and its mix.
    pub(crate) identities: Vec<(Pixels<'a>, f32)>,
    /// Whether there is something already.
    pub(crate) begun: bool,
}

/// The gradient of the input, all its parts together.
#[inline(always)]
pub(crate) fn input_gradient<R: Registers>(plan: &Plan, input: Pixels, parts: Parts, mut to: PixelsMut) {
    let pixels = volume(plan.input);
    for block in 0..blocks(plan.inputs) {
        let mut pixel = 0;
        while pixel + 8 <= pixels {
            input_tile::<R, 8>(plan, input, &parts, (pixel, block), &mut to);
            pixel += 8;
        }
        while pixel < pixels {
            input_tile::<R, 1>(plan, input, &parts, (pixel, block), &mut to);
            pixel += 1;
        }
    }
}

#[inline(always)]
fn input_tile<R: Registers, const P: usize>(
    plan: &Plan,
    input: Pixels,
    parts: &Parts,
    (pixel, block): (usize, usize),
    to: &mut PixelsMut,
) {
    input.prefetch::<P>(pixel + STRIP, block);
    to.as_pixels().prefetch::<P>(pixel + STRIP, block);
    for (gradient, _) in &parts.identities {
        gradient.prefetch::<P>(pixel + STRIP, block);
    }
    let at = block * volume(plan.input) + pixel;
    let part = |lanes: &[Lanes]| -> [Lanes; P] { *lanes[at..].first_chunk().expect("a tile has P pixels") };
    let mut values = match parts.begun {
        true => to.as_pixels().tile::<P>(pixel, block),
        false => [Lanes::ZERO; P],
    };
    if let Some(activated) = parts.activated.map(part) {
        let inputs = input.tile::<P>(pixel, block);
        for p in 0..P {
            values[p] = values[p].plus::<R>(activated[p].where_positive::<R>(inputs[p]));
        }
    }
    if let Some(raw) = parts.raw.map(part) {
        for p in 0..P {
            values[p] = values[p].plus::<R>(raw[p]);
        }
    }
    for (gradient, factor) in &parts.identities {
        let gradients = gradient.tile::<P>(pixel, block);
        for p in 0..P {
            values[p] = values[p].add_product::<R>(gradients[p], R::splat(*factor));
        }
    }
    to.store(pixel, block, &values);
}
