//! The optical flow of clips that are kept whole.

use rayon::prelude::*;

use super::Splits;
use super::dataset::Dataset;
use crate::error::DataError;
use crate::flow::TvL1;
use crate::source::{Input, Progress};

/// Clips whose flow is computed between two calls of `progress`.
const CHUNK: usize = 128;

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
