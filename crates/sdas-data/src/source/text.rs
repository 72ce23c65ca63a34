//! Lists and names of classes as text, from whatever system's editor.

use std::fs;
use std::path::Path;

use crate::error::DataError;

/// What is in the file, without the byte order mark that some programs put in front.
pub(super) fn read(path: &Path) -> Result<String, DataError> {
    let text = fs::read_to_string(path).map_err(DataError::read(path))?;
    Ok(text.strip_prefix('\u{feff}').map(String::from).unwrap_or(text))
}

/// The lines that are not blank, each with its number from 1 and without the blanks around it.
pub(super) fn lines(path: &Path) -> Result<Vec<(usize, String)>, DataError> {
    let text = read(path)?;
    let lines = (1..).zip(text.lines()).map(|(number, line)| (number, line.trim()));
    Ok(lines.filter(|(_, line)| !line.is_empty()).map(|(number, line)| (number, line.into())).collect())
}

/// The names, one a line.
pub(super) fn names(path: &Path) -> Result<Vec<String>, DataError> {
    Ok(lines(path)?.into_iter().map(|(_, name)| name).collect())
}
