//! What was found in shards, in a file: a line each, that counts as long as the shard is the one that it was.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::Path;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::walk::Found;
use crate::error::DataError;
use crate::lines;
use crate::source::stamp::{Stamp, key};

/// Raised when the format, or what is taken for a sample, changes.
const VERSION: u32 = 1;

/// The first line.
#[derive(PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    version: u32,
}

/// What was found in a shard.
#[derive(Serialize, Deserialize)]
pub(super) struct Line {
    /// Its path below the data set's folder.
    pub(super) shard: String,
    #[serde(flatten)]
    pub(super) stamp: Stamp,
    pub(super) found: Vec<Found>,
}

/// The lines that are whole.
pub(super) struct Stored(HashMap<String, Line>);

impl Stored {
    /// Reads what is at `path`. What cannot be read, or is not what was written, is as if it were not there: it will be
    /// found again.
    pub(super) fn open(path: &Path) -> Self {
        let bytes = fs::read(path).unwrap_or_default();
        let mut lines = bytes.split_inclusive(|&byte| byte == b'\n');
        if lines.next().and_then(lines::parse) != Some(Header { version: VERSION }) {
            return Self(HashMap::new());
        }
        let lines: Vec<&[u8]> = lines.collect();
        let lines: Vec<Line> = lines.into_par_iter().filter_map(lines::parse).collect();
        Self(lines.into_iter().map(|line| (line.shard.clone(), line)).collect())
    }

    /// What the shard is called here, and is now, and its line if that is of the same.
    pub(super) fn take(&mut self, root: &Path, shard: &Path) -> Result<(String, Stamp, Option<Line>), DataError> {
        let gone = || DataError::read(shard)(io::ErrorKind::NotFound.into());
        let (key, stamp) = (key(root, shard), Stamp::of(shard)?.ok_or_else(gone)?);
        let line = self.0.remove(&key).filter(|line| line.stamp == stamp);
        Ok((key, stamp, line))
    }
}

/// Puts these lines in the place of what is at `path`, all at once.
pub(super) fn write<'a>(path: &Path, lines: impl Iterator<Item = &'a Line>) -> io::Result<()> {
    let folder = path.parent().expect("a file among the caches");
    fs::create_dir_all(folder)?;
    // Not the builder's own opening, which keeps others from reading.
    let mut file = tempfile::Builder::new().make_in(folder, |path| File::create_new(path))?;
    let mut writer = BufWriter::new(file.as_file_mut());
    writer.write_all(lines::line(&Header { version: VERSION }).as_bytes())?;
    for line in lines {
        writer.write_all(lines::line(line).as_bytes())?;
    }
    writer.flush()?;
    drop(writer);
    file.persist(path)?;
    Ok(())
}
