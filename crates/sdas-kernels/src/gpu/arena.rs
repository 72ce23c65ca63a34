//! Memory that recordings share: each keeps what it was recorded with for itself, though no two of them run at once.

use super::run::Buffer;
use cubecl::client::Client;
use cubecl::server::Handle;
use std::cell::RefCell;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Buffers that lie idle between the passes that work in them, one after another on one stream.
#[derive(Debug, Clone, Default)]
pub(super) struct Arena(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    idle: Vec<Handle>,
    /// What the pass was given, in its order.
    given: Vec<Handle>,
    /// How much of that a pass has been given again that repeats it.
    again: Option<usize>,
}

/// A buffer of an arena, in use until this is dropped.
#[derive(Debug)]
pub(super) struct Lease {
    arena: Arena,
    handle: Handle,
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.arena.state().idle.push(self.handle.clone());
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
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs `body` with its passes working in this arena.
    pub(super) fn within<R>(&self, body: impl FnOnce() -> R) -> R {
        (self.state().given, self.state().again) = Default::default();
        let before = CURRENT.replace(Some(self.clone()));
        let result = body();
        CURRENT.set(before);
        result
    }

    /// The next pass is the one before once more, and is given the same buffers: no other is needed.
    pub(super) fn repeat(&self) {
        self.state().again = Some(0);
    }

    /// Room for so many elements: the smallest idle buffer that has it and is not much larger, or a new one.
    pub(super) fn buffer(&self, client: &Client, elements: usize) -> Buffer {
        let bytes = 4 * elements.max(4) as u64;
        let mut state = self.state();
        let State { idle, given, again } = &mut *state;
        let known = again.as_mut().and_then(|at| {
            *at += 1;
            given.get(*at - 1).cloned()
        });
        let best = match &known {
            Some(known) => idle.iter().position(|idle| idle.memory.descriptor() == known.memory.descriptor()),
            None => {
                let fits = |at: &usize| (bytes..=bytes + bytes / 2).contains(&idle[*at].size());
                (0..idle.len()).filter(fits).min_by_key(|&at| idle[at].size())
            }
        };
        let handle = best.map_or_else(|| client.empty(bytes as usize), |at| idle.swap_remove(at));
        if known.is_none() {
            given.push(handle.clone());
        }
        drop(state);
        Buffer::leased(handle.clone(), Lease { arena: self.clone(), handle })
    }
}
