//! Whether a file is the one that was published.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use md5::Md5;
use sha2::{Digest, Sha256};

use super::error::FetchError;
use super::sets::{Archive, Form};

/// How the lists of Kinetics begin, which have no published checksums.
const TABLE: &str = "label,youtube_id,time_start,time_end";

/// Compares the file with its length and its sums, as far as they are known; of a list without, its first line.
pub(super) fn verify(path: &Path, archive: &Archive, form: Form, remedy: &'static str) -> Result<(), FetchError> {
    let read = || FetchError::read(path);
    let bytes = path.metadata().map_err(read())?.len();
    let compare = |sum, found: String, expected: Option<String>| match expected {
        Some(expected) if expected != found => {
            Err(FetchError::Checksum { path: path.into(), sum, found, expected, remedy })
        }
        _ => Ok(()),
    };
    compare("length in bytes", bytes.to_string(), archive.bytes.map(|bytes| bytes.to_string()))?;
    match (&archive.sha256, &archive.md5) {
        (Some(sum), _) => compare("SHA-256", digest::<Sha256>(path)?, Some(sum.clone())),
        (None, Some(sum)) => compare("MD5", digest::<Md5>(path)?, Some(sum.clone())),
        (None, None) if form == Form::Table => {
            let mut line = String::new();
            let file = File::open(path).map_err(read())?;
            // What is no text has no such line either.
            let _ = BufReader::new(file).take(200).read_line(&mut line);
            if line.starts_with(TABLE) {
                return Ok(());
            }
            let expected = format!("first line `{TABLE},…`");
            Err(FetchError::Contents { path: path.into(), expected, found: format!("`{}`", line.trim_end()) })
        }
        (None, None) => Ok(()),
    }
}

fn digest<D: Digest>(path: &Path) -> Result<String, FetchError> {
    let mut file = File::open(path).map_err(FetchError::read(path))?;
    let (mut digest, mut buffer) = (D::new(), vec![0; 1 << 16]);
    loop {
        match file.read(&mut buffer).map_err(FetchError::read(path))? {
            0 => break,
            count => digest.update(&buffer[..count]),
        }
    }
    Ok(digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}
