//! One process at a time works in a folder.
//!
//! The system's lock on a file decides who (`flock`, which Linux hands on to NFS servers since 2.6.12, so that it holds
//! between machines). It ends with the process that has it, however that ends, and with a lost machine when the server
//! gives it up: none is left behind, and none has to be judged by process numbers or boots. The file says besides who has
//! the lock, and is written anew every few seconds. By that, whoever is kept out is told by whom, and since when nothing was
//! heard of them; and where locks do not reach other machines, or there are none, whoever comes second sees that the
//! first is alive.

use super::RunError;
use sdas_data::threads::begin;
use serde::{Deserialize, Serialize};
use std::fs::{File, TryLockError};
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime};

/// The file that is locked, in the folder.
pub(super) const LOCK: &str = ".lock";

/// Between two signs of life.
pub(super) const BEAT: Duration = Duration::from_secs(10);

/// Who works in a folder, as the lock's file says it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Holder {
    host: String,
    process: u32,
    /// Signs of life so far.
    beats: u64,
}

impl std::fmt::Display for Holder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "process {} on {}", self.process, self.host)
    }
}

impl Holder {
    fn own() -> Self {
        Holder { host: host(), process: std::process::id(), beats: 0 }
    }

    /// Who last said that they work in the folder and has not said that they left; opened anew, so that what a server has is
    /// seen.
    fn of(folder: &Path) -> Option<Self> {
        serde_json::from_slice(&std::fs::read(folder.join(LOCK)).ok()?).ok()
    }

    fn write(&self, mut file: &File) -> std::io::Result<()> {
        let text = serde_json::to_vec(self).expect("names and numbers are JSON");
        file.seek(SeekFrom::Start(0))?;
        file.write_all(&text)?;
        file.set_len(text.len() as u64)?;
        file.sync_data()
    }

    /// Whether they give a sign of life while one is waited for.
    fn is_alive(&self, folder: &Path, beat: Duration) -> bool {
        let end = Instant::now() + beat * 5 / 2;
        while Instant::now() < end {
            thread::sleep(beat / 10);
            if Holder::of(folder).is_some_and(|now| now != *self) {
                return true;
            }
        }
        false
    }
}

/// The machine's name.
fn host() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").ok().map(|name| name.trim().to_owned());
    name.or_else(|| std::env::var("HOSTNAME").ok()).unwrap_or_else(|| "this machine".to_owned())
}

/// How long ago the folder's lock was last written.
fn silence(folder: &Path) -> Option<Duration> {
    let modified = std::fs::metadata(folder.join(LOCK)).and_then(|file| file.modified()).ok()?;
    Some(SystemTime::now().duration_since(modified).unwrap_or_default())
}

/// Who works in the folder, by what is said there; nobody where nothing was said for long.
pub(crate) fn worker(folder: &Path) -> Option<String> {
    silence(folder).filter(|&silence| silence < 3 * BEAT)?;
    Holder::of(folder).map(|holder| holder.to_string())
}

/// The error of one who is kept out of a folder.
pub(crate) fn busy(folder: &Path) -> RunError {
    let by = match Holder::of(folder) {
        None => "another process".to_owned(),
        Some(holder) => match silence(folder).filter(|&silence| silence > 6 * BEAT) {
            None => holder.to_string(),
            Some(silence) => {
                let minutes = silence.as_secs() / 60;
                format!("{holder}, of which nothing was heard for {minutes} minutes,")
            }
        },
    };
    RunError::Busy { path: folder.to_owned(), by }
}

/// A folder in which this process works, until it is dropped.
#[derive(Debug)]
pub(super) struct Lock {
    file: File,
    /// Who gives the signs of life.
    living: Option<(Sender<()>, JoinHandle<()>)>,
}

impl Lock {
    /// Takes a folder that is there.
    pub(super) fn take(folder: &Path, beat: Duration) -> Result<Self, RunError> {
        let path = folder.join(LOCK);
        let open = File::options().read(true).write(true).create(true).truncate(false).open(&path);
        let file = open.map_err(|source| RunError::File { what: "write", path: path.clone(), source })?;
        let is_locked = match file.try_lock() {
            Ok(()) => true,
            Err(TryLockError::WouldBlock) => return Err(busy(folder)),
            // The file system knows no locks.
            Err(TryLockError::Error(_)) => false,
        };
        Lock { file, living: None }.hold(path, is_locked, beat)
    }

    fn hold(mut self, path: PathBuf, is_locked: bool, beat: Duration) -> Result<Self, RunError> {
        let folder = path.parent().expect("a file in a folder");
        let mut own = Holder::own();
        // On this machine a lock proves that whoever had it is gone.
        let other = Holder::of(folder).filter(|other| other.host != own.host || !is_locked);
        if other.is_some_and(|other| other.is_alive(folder, beat)) {
            return Err(busy(folder));
        }
        // Where nothing can be written, the run will say so.
        let _ = own.write(&self.file);
        if !is_locked {
            // Of two who came at the same moment, the one whose name is there stays.
            thread::sleep(beat / 5);
            if Holder::of(folder).as_ref() != Some(&own) {
                return Err(busy(folder));
            }
        }
        let (sender, receiver) = mpsc::channel();
        let fault = |source| RunError::File { what: "hold", path: path.clone(), source };
        let file = self.file.try_clone().map_err(fault)?;
        let live = move || {
            while receiver.recv_timeout(beat) == Err(RecvTimeoutError::Timeout) {
                own.beats += 1;
                let _ = own.write(&file);
            }
        };
        self.living = Some((sender, begin("lock", live).map_err(fault)?));
        Ok(self)
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        if let Some((sender, thread)) = self.living.take() {
            drop(sender);
            // It panics nowhere.
            let _ = thread.join();
            // Said to have left; a lock that ends says the same.
            let _ = self.file.set_len(0);
        }
        // Closing would not do: a process that another thread is just starting has the file open, too, until it runs its
        // program.
        let _ = self.file.unlock();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUICK: Duration = Duration::from_millis(100);

    fn fault(folder: &Path) -> String {
        Lock::take(folder, QUICK).unwrap_err().to_string()
    }

    #[test]
    fn who_is_kept_out_is_told_by_whom() {
        let place = tempfile::tempdir().unwrap();
        let held = Lock::take(place.path(), QUICK).unwrap();
        let own = Holder::own();
        assert!(fault(place.path()).starts_with(&format!("{own} works in ")));
        assert_eq!(worker(place.path()), Some(own.to_string()));
        // One that hangs, or is suspended.
        let hours = SystemTime::now() - Duration::from_secs(3 * 60 * 60);
        let file = File::options().write(true).open(place.path().join(LOCK)).unwrap();
        drop(held);
        file.lock().unwrap();
        own.write(&file).unwrap();
        file.set_modified(hours).unwrap();
        assert!(fault(place.path()).contains(", of which nothing was heard for 180 minutes, works in "));
        assert_eq!(worker(place.path()), None);
        drop(file);
        drop(Lock::take(place.path(), QUICK).unwrap());
        assert_eq!(Holder::of(place.path()), None, "who leaves says so");
    }

    #[test]
    fn another_machine_that_lives_is_seen_where_locks_do_not_reach_it() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join(LOCK);
        let mut other = Holder { host: "another".to_owned(), process: 7, beats: 0 };
        let file = File::create(&path).unwrap();
        other.write(&file).unwrap();
        let living = thread::spawn(move || {
            for _ in 0..20 {
                thread::sleep(QUICK / 2);
                other.beats += 1;
                other.write(&file).unwrap();
            }
        });
        assert!(fault(place.path()).starts_with("process 7 on another works in "));
        living.join().unwrap();
        // It is heard of no more.
        drop(Lock::take(place.path(), QUICK).unwrap());
    }

    #[test]
    fn one_of_two_stays_where_there_are_no_locks() {
        let place = tempfile::tempdir().unwrap();
        let enter = || {
            let path = place.path().join(LOCK);
            let file = File::options().read(true).write(true).create(true).truncate(false).open(&path).unwrap();
            Lock { file, living: None }.hold(path, false, QUICK)
        };
        let first = enter().unwrap();
        assert!(matches!(enter(), Err(RunError::Busy { .. })), "the first is alive");
        drop(first);
        drop(enter().unwrap());
    }
}
