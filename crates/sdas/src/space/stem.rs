//! Stems: what lies before the first cell.

use serde::{Deserialize, Serialize};
use std::fmt;

/// What lies before the first cell of a derived network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stem {
    /// One convolution at full size, to as many times the channels as the space says.
    Cifar,
    /// Three convolutions of stride 2: the cells' inputs at 1/4 and 1/8.
    Imagenet,
    /// Convolutions of strides (1,2,2), (2,2,2), (1,2,2): the cells' inputs at 1/4 and 1/8 of the size, half the frames.
    Video,
}

impl fmt::Display for Stem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Stem::Cifar => "cifar",
            Stem::Imagenet => "imagenet",
            Stem::Video => "video",
        })
    }
}
