//! Parts of a comparison in processes of their own: this program with the same arguments, and the part besides.

use crate::interrupt::{CHILDREN, STOP};
use sdas::run::RunError;
use std::fs::{self, File};
use std::io;
use std::num::NonZeroUsize;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

/// How often a process is looked after.
const PAUSE: Duration = Duration::from_millis(50);
/// What a part's process said, in the part's folder.
const LOG: &str = "log.txt";

/// Computes a part in a process with the threads of one of `count`. Where the flag is set, or this process is asked to stop,
/// so is that one. Says whether the part was done.
pub(super) fn compute(
    method: &str,
    seed: u64,
    folder: &Path,
    count: NonZeroUsize,
    halted: &AtomicBool,
) -> Result<bool, RunError> {
    let folder = folder.join(method).join(format!("seed{seed}"));
    let log = folder.join(LOG);
    let failed = |what, source| RunError::File { what, path: log.clone(), source };
    fs::create_dir_all(&folder).map_err(|error| failed("create", error))?;
    let output = File::options().create(true).append(true).open(&log).map_err(|error| failed("open", error))?;
    let errors = output.try_clone().map_err(|error| failed("open", error))?;
    let begins = output.metadata().map_err(|error| failed("open", error))?.len();
    let threads = (rayon::current_num_threads() / count).max(1);
    let child = std::env::current_exe().and_then(|program| {
        Command::new(program)
            .args(std::env::args_os().skip(1))
            .args(["--part", &format!("{method}:{seed}")])
            .env("RAYON_NUM_THREADS", threads.to_string())
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors)
            .spawn()
    });
    CHILDREN.fetch_add(1, Ordering::SeqCst);
    let ended = child.and_then(|child| wait(child, halted));
    CHILDREN.fetch_sub(1, Ordering::SeqCst);
    let part = |fault| RunError::Part { method: method.to_owned(), seed, fault, log: log.clone() };
    let status = ended.map_err(|error| part(format!("its process cannot be run: {error}")))?;
    match status.code() {
        Some(0) => Ok(true),
        Some(code) if code == i32::from(crate::INTERRUPTED) => Ok(false),
        _ => Err(part(last_error(&log, begins).unwrap_or_else(|| format!("its process ended by {status}")))),
    }
}

/// Waits for a process, which is told to stop where this one is.
fn wait(mut child: Child, halted: &AtomicBool) -> io::Result<ExitStatus> {
    let mut is_told = false;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        if !is_told && (STOP.load(Ordering::SeqCst) || halted.load(Ordering::SeqCst)) {
            is_told = true;
            tell(&child);
        }
        thread::sleep(PAUSE);
    }
}

/// Tells a process to stop after a checkpoint.
#[cfg(unix)]
fn tell(child: &Child) {
    // It may have ended meanwhile.
    let _ = rustix::process::kill_process(rustix::process::Pid::from_child(child), rustix::process::Signal::TERM);
}

/// Ctrl-C reaches all processes of a terminal; nothing else tells them to stop here.
#[cfg(not(unix))]
fn tell(_: &Child) {}

/// What a process said after `error:`, and the lines after that, in what it has written from `begins` on.
fn last_error(log: &Path, begins: u64) -> Option<String> {
    let text = fs::read(log).ok()?;
    let text = String::from_utf8_lossy(text.get(usize::try_from(begins).ok()?..)?).into_owned();
    let (_, error) = text.rsplit_once("error: ")?;
    Some(error.trim_end().to_owned())
}
