//! The index of a frame cache: one checksummed line per clip, only ever appended to.
//!
//! The first [line](crate::lines) is a [`Header`], every other a [`Line`]; of several about one clip the last counts.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::Path;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::decode::{CHANNELS, Entries, Frames};
use crate::lines::parse;
use crate::source::Stamp;

/// Raised when the format, or what is decoded into it, changes.
const VERSION: u32 = 2;

/// What all frames of a cache have in common.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Header {
    version: u32,
    /// What the numbers are: `frames` or `flow`.
    pub(crate) content: String,
    /// Everything that they depend on besides the clips' files.
    pub(crate) settings: String,
    /// Numbers per pixel.
    pub(crate) channels: usize,
}

impl Header {
    pub(crate) fn new(content: &str, settings: String, channels: usize) -> Self {
        Self { version: VERSION, content: content.into(), settings, channels }
    }
}

/// What became of one clip.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Line {
    /// The clip's path below the data set's folder.
    pub(crate) path: String,
    #[serde(flatten)]
    pub(crate) stamp: Stamp,
    pub(crate) outcome: Outcome,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Outcome {
    /// Its frames are there.
    Packed(Place),
    /// It was decoded, and its frames are not kept.
    Counted(Count),
    /// It cannot be decoded, for this reason.
    Broken(String),
    /// Its frames were there, but did not have their checksum any more.
    Damaged,
}

/// Where the frames of a clip lie: `[frames, height, width, channels]`, row-major, 8 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Place {
    /// Number of the pack.
    pub(crate) pack: u32,
    /// First byte in it.
    pub(crate) offset: u64,
    pub(crate) frames: usize,
    pub(crate) height: usize,
    pub(crate) width: usize,
    /// Checksum of the bytes.
    pub(crate) crc: u32,
}

impl Place {
    /// How many there are, of a place that lies within its pack.
    pub(crate) fn bytes(&self, channels: usize) -> u64 {
        (self.frames * self.height * self.width * channels) as u64
    }

    /// The byte after the last, if there are any and that is a number: an index says what it likes.
    pub(crate) fn end(&self, channels: usize) -> Option<u64> {
        let sides = [self.frames, self.height, self.width, channels];
        let bytes = sides.iter().try_fold(1u64, |bytes, &side| bytes.checked_mul(side as u64))?;
        self.offset.checked_add(bytes).filter(|_| bytes > 0)
    }
}

/// What is known of a clip that was decoded, though its frames are not kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Count {
    pub(crate) frames: usize,
    pub(crate) height: usize,
    pub(crate) width: usize,
    /// Tells its frames from those of any other.
    pub(crate) hash: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) entries: Option<Entries>,
}

impl Count {
    /// Of these frames.
    pub(crate) fn of(frames: &Frames, entries: Option<Entries>) -> Self {
        let [height, width] = frames.size;
        let hash = Sha256::digest(&frames.pixels).first_chunk().map_or(0, |start| u64::from_le_bytes(*start));
        Self { frames: frames.count(CHANNELS), height, width, hash, entries }
    }
}

/// What could be read of an index.
pub(crate) struct Index {
    /// None if the first line is not whole.
    pub(crate) header: Option<Header>,
    /// The whole lines, in order.
    pub(crate) lines: Vec<Line>,
    /// Bytes up to the end of the last line that has one: what comes after is torn.
    pub(crate) complete: u64,
    /// Whether a line before that end is not what was written.
    pub(crate) damaged: bool,
}

/// Reads the index at `path`; one that is not there is empty.
pub(crate) fn read(path: &Path) -> io::Result<Index> {
    let bytes = match fs::read(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
        bytes => bytes?,
    };
    let complete = bytes.iter().rposition(|&byte| byte == b'\n').map_or(0, |last| last + 1);
    let mut lines = bytes[..complete].split_inclusive(|&byte| byte == b'\n');
    let header = lines.next().and_then(parse);
    let (mut whole, mut damaged) = (Vec::new(), false);
    for line in lines {
        match parse(line) {
            Some(line) => whole.push(line),
            None => damaged = true,
        }
    }
    Ok(Index { header, lines: whole, complete: complete as u64, damaged })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lines::line;

    #[test]
    fn lines_are_read_back_unless_a_byte_of_them_is_altered() {
        let place = Place { pack: 3, offset: 1 << 40, frames: 33, height: 64, width: 86, crc: 0xdead_beef };
        let stamp = Stamp { bytes: 12, changed: 1_700_000_000_123_456_789 };
        let count = Count { frames: 33, height: 64, width: 86, hash: u64::MAX - 1, entries: None };
        let broken = Outcome::Broken("moov atom\nnot \"found\"".into());
        for outcome in [Outcome::Packed(place), Outcome::Counted(count), broken, Outcome::Damaged] {
            let whole = Line { path: "Jump/ü 1.mp4".into(), stamp, outcome };
            let text = line(&whole);
            assert_eq!(parse(text.as_bytes()), Some(whole));
            for at in 0..text.len() {
                let mut altered = text.clone().into_bytes();
                altered[at] ^= 1;
                // The digits of a checksum may change their case.
                assert_eq!(parse::<Line>(&altered), None, "byte {at} of {text}");
                assert_eq!(parse::<Line>(&text.as_bytes()[..at]), None);
            }
        }
    }
}
