//! Memory that recordings share: each keeps what it was recorded with for itself, though no two of them run at once.

use super::run::Buffer;
use cubecl::client::Client;
use cubecl::server::Handle;
use std::cell::RefCell;
use std::sync::{Arc, Mutex, PoisonError};

/// Buffers that lie idle between the passes that work in them, one after another on one stream.
#[derive(Debug, Clone, Default)]
pub(super) struct Arena(Arc<Mutex<Vec<Handle>>>);

/// A buffer of an arena, in use until this is dropped.
#[derive(Debug)]
pub(super) struct Lease {
    arena: Arena,
    handle: Handle,
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.arena.0.lock().unwrap_or_else(PoisonError::into_inner).push(self.handle.clone());
    }
}

thread_local! {
    static CURRENT: RefCell<Option<Arena>> = const { RefCell::new(None) };
}

/// The arena that this thread's passes work in.
pub(super) fn current() -> Option<Arena> {
    CURRENT.with_borrow(Clone::clone)
}

impl Arena {
    /// Runs `body` with its passes working in this arena.
    pub(super) fn within<R>(&self, body: impl FnOnce() -> R) -> R {
        let before = CURRENT.replace(Some(self.clone()));
        let result = body();
        CURRENT.set(before);
        result
    }

    /// Room for so many elements: the smallest idle buffer that has it and is not much larger, or a new one.
    pub(super) fn buffer(&self, client: &Client, elements: usize) -> Buffer {
        let bytes = 4 * elements.max(4) as u64;
        let mut idle = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let fits = |handle: &Handle| (bytes..=bytes + bytes / 2).contains(&handle.size());
        let best = (0..idle.len()).filter(|&at| fits(&idle[at])).min_by_key(|&at| idle[at].size());
        let handle = best.map_or_else(|| client.empty(bytes as usize), |at| idle.swap_remove(at));
        Buffer::leased(handle.clone(), Lease { arena: self.clone(), handle })
    }
}
