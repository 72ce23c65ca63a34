//! Appending to a cache of packs, as the only one who does.

use std::fs::{self, File, TryLockError};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::index::{self, Count, Header, Index, Line, Outcome, Place};
use super::{INDEX, Packs, pack_name};
use crate::decode::Frames;
use crate::error::DataError;
use crate::lines::line;
use crate::source::clips::Item;
use crate::whole::{make_folder, sync_names};

/// Bytes of frames, and time, between two waits for the disk: no more than what is made meanwhile is
/// made again after a kill.
const COMMIT: (u64, Duration) = (1 << 26, Duration::from_secs(1));

const LOCK: &str = "lock";
/// Who has it: beside it, because some systems keep others from reading a locked file.
const HOLDER: &str = "holder";

/// The right to write to a cache, until dropped or until the process ends, however it does.
pub(super) struct Lock {
    file: File,
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Closing would not do: a process that another thread is just starting has the file open
        // too, until it runs its program.
        let _ = self.file.unlock();
    }
}

impl Lock {
    pub(super) fn take(folder: &Path) -> Result<Self, DataError> {
        let path = folder.join(LOCK);
        let holder = folder.join(HOLDER);
        let file = File::options().create(true).append(true).open(&path).map_err(failed(folder))?;
        match file.try_lock() {
            Ok(()) => Self::hold(file, folder),
            Err(TryLockError::WouldBlock) => {
                let holder = fs::read_to_string(&holder).unwrap_or_default();
                let holder = if holder.is_empty() { "another process".into() } else { holder };
                Err(DataError::Locked { path: folder.into(), holder })
            }
            Err(TryLockError::Error(error)) => Err(failed(folder)(error)),
        }
    }

    /// As [`take`](Self::take), but waits for who has it, after telling `waiting`.
    fn wait(folder: &Path, waiting: impl FnOnce()) -> Result<Self, DataError> {
        match Self::take(folder) {
            Err(DataError::Locked { .. }) => {
                waiting();
                let file = File::options().append(true).open(folder.join(LOCK)).map_err(failed(folder))?;
                file.lock().map_err(failed(folder))?;
                Self::hold(file, folder)
            }
            taken => taken,
        }
    }

    fn hold(file: File, folder: &Path) -> Result<Self, DataError> {
        let lock = Self { file };
        fs::write(folder.join(HOLDER), format!("process {}", std::process::id())).map_err(failed(folder))?;
        Ok(lock)
    }
}

pub(super) fn failed(folder: &Path) -> impl FnOnce(io::Error) -> DataError {
    move |source| DataError::WriteFrames { path: folder.into(), source }
}

/// Appends frames to packs, and lines to the index once their frames are on disk.
pub(super) struct Writer {
    folder: PathBuf,
    channels: usize,
    /// The index, and its length.
    index: File,
    end: u64,
    /// The pack that is written to, if it has been begun, its number and its length.
    pack: Option<File>,
    number: u32,
    length: u64,
    /// The length from which on a pack takes no more clips.
    full: u64,
    /// Lines whose frames may not have reached the disk, and how many bytes those are.
    pending: String,
    waiting: u64,
    committed: Instant,
    _lock: Lock,
}

impl Writer {
    /// Goes on after whatever an earlier build left in `folder`, which may have been killed at any
    /// moment; returns what it finished too. `full` is the length of a pack in bytes. Where another process is at it, this
    /// waits after telling `waiting`, and has what that has made.
    pub(super) fn resume(
        folder: &Path,
        header: &Header,
        full: u64,
        waiting: impl FnOnce(),
    ) -> Result<(Self, Packs), DataError> {
        make_folder(folder).map_err(failed(folder))?;
        let lock = Lock::wait(folder, waiting)?;
        Self::open(folder, header, full, lock)
    }

    fn open(folder: &Path, header: &Header, full: u64, lock: Lock) -> Result<(Self, Packs), DataError> {
        let path = folder.join(INDEX);
        let mut index = index::read(&path).map_err(DataError::read(&path))?;
        if index.header.as_ref() != Some(header) {
            // Of another version, or not even the first line is whole. Removed, not cut: someone
            // may still have the packs mapped.
            remove_all(folder).map_err(failed(folder))?;
            index = index::read(&path).map_err(DataError::read(&path))?;
        }
        let file = File::options().create(true).append(true).open(&path).map_err(failed(folder))?;
        // What is torn has no line, so nobody has read it.
        if file.metadata().map_err(failed(folder))?.len() > index.complete {
            file.set_len(index.complete).map_err(failed(folder))?;
        }
        let mut writer = Self {
            folder: folder.into(),
            channels: header.channels,
            index: file,
            end: index.complete,
            pack: None,
            number: 0,
            length: 0,
            full,
            pending: if index.complete == 0 { line(header) } else { String::new() },
            waiting: 0,
            committed: Instant::now(),
            _lock: lock,
        };
        writer.go_on(&index).map_err(failed(folder))?;
        Ok((writer, Packs::of(folder, header, index)?))
    }

    /// Finds the end of the frames that have lines, and cuts off any after it.
    fn go_on(&mut self, index: &Index) -> io::Result<()> {
        let ends = index.lines.iter().filter_map(|line| match &line.outcome {
            Outcome::Packed(place) => Some((place.pack, place.end(self.channels)?)),
            Outcome::Counted(_) | Outcome::Broken(_) | Outcome::Damaged => None,
        });
        let Some((number, length)) = ends.max() else {
            return Ok(());
        };
        let pack = File::options().append(true).open(self.folder.join(pack_name(number)));
        match pack {
            Ok(pack) if !index.damaged && pack.metadata()?.len() >= length => {
                pack.set_len(length)?;
                (self.pack, self.number, self.length) = (Some(pack), number, length);
            }
            // Which bytes in it are whose cannot be told for certain: leave it as it is.
            _ => self.number = number.saturating_add(1),
        }
        Ok(())
    }

    /// Appends the frames of `item`.
    pub(super) fn pack(&mut self, item: &Item, frames: &Frames) -> Result<(), DataError> {
        self.append(item, frames).map_err(failed(&self.folder))
    }

    fn append(&mut self, item: &Item, frames: &Frames) -> io::Result<()> {
        let bytes = frames.pixels.len() as u64;
        if self.length > 0 && self.length + bytes > self.full {
            self.commit()?;
            self.pack = None;
            (self.number, self.length) = (self.number + 1, 0);
        }
        let pack = match &mut self.pack {
            Some(pack) => pack,
            none => none.insert(new_file(&self.folder.join(pack_name(self.number)))?),
        };
        // Asked, not remembered: it holds whatever became of an earlier write.
        let offset = pack.metadata()?.len();
        if let Err(error) = pack.write_all(&frames.pixels) {
            // The disk may be full: gives back what did fit, which also makes room for lines.
            pack.set_len(offset)?;
            return Err(error);
        }
        let [height, width] = frames.size;
        let place = Place {
            pack: self.number,
            offset,
            frames: frames.count(self.channels),
            height,
            width,
            crc: crc32fast::hash(&frames.pixels),
        };
        self.length = offset + bytes;
        self.waiting += bytes;
        self.note(item, Outcome::Packed(place))
    }

    /// Writes down what the frames of `item` are.
    pub(super) fn count(&mut self, item: &Item, count: Count) -> Result<(), DataError> {
        self.note(item, Outcome::Counted(count)).map_err(failed(&self.folder))
    }

    /// Writes down that `item` cannot be decoded.
    pub(super) fn give_up(&mut self, item: &Item, words: &str) -> Result<(), DataError> {
        self.note(item, Outcome::Broken(words.into())).map_err(failed(&self.folder))
    }

    fn note(&mut self, item: &Item, outcome: Outcome) -> io::Result<()> {
        self.pending += &line(&Line { path: item.key.clone(), stamp: item.stamp, outcome });
        let (bytes, time) = COMMIT;
        if self.waiting >= bytes || self.committed.elapsed() >= time { self.commit() } else { Ok(()) }
    }

    /// Waits until all frames are on disk, and then writes their lines.
    pub(super) fn finish(mut self) -> Result<(), DataError> {
        self.commit().map_err(failed(&self.folder))
    }

    fn commit(&mut self) -> io::Result<()> {
        if let (Some(pack), 1..) = (&self.pack, self.waiting) {
            pack.sync_data()?;
            // Its name, too, before a line leads to it.
            sync_names(&self.folder)?;
        }
        if let Err(error) = self.index.write_all(self.pending.as_bytes()) {
            self.index.set_len(self.end)?;
            return Err(error);
        }
        self.index.sync_data()?;
        if self.end == 0 {
            sync_names(&self.folder)?;
        }
        self.end += self.pending.len() as u64;
        self.pending.clear();
        self.waiting = 0;
        self.committed = Instant::now();
        Ok(())
    }
}

/// Creates a file; one of this name that no line leads to is removed, not emptied, because an
/// earlier one may still be mapped.
fn new_file(path: &Path) -> io::Result<File> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => File::options().create_new(true).append(true).open(path),
    }
}

fn remove_all(folder: &Path) -> io::Result<()> {
    for entry in folder.read_dir()? {
        let entry = entry?;
        let name = entry.file_name();
        if name == INDEX || name.as_encoded_bytes().starts_with(b"pack-") {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// Appends `lines` that take back earlier ones.
pub(super) fn strike(folder: &Path, lines: impl Iterator<Item = Line>) -> Result<(), DataError> {
    let _lock = Lock::take(folder)?;
    let text: String = lines.map(|struck| line(&struck)).collect();
    let append = || {
        let path = folder.join(INDEX);
        let complete = index::read(&path)?.complete;
        let mut index = File::options().append(true).open(&path)?;
        index.set_len(complete)?;
        index.write_all(text.as_bytes())?;
        index.sync_data()
    };
    append().map_err(failed(folder))
}
