//! How what is decoded is kept.

use serde::{Deserialize, Serialize};

/// How what is decoded is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Keep {
    /// In memory; not of clips in files.
    Memory,
    /// In a folder on disk, memory-mapped.
    Cache,
    /// Not at all: pictures are listed at the start and decoded when a batch is made of them, in every epoch anew. What
    /// they need of memory does not grow with their number, but for some fifty bytes each.
    ///
    /// Clips are decoded once, to find those that cannot be and to count their frames, a line each in the folder for the
    /// cache; then, when a batch is made of them, as far as they are seen. That is the same, bit for bit, as what a cache
    /// would have: frames are brought to `size` and `fps` in either case before anything else is done to them.
    None,
}
