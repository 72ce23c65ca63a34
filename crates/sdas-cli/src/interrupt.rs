//! Being asked to stop: Ctrl-C, and the signals by which a system ends a process.

use crate::INTERRUPTED;
use crate::display::note;
use anyhow::Context as _;
use std::process;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// Set when a run is asked to stop.
pub(crate) static STOP: AtomicBool = AtomicBool::new(false);

/// Whether a run takes steps, so that there is something to write before leaving.
pub(crate) static STEPPING: AtomicBool = AtomicBool::new(false);

/// Whether a server waits for requests, between which it sees that it is to stop.
pub(crate) static SERVING: AtomicBool = AtomicBool::new(false);

/// Processes of ours that take steps.
pub(crate) static CHILDREN: AtomicUsize = AtomicUsize::new(0);

/// Who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asking {
    /// Somebody at the terminal, by Ctrl-C.
    Person,
    /// The system, on behalf of a scheduler or since the terminal is gone. It may ask several times for one reason: both
    /// kernel and shell tell of a closed terminal.
    #[cfg(unix)]
    System,
}

/// Asks the run to stop after a checkpoint. A second Ctrl-C leaves at once; so does the first request where there is
/// nothing to write: while samples are decoded, or a test set is measured.
fn stop(asking: Asking) {
    let is_first = !STOP.swap(true, Ordering::SeqCst);
    if is_first && SERVING.load(Ordering::SeqCst) {
        return;
    }
    let is_stepping = STEPPING.load(Ordering::SeqCst) || CHILDREN.load(Ordering::SeqCst) > 0;
    match (is_first, is_stepping) {
        (true, true) => note("stopping after this step and a checkpoint; press Ctrl-C again to leave at once"),
        (true, false) => note("interrupted; the same command begins again, with what was kept"),
        (false, _) => {}
    }
    if !is_stepping || (!is_first && asking == Asking::Person) {
        process::exit(INTERRUPTED.into());
    }
}

/// Catches SIGINT and SIGTERM, and SIGHUP on Linux; the last not under `nohup`, where it is to be ignored.
#[cfg(unix)]
pub(crate) fn catch() -> anyhow::Result<()> {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
    let mut caught = vec![SIGINT, SIGTERM];
    if is_known_unignored(SIGHUP) {
        caught.push(SIGHUP);
    }
    let mut signals = signal_hook::iterator::Signals::new(caught).context("cannot catch signals")?;
    let body = move || {
        signals.forever().for_each(|signal| stop(if signal == SIGINT { Asking::Person } else { Asking::System }))
    };
    std::thread::Builder::new().name("signals".to_owned()).spawn(body).context("cannot wait for signals")?;
    Ok(())
}

/// Catches Ctrl-C.
#[cfg(not(unix))]
pub(crate) fn catch() -> anyhow::Result<()> {
    ctrlc::set_handler(|| stop(Asking::Person)).context("cannot catch Ctrl-C")
}

/// Whether the system says that a signal is not ignored; where it does not tell (it does on Linux), none is known to be.
#[cfg(unix)]
fn is_known_unignored(signal: i32) -> bool {
    let ignored = |status: String| {
        let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"))?;
        u64::from_str_radix(mask.trim(), 16).ok()
    };
    let ignored = std::fs::read_to_string("/proc/self/status").ok().and_then(ignored);
    ignored.is_some_and(|mask| mask >> (signal - 1) & 1 == 0)
}
