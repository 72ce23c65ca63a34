//! Parts of a comparison in processes of their own: this program with the same arguments, and the part besides.

use crate::interrupt::{STOP, children};
use sdas::compare::Computed;
use sdas::run::RunError;
use sdas_data::whole::make_folder;
use std::fs::{self, File};
use std::io;
use std::num::NonZeroUsize;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

/// How often a process is looked after.
const PAUSE: Duration = Duration::from_millis(50);
/// What a part's process said, in the part's folder.
const LOG: &str = "log.txt";

/// Computes a part in a process with the threads of one of `count`, which is asked to stop where this one is.
pub(super) fn compute(method: &str, seed: u64, folder: &Path, count: NonZeroUsize) -> Result<Computed, RunError> {
    let folder = folder.join(method).join(format!("seed{seed}"));
    let log = folder.join(LOG);
    let failed = |what, source| RunError::File { what, path: log.clone(), source };
    make_folder(&folder).map_err(|error| failed("create", error))?;
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
    let ended = child.and_then(wait);
    let part = |fault| RunError::Part { fault, log: log.clone() };
    let Ended { status, is_told } = ended.map_err(|error| part(format!("its process cannot be run: {error}")))?;
    match status.code().map(u8::try_from) {
        Some(Ok(0)) => Ok(Computed::Done),
        Some(Ok(crate::INTERRUPTED)) => Ok(Computed::Stopped),
        Some(Ok(crate::BUSY)) => Ok(Computed::Held),
        // Before it could catch anything.
        None if is_told => Ok(Computed::Stopped),
        _ => Err(part(last_error(&log, begins).unwrap_or_else(|| format!("its process ended by {status}")))),
    }
}

/// How a process ended.
struct Ended {
    status: ExitStatus,
    /// Whether it was asked to.
    is_told: bool,
}

/// Waits for a process, which is told to stop where this one is.
fn wait(mut child: Child) -> io::Result<Ended> {
    let number = child.id();
    children().push(number);
    let mut is_told = false;
    loop {
        {
            let mut children = children();
            if let Some(status) = child.try_wait().transpose() {
                children.retain(|&child| child != number);
                return Ok(Ended { status: status?, is_told });
            }
        }
        if !is_told && STOP.load(Ordering::SeqCst) {
            is_told = true;
            tell(&child);
        }
        thread::sleep(PAUSE);
    }
}

/// Tells a process to stop after a checkpoint. Not by SIGTERM, of which a second one from elsewhere would hurry it.
#[cfg(unix)]
fn tell(child: &Child) {
    // It may have ended meanwhile.
    let _ = rustix::process::kill_process(rustix::process::Pid::from_child(child), rustix::process::Signal::USR1);
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
