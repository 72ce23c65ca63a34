//! Pictures by lists of lines `<path> <label>`.

use std::path::Path;

use super::duplicates::Duplicates;
use super::labelled::{Allowed, Labelled, What, by_lists};
use super::pictures::{FoundPictures, PictureSettings};
use super::unusable::Unusable;
use crate::error::DataError;

/// The keys that it uses.
pub(super) const KEYS: &[&str] = &["path", "resize", "broken", "duplicates", "lists", "keep"];
const KIND: &str = "picture-list";

/// Finds the pictures; the lists are in `lists` or, without it, in the data set's folder.
pub(super) fn find(
    settings: PictureSettings,
    lists: Option<&Path>,
    duplicates: Duplicates,
) -> Result<FoundPictures, DataError> {
    let allowed = Allowed { what: What::Pictures, missing: Unusable::Error, duplicates };
    let labelled = by_lists(KIND, &settings.root, lists, allowed)?;
    Ok(found(KIND, settings, labelled))
}

/// Pictures that are listed, to be looked at.
pub(super) fn found(kind: &'static str, settings: PictureSettings, labelled: Labelled) -> FoundPictures {
    let Labelled { classes, test_name, files, labels, .. } = labelled;
    FoundPictures::in_files(kind, settings, classes, test_name, files, labels)
}
