//! The second frame seen through the flow, and the data term linearised there.

use super::bands::{Bands, widest};
use super::pyramid::Picture;
use super::solver::{State, fields_mut};

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
                    let mut warped = vec![[0.0; 4]; width];
                    for (y, terms) in (band * bands.rows..).zip(rows.chunks_exact_mut(TERMS * width)) {
                        let [u, v] = state.flow_row(y);
                        for (x, (pixel, (u, v))) in warped.iter_mut().zip(u.iter().zip(v)).enumerate() {
                            *pixel = self.sample(x as f32 + u, y as f32 + v);
                        }
                        let [dx, dy, inverse, constant] = fields_mut::<TERMS>(terms);
                        linear(dx, dy, inverse, constant, &warped, u, v, from.row(y));
                    }
                },
            );
        });
        Terms { rows }
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
                let row =
                    taps[0][i] * across[0] + taps[1][i] * across[1] + taps[2][i] * across[2] + taps[3][i] * across[3];
                sum[i] += weight * row;
            }
        }
        sum
    }
}

/// One row of [`Terms`] from the warped frame. Each row is an argument of its own, so that the compiler knows that none
/// overlaps another.
#[inline(always)]
#[expect(clippy::too_many_arguments, reason = "see above")]
fn linear(
    dx: &mut [f32],
    dy: &mut [f32],
    inverse: &mut [f32],
    constant: &mut [f32],
    warped: &[[f32; 4]],
    u: &[f32],
    v: &[f32],
    from: &[f32],
) {
    let width = warped.len();
    let [dx, dy, inverse, constant] = [dx, dy, inverse, constant].map(|row| &mut row[..width]);
    let [u, v, from] = [u, v, from].map(|row| &row[..width]);
    for x in 0..width {
        let [value, across, down, _] = warped[x];
        let square = across * across + down * down;
        dx[x] = across;
        dy[x] = down;
        inverse[x] = if square >= f32::MIN_POSITIVE { 1.0 / square } else { 0.0 };
        constant[x] = value - across * u[x] - down * v[x] - from[x];
    }
}

/// The first of four pixels, counted with the margin, and the weights of all four at `place` on a side of `length`
/// pixels: Keys' kernel with a = −0.75.
#[inline(always)]
fn kernel(place: f32, length: usize) -> (usize, [f32; 4]) {
    const A: f32 = -0.75;
    // The weights as polynomials of how far the place is from the second pixel to the third.
    const CUBIC: [f32; 4] = [A, A + 2.0, -A - 2.0, -A];
    const SQUARE: [f32; 4] = [-2.0 * A, -A - 3.0, 2.0 * A + 3.0, A];
    const LINEAR: [f32; 4] = [A, 0.0, -A, 0.0];
    const CONSTANT: [f32; 4] = [0.0, 1.0, 0.0, 0.0];
    // Beyond these bounds all four lie in the margin, as they do at them.
    let margin = MARGIN as f32;
    let place = place.clamp(1.0 - margin, length as f32 + margin - 3.0) + margin;
    // Truncation of what is positive rounds down, and is one instruction.
    let second = place as u32;
    let t = place - second as f32;
    let mut weights = [0.0; 4];
    for i in 0..4 {
        weights[i] = ((CUBIC[i] * t + SQUARE[i]) * t + LINEAR[i]) * t + CONSTANT[i];
    }
    (second as usize - 1, weights)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_are_keys_kernel() {
        // At a pixel it alone counts; half-way the outer two get a / 8, the inner two (4 − a) / 8.
        assert_eq!(kernel(3.0, 10), (3 + MARGIN - 1, [0.0, 1.0, 0.0, 0.0]));
        assert_eq!(kernel(3.5, 10), (3 + MARGIN - 1, [-0.09375, 0.59375, 0.59375, -0.09375]));
        for i in 0..100 {
            let (_, weights) = kernel(i as f32 * 0.0373, 10);
            assert!((weights.iter().sum::<f32>() - 1.0).abs() < 1e-6);
        }
    }

    #[test]
    fn beyond_the_border_is_black() {
        let target = Target::new(&Picture { size: [2, 3], pixels: vec![9.0; 6] });
        assert_eq!(target.sample(1.0, 1.0), [9.0, 0.0, 0.0, 0.0]);
        for (x, y) in [(-2.0, 0.0), (4.0, 1.0), (1.0, -2.5), (1.0, 3.0), (-1e9, 1e9), (f32::INFINITY, 0.0)] {
            assert_eq!(target.sample(x, y), [0.0; 4], "{x}, {y}");
        }
        let partly = target.sample(2.5, 0.0)[0];
        assert!(partly > 4.0 && partly < 5.0, "{partly}");
    }

    #[test]
    fn gradients_are_central_and_halved_at_the_border() {
        let target = Target::new(&Picture { size: [2, 3], pixels: vec![0.0, 2.0, 8.0, 4.0, 6.0, 12.0] });
        assert_eq!(target.sample(1.0, 0.0), [2.0, 4.0, 2.0, 0.0]);
        assert_eq!(target.sample(2.0, 1.0), [12.0, 3.0, 2.0, 0.0]);
    }
}
