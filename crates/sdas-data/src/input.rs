//! What is seen of clips: their colours, or how they move.

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::dataset::Dataset;
use crate::error::DataError;
use crate::flow::TvL1;
use crate::source::{CHANNELS, Progress, Splits};

/// Clips whose flow is computed between two calls of `progress`.
const CHUNK: usize = 128;

/// What is seen of clips.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Input {
    /// Frames: red, green and blue.
    #[default]
    Rgb,
    /// Optical flow from each frame to the next, x and y, by [`TvL1`](crate::flow::TvL1) with its defaults, in
    /// [8 bits](crate::flow::Flow::to_bytes). A clip has one field less than frames; a single frame
    /// has one field without motion.
    Flow,
}

impl Input {
    /// Numbers per pixel.
    pub fn channels(self) -> usize {
        match self {
            Input::Rgb => CHANNELS,
            Input::Flow => 2,
        }
    }
}

/// Fields of a clip of so many frames.
pub(crate) fn fields(frames: usize) -> usize {
    frames.saturating_sub(1).max(1)
}

/// The flow of clips in memory or mapped, in memory.
pub(crate) fn with_flow(splits: Splits, progress: Progress) -> Result<Splits, DataError> {
    let total = splits.train.len() + splits.test.len();
    let mut done = 0;
    let mut of = |data: &Dataset| {
        let shapes: Vec<_> = (0..data.len())
            .map(|i| {
                let [height, width] = data.size_of(i);
                [fields(data.frames(i)), height, width]
            })
            .collect();
        let mut pixels = Vec::new();
        for start in (0..data.len()).step_by(CHUNK) {
            let numbers = start..data.len().min(start + CHUNK);
            done += numbers.len();
            let flow = |i| TvL1::default().fields(data.pixels(i), data.size_of(i));
            let clips: Vec<_> = numbers.into_par_iter().map(flow).collect();
            clips.iter().for_each(|clip| pixels.extend_from_slice(clip));
            progress(done, total);
        }
        Dataset::clips(pixels, &shapes, data.labels().to_vec(), data.classes().to_vec(), Input::Flow.channels())
    };
    Ok(Splits { train: of(&splits.train)?, test: of(&splits.test)?, ..splits })
}
