//! The iterations: the flow against its data term, then the dual variables against the flow's gradient.

use super::bands::{Bands, widest};
use super::warp::{TERMS, Terms};
use super::{Flow, TvL1, median, pyramid};

/// Numbers per pixel of the state.
const FIELDS: usize = 6;
/// Partial sums that a row's change is added up in, whatever the vectors' width.
const LANES: usize = 8;

/// What the iterations change.
///
/// The fields lie row by row beside each other, so that a band of rows is one slice and an iteration's sweep reads and
/// writes one place after another.
pub(super) struct State {
    size: [usize; 2],
    /// `[height, 6, width + 1]`: the flow u and v, and the duals of either, (p₁, p₂) and (q₁, q₂).
    ///
    /// What is one longer than the row spares the loops their border: u and v repeat their last number, and p₁ and q₁
    /// begin with a 0.
    rows: Vec<f32>,
}

/// The settings as the iterations use them.
#[derive(Clone, Copy)]
pub(super) struct Step {
    theta: f32,
    /// λ · θ: how far the data term moves the flow along its gradient, at most.
    reach: f32,
    /// τ / θ.
    dual: f32,
}

impl Step {
    pub(super) fn new(settings: &TvL1) -> Self {
        let TvL1 { tau, lambda, theta, .. } = *settings;
        Self { theta: theta as f32, reach: (lambda * theta) as f32, dual: (tau / theta) as f32 }
    }
}

impl State {
    /// No motion.
    pub(super) fn still(size: [usize; 2]) -> Self {
        Self { size, rows: vec![0.0; size[0] * FIELDS * (size[1] + 1)] }
    }

    fn row_length(&self) -> usize {
        FIELDS * (self.size[1] + 1)
    }

    /// Row y of the flow: u and v.
    pub(super) fn flow_row(&self, y: usize) -> [&[f32]; 2] {
        let [u, v, ..] = fields::<FIELDS>(&self.rows[y * self.row_length()..][..self.row_length()]);
        [u, v].map(|field| &field[..self.size[1]])
    }

    pub(super) fn into_flow(self) -> Flow {
        let [x, y] = [0, 1].map(|i| (0..self.size[0]).flat_map(|y| self.flow_row(y)[i].iter().copied()).collect());
        Flow { size: self.size, x, y }
    }

    /// Takes both components of the flow, `[2, height, width]`.
    fn set_flow(&mut self, flow: &[f32]) {
        let [height, width] = self.size;
        let row_length = self.row_length();
        let [us, vs] = fields::<2>(flow);
        for y in 0..height {
            let [u, v, ..] = fields_mut::<FIELDS>(&mut self.rows[y * row_length..][..row_length]);
            for (field, from) in [(u, us), (v, vs)] {
                field[..width].copy_from_slice(&from[y * width..][..width]);
                field[width] = field[width - 1];
            }
        }
    }

    /// Takes the flow of another scale, times `factor`.
    pub(super) fn start_from(&mut self, coarser: &State, factor: f32) {
        let [height, width] = self.size;
        let pixel = [0, 1].map(|axis| coarser.size[axis] as f64 / self.size[axis] as f64);
        let mut flow = vec![0.0; 2 * height * width];
        for (i, out) in flow.chunks_exact_mut(height * width).enumerate() {
            pyramid::resample(|y| coarser.flow_row(y)[i], coarser.size, out, self.size, pixel);
        }
        flow.iter_mut().for_each(|value| *value *= factor);
        self.set_flow(&flow);
    }

    /// The flow's median over squares of `side` pixels: 3 or 5; anything else changes nothing.
    pub(super) fn smooth(&mut self, side: usize, bands: &Bands) {
        match side {
            3 => self.smooth_over::<3>(bands),
            5 => self.smooth_over::<5>(bands),
            _ => {}
        }
    }

    fn smooth_over<const SIDE: usize>(&mut self, bands: &Bands) {
        let [height, width] = self.size;
        let around = SIDE / 2;
        let padded = width + 2 * around;
        // A copy of u and v, `[height, 2, padded]`, whose borders go on beyond the picture.
        let mut copy = vec![0.0; height * 2 * padded];
        for (y, rows) in copy.chunks_exact_mut(2 * padded).enumerate() {
            for (row, from) in rows.chunks_exact_mut(padded).zip(self.flow_row(y)) {
                row[..around].fill(from[0]);
                row[around..][..width].copy_from_slice(from);
                row[around + width..].fill(from[width - 1]);
            }
        }
        let row_length = self.row_length();
        let parts = self.rows.chunks_mut(bands.rows * row_length).enumerate();
        bands.run(parts, |(band, rows)| {
            widest(
                #[inline(always)]
                || {
                    for (y, row) in (band * bands.rows..).zip(rows.chunks_exact_mut(row_length)) {
                        let [u, v, ..] = fields_mut::<FIELDS>(row);
                        for (i, field) in [u, v].into_iter().enumerate() {
                            let rows = std::array::from_fn(|offset| {
                                let y = (y + offset).saturating_sub(around).min(height - 1);
                                &copy[(2 * y + i) * padded..][..padded]
                            });
                            median::row::<SIDE>(rows, &mut field[..width]);
                            field[width] = field[width - 1];
                        }
                    }
                },
            );
        });
    }

    /// One iteration; returns the sum over all pixels of the flow's squared change.
    ///
    /// A row's flow needs the row above's dual as it was, a row's dual the row below's flow as it is then. So one sweep
    /// down does both, the dual a row behind the flow. Between bands a copy stands in for the row above, and the dual of
    /// a band's last row waits until all bands are done.
    pub(super) fn iterate(&mut self, terms: &Terms, step: Step, bands: &Bands) -> f64 {
        let [height, width] = self.size;
        let row_length = self.row_length();
        let mut changes = vec![0.0; height];
        let mut above = vec![0.0; bands.count * row_length];
        for (band, copy) in above.chunks_exact_mut(row_length).enumerate().skip(1) {
            copy.copy_from_slice(&self.rows[(band * bands.rows - 1) * row_length..][..row_length]);
        }

        let rows = self.rows.chunks_mut(bands.rows * row_length);
        let terms = terms.rows.chunks(bands.rows * TERMS * width);
        let parts = rows.zip(terms).zip(above.chunks_exact(row_length)).zip(changes.chunks_mut(bands.rows));
        bands.run(parts, |(((rows, terms), above), changes)| {
            widest(
                #[inline(always)]
                || sweep(rows, terms, above, changes, step),
            );
        });

        // Below the last row of all lies nothing: its own copy makes for a gradient of 0.
        let mut last = self.rows[(height - 1) * row_length..].to_vec();
        for band in 1..=bands.count {
            let end = (band * bands.rows).min(height) * row_length;
            let (rows, below) = self.rows.split_at_mut(end);
            let below = if below.is_empty() { &mut last } else { below };
            dual_row(&mut rows[end - row_length..], &below[..row_length], step);
        }
        changes.iter().map(|&change| f64::from(change)).sum()
    }
}

/// The flow of all rows, the dual of all but the last. `above` is the row before the first.
#[inline(always)]
fn sweep(rows: &mut [f32], terms: &[f32], above: &[f32], changes: &mut [f32], step: Step) {
    let row_length = above.len();
    let width = row_length / FIELDS - 1;
    let mut scratch = vec![0.0; 2 * width];
    for (y, (change, terms)) in changes.iter_mut().zip(terms.chunks_exact(TERMS * width)).enumerate() {
        let (before, row) = rows.split_at_mut(y * row_length);
        let row = &mut row[..row_length];
        match before.len().checked_sub(row_length) {
            None => *change = flow_row(row, above, terms, &mut scratch, step),
            Some(start) => {
                *change = flow_row(row, &before[start..], terms, &mut scratch, step);
                dual_row(&mut before[start..], row, step);
            }
        }
    }
}

/// u ← u + TH(u) + θ div p: the thresholding step of the data term (Zach et al., proposition 3), then the divergence.
/// Returns the sum of the squared change.
#[inline(always)]
fn flow_row(row: &mut [f32], above: &[f32], terms: &[f32], scratch: &mut [f32], step: Step) -> f32 {
    let [u, v, p1, p2, q1, q2] = fields_mut::<FIELDS>(row);
    let [_, _, _, p2_above, _, q2_above] = fields::<FIELDS>(above);
    let [dx, dy, inverse, constant] = fields::<TERMS>(terms);
    let [along, squares] = fields_mut::<2>(scratch);
    let width = along.len();
    threshold(along, u, v, dx, dy, inverse, constant, step.reach);
    squares.fill(0.0);
    for (u, d, p1, p2, p2_above) in [(u, dx, p1, p2, p2_above), (v, dy, q1, q2, q2_above)] {
        advance(u, squares, along, d, &p1[1..], p1, p2, p2_above, step.theta);
        u[width] = u[width - 1];
    }
    sum(squares)
}

// The three innermost loops take each row as an argument of its own: that is how the compiler knows that none overlaps
// another that is written to, without which it uses no vectors.

/// How far the data term moves the flow along its gradient: as far as makes the residual 0, within `reach`.
#[inline(always)]
#[expect(clippy::too_many_arguments, reason = "see above")]
fn threshold(
    along: &mut [f32],
    u: &[f32],
    v: &[f32],
    dx: &[f32],
    dy: &[f32],
    inverse: &[f32],
    constant: &[f32],
    reach: f32,
) {
    let width = along.len();
    let [u, v, dx, dy, inverse, constant] = [u, v, dx, dy, inverse, constant].map(|row| &row[..width]);
    for x in 0..width {
        let residual = constant[x] + dx[x] * u[x] + dy[x] * v[x];
        let full = -residual * inverse[x];
        let above = if full > -reach { full } else { -reach };
        along[x] = if above < reach { above } else { reach };
    }
}

/// One component of the flow, by what the data term moves it and the divergence of its dual; the squared change is added
/// to `squares`.
#[inline(always)]
#[expect(clippy::too_many_arguments, reason = "see above")]
fn advance(
    u: &mut [f32],
    squares: &mut [f32],
    along: &[f32],
    d: &[f32],
    p1: &[f32],
    p1_left: &[f32],
    p2: &[f32],
    p2_above: &[f32],
    theta: f32,
) {
    let width = squares.len();
    let u = &mut u[..width];
    let [along, d, p1, p1_left, p2, p2_above] = [along, d, p1, p1_left, p2, p2_above].map(|row| &row[..width]);
    for x in 0..width {
        let divergence = (p1[x] - p1_left[x]) + (p2[x] - p2_above[x]);
        let change = along[x] * d[x] + theta * divergence;
        u[x] += change;
        squares[x] += change * change;
    }
}

/// The duals of both components of the flow.
#[inline(always)]
fn dual_row(row: &mut [f32], below: &[f32], step: Step) {
    let [u, v, p1, p2, q1, q2] = fields_mut::<FIELDS>(row);
    let [u_below, v_below, ..] = fields::<FIELDS>(below);
    for (u, below, p1, p2) in [(u, u_below, p1, p2), (v, v_below, q1, q2)] {
        turn(&mut p1[1..], p2, u, &u[1..], below, step.dual);
    }
}

/// p ← (p + τ/θ ∇u) / (1 + τ/θ |∇u|).
#[inline(always)]
fn turn(p1: &mut [f32], p2: &mut [f32], u: &[f32], right: &[f32], below: &[f32], factor: f32) {
    let width = right.len();
    let (p1, p2) = (&mut p1[..width], &mut p2[..width]);
    let [u, below] = [u, below].map(|row| &row[..width]);
    for x in 0..width {
        let [across, down] = [right[x] - u[x], below[x] - u[x]];
        let scale = 1.0 / (1.0 + factor * (across * across + down * down).sqrt());
        p1[x] = (p1[x] + factor * across) * scale;
        p2[x] = (p2[x] + factor * down) * scale;
    }
}

/// In an order that depends on the length alone.
#[inline(always)]
fn sum(values: &[f32]) -> f32 {
    let chunks = values.chunks_exact(LANES);
    let rest: f32 = chunks.remainder().iter().sum();
    let mut sums = [0.0; LANES];
    for chunk in chunks {
        for (sum, value) in sums.iter_mut().zip(chunk) {
            *sum += value;
        }
    }
    sums.iter().sum::<f32>() + rest
}

/// `N` parts of equal length.
#[inline(always)]
fn fields<const N: usize>(all: &[f32]) -> [&[f32]; N] {
    let length = all.len() / N;
    std::array::from_fn(|i| &all[i * length..][..length])
}

/// As [`fields`], to be changed.
#[inline(always)]
pub(super) fn fields_mut<const N: usize>(all: &mut [f32]) -> [&mut [f32]; N] {
    let length = all.len() / N;
    let mut rest = all;
    std::array::from_fn(|_| {
        let (field, after) = std::mem::take(&mut rest).split_at_mut(length);
        rest = after;
        field
    })
}
