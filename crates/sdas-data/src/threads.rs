//! Threads that begin or do not, also where memory is about to run out.

use std::io::{self, ErrorKind};
use std::sync::mpsc::{Sender, channel};
use std::thread::{Builder, JoinHandle, Scope, ScopedJoinHandle};

use memmap2::MmapMut;

/// What a thread may take before its first line: its stack, the one that it handles an overflow of that on, and a few lists of
/// the C library's.
const ROOM: usize = 4 << 20;

/// Begins a thread; returns once it runs.
///
/// The C library aborts the process, and the standard library panics, where a thread that has just begun gets no memory for
/// its own first lists. So it is seen here that there is some, and nothing else is done until the thread has what it needs.
///
/// # Errors
///
/// If there is no room for it, or the system starts no more threads.
pub fn begin<T: Send + 'static>(name: &str, body: impl FnOnce() -> T + Send + 'static) -> io::Result<JoinHandle<T>> {
    begun(name, |builder, begun| {
        builder.spawn(move || {
            say(begun);
            body()
        })
    })
}

/// As [`begin`], a thread that may borrow what lives as long as the scope.
///
/// # Errors
///
/// If there is no room for it, or the system starts no more threads.
pub fn begin_within<'scope, T: Send + 'scope>(
    scope: &'scope Scope<'scope, '_>,
    name: &str,
    body: impl FnOnce() -> T + Send + 'scope,
) -> io::Result<ScopedJoinHandle<'scope, T>> {
    begun(name, |builder, begun| {
        builder.spawn_scoped(scope, move || {
            say(begun);
            body()
        })
    })
}

fn begun<H>(name: &str, spawn: impl FnOnce(Builder, Sender<()>) -> io::Result<H>) -> io::Result<H> {
    let no_room = |_| io::Error::new(ErrorKind::OutOfMemory, "there is no memory left for another thread");
    drop(MmapMut::map_anon(ROOM).map_err(no_room)?);
    let (sender, receiver) = channel();
    let thread = spawn(Builder::new().name(name.to_owned()), sender)?;
    // It has sent its word by then, or ended.
    let _ = receiver.recv();
    Ok(thread)
}

fn say(begun: Sender<()>) {
    // Who waits for it is there until it comes.
    let _ = begun.send(());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_runs_when_it_has_begun() {
        let thread = begin("one", || std::thread::current().name().map(str::to_owned)).unwrap();
        assert_eq!(thread.join().unwrap().as_deref(), Some("one"));
        let mut number = 1;
        std::thread::scope(|scope| {
            begin_within(scope, "two", || number += 1).unwrap();
        });
        assert_eq!(number, 2);
    }
}
