//! From files to 8-bit frames.

mod chosen;
mod container;
mod decoder;
mod frames;
mod picture;
mod process;

use serde::{Deserialize, Serialize};

use crate::error::DataError;
pub(crate) use chosen::Entries;
pub use container::{Ending, ending};
pub(crate) use decoder::{Decoder, Form, FoundDecoder};
pub(crate) use frames::{decode_frames, frame_files};
pub(crate) use picture::{EXTENSIONS, Encoded, Picture, decode, fit, is_picture, read, resize, scale, too_long};

/// Red, green, blue.
pub(crate) const CHANNELS: usize = 3;
/// The largest side pictures can be brought to, in pixels.
pub(crate) const MOST: usize = 4096;

/// A decoded clip.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Frames {
    /// Height and width.
    pub(crate) size: [usize; 2],
    /// `[frames, height, width, channels]`, row-major.
    pub(crate) pixels: Vec<u8>,
}

impl Frames {
    pub(crate) fn count(&self, channels: usize) -> usize {
        self.pixels.len() / (self.size[0] * self.size[1] * channels)
    }

    /// Frame `t`.
    pub(crate) fn frame(&self, t: usize, channels: usize) -> &[u8] {
        let length = self.size[0] * self.size[1] * channels;
        &self.pixels[t * length..][..length]
    }
}

/// Why there are no frames.
pub(crate) enum Failure {
    /// It is the clip, for this reason: others go on.
    Broken(String),
    /// It may be otherwise another time, which the cache leaves open: others go on.
    Passing(String),
    /// It would be so with every clip: the build ends.
    Fatal(DataError),
}

/// How a picture of any shape becomes a square. Both scale linearly, averaging over the area where
/// they shrink.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Resize {
    /// The largest centred square, scaled: proportions stay, the ends of the longer side go.
    #[default]
    Crop,
    /// Both sides, each by its own factor: everything stays, proportions go.
    Squash,
}
