//! The built-in set of clips: eight classes that motion alone tells apart, made by formula.

use std::f64::consts::{LN_2, TAU};

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::origin::{Decoded, Origin, Progress, Sink};
use super::shapes::MOST_SAMPLES;
use crate::decode::{CHANNELS, MOST};
use crate::error::DataError;
use crate::random::{Stream, bell, between, direction, fnv1a, stream};

/// The keys that it uses.
pub(super) const KEYS: &[&str] = &["motion"];

/// Side of the frame that all lengths below are given in, and of clips unless another is asked for.
const SIDE: usize = 32;
/// The smallest side at which the waves are not too short for the pixels.
const LEAST: usize = 16;
/// The most frames.
const LONGEST: usize = 1024;
/// Clips made between two calls of `progress`.
const CHUNK: usize = 128;

/// Waves in a texture. Their frequencies divide the range below evenly, on a logarithmic scale.
const WAVES: usize = 16;
/// The longest wave; the shortest is a quarter of it, two octaves below.
const LONGEST_WAVE: f64 = 20.0;
const RANGE: f64 = 2.0 * LN_2;
/// Root mean square distance from the middle of the frame: what turns an angle or a factor into
/// pixels.
const RADIUS: f64 = 13.0;

/// What moves how; the order is that of the labels.
const CLASSES: [(&str, Movement); 8] = [
    ("left", Movement::Shift([-1.0, 0.0])),
    ("right", Movement::Shift([1.0, 0.0])),
    ("up", Movement::Shift([0.0, -1.0])),
    ("down", Movement::Shift([0.0, 1.0])),
    ("growing", Movement::Zoom(1.0)),
    ("shrinking", Movement::Zoom(-1.0)),
    ("clockwise", Movement::Turn(1.0)),
    ("anticlockwise", Movement::Turn(-1.0)),
];

#[derive(Clone, Copy)]
enum Movement {
    /// To the right and down.
    Shift([f64; 2]),
    Zoom(f64),
    Turn(f64),
}

/// How many clips of moving textures to make.
///
/// Every clip shows a random texture that fills the frame and moves as a whole, in one of eight ways
/// (left, right, up, down, growing, shrinking, clockwise, anticlockwise), by 0.8 to 1.6 of 32 pixels
/// a frame, under noise; colours, contrast, speed, and where the middle of the motion lies are random.
///
/// Only motion tells the classes apart, by construction. A texture is a sum of waves whose
/// directions and phases are uniform and whose frequencies are uniform on a circle: one that leaves
/// the range at the fine end, where it has faded to nothing, comes back at the coarse end. Shifting
/// changes phases, turning changes directions, zooming goes round the circle, so each leaves the
/// distribution of what is seen at any moment exactly as it was: no single frame says anything about
/// the class. Opposite classes are each other's time reversal, so there even all frames say nothing
/// without their order.
///
/// Mirroring turns left into right and clockwise into anticlockwise: augment without `flip`. Labels
/// go round; a clip depends only on the seed, its split and its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Motion {
    /// Clips to train on, at least 8.
    pub train: usize,
    /// Clips to test on, at least 8.
    pub test: usize,
    /// Frames of every clip, at least 2.
    pub frames: usize,
    /// Another seed makes other clips. It is the data set's, not the run's.
    pub seed: u64,
}

impl Default for Motion {
    /// 2,048 and 512 clips of 8 frames.
    fn default() -> Self {
        Self { train: 2048, test: 512, frames: 8, seed: 0 }
    }
}

/// Makes the clips.
pub(crate) struct Mover {
    motion: Motion,
    classes: Vec<String>,
    side: usize,
}

impl Mover {
    /// `size` is the side in pixels.
    pub(crate) fn new(motion: Motion, size: Option<usize>) -> Result<Self, DataError> {
        let side = size.unwrap_or(SIDE);
        if side < LEAST {
            return Err(DataError::Size { size: side, least: LEAST, most: MOST });
        }
        if !(2..=LONGEST).contains(&motion.frames) {
            return Err(DataError::setting(
                "data.motion.frames",
                motion.frames,
                format!("a number from 2 to {LONGEST}"),
            ));
        }
        for (split, count) in [("train", motion.train), ("test", motion.test)] {
            if count > MOST_SAMPLES {
                let key = if split == "train" { "data.motion.train" } else { "data.motion.test" };
                return Err(DataError::setting(key, count, format!("at most {MOST_SAMPLES}")));
            }
            if count < CLASSES.len() {
                return Err(DataError::TooFew { split, count, classes: CLASSES.len() });
            }
        }
        Ok(Self { motion, classes: CLASSES.map(|(name, _)| name.into()).into(), side })
    }
}

impl Origin for Mover {
    fn fingerprint(&self) -> Result<u64, DataError> {
        Ok(fnv1a(format!("{:?} {}", self.motion, self.side).as_bytes()))
    }

    fn classes(&self) -> &[String] {
        &self.classes
    }

    fn test_name(&self) -> &'static str {
        "test"
    }

    fn decode(&self, sink: &mut dyn Sink, progress: Progress) -> Result<Decoded, DataError> {
        let Motion { train, test, frames, seed } = self.motion;
        let clip = frames * self.side * self.side * CHANNELS;
        sink.reserve((train + test).saturating_mul(clip))?;
        let mut done = 0;
        for (name, count) in [("motion/train", train), ("motion/test", test)] {
            for start in (0..count).step_by(CHUNK) {
                let numbers = start..count.min(start + CHUNK);
                let mut pixels = vec![0; numbers.len() * clip];
                pixels.par_chunks_mut(clip).zip(numbers.clone()).for_each(|(out, number)| {
                    let (_, movement) = CLASSES[number % CLASSES.len()];
                    film(movement, frames, self.side, &mut stream(seed, name, [number as u64, 0]), out);
                });
                sink.append(&pixels)?;
                done += numbers.len();
                progress(done, train + test);
            }
        }
        let labels = [train, test].map(|count| (0..count).map(|number| (number % CLASSES.len()) as u16).collect());
        Ok(Decoded { frames, size: [self.side; 2], labels, ..Decoded::default() })
    }
}

type Complex = [f64; 2];

/// One wave of a texture.
struct Wave {
    /// Where its frequency lies in the range, in [0, 1).
    place: f64,
    direction: Complex,
    phase: Complex,
}

/// Makes one clip, `[frames, side, side, 3]`.
///
/// Waves are evaluated where the motion has brought them, frame by frame: nothing is resampled, so
/// no class is blurred more than another. Sums, products and square roots only, which are the same
/// everywhere, unlike sine and cosine.
fn film(movement: Movement, frames: usize, side: usize, rng: &mut Stream, out: &mut [u8]) {
    let unit = |rng: &mut Stream| direction(rng).map(f64::from);
    let centre = [(); 2].map(|()| f64::from(between(rng, 12.0, 20.0)));
    let speed = f64::from(between(rng, 0.8, 1.6));
    let aside = f64::from(between(rng, -0.3, 0.3));
    let ground = [(); CHANNELS].map(|()| between(rng, 0.3, 0.7));
    let axis = axis(rng);
    let noise = between(rng, 0.01, 0.04);
    let start = f64::from(between(rng, 0.0, 1.0));
    let waves: Vec<_> = (0..WAVES)
        .map(|i| {
            let place = (start + i as f64 / WAVES as f64).fract();
            Wave { place, direction: unit(rng), phase: unit(rng) }
        })
        .collect();

    let zoom = side as f64 / SIDE as f64;
    let mut texture = vec![0.0; side * side];
    for (t, frame) in out.chunks_exact_mut(side * side * CHANNELS).enumerate() {
        // From the middle of the clip, in pixels.
        let way = (t as f64 - (frames - 1) as f64 / 2.0) * speed;
        texture.fill(0.0);
        for wave in &waves {
            let (mut place, mut direction, mut centre) = (wave.place, wave.direction, centre);
            match movement {
                // Across the direction, a little: the class is where it mainly goes.
                Movement::Shift([right, down]) => {
                    centre[0] += way * (right - aside * down);
                    centre[1] += way * (down + aside * right);
                }
                // What is larger has the lower frequency.
                Movement::Zoom(sign) => place = (place - sign * way / RADIUS / RANGE).rem_euclid(1.0),
                // Down is positive, so a positive angle goes from right to down: clockwise.
                Movement::Turn(sign) => direction = product(direction, exponential([0.0, sign * way / RADIUS])),
            }
            let [frequency, _] = exponential([place * RANGE, 0.0]);
            let frequency = direction.map(|part| part * frequency * TAU / LONGEST_WAVE);
            // Zero at both ends of the range, 1 in the middle.
            let height = 16.0 * (place * (1.0 - place)) * (place * (1.0 - place));
            add(&mut texture, side, zoom, centre, frequency, wave.phase.map(|part| part * height));
        }
        for (pixel, value) in frame.chunks_exact_mut(CHANNELS).zip(&texture) {
            for channel in 0..CHANNELS {
                let paint = ground[channel] + axis[channel] * value + noise * bell(rng);
                pixel[channel] = (paint * 255.0 + 0.5).clamp(0.0, 255.0) as u8;
            }
        }
    }
}

/// The colour that one standard deviation of a texture adds, in any direction.
fn axis(rng: &mut Stream) -> [f32; CHANNELS] {
    // The mean square of the waves' sum: half of Σ height², which is Σ 256 p⁴ (1 − p)⁴, evenly
    // spaced: the integral is 256 · 4! · 4! / 9!.
    let deviation = (WAVES as f32 * 256.0 * 576.0 / 362_880.0 / 2.0).sqrt();
    let contrast = between(rng, 0.15, 0.3) / deviation;
    loop {
        let axis = [(); CHANNELS].map(|()| between(rng, -1.0, 1.0));
        let square: f32 = axis.iter().map(|part| part * part).sum();
        if (0.01..=1.0).contains(&square) {
            return axis.map(|part| part / square.sqrt() * contrast);
        }
    }
}

/// Adds the wave Re(phase · e^(i frequency · (place − centre))), frequencies in radians per pixel.
fn add(texture: &mut [f32], side: usize, zoom: f64, centre: [f64; 2], frequency: [f64; 2], phase: Complex) {
    // e^(i(x + y)) = e^(ix) · e^(iy): one exponential a column and one a row.
    let along = |axis: usize, first: Complex| -> Vec<[f32; 2]> {
        let start = product(first, exponential([0.0, frequency[axis] * (0.5 / zoom - centre[axis])]));
        let step = exponential([0.0, frequency[axis] / zoom]);
        let turns = std::iter::successors(Some(start), |&turn| Some(product(turn, step)));
        turns.take(side).map(|turn| turn.map(|part| part as f32)).collect()
    };
    let (columns, rows) = (along(0, [1.0, 0.0]), along(1, phase));
    for (line, row) in texture.chunks_exact_mut(side).zip(rows) {
        for (value, column) in line.iter_mut().zip(&columns) {
            *value += row[0] * column[0] - row[1] * column[1];
        }
    }
}

fn product([a, b]: Complex, [c, d]: Complex) -> Complex {
    [a * c - b * d, a * d + b * c]
}

/// e^z: the Taylor series of z / 256, squared eight times. To 10⁻¹² for |z| up to 100, which is far
/// beyond what is asked for here.
fn exponential(z: Complex) -> Complex {
    let small = z.map(|part| part / 256.0);
    let series = (1..=10).rev().fold([1.0, 0.0], |sum, n| {
        let [re, im] = product(sum, small);
        [1.0 + re / f64::from(n), im / f64::from(n)]
    });
    (0..8).fold(series, |power, _| product(power, power))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exponential_is_the_librarys() {
        for i in -60..=60 {
            let x = f64::from(i) * 0.5;
            let [cos, sin] = exponential([0.0, x]);
            assert!((cos - x.cos()).abs() < 1e-12 && (sin - x.sin()).abs() < 1e-12, "{x}");
            let [re, im] = exponential([x / 10.0, 0.0]);
            assert!((re / (x / 10.0).exp() - 1.0).abs() < 1e-12 && im == 0.0, "{x}");
        }
    }

    #[test]
    fn a_wave_is_a_cosine() {
        let mut texture = vec![0.0; 64];
        add(&mut texture, 8, 0.25, [12.0, 20.0], [0.3, -0.7], [0.0, 2.0]);
        for (i, value) in texture.into_iter().enumerate() {
            let [x, y] = [i % 8, i / 8].map(|place| (place as f64 + 0.5) * 4.0);
            let angle = 0.3 * (x - 12.0) - 0.7 * (y - 20.0) + TAU / 4.0;
            assert!((f64::from(value) - 2.0 * angle.cos()).abs() < 1e-5);
        }
    }
}
