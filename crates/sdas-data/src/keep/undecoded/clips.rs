//! Clips of which the frames that a sample shows are decoded when it is looked at.

use std::path::PathBuf;
use std::sync::Arc;

use crate::decode::{CHANNELS, Failure, Form, FoundDecoder, Frames, decode_frames};
use crate::keep::packs::Count;
use crate::source::Paths;

/// Clips that have been counted.
pub(crate) struct Clips {
    paths: Paths,
    counts: Vec<Count>,
    decoder: Arc<FoundDecoder>,
    form: Form,
    /// The most pixels of a frame that is a file of its own.
    max_pixels: u64,
}

impl Clips {
    pub(crate) fn new(
        paths: Paths,
        counts: Vec<Count>,
        decoder: Arc<FoundDecoder>,
        form: Form,
        max_pixels: u64,
    ) -> Self {
        Self { paths, counts, decoder, form, max_pixels }
    }

    pub(super) fn len(&self) -> usize {
        self.counts.len()
    }

    /// Frames, height and width of clip `i`.
    pub(super) fn shape(&self, i: usize) -> [usize; 3] {
        let Count { frames, height, width, .. } = self.counts[i];
        [frames, height, width]
    }

    /// The frames `numbers` of clip `i`, which ascend.
    pub(super) fn decode(&self, i: usize, numbers: &[usize]) -> Result<Frames, Failure> {
        let path = self.paths.get(i);
        let frames = match path.is_dir() {
            true => decode_frames(&path, &self.form, self.max_pixels, Some(numbers))?,
            false => self.decoder.get()?.choose(&path, &self.form, self.counts[i].entries.as_ref(), numbers)?,
        };
        let [count, size @ ..] = self.shape(i);
        if frames.pixels.is_empty() || frames.size != size || frames.count(CHANNELS) != numbers.len() {
            let words = format!("it is not what it was when it had {count} frames of {}×{}", size[1], size[0]);
            return Err(Failure::Broken(words));
        }
        Ok(frames)
    }

    /// What messages call clip `i`.
    pub(super) fn name(&self, i: usize) -> PathBuf {
        self.paths.get(i)
    }
}
