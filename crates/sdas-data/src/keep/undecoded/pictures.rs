//! Pictures that are decoded when they are looked at.

use std::path::PathBuf;
use std::sync::Arc;

use crate::decode::{Encoded, Picture, fit};
use crate::source::{PictureForm, Places};

/// Pictures by where they lie.
pub(crate) struct Pictures {
    places: Arc<Places>,
    /// The place of the first of them.
    first: usize,
    form: PictureForm,
}

/// A picture whose file has been read.
pub(crate) enum Read {
    /// Brought to the size that all have.
    Fitted(Picture),
    /// Of its own size.
    Encoded(Encoded),
}

impl Pictures {
    pub(crate) fn new(places: Arc<Places>, first: usize, form: PictureForm) -> Self {
        Self { places, first, form }
    }

    /// Height and width that all have; none if each has its own.
    pub(super) fn size(&self) -> Option<[usize; 2]> {
        self.form.size.map(|side| [side; 2])
    }

    /// Reads picture `i`; where it is to be fitted, it is decoded, too.
    pub(super) fn open(&self, i: usize) -> Result<Read, String> {
        let most = self.form.max_pixels;
        let encoded = Encoded::new(self.places.read(self.first + i, Encoded::most_bytes(most))?, most)?;
        Ok(match self.form.size {
            Some(_) => Read::Fitted(fit(encoded.whole()?, self.form.size, self.form.resize)),
            None => Read::Encoded(encoded),
        })
    }

    /// What messages call picture `i`.
    pub(super) fn name(&self, i: usize) -> PathBuf {
        self.places.name(self.first + i)
    }
}

impl Read {
    /// Height and width.
    pub(super) fn size(&self) -> [usize; 2] {
        match self {
            Read::Fitted(picture) => picture.size,
            Read::Encoded(encoded) => encoded.size,
        }
    }

    /// The picture, at a scale at which the part of this size comes to no less than `seen`.
    pub(super) fn decode(self, part: [usize; 2], seen: [usize; 2]) -> Result<Picture, String> {
        match self {
            Read::Fitted(picture) => Ok(picture),
            Read::Encoded(encoded) => encoded.scaled(part, seen),
        }
    }
}
