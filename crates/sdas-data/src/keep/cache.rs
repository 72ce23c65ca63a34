//! The cache: decoded pictures in one file, memory-mapped, so that a set larger than memory can be
//! used and a second run starts at once.
//!
//! In the file, one after the other: the pixels of train, then of test; the index, as JSON; the
//! index's length, the checksums of index and pixels, and the magic number. What is needed to trust
//! the file comes last, and the file gets its name only when complete. One that is cut off, altered,
//! or made from other pictures than there are now is therefore noticed when it is opened.

use std::fs::{self, File};
use std::io::{BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use memmap2::Mmap;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::dataset::Store;
use crate::decode::CHANNELS;
use crate::error::DataError;
use crate::source::{Decoded, Origin, Progress, Sink};
use crate::whole;

/// Ends every complete file; its last digits are the version of the format and of the decoding.
const MAGIC: &[u8; 8] = b"sdaspx02";
/// Length of the index: 8 bytes; checksums: 4 and 4; magic: 8.
const FOOTER: usize = 24;
/// Bytes that one thread takes at a time while the checksum is verified.
const BLOCK: usize = 1 << 22;

/// How the names of files begin that are being made.
const UNFINISHED: &str = ".unfinished-";
/// How long after its last change nobody takes such a file for abandoned.
const YOUNG: Duration = Duration::from_secs(60);

/// Samples that lie in a cache.
type Cached = (Store, Decoded);

#[derive(Serialize, Deserialize)]
struct Index {
    fingerprint: u64,
    decoded: Decoded,
}

/// Opens the cache of `origin` in `folder`, after making it if there is none that is whole and up
/// to date; and whether it was there. It is called `name`: one per source, so that a
/// cache made stale by new pictures is replaced, not kept beside the new one.
pub(crate) fn load(
    name: &str,
    origin: &dyn Origin,
    folder: &Path,
    progress: Progress,
) -> Result<(Store, Decoded, bool), DataError> {
    let fingerprint = origin.fingerprint()?;
    let path = folder.join(name);
    if let Some((store, decoded)) = open(&path, fingerprint) {
        let total = decoded.labels.iter().map(Vec::len).sum();
        progress(total, total);
        return Ok((store, decoded, true));
    }
    make(&path, fingerprint, origin, progress)?;
    let (store, decoded) = open(&path, fingerprint).ok_or_else(|| DataError::Write {
        path,
        source: std::io::Error::other("what was written is not what is read back"),
    })?;
    Ok((store, decoded, false))
}

/// What is in the cache of `origin` in `folder`: nothing if there is none, and no samples if [`load`]
/// would make it anew.
pub(crate) fn verify(
    name: &str,
    origin: &dyn Origin,
    folder: &Path,
) -> Result<Option<(PathBuf, Option<Cached>)>, DataError> {
    let path = folder.join(name);
    if !path.exists() {
        return Ok(None);
    }
    let opened = open(&path, origin.fingerprint()?);
    Ok(Some((path, opened)))
}

/// Decodes everything into a file beside `path` and then gives it that name.
fn make(path: &Path, fingerprint: u64, origin: &dyn Origin, progress: Progress) -> Result<(), DataError> {
    let folder = path.parent().expect("a file in the cache folder");
    whole::make_folder(folder).map_err(DataError::write(folder))?;
    remove_abandoned(folder);
    // Removed when dropped, unless it gets its name. Not the builder's own opening, which keeps
    // others from reading.
    let file = tempfile::Builder::new()
        .prefix(UNFINISHED)
        .make_in(folder, |path| File::create_new(path))
        .map_err(DataError::write(folder))?;
    // As long as it is open, it is not abandoned; where the file system knows no locks, none ever is.
    let _ = file.as_file().try_lock();

    let mut writer = Writer { file: BufWriter::new(file.as_file()), path, pixels: crc32fast::Hasher::new() };
    let decoded = origin.decode(&mut writer, progress)?;
    let index = serde_json::to_vec(&Index { fingerprint, decoded }).expect("numbers and strings");
    writer.finish(&index).map_err(DataError::write(path))?;
    whole::rename(file.path(), path).map_err(DataError::write(path))?;
    // It has another name now, under which it stays.
    let _ = file.into_temp_path().keep();
    Ok(())
}

/// Removes what those left who were killed while they made a cache.
fn remove_abandoned(folder: &Path) {
    let is_abandoned = |path: &Path| {
        let is_ours = path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with(UNFINISHED));
        // A young one may be about to be locked.
        let is_old = || {
            path.metadata()
                .and_then(|file| file.modified())
                .is_ok_and(|time| time.elapsed().is_ok_and(|age| age > YOUNG))
        };
        is_ours && is_old() && File::open(path).is_ok_and(|file| file.try_lock().is_ok())
    };
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if is_abandoned(&entry.path()) {
            // What cannot be removed is only in the way of space.
            let _ = fs::remove_file(entry.path());
        }
    }
}

struct Writer<'a> {
    file: BufWriter<&'a File>,
    path: &'a Path,
    pixels: crc32fast::Hasher,
}

impl Sink for Writer<'_> {
    fn reserve(&mut self, _: usize) -> Result<(), DataError> {
        Ok(())
    }

    fn append(&mut self, bytes: &[u8]) -> Result<(), DataError> {
        self.pixels.update(bytes);
        self.file.write_all(bytes).map_err(DataError::write(self.path))
    }
}

impl Writer<'_> {
    /// Adds the index and the footer, and waits until all is on disk.
    fn finish(mut self, index: &[u8]) -> std::io::Result<()> {
        self.file.write_all(index)?;
        self.file.write_all(&(index.len() as u64).to_le_bytes())?;
        self.file.write_all(&crc32fast::hash(index).to_le_bytes())?;
        self.file.write_all(&self.pixels.finalize().to_le_bytes())?;
        self.file.write_all(MAGIC)?;
        self.file.flush()?;
        self.file.get_ref().sync_all()
    }
}

/// The samples in the file at `path`; None if it is not there, not whole, or not of this
/// fingerprint.
fn open(path: &PathBuf, fingerprint: u64) -> Option<Cached> {
    let mut file = File::open(path).ok()?;
    let mut footer = [0; FOOTER];
    file.seek(SeekFrom::End(-(FOOTER as i64))).ok()?;
    file.read_exact(&mut footer).ok()?;
    let (length, checksums) = footer.strip_suffix(MAGIC)?.split_at(8);
    let length = u64::from_le_bytes(length.try_into().ok()?);
    let (of_index, of_pixels) = checksums.split_at(4);

    let pixels = (file.metadata().ok()?.len() - FOOTER as u64).checked_sub(length)?;
    file.seek(SeekFrom::Start(pixels)).ok()?;
    let mut index = vec![0; usize::try_from(length).ok()?];
    file.read_exact(&mut index).ok()?;
    if crc32fast::hash(&index).to_le_bytes() != of_index {
        return None;
    }
    let index: Index = serde_json::from_slice(&index).ok()?;
    let count = index.decoded.labels.iter().map(Vec::len).sum::<usize>() as u64;
    let [height, width] = index.decoded.size;
    let sides = [index.decoded.frames, height, width, CHANNELS];
    let expected = sides.iter().try_fold(count, |bytes, &side| bytes.checked_mul(side as u64));
    if index.fingerprint != fingerprint || expected != Some(pixels) {
        return None;
    }

    let map = map(&file).ok()?;
    if checksum(map.get(..usize::try_from(pixels).ok()?)?).to_le_bytes() != of_pixels {
        return None;
    }
    Some((Store::Mapped(map), index.decoded))
}

/// The same as hashing all in a row, on all cores.
fn checksum(bytes: &[u8]) -> u32 {
    let blocks: Vec<_> = bytes
        .par_chunks(BLOCK)
        .map(|block| {
            let mut hasher = crc32fast::Hasher::new();
            hasher.update(block);
            hasher
        })
        .collect();
    let mut all = crc32fast::Hasher::new();
    blocks.iter().for_each(|block| all.combine(block));
    all.finalize()
}

/// # Safety
/// Mapping a file is sound as long as nobody shortens or rewrites it meanwhile. This crate never
/// does: a cache is written under another name and takes over by renaming, which leaves an earlier
/// file, still mapped elsewhere, whole; packs of frames are only appended to, and cut only where
/// nobody reads.
#[allow(unsafe_code)]
pub(crate) fn map(file: &File) -> std::io::Result<Mmap> {
    // SAFETY: see above.
    unsafe { Mmap::map(file) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_of_blocks_is_the_checksum_of_all() {
        let bytes: Vec<u8> = (0..2 * BLOCK + 12345).map(|i| (i * 31 % 251) as u8).collect();
        assert_eq!(checksum(&bytes), crc32fast::hash(&bytes));
        assert_eq!(checksum(&[]), crc32fast::hash(&[]));
    }
}
