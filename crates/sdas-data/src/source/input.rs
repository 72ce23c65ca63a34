//! What is seen of clips: their colours, or how they move.

use serde::{Deserialize, Serialize};

use crate::decode::CHANNELS;

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
