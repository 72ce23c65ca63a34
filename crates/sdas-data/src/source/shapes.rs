//! The built-in set: ten classes of figures, made by formula, so that a search can be tried without
//! any download.

mod figure;

use rand_chacha::rand_core::RngCore;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::origin::{Decoded, Origin, Progress, Sink};
use crate::decode::{CHANNELS, MOST};
use crate::error::DataError;
use crate::random::{Stream, bell, below, between, direction, fnv1a, stream};
use figure::{FIGURES, segment};

/// The keys that they use: pictures of which a network is asked are resized.
pub(super) const KEYS: &[&str] = &["shapes", "resize"];

/// Side of the frame that all lengths below are given in, and of pictures unless another is asked
/// for.
const SIDE: usize = 32;
/// The smallest side at which figures can be told apart.
const LEAST: usize = 16;
/// Pictures made between two calls of `progress`.
const CHUNK: usize = 512;

/// How many pictures of figures to make.
///
/// Every picture shows one of ten figures (disc, ring, square, triangle, cross, star, crescent,
/// bar, stripes, checker) at a random place, in a random size (15 to 28 of 32 pixels) and turned by
/// a random angle, among specks, on a gradient, under noise. All colours are random, with a
/// distance between figure and ground: neither a colour nor a place says anything about the class,
/// only form does, so no linear function of the pixels gets far. Labels go round; a picture depends
/// only on the seed, its split and its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Shapes {
    /// Pictures to train on, at least 10.
    pub train: usize,
    /// Pictures to test on, at least 10.
    pub test: usize,
    /// Another seed makes other pictures. It is the data set's, not the run's: runs with different
    /// seeds see the same pictures.
    pub seed: u64,
}

impl Default for Shapes {
    /// 4,000 and 1,000 pictures.
    fn default() -> Self {
        Self { train: 4000, test: 1000, seed: 0 }
    }
}

/// More than anybody has, so that bytes can be counted.
pub(super) const MOST_SAMPLES: usize = 1_000_000_000;

/// Paints the pictures.
pub(crate) struct Painter {
    shapes: Shapes,
    classes: Vec<String>,
    side: usize,
}

impl Painter {
    /// `size` is the side in pixels.
    pub(crate) fn new(shapes: Shapes, size: Option<usize>) -> Result<Self, DataError> {
        let side = size.unwrap_or(SIDE);
        if side < LEAST {
            return Err(DataError::Size { size: side, least: LEAST, most: MOST });
        }
        for (split, count) in [("train", shapes.train), ("test", shapes.test)] {
            if count > MOST_SAMPLES {
                let key = if split == "train" { "data.shapes.train" } else { "data.shapes.test" };
                return Err(DataError::setting(key, count, format!("at most {MOST_SAMPLES}")));
            }
            if count < FIGURES.len() {
                return Err(DataError::TooFew { split, count, classes: FIGURES.len() });
            }
        }
        Ok(Self { shapes, classes: FIGURES.map(|(name, _)| name.into()).into(), side })
    }
}

impl Origin for Painter {
    fn fingerprint(&self) -> Result<u64, DataError> {
        Ok(fnv1a(format!("{:?} {}", self.shapes, self.side).as_bytes()))
    }

    fn classes(&self) -> &[String] {
        &self.classes
    }

    fn test_name(&self) -> &'static str {
        "test"
    }

    fn decode(&self, sink: &mut dyn Sink, progress: Progress) -> Result<Decoded, DataError> {
        let Shapes { train, test, seed } = self.shapes;
        let picture = self.side * self.side * CHANNELS;
        sink.reserve((train + test) * picture)?;
        let mut done = 0;
        for (name, count) in [("shapes/train", train), ("shapes/test", test)] {
            for start in (0..count).step_by(CHUNK) {
                let numbers = start..count.min(start + CHUNK);
                let mut pixels = vec![0; numbers.len() * picture];
                pixels.par_chunks_mut(picture).zip(numbers.clone()).for_each(|(out, number)| {
                    paint(number % FIGURES.len(), self.side, &mut stream(seed, name, [number as u64, 0]), out);
                });
                sink.append(&pixels)?;
                done += numbers.len();
                progress(done, train + test);
            }
        }
        let labels = [train, test].map(|count| (0..count).map(|number| (number % FIGURES.len()) as u16).collect());
        Ok(Decoded { frames: 1, size: [self.side; 2], labels, ..Decoded::default() })
    }
}

type Colour = [f32; CHANNELS];

/// A short stroke, or a dot if both ends are one.
struct Speck {
    ends: [[f32; 2]; 2],
    radius: f32,
    colour: Colour,
}

/// Paints one picture of `class`, `[side, side, 3]`.
///
/// Sums, products and square roots only, which are the same everywhere, unlike sine and cosine.
fn paint(class: usize, side: usize, rng: &mut Stream, out: &mut [u8]) {
    let frame = SIDE as f32;
    let radius = between(rng, 7.5, 14.0);
    // The figure may stick out a little.
    let centre = [(); 2].map(|()| between(rng, 0.85 * radius, frame - 0.85 * radius));
    let [cos, sin] = direction(rng);

    let ground = colour(rng);
    let ink = loop {
        let ink = colour(rng);
        if distance_of(ink, ground) > 0.5 {
            break ink;
        }
    };
    let slope = [(); CHANNELS].map(|()| between(rng, -0.2, 0.2));
    let towards = direction(rng);
    let under: Vec<_> = (0..3 + below(rng, 4)).map(|_| speck(rng, ground)).collect();
    let over: Vec<_> = (0..1 + below(rng, 2)).map(|_| speck(rng, ground)).collect();
    let noise = between(rng, 0.02, 0.08);

    let zoom = side as f32 / frame;
    let (_, distance) = FIGURES[class];
    for (i, pixel) in out.chunks_exact_mut(CHANNELS).enumerate() {
        let at = [(i % side) as f32, (i / side) as f32].map(|place| (place + 0.5) / zoom);
        let along = ((at[0] - frame / 2.0) * towards[0] + (at[1] - frame / 2.0) * towards[1]) / (frame / 2.0);
        let mut paint: Colour = std::array::from_fn(|channel| ground[channel] + slope[channel] * along);
        under.iter().for_each(|speck| speck.cover(&mut paint, at, zoom));
        let [x, y] = [(at[0] - centre[0]) / radius, (at[1] - centre[1]) / radius];
        let turned = [cos * x + sin * y, cos * y - sin * x];
        cover(&mut paint, ink, distance(turned) * radius * zoom);
        over.iter().for_each(|speck| speck.cover(&mut paint, at, zoom));
        for (value, paint) in pixel.iter_mut().zip(paint) {
            *value = ((paint + noise * bell(rng)) * 255.0 + 0.5).clamp(0.0, 255.0) as u8;
        }
    }
}

/// Paints over by as much of a pixel as lies inside an edge that is `distance` pixels away
/// (negative: inside).
fn cover(paint: &mut Colour, ink: Colour, distance: f32) {
    let share = (0.5 - distance).clamp(0.0, 1.0);
    for (paint, ink) in paint.iter_mut().zip(ink) {
        *paint += share * (ink - *paint);
    }
}

impl Speck {
    fn cover(&self, paint: &mut Colour, at: [f32; 2], zoom: f32) {
        cover(paint, self.colour, (segment(at, self.ends) - self.radius) * zoom);
    }
}

/// A small dot or stroke anywhere, its colour between a random one and the ground's.
fn speck(rng: &mut Stream, ground: Colour) -> Speck {
    let start = [(); 2].map(|()| between(rng, 0.0, SIDE as f32));
    let [x, y] = direction(rng);
    let length = if rng.next_u32() & 1 == 0 { 0.0 } else { between(rng, 2.0, 6.0) };
    let end = [start[0] + length * x, start[1] + length * y];
    let radius = if length > 0.0 { between(rng, 0.4, 0.8) } else { between(rng, 0.6, 1.6) };
    let mut colour = colour(rng);
    colour.iter_mut().zip(ground).for_each(|(colour, ground)| *colour = 0.7 * *colour + 0.3 * ground);
    Speck { ends: [start, end], radius, colour }
}

fn colour(rng: &mut Stream) -> Colour {
    [(); CHANNELS].map(|()| between(rng, 0.05, 0.95))
}

fn distance_of(one: Colour, other: Colour) -> f32 {
    one.iter().zip(other).map(|(one, other)| (one - other) * (one - other)).sum::<f32>().sqrt()
}
