//! Pictures that are not kept: each is decoded when it is looked at.

use std::sync::Arc;

use crate::decode::{Encoded, Picture, fit};
use crate::error::DataError;
use crate::source::{PictureForm, Places};

/// Pictures by where they lie.
pub(crate) struct Undecoded {
    places: Arc<Places>,
    /// The place of the first of them.
    first: usize,
    form: PictureForm,
}

/// A picture whose file has been read.
pub(crate) enum Opened {
    /// Brought to the size that all have.
    Fitted(Picture),
    /// Of its own size.
    Encoded(Encoded),
}

impl Undecoded {
    pub(crate) fn new(places: Arc<Places>, first: usize, form: PictureForm) -> Self {
        Self { places, first, form }
    }

    /// Height and width that all have; none if each has its own.
    pub(crate) fn size(&self) -> Option<[usize; 2]> {
        self.form.size.map(|side| [side; 2])
    }

    /// Reads picture `i`; where it is to be fitted, it is decoded, too.
    pub(crate) fn open(&self, i: usize) -> Result<Opened, DataError> {
        let most = self.form.max_pixels;
        let open = || {
            let encoded = Encoded::new(self.places.read(self.first + i, Encoded::most_bytes(most))?, most)?;
            Ok(match self.form.size {
                Some(_) => Opened::Fitted(fit(encoded.whole()?, self.form.size, self.form.resize)),
                None => Opened::Encoded(encoded),
            })
        };
        open().map_err(|words| self.undecodable(i, words))
    }

    /// All of picture `i`.
    pub(crate) fn whole(&self, i: usize) -> Result<Picture, DataError> {
        let decode = |opened: Opened| match opened {
            Opened::Fitted(picture) => Ok(picture),
            Opened::Encoded(encoded) => encoded.whole(),
        };
        decode(self.open(i)?).map_err(|words| self.undecodable(i, words))
    }

    /// That picture `i` is none.
    pub(crate) fn undecodable(&self, i: usize, words: String) -> DataError {
        DataError::Undecodable { path: self.places.name(self.first + i), words }
    }
}

impl Opened {
    /// Height and width.
    pub(crate) fn size(&self) -> [usize; 2] {
        match self {
            Opened::Fitted(picture) => picture.size,
            Opened::Encoded(encoded) => encoded.size,
        }
    }

    /// The picture, at a scale at which the part of this size comes to no less than `seen`.
    pub(crate) fn decode(self, part: [usize; 2], seen: [usize; 2]) -> Result<Picture, String> {
        match self {
            Opened::Fitted(picture) => Ok(picture),
            Opened::Encoded(encoded) => encoded.scaled(part, seen),
        }
    }
}
