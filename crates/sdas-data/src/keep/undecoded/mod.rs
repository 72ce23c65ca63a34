//! Samples that are not kept: each is decoded when it is looked at.

mod clips;
mod pictures;

use std::path::PathBuf;

pub(crate) use clips::Clips;
pub(crate) use pictures::Pictures;
use pictures::Read;

use crate::decode::{Failure, Frames};
use crate::error::DataError;

/// Samples by where they lie.
pub(crate) enum Undecoded {
    Pictures(Pictures),
    Clips(Clips),
}

/// A sample whose shape is known.
pub(crate) struct Opened {
    /// Of a picture's file; a clip's is read when it is known which frames are wanted.
    read: Option<Read>,
    pub(crate) frames: usize,
    /// Height and width.
    pub(crate) size: [usize; 2],
}

impl Opened {
    /// Whether its frames are the same whatever part of them is seen.
    pub(crate) fn is_clip(&self) -> bool {
        self.read.is_none()
    }
}

impl Undecoded {
    /// The smallest height and the smallest width, as far as they are known, and whether all samples are of this size.
    pub(super) fn size(&self) -> ([usize; 2], bool) {
        match self {
            Undecoded::Pictures(pictures) => (pictures.size().unwrap_or([1; 2]), pictures.size().is_some()),
            Undecoded::Clips(clips) => smallest((0..clips.len()).map(|i| {
                let [_, size @ ..] = clips.shape(i);
                size
            })),
        }
    }

    /// Frames, height and width of sample `i`, where that is known without a look at it.
    pub(super) fn shape(&self, i: usize) -> Option<[usize; 3]> {
        match self {
            Undecoded::Pictures(_) => None,
            Undecoded::Clips(clips) => Some(clips.shape(i)),
        }
    }

    /// Opens sample `i`.
    ///
    /// # Errors
    /// If it is a picture that cannot be read.
    pub(crate) fn open(&self, i: usize) -> Result<Opened, DataError> {
        match self {
            Undecoded::Pictures(pictures) => {
                let read = pictures.open(i).map_err(|words| self.failed(i, Failure::Broken(words)))?;
                Ok(Opened { frames: 1, size: read.size(), read: Some(read) })
            }
            Undecoded::Clips(clips) => {
                let [frames, size @ ..] = clips.shape(i);
                Ok(Opened { read: None, frames, size })
            }
        }
    }

    /// The frames `numbers`, which ascend, of sample `i`, which was `opened`: of a picture at a scale at which the part
    /// of this size comes to no less than `seen`.
    ///
    /// # Errors
    /// If it cannot be decoded.
    pub(crate) fn decode(
        &self,
        i: usize,
        opened: Opened,
        numbers: &[usize],
        part: [usize; 2],
        seen: [usize; 2],
    ) -> Result<Frames, DataError> {
        let frames = match (self, opened.read) {
            (Undecoded::Clips(clips), _) => clips.decode(i, numbers),
            (Undecoded::Pictures(_), read) => {
                let picture = read.expect("a picture is read when it is opened").decode(part, seen);
                picture.map(|picture| Frames { size: picture.size, pixels: picture.pixels }).map_err(Failure::Broken)
            }
        };
        frames.map_err(|failure| self.failed(i, failure))
    }

    fn failed(&self, i: usize, failure: Failure) -> DataError {
        match failure {
            Failure::Broken(words) | Failure::Passing(words) => DataError::Undecodable { path: self.name(i), words },
            Failure::Fatal(error) => error,
        }
    }

    fn name(&self, i: usize) -> PathBuf {
        match self {
            Undecoded::Pictures(pictures) => pictures.name(i),
            Undecoded::Clips(clips) => clips.name(i),
        }
    }
}

/// The smallest height and the smallest width, and whether all are the same; 0 and 0 where there are none.
pub(super) fn smallest(sizes: impl Iterator<Item = [usize; 2]> + Clone) -> ([usize; 2], bool) {
    let size = [0, 1].map(|side| sizes.clone().map(|size| size[side]).min().unwrap_or(0));
    let mut sizes = sizes;
    (size, sizes.all(|other| other == size))
}
