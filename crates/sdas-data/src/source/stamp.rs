//! What tells whether a file is still the one that it was.

use std::io::ErrorKind;
use std::path::Path;
use std::time::UNIX_EPOCH;

use serde::{Deserialize, Serialize};

use crate::error::DataError;

/// What tells whether a file is still the one that it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Stamp {
    /// Its length.
    pub(crate) bytes: u64,
    /// Its time of change, in nanoseconds since 1970.
    pub(crate) changed: u64,
}

impl Stamp {
    /// Of the file at `path`; none if nothing is there.
    pub(crate) fn of(path: &Path) -> Result<Option<Self>, DataError> {
        let metadata = match path.metadata() {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(DataError::read(path)(error)),
        };
        let changed = metadata.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        Ok(Some(Self { bytes: metadata.len(), changed: changed.unwrap_or_default().as_nanos() as u64 }))
    }
}

/// A file as part of a fingerprint: its path below `root`, length and time of change.
pub(crate) fn stamp(root: &Path, path: &Path) -> Result<String, DataError> {
    let metadata = path.metadata().map_err(DataError::read(path))?;
    let changed = metadata.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok()).unwrap_or_default();
    let below = path.strip_prefix(root).unwrap_or(path);
    Ok(format!("{} {} {}\n", below.display(), metadata.len(), changed.as_nanos()))
}

/// What an index of files below `root` calls one.
pub(super) fn key(root: &Path, path: &Path) -> String {
    let below = path.strip_prefix(root).unwrap_or(path);
    // What is no Unicode is written with escapes, so that no two paths are one.
    below.to_str().map_or_else(|| format!("{below:?}"), String::from)
}
