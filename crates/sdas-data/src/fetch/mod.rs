//! Data sets from where they are published: downloaded, compared with their published checksums, unpacked.
//!
//! A file comes to `<name>.part` in the data set's folder, which a later call goes on with; what is unpacked comes to a
//! hidden folder and is moved, all at once, to its place. So what is in its place is complete.

mod checksum;
mod download;
mod error;
mod sets;
#[cfg(test)]
mod tests;
mod unpack;

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use error::FetchError;

use crate::error::found_at;
use download::{PATIENCE, Patience, download};
use sets::{Archive, Form, Set, archives, by_hand, find};
use unpack::unpack;

/// How far fetching is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Fetching<'a> {
    /// Some of a file has come.
    Bytes {
        /// The file.
        file: &'a str,
        /// How much of it is there.
        done: u64,
        /// Of how much, where that is known.
        total: Option<u64>,
    },
    /// The connection has ended early, or none came about.
    Again {
        /// The file.
        file: &'a str,
        /// What happened.
        words: &'a str,
        /// After this the next attempt follows.
        pause: Duration,
    },
    /// It is compared with its checksum.
    Checking {
        /// The file.
        file: &'a str,
    },
    /// It is unpacked.
    Unpacking {
        /// The file.
        file: &'a str,
    },
}

/// What has been fetched, and how to go on.
#[derive(Clone, Debug, PartialEq)]
pub struct Fetched {
    /// What has come.
    pub folder: PathBuf,
    /// Whether it was all there before.
    pub was_there: bool,
    /// What recipes take as their data.
    pub data: PathBuf,
    /// The recipe to begin with.
    pub recipe: &'static str,
    /// What must be set in it.
    pub setting: Option<&'static str>,
    /// What is still to be got by hand.
    pub besides: Option<&'static str>,
}

/// Fetches the set called `name` to `folder`, or to a folder of its own in `data`. `from` is the address of its file, or,
/// ending in `/`, of the folder of its files, instead of where it is published.
///
/// # Errors
/// A [`FetchError`], which says what to do about it.
pub fn fetch(
    name: &str,
    folder: Option<&Path>,
    from: Option<&str>,
    tell: &mut dyn FnMut(Fetching<'_>),
) -> Result<Fetched, FetchError> {
    let set = find(name)?;
    let home = Path::new("data").join(set.home);
    let order = Order { set, folder: folder.unwrap_or(&home), patience: PATIENCE };
    order.fetch(order.addressed(archives(set), from)?, tell)
}

/// The folder is this process's until this is dropped. Closing the file would not do: a process that another thread is just
/// starting has it open, too, until it runs its program.
struct Holding(File);

impl Drop for Holding {
    fn drop(&mut self) {
        let _ = self.0.unlock();
    }
}

/// What is to come, and where to.
struct Order<'a> {
    set: &'static Set,
    folder: &'a Path,
    patience: Patience,
}

impl Order<'_> {
    /// The files with their addresses.
    fn addressed(&self, mut archives: Vec<Archive>, from: Option<&str>) -> Result<Vec<Archive>, FetchError> {
        let Some(from) = from else { return Ok(archives) };
        match &mut archives[..] {
            archives if from.ends_with('/') => {
                archives.iter_mut().for_each(|archive| archive.url = format!("{from}{}", archive.file));
            }
            [archive] => archive.url = from.into(),
            several => {
                return Err(FetchError::From { set: self.set.name, files: several.len(), from: from.into() });
            }
        }
        Ok(archives)
    }

    fn fetch(&self, archives: Vec<Archive>, tell: &mut dyn FnMut(Fetching<'_>)) -> Result<Fetched, FetchError> {
        let Self { set, folder, .. } = *self;
        let fetched = |was_there| Fetched {
            folder: folder.join(set.yields),
            was_there,
            data: if set.data.is_empty() { folder.into() } else { folder.join(set.data) },
            recipe: set.recipe,
            setting: set.setting,
            besides: set.besides.and_then(by_hand),
        };
        if folder.join(set.yields).exists() {
            return Ok(fetched(true));
        }
        fs::create_dir_all(folder).map_err(FetchError::write(folder))?;
        let lock = folder.join(".fetch.lock");
        let file = File::create(&lock).map_err(FetchError::write(&lock))?;
        let holding = match file.try_lock() {
            Ok(()) => Holding(file),
            Err(TryLockError::WouldBlock) => return Err(FetchError::Busy { folder: folder.into() }),
            Err(TryLockError::Error(error)) => return Err(FetchError::write(&lock)(error)),
        };
        let mut files = vec![];
        for archive in &archives {
            files.push(self.obtain(archive, tell)?);
        }
        self.put(&archives, &files, tell)?;
        drop(holding);
        // What was downloaded is in its place; what is left over costs space alone.
        for path in files.iter().filter(|path| is_part(path)).chain([&lock]) {
            let _ = fs::remove_file(path);
        }
        Ok(fetched(false))
    }

    /// The file, right to the last bit: as somebody has put it there, or downloaded.
    fn obtain(&self, archive: &Archive, tell: &mut dyn FnMut(Fetching<'_>)) -> Result<PathBuf, FetchError> {
        let (form, file) = (self.set.form, &*archive.file);
        let own = self.folder.join(file);
        if own.is_file() {
            tell(Fetching::Checking { file });
            checksum::verify(&own, archive, form, "delete it, so that it is downloaded, or get it again")?;
            return Ok(own);
        }
        let part = self.folder.join(format!("{file}.part"));
        loop {
            let was_there = download(archive, &archive.url, &part, self.patience, tell)?;
            tell(Fetching::Checking { file });
            let remedy = "give the same command again, or the address of a mirror that has the same file as --from URL";
            let Err(error) = checksum::verify(&part, archive, form, remedy) else { return Ok(part) };
            fs::remove_file(&part).map_err(FetchError::write(&part))?;
            // What was there may have been of another file.
            if !was_there {
                return Err(error);
            }
        }
    }

    /// Unpacks all, and moves it to its place.
    fn put(
        &self,
        archives: &[Archive],
        files: &[PathBuf],
        tell: &mut dyn FnMut(Fetching<'_>),
    ) -> Result<(), FetchError> {
        let Self { set, folder, .. } = *self;
        let hidden = folder.join(format!(".{}.unpacking", set.name));
        if hidden.exists() {
            fs::remove_dir_all(&hidden).map_err(FetchError::write(&hidden))?;
        }
        fs::create_dir(&hidden).map_err(FetchError::write(&hidden))?;
        let made = hidden.join(set.yields);
        for (archive, path) in archives.iter().zip(files) {
            tell(Fetching::Unpacking { file: &archive.file });
            if set.form == Form::Table {
                fs::create_dir_all(&made).map_err(FetchError::write(&made))?;
                let to = made.join(&archive.file);
                fs::copy(path, &to).map_err(FetchError::write(&to))?;
            } else if let Err(error) = unpack(set.form, path, &hidden) {
                let _ = fs::remove_dir_all(&hidden);
                return Err(error);
            }
        }
        if !made.is_dir() {
            let found = found_at(&hidden);
            let _ = fs::remove_dir_all(&hidden);
            return Err(FetchError::Contents { path: files[0].clone(), expected: format!("`{}/`", set.yields), found });
        }
        let to = folder.join(set.yields);
        fs::rename(&made, &to).map_err(FetchError::write(&to))?;
        let _ = fs::remove_dir_all(&hidden);
        Ok(())
    }
}

/// Whether we have downloaded it.
fn is_part(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ending == "part")
}
