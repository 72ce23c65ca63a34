//! The second frame seen through the flow, and the data term linearised there.

use super::bands::{Bands, widest};
use super::pyramid::Picture;
use super::solver::State;

/// Black pixels on every side of a target: more than the kernel reaches over, so that a place that is far outside can be
/// moved into them.
const MARGIN: usize = 4;
/// Numbers per pixel of [`Terms`].
pub(super) const TERMS: usize = 4;

/// The second frame, to be sampled anywhere; black beyond its border.
pub(super) struct Target {
    size: [usize; 2],
    /// `[height + 2 · MARGIN, width + 2 · MARGIN]` of value, ∂x, ∂y and 0, side by side because they are always sampled
    /// together.
    pixels: Vec<[f32; 4]>,
}

/// What the data term has become after linearising: ρ(u) = `constant` + ∇I · u.
pub(super) struct Terms {
    /// `[height, 4, width]`: ∂x, ∂y, 1 / |∇I|² (0 where the frame is flat) and the constant.
    pub(super) rows: Vec<f32>,
}

impl Target {
    pub(super) fn new(frame: &Picture) -> Self {
        let [height, width] = frame.size;
        let stride = width + 2 * MARGIN;
        let mut pixels = vec![[0.0; 4]; (height + 2 * MARGIN) * stride];
        for y in 0..height {
            let [above, row, below] = [y.saturating_sub(1), y, (y + 1).min(height - 1)].map(|y| frame.row(y));
            for (x, pixel) in pixels[(y + MARGIN) * stride + MARGIN..][..width].iter_mut().enumerate() {
                let across = row[(x + 1).min(width - 1)] - row[x.saturating_sub(1)];
                *pixel = [row[x], 0.5 * across, 0.5 * (below[x] - above[x]), 0.0];
            }
        }
        Self { size: frame.size, pixels }
    }

    /// The data term against the first frame `from`, linearised at the flow of `state`.
    pub(super) fn linearise(&self, from: &Picture, state: &State, bands: &Bands) -> Terms {
        let [height, width] = self.size;
        let mut rows = vec![0.0; height * TERMS * width];
        let parts = rows.chunks_mut(bands.rows * TERMS * width).enumerate();
        bands.run(parts, |(band, rows)| {
            widest(
                #[inline(always)]
                || {
                    for (y, terms) in (band * bands.rows..).zip(rows.chunks_exact_mut(TERMS * width)) {
                        self.linearise_row(y, from.row(y), state.flow_row(y), terms);
                    }
                },
            );
        });
        Terms { rows }
    }

    #[inline(always)]
    fn linearise_row(&self, y: usize, from: &[f32], [u, v]: [&[f32]; 2], terms: &mut [f32]) {
        let width = from.len();
        let (dx, rest) = terms.split_at_mut(width);
        let (dy, rest) = rest.split_at_mut(width);
        let (inverse, constant) = rest.split_at_mut(width);
        for x in 0..width {
            let [value, across, down, _] = self.sample(x as f32 + u[x], y as f32 + v[x]);
            let square = across * across + down * down;
            dx[x] = across;
            dy[x] = down;
            inverse[x] = if square > f32::EPSILON { 1.0 / square } else { 0.0 };
            constant[x] = value - across * u[x] - down * v[x] - from[x];
        }
    }

    /// Value, ∂x and ∂y at any place, by cubic convolution of the 4×4 pixels around it.
    #[inline(always)]
    fn sample(&self, x: f32, y: f32) -> [f32; 4] {
        let [height, width] = self.size;
        let stride = width + 2 * MARGIN;
        let (left, across) = kernel(x, width);
        let (top, down) = kernel(y, height);
        let mut sum = [0.0; 4];
        for (j, weight) in down.into_iter().enumerate() {
            let taps = &self.pixels[(top + j) * stride + left..][..4];
            for i in 0..4 {
                sum[i] += weight
                    * (taps[0][i] * across[0]
                        + taps[1][i] * across[1]
                        + taps[2][i] * across[2]
                        + taps[3][i] * across[3]);
            }
        }
        sum
    }
}

/// The first of four pixels, counted with the margin, and the weights of all four at `place` on a side of `length`
/// pixels: Keys' kernel with a = −0.75.
#[inline(always)]
fn kernel(place: f32, length: usize) -> (usize, [f32; 4]) {
    const A: f32 = -0.75;
    // Beyond these bounds all four lie in the margin, as they do at them.
    let margin = MARGIN as f32;
    let place = place.clamp(1.0 - margin, length as f32 + margin - 3.0);
    // Truncation of what is positive rounds down, and is one instruction.
    let first = (place + margin) as usize;
    let t = place + margin - first as f32;
    let outer = |t: f32| ((A * t - 5.0 * A) * t + 8.0 * A) * t - 4.0 * A;
    let inner = |t: f32| ((A + 2.0) * t - (A + 3.0)) * t * t + 1.0;
    let [w0, w1, w2] = [outer(t + 1.0), inner(t), inner(1.0 - t)];
    (first - 1, [w0, w1, w2, 1.0 - w0 - w1 - w2])
}
