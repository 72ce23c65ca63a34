//! Colours by chance: brightness, contrast, saturation and hue.

use serde::{Deserialize, Serialize};

use crate::error::DataError;
use crate::random::{Stream, between, shuffle};

/// How far colours may go by chance, as torchvision's `ColorJitter` has it: one after the other in a random order, each
/// by a random amount, the same for all frames of a clip. 0 is off.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ColourJitter {
    /// Colours times a factor of 1 ± this.
    pub brightness: f64,
    /// Distance from the picture's mean gray times a factor of 1 ± this.
    pub contrast: f64,
    /// Distance from each pixel's own gray times a factor of 1 ± this.
    pub saturation: f64,
    /// Hue further by this share of the circle at most, either way; up to 0.5.
    pub hue: f64,
}

/// One change of all pixels.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Step {
    Brightness(f32),
    Contrast(f32),
    Saturation(f32),
    Hue(f32),
}

/// What chance does to the colours of a sample.
pub(crate) struct Jitter(Vec<Step>);

impl ColourJitter {
    /// Whether nothing is changed.
    pub(crate) fn is_off(&self) -> bool {
        *self == Self::default()
    }

    /// Whether its numbers are possible.
    ///
    /// # Errors
    /// [`DataError::Setting`].
    pub fn check(&self) -> Result<(), DataError> {
        let Self { brightness, contrast, saturation, hue } = *self;
        for (key, value, most, right) in [
            ("augment.colour.brightness", brightness, f64::MAX, "a number of at least 0"),
            ("augment.colour.contrast", contrast, f64::MAX, "a number of at least 0"),
            ("augment.colour.saturation", saturation, f64::MAX, "a number of at least 0"),
            ("augment.colour.hue", hue, 0.5, "a number from 0 to 0.5"),
        ] {
            if !(0.0..=most).contains(&value) {
                return Err(DataError::setting(key, value, right));
            }
        }
        Ok(())
    }

    /// One change by chance; none draws nothing where all is off.
    pub(crate) fn draw(&self, rng: &mut Stream) -> Option<Jitter> {
        if self.is_off() {
            return None;
        }
        let mut factor = |most: f64| between(rng, (1.0 - most).max(0.0) as f32, (1.0 + most) as f32);
        let [brightness, contrast, saturation] = [self.brightness, self.contrast, self.saturation].map(&mut factor);
        let hue = between(rng, -self.hue as f32, self.hue as f32);
        let steps = [
            (self.brightness, Step::Brightness(brightness)),
            (self.contrast, Step::Contrast(contrast)),
            (self.saturation, Step::Saturation(saturation)),
            (self.hue, Step::Hue(hue)),
        ];
        let mut steps: Vec<_> = steps.into_iter().filter(|(most, _)| *most > 0.0).map(|(_, step)| step).collect();
        shuffle(&mut steps, rng);
        Some(Jitter(steps))
    }
}

impl Jitter {
    /// Changes a frame of red, green and blue.
    pub(crate) fn apply(&self, frame: &mut [u8]) {
        let mut colours: Vec<f32> = frame.iter().map(|&value| value.into()).collect();
        for step in &self.0 {
            match *step {
                Step::Brightness(factor) => blend(&mut colours, factor, |_| 0.0),
                Step::Contrast(factor) => {
                    let sum: f64 = colours.chunks_exact(3).map(|pixel| f64::from(gray(pixel))).sum();
                    let mean = (sum / (colours.len() / 3) as f64) as f32;
                    blend(&mut colours, factor, |_| mean);
                }
                Step::Saturation(factor) => blend(&mut colours, factor, gray),
                Step::Hue(shift) => colours.chunks_exact_mut(3).for_each(|pixel| turn(pixel, shift)),
            }
        }
        for (to, from) in frame.iter_mut().zip(colours) {
            *to = (from + 0.5) as u8;
        }
    }
}

/// Luma of ITU-R 601.
fn gray(pixel: &[f32]) -> f32 {
    0.299 * pixel[0] + 0.587 * pixel[1] + 0.114 * pixel[2]
}

/// Every colour's distance from what its pixel has as ground times a factor, within what there is.
fn blend(colours: &mut [f32], factor: f32, ground: impl Fn(&[f32]) -> f32) {
    for pixel in colours.chunks_exact_mut(3) {
        let ground = ground(pixel);
        for colour in pixel {
            *colour = (ground + factor * (*colour - ground)).clamp(0.0, 255.0);
        }
    }
}

/// Turns the hue of a pixel by a share of the circle; its largest and smallest colour keep their values.
fn turn(pixel: &mut [f32], shift: f32) {
    let [red, green, blue] = [pixel[0], pixel[1], pixel[2]];
    let (most, least) = (red.max(green).max(blue), red.min(green).min(blue));
    let range = most - least;
    if range <= 0.0 {
        return;
    }
    let sixth = if most == red {
        (green - blue) / range
    } else if most == green {
        2.0 + (blue - red) / range
    } else {
        4.0 + (red - green) / range
    };
    let hue = sixth + 6.0 * shift;
    // Each colour is a trapezium over the circle: full for a third, none for a third, and slopes between.
    for (colour, place) in pixel.iter_mut().zip([5.0, 3.0, 1.0]) {
        let along = (place + hue).rem_euclid(6.0);
        *colour = most - range * along.min(4.0 - along).clamp(0.0, 1.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::stream;

    /// Six pixels, and what `torchvision.transforms.functional` (0.29, on tensors of 32 bits) makes of them.
    const PIXELS: [u8; 18] = [200, 30, 60, 10, 250, 90, 120, 120, 120, 0, 0, 255, 255, 240, 5, 33, 66, 99];

    fn after(steps: &[Step]) -> Vec<u8> {
        let mut frame = PIXELS;
        Jitter(steps.to_vec()).apply(&mut frame);
        frame.into()
    }

    #[test]
    fn every_step_is_torchvisions() {
        let cases: [(&[Step], [u8; 18]); 8] = [
            (&[Step::Brightness(1.3)], [255, 39, 78, 13, 255, 117, 156, 156, 156, 0, 0, 255, 255, 255, 6, 43, 86, 129]),
            (
                &[Step::Contrast(0.5)],
                [156, 71, 86, 61, 181, 101, 116, 116, 116, 56, 56, 183, 183, 176, 58, 72, 89, 105],
            ),
            (&[Step::Contrast(1.7)], [255, 0, 24, 0, 255, 75, 126, 126, 126, 0, 0, 255, 255, 255, 0, 0, 34, 90]),
            (
                &[Step::Saturation(0.4)],
                [131, 63, 75, 100, 196, 132, 120, 120, 120, 17, 17, 119, 233, 227, 133, 49, 62, 76],
            ),
            (&[Step::Saturation(1.6)], [255, 0, 45, 0, 255, 48, 120, 120, 120, 0, 0, 255, 255, 253, 0, 17, 70, 122]),
            (&[Step::Hue(0.2)], [196, 200, 30, 10, 122, 250, 120, 120, 120, 255, 0, 204, 5, 255, 40, 79, 33, 99]),
            (&[Step::Hue(-0.37)], [30, 97, 200, 250, 37, 10, 120, 120, 120, 56, 255, 0, 185, 5, 255, 81, 99, 33]),
            (
                &[Step::Hue(0.1), Step::Contrast(1.2), Step::Brightness(0.8), Step::Saturation(1.5)],
                [210, 69, 0, 0, 234, 234, 96, 96, 96, 161, 0, 255, 70, 232, 0, 17, 8, 103],
            ),
        ];
        for (steps, expected) in cases {
            let got = after(steps);
            // Its weights of gray have four digits.
            assert!(got.iter().zip(expected).all(|(got, expected)| got.abs_diff(expected) <= 1), "{steps:?}: {got:?}");
        }
    }

    #[test]
    fn chance_draws_orders_and_amounts_within_their_bounds() {
        let jitter = ColourJitter { brightness: 0.4, contrast: 2.0, saturation: 0.1, hue: 0.0 };
        let (mut firsts, mut factors) = ([0; 3], vec![]);
        for i in 0..600 {
            let Jitter(steps) = jitter.draw(&mut stream(0, "test", [i, 0])).unwrap();
            assert_eq!(steps.len(), 3);
            for (at, step) in steps.iter().enumerate() {
                let (kind, factor, bounds) = match *step {
                    Step::Brightness(factor) => (0, factor, 0.6..=1.4),
                    Step::Contrast(factor) => (1, factor, 0.0..=3.0),
                    Step::Saturation(factor) => (2, factor, 0.9..=1.1),
                    Step::Hue(_) => panic!("it is off"),
                };
                assert!(bounds.contains(&factor), "{step:?}");
                firsts[kind] += usize::from(at == 0);
                if kind == 1 {
                    factors.push(factor);
                }
            }
        }
        assert!(firsts.iter().all(|count| (150..250).contains(count)), "{firsts:?}");
        assert!(factors.iter().any(|&factor| factor < 0.2) && factors.iter().any(|&factor| factor > 2.8));
        assert!(ColourJitter::default().draw(&mut stream(0, "test", [0; 2])).is_none());
    }

    #[test]
    fn impossible_numbers_are_named() {
        let fails = |jitter: ColourJitter, key: &str| {
            let error = jitter.check().unwrap_err().to_string();
            assert!(error.contains(&format!("`augment.colour.{key}`")) && error.contains("remedy: "), "{error}");
        };
        let off = ColourJitter::default();
        fails(ColourJitter { brightness: -0.1, ..off }, "brightness");
        fails(ColourJitter { contrast: f64::NAN, ..off }, "contrast");
        fails(ColourJitter { saturation: f64::INFINITY, ..off }, "saturation");
        fails(ColourJitter { hue: 0.6, ..off }, "hue");
        off.check().unwrap();
        assert!(serde_json::from_str::<ColourJitter>(r#"{"color": 1}"#).is_err());
    }
}
