//! Files that are there whole or not at all, whatever happens: a full disk, a process that is killed, a power cut.
//!
//! A file's bytes reach the disk when the file is synchronised, and its name when the folder is: a file system may keep
//! either back, and in any order. So a file is written beside, synchronised, renamed, and then its folder is synchronised.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::path::Path;

/// Writes a file beside and renames it, so that a file of that name is whole at every moment. A pipe or a terminal is
/// written to, and a link stays one: it is the file behind it that is replaced.
///
/// # Errors
/// A full disk, missing rights and the like; what was there before is there still.
pub fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    if path.metadata().is_ok_and(|there| !there.is_file() && !there.is_dir()) {
        return fs::write(path, bytes);
    }
    // `/dev/stdout` is a link to what a shell has opened.
    let behind = if path.is_symlink() { path.canonicalize().ok() } else { None };
    let path = behind.as_deref().unwrap_or(path);
    let name = path.file_name().ok_or_else(|| io::Error::new(ErrorKind::InvalidInput, "it names no file"))?;
    let mut beside = OsString::from(".");
    beside.push(name);
    beside.push(format!(".{}", std::process::id()));
    write_through(&path.with_file_name(beside), path, bytes)
}

/// As [`write_whole`] by way of the file `beside`, in the same folder, which nobody else may be writing.
///
/// # Errors
/// As there.
pub fn write_through(beside: &Path, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let written = File::create(beside)
        .and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()))
        .and_then(|()| rename(beside, path));
    if written.is_err() {
        // The first error is the one to report; there may be nothing to remove.
        let _ = fs::remove_file(beside);
    }
    written
}

/// Renames within a folder, for good.
///
/// # Errors
/// What the system refuses.
pub fn rename(from: &Path, to: &Path) -> io::Result<()> {
    fs::rename(from, to)?;
    sync_names(folder_of(to))
}

/// Makes a folder and those around it, as far as they are not there, for good.
///
/// # Errors
/// What the system refuses.
pub fn make_folder(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    let around = folder_of(path);
    make_folder(around)?;
    match fs::create_dir(path) {
        // Somebody else has made it meanwhile.
        Err(error) if error.kind() == ErrorKind::AlreadyExists && path.is_dir() => {}
        made => made?,
    }
    sync_names(around)
}

/// Waits until the names of a folder's files are on disk: of those that are new, renamed or removed.
///
/// # Errors
/// That the disk fails; file systems that cannot do this are taken as they are.
pub fn sync_names(folder: &Path) -> io::Result<()> {
    if !cfg!(unix) {
        return Ok(());
    }
    match File::open(folder)?.sync_all() {
        Err(error) if matches!(error.kind(), ErrorKind::InvalidInput | ErrorKind::Unsupported) => Ok(()),
        synced => synced,
    }
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        Some(_) => Path::new("."),
        None => path,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(unix)]
    fn a_link_stays_and_its_file_is_replaced() {
        let place = tempfile::tempdir().unwrap();
        let [folder, link] = ["folder", "link"].map(|name| place.path().join(name));
        fs::create_dir(&folder).unwrap();
        let file = folder.join("file");
        fs::write(&file, "before").unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        write_whole(&link, b"after").unwrap();
        assert!(link.is_symlink());
        assert_eq!(fs::read(&file).unwrap(), b"after");
        // Nothing else is left in either place.
        assert_eq!([place.path(), &folder].map(|folder| folder.read_dir().unwrap().count()), [2, 1]);
    }
}
