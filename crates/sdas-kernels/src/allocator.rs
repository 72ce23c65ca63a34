//! What becomes of a process that gets no more memory.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// The system's allocator. Where it has no memory left, the process ends with one error, and with the status of one, instead
/// of being aborted.
#[derive(Debug, Clone, Copy)]
pub struct Allocator;

// SAFETY: all is the system allocator's, whose callers keep its contract by keeping ours; what it returns is handed on, but for
// null, after which nothing is returned.
#[allow(unsafe_code)]
unsafe impl GlobalAlloc for Allocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: see above.
        had(unsafe { System.alloc(layout) }, layout.size())
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: see above.
        had(unsafe { System.alloc_zeroed(layout) }, layout.size())
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: see above.
        had(unsafe { System.realloc(at, layout, size) }, size)
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: see above.
        unsafe { System.dealloc(at, layout) }
    }
}

fn had(memory: *mut u8, bytes: usize) -> *mut u8 {
    if memory.is_null() {
        end(bytes);
    }
    memory
}

/// Whether a thread ends the process.
static IS_ENDING: AtomicBool = AtomicBool::new(false);

/// Says that there are not so many bytes more, which needs none, and ends the process. Of several threads the first does.
#[cold]
fn end(bytes: usize) -> ! {
    while IS_ENDING.swap(true, Ordering::SeqCst) {
        std::thread::sleep(Duration::from_secs(1));
    }
    let mut text = [0; 256];
    let mut rest = &mut text[..];
    // There is room for all of it.
    let _ = write_words(&mut rest, bytes);
    let length = 256 - rest.len();
    leave(&text[..length])
}

fn write_words(to: &mut impl std::io::Write, bytes: usize) -> std::io::Result<()> {
    write!(
        to,
        "error: there is no memory left: {bytes} bytes more cannot be had\n  \
         remedy: make batch or network smaller, or allow more; a run goes on from its last checkpoint with --resume\n"
    )
}

/// Past everything that would take memory, a lock or its time.
#[cfg(unix)]
fn leave(words: &[u8]) -> ! {
    // SAFETY: a buffer of that length, which nobody else has, and a call that does not return.
    #[allow(unsafe_code)]
    unsafe {
        libc::write(2, words.as_ptr().cast(), words.len());
        libc::_exit(1)
    }
}

#[cfg(not(unix))]
fn leave(words: &[u8]) -> ! {
    // What cannot be said is not: the status says the rest.
    let _ = std::io::Write::write_all(&mut std::io::stderr(), words);
    std::process::exit(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_have_room_whatever_the_number() {
        let mut text = Vec::new();
        write_words(&mut text, usize::MAX).unwrap();
        assert!(text.len() <= 256 && text.starts_with(b"error: "), "{}", text.len());
    }
}
