//! Being asked to stop: Ctrl-C, and the signals by which schedulers and systems end a process, or say that they will.

use crate::INTERRUPTED;
use crate::display::note;
use anyhow::Context as _;
use sdas_data::threads::begin;
use std::process;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Set when a run is asked to stop.
pub(crate) static STOP: AtomicBool = AtomicBool::new(false);

/// Whether a run takes steps, so that there is something to write before leaving.
pub(crate) static STEPPING: AtomicBool = AtomicBool::new(false);

/// Whether a server waits for requests, between which it sees that it is to stop.
pub(crate) static SERVING: AtomicBool = AtomicBool::new(false);

/// Whether it was said how what is interrupted goes on.
static SAID: AtomicBool = AtomicBool::new(false);

/// Processes of ours that take steps, by their numbers. Whoever waits for one holds this while it looks, so that no number
/// here is another process's.
static CHILDREN: Mutex<Vec<u32>> = Mutex::new(Vec::new());

/// Requests to end that follow sooner are the same one, told by several: a scheduler, its step's daemon, a shell.
const ONE_REQUEST: Duration = Duration::from_secs(1);

/// Who asks, and for what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(not(unix), expect(dead_code, reason = "only Ctrl-C is caught there"))]
enum Asking {
    /// Somebody at the terminal, by Ctrl-C.
    Person,
    /// Whoever ends the process, by SIGTERM.
    End,
    /// The system, since the terminal is gone, or a scheduler, that time is running out. Either may ask several times for one
    /// reason: both kernel and shell tell of a closed terminal.
    Notice,
}

/// The requests so far.
#[derive(Debug, Default)]
struct Requests {
    is_asked: bool,
    /// When the end was first asked for.
    end: Option<Instant>,
}

impl Requests {
    /// Whether this one asks to leave at once, with whatever is being done: the second Ctrl-C, or the second SIGTERM.
    fn is_urgent(&mut self, asking: Asking, at: Instant) -> bool {
        let is_first = !std::mem::replace(&mut self.is_asked, true);
        match asking {
            Asking::Person => !is_first,
            Asking::End => at.duration_since(*self.end.get_or_insert(at)) >= ONE_REQUEST,
            Asking::Notice => false,
        }
    }
}

/// Asks the run to stop after a checkpoint, or leaves at once: where that is urgent, or where there is nothing to write,
/// while samples are decoded or a test set is measured.
fn stop(is_urgent: bool) {
    let is_first = !STOP.swap(true, Ordering::SeqCst);
    if is_first && SERVING.load(Ordering::SeqCst) {
        return;
    }
    let is_stepping = STEPPING.load(Ordering::SeqCst) || !children().is_empty();
    match (is_first, is_stepping) {
        (true, true) => note("stopping after this step and a checkpoint; press Ctrl-C again to leave at once"),
        (true, false) => say_interrupted("the same command begins again, with what was kept"),
        (false, _) => {}
    }
    if !is_stepping || is_urgent {
        end_children();
        process::exit(INTERRUPTED.into());
    }
}

/// Says that the process was interrupted, and how one goes on. Once: a run may see that it is to stop between two pieces of work,
/// while whoever was asked leaves.
pub(crate) fn say_interrupted(how: &str) {
    if !SAID.swap(true, Ordering::SeqCst) {
        note(&format!("interrupted; {how}"));
    }
}

/// The numbers of our processes.
pub(crate) fn children() -> std::sync::MutexGuard<'static, Vec<u32>> {
    CHILDREN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Ends the processes that take steps; what they have written down stays.
#[cfg(unix)]
fn end_children() {
    use rustix::process::{Pid, Signal, kill_process};
    for pid in children().drain(..).filter_map(|pid| Pid::from_raw(pid.try_into().ok()?)) {
        // It may have ended meanwhile.
        let _ = kill_process(pid, Signal::KILL);
    }
}

/// A second Ctrl-C reaches all processes of a terminal.
#[cfg(not(unix))]
fn end_children() {}

/// Catches SIGINT, SIGTERM, SIGUSR1, and SIGHUP on Linux; the last not under `nohup`, where it is to be ignored.
#[cfg(unix)]
pub(crate) fn catch() -> anyhow::Result<()> {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1};
    let mut caught = vec![SIGINT, SIGTERM, SIGUSR1];
    if is_known_unignored(SIGHUP) {
        caught.push(SIGHUP);
    }
    let mut signals = signal_hook::iterator::Signals::new(caught).context("cannot catch signals")?;
    let mut requests = Requests::default();
    let body = move || {
        signals.forever().for_each(|signal| {
            let asking = match signal {
                SIGINT => Asking::Person,
                SIGTERM => Asking::End,
                _ => Asking::Notice,
            };
            stop(requests.is_urgent(asking, Instant::now()));
        });
    };
    begin("signals", body).context("cannot wait for signals")?;
    Ok(())
}

/// Catches Ctrl-C.
#[cfg(not(unix))]
pub(crate) fn catch() -> anyhow::Result<()> {
    let requests = Mutex::new(Requests::default());
    let caught = move || {
        let mut requests = requests.lock().unwrap_or_else(PoisonError::into_inner);
        stop(requests.is_urgent(Asking::Person, Instant::now()));
    };
    ctrlc::set_handler(caught).context("cannot catch Ctrl-C")
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

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    /// Of requests, each some milliseconds after the first, which is the first that is urgent.
    fn urgent(requests: &[(Asking, u64)]) -> Option<usize> {
        let (start, mut before) = (Instant::now(), Requests::default());
        requests.iter().position(|&(asking, after)| before.is_urgent(asking, start + Duration::from_millis(after)))
    }

    #[test]
    fn who_asks_twice_to_end_is_not_kept_waiting() {
        use Asking::{End, Notice, Person};
        assert_eq!(urgent(&[(Person, 0), (Person, 10)]), Some(1));
        assert_eq!(urgent(&[(End, 0), (End, 5000)]), Some(1));
        // One request that comes by two ways, and then another.
        assert_eq!(urgent(&[(End, 0), (End, 300), (End, 1000)]), Some(2));
        // A scheduler gives notice, and ends the process when its time has come.
        assert_eq!(urgent(&[(Notice, 0), (Notice, 9000), (End, 9000), (Notice, 9999)]), None);
        assert_eq!(urgent(&[(Notice, 0), (End, 9000), (End, 10_000)]), Some(2));
        assert_eq!(urgent(&[(Notice, 0), (Person, 9000)]), Some(1));
    }
}
