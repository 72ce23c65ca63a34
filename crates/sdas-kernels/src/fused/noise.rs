//! Operations that are nothing but noise: what a link brings is added to its node, and has a gradient to its factor alone.

use super::extension::values;
use super::memory::Buffer;
use super::passing::product;
use super::topology::{Call, Place};
use crate::crew::{each, map};
use burn_flex::FlexTensor;
use std::ops::Range;

impl Call {
    /// The places of links that bring noise, with which of their operations it is.
    fn noisy(&self) -> impl Iterator<Item = (&Place, usize)> {
        self.places.iter().filter_map(|place| Some((place, place.noise?)))
    }

    /// Adds the noise that comes to some of the nodes to what their edges gave.
    pub(super) fn add_noise(&self, nodes: &mut [Buffer], those: Range<usize>, noises: &[FlexTensor], mixes: &[f32]) {
        for ((place, operation), noise) in
            self.noisy().zip(noises).filter(|((place, _), _)| those.contains(&place.node))
        {
            let mix = place.mixed.map_or(1.0, |row| mixes[row * self.columns + operation]);
            let count = self.own_count(place.node);
            let image = count / self.samples;
            let images = nodes[place.node].floats()[..count].chunks_mut(image).zip(values(noise).chunks(image));
            each(images.enumerate(), |(sample, (sum, noise))| {
                let factor = mix * place.factor(sample);
                sum.iter_mut().zip(noise).for_each(|(sum, value)| *sum += factor * value);
            });
        }
    }

    /// Writes the gradients of the noises' factors among the mixes, given those of the nodes, by state.
    pub(super) fn noise_gradients(&self, gradients: &[Option<Buffer>], noises: &[FlexTensor], to: &mut [f32]) {
        for ((place, operation), noise) in self.noisy().zip(noises) {
            let Some((row, gradient)) = place.mixed.zip(gradients[self.inputs + place.node].as_ref()) else { continue };
            let count = self.own_count(place.node);
            let image = count / self.samples;
            let images = gradient.as_floats()[..count].chunks(image).zip(values(noise).chunks(image));
            let of_images = map(images.enumerate(), |(sample, (gradient, noise))| {
                f64::from(place.factor(sample)) * product(noise, gradient, place.plan.outputs)
            });
            to[row * self.columns + operation] = of_images.into_iter().sum::<f64>() as f32;
        }
    }
}

impl Place {
    /// What a sample's result is multiplied by.
    fn factor(&self, sample: usize) -> f32 {
        self.factors.as_ref().map_or(1.0, |factors| factors[sample])
    }
}
