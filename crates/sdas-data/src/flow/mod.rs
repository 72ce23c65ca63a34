//! Dense optical flow by TV-L1, and its storage in 8 bits.
//!
//! [`TvL1`] finds the displacement u(x) that makes a second frame I₁ look like the first, I₀, by minimising
//! ∫ |∇u₁| + |∇u₂| + λ |I₁(x + u) − I₀(x)| (Zach, Pock and Bischof 2007, "A duality based approach for realtime TV-L1
//! optical flow"; the scheme is that of Sánchez Pérez, Meinhardt-Llopis and Facciolo 2013, doi:10.5201/ipol.2013.26).
//! Settings and details (the pyramid's sampling, the warp's cubic kernel and its black surroundings, medians between the
//! iterations) are those of OpenCV's `DualTVL1OpticalFlow`, so that numbers can be compared.
//!
//! A frame's way through it, from the coarsest scale to the finest (`pyramid.rs`): the second frame is warped by the flow
//! so far and linearised there (`warp.rs`); the iterations solve what that gives (`solver.rs`), after a median
//! (`median.rs`) every few.

mod bands;
mod bytes;
mod median;
mod pyramid;
mod solver;
mod warp;

use serde::{Deserialize, Serialize};

use crate::error::DataError;
use bands::Bands;
use solver::State;

pub use bytes::{BOUND, from_byte, gray, to_byte};

/// Settings of the flow; the default is OpenCV's, whose term for changing light (`gamma`), off by default, is left out.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TvL1 {
    /// Step of the dual update, in (0, 0.25]: larger ones do not converge.
    pub tau: f64,
    /// Weight of the data term λ: smaller ones give smoother flow.
    pub lambda: f64,
    /// Tightness θ of the coupling between data term and smoothness: small ones are exact and slow.
    pub theta: f64,
    /// Pictures in the pyramid at most; none has a side below 16 pixels, except the frame itself.
    pub scales: usize,
    /// Height and width of a scale over those of the next finer one, in [0.1, 0.95].
    pub scale_step: f64,
    /// Linearisations of the second frame per scale.
    pub warps: usize,
    /// Iterations stop when the mean squared change of the flow is below its square, in pixels.
    pub epsilon: f64,
    /// Rounds of median and iterations per warp at most.
    pub outer_iterations: usize,
    /// Iterations per round at most.
    pub inner_iterations: usize,
    /// Side in pixels of the median filter that begins a round: 3 or 5; 0: off.
    pub median: usize,
}

impl Default for TvL1 {
    fn default() -> Self {
        Self {
            tau: 0.25,
            lambda: 0.15,
            theta: 0.3,
            scales: 5,
            scale_step: 0.8,
            warps: 5,
            epsilon: 0.01,
            outer_iterations: 10,
            inner_iterations: 30,
            median: 5,
        }
    }
}

/// Displacement per pixel, in pixels: what is at (x, y) in the first frame is at (x + `x`, y + `y`) in the second.
#[derive(Clone, Debug, PartialEq)]
pub struct Flow {
    /// Height and width.
    pub size: [usize; 2],
    /// To the right, `[height, width]` row-major.
    pub x: Vec<f32>,
    /// Downwards, likewise.
    pub y: Vec<f32>,
}

impl TvL1 {
    /// Whether the settings are possible.
    ///
    /// # Errors
    /// [`DataError::Flow`] for the first that is not.
    pub fn check(&self) -> Result<(), DataError> {
        let positive = |value: f64| value > 0.0 && value.is_finite();
        let count = "a whole number above 0";
        let [scales, warps] = [self.scales, self.warps].map(|value| value as f64);
        let [outer, inner] = [self.outer_iterations, self.inner_iterations].map(|value| value as f64);
        let rules = [
            ("tau", self.tau, positive(self.tau) && self.tau <= 0.25, "a number above 0, at most 0.25"),
            ("lambda", self.lambda, positive(self.lambda), "a number above 0"),
            ("theta", self.theta, positive(self.theta), "a number above 0"),
            ("scales", scales, self.scales > 0, count),
            ("scale_step", self.scale_step, (0.1..=0.95).contains(&self.scale_step), "a number from 0.1 to 0.95"),
            ("warps", warps, self.warps > 0, count),
            ("epsilon", self.epsilon, self.epsilon >= 0.0 && self.epsilon.is_finite(), "0 or a number above it"),
            ("outer_iterations", outer, self.outer_iterations > 0, count),
            ("inner_iterations", inner, self.inner_iterations > 0, count),
            ("median", self.median as f64, matches!(self.median, 0 | 3 | 5), "3 or 5 pixels, or 0 for none"),
        ];
        match rules.into_iter().find(|&(_, _, holds, _)| !holds) {
            Some((key, value, _, expected)) => Err(DataError::Flow { key, value, expected }),
            None => Ok(()),
        }
    }

    /// The flow from one gray frame to another, both `[size[0], size[1]]` row-major (height, width), 0–255. Frames of any
    /// size have one, down to a single pixel.
    ///
    /// Large frames are worked on by the threads of the current rayon pool; calls for several pairs can run beside each
    /// other. Neither changes a single bit.
    ///
    /// # Panics
    /// If the lengths do not fit the size, or [`check`](Self::check) finds the settings impossible.
    pub fn flow(&self, from: &[u8], to: &[u8], size: [usize; 2]) -> Flow {
        assert_eq!([from.len(), to.len()], [size[0] * size[1]; 2], "both frames are {}×{}", size[0], size[1]);
        if let Err(error) = self.check() {
            panic!("{error}");
        }
        if from.is_empty() {
            return Flow { size, x: vec![], y: vec![] };
        }
        let [from, to] = [from, to].map(|frame| pyramid::build(frame, size, self.scales, self.scale_step));
        self.between(&from, &to)
    }

    /// The flow from each frame of a clip to the next, as bytes, `[frames − 1, height, width, 2]`; of a single frame one
    /// field without motion. The clip is RGB, `[frames, size[0], size[1], 3]`; there are frames, and the settings are
    /// possible.
    pub(crate) fn fields(&self, clip: &[u8], size: [usize; 2]) -> Vec<u8> {
        let pixels = size[0] * size[1];
        let mut pyramids =
            clip.chunks_exact(pixels * 3).map(|frame| pyramid::build(&gray(frame), size, self.scales, self.scale_step));
        let mut before = pyramids.next().expect("there are frames");
        let mut fields = Vec::with_capacity(clip.len() / 3 * 2);
        for after in pyramids {
            fields.extend(self.between(&before, &after).to_bytes());
            before = after;
        }
        if fields.is_empty() {
            fields.resize(pixels * 2, to_byte(0.0));
        }
        fields
    }

    fn between(&self, from: &[pyramid::Picture], to: &[pyramid::Picture]) -> Flow {
        // The bands' threads are woken once, not at each of a thousand iterations.
        if Bands::of(from[0].size).count > 1 {
            rayon::scope(|_| self.descend(from, to))
        } else {
            self.descend(from, to)
        }
    }

    /// From the coarsest scale to the finest, each starting from the flow of the one before.
    fn descend(&self, from: &[pyramid::Picture], to: &[pyramid::Picture]) -> Flow {
        let mut state: Option<State> = None;
        for (from, to) in from.iter().zip(to).rev() {
            let mut finer = State::still(from.size);
            if let Some(coarser) = &state {
                finer.start_from(coarser, (1.0 / self.scale_step) as f32);
            }
            self.solve(from, to, &mut finer);
            state = Some(finer);
        }
        state.expect("a pyramid has a first scale").into_flow()
    }

    /// All warps of one scale.
    fn solve(&self, from: &pyramid::Picture, to: &pyramid::Picture, state: &mut State) {
        let bands = Bands::of(from.size);
        let limit = self.epsilon * self.epsilon * (from.size[0] * from.size[1]) as f64;
        let step = solver::Step::new(self);
        let target = warp::Target::new(to);
        for _ in 0..self.warps {
            let terms = target.linearise(from, state, &bands);
            let mut change = f64::INFINITY;
            for _ in 0..self.outer_iterations {
                if change <= limit {
                    break;
                }
                state.smooth(self.median, &bands);
                for _ in 0..self.inner_iterations {
                    change = state.iterate(&terms, step, &bands);
                    if change <= limit {
                        break;
                    }
                }
            }
        }
    }
}
