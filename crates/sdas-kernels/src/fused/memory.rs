//! Memory that is used again: activations, what a forward pass keeps for the way back, and each thread's scratch. Fresh
//! memory from the system costs as much as the arithmetic that fills it.

use crate::lanes::{LANES, Lanes};
use burn_std::{AccessError, AccessPolicy, AllocationController, AllocationProperty, Bytes};
use std::cell::RefCell;
use std::mem::MaybeUninit;
use std::ops::{Deref, DerefMut};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Buffers that nobody used during so many requests are given back to the system: edges vanish during a search.
const PATIENCE: u64 = 4096;

/// A buffer out of the pool, which it returns to when dropped.
pub(crate) struct Buffer {
    lanes: Vec<Lanes>,
    used: usize,
}

impl Buffer {
    /// A buffer of `length` with arbitrary numbers in it.
    pub(crate) fn take(length: usize) -> Self {
        Buffer::found(length, length + length / 4)
    }

    /// The same for a short while: the least that is idle will do, however large. What the way back frees holds what it
    /// needs.
    pub(crate) fn borrow(length: usize) -> Self {
        Buffer::found(length, usize::MAX)
    }

    fn found(length: usize, most: usize) -> Self {
        let mut pool = pool();
        pool.clock += 1;
        let fits = |lanes: &Vec<Lanes>| (length..=most).contains(&lanes.len());
        let best = (0..pool.idle.len())
            .rev()
            .filter(|&at| fits(&pool.idle[at].lanes))
            .min_by_key(|&at| pool.idle[at].lanes.len());
        let found = best.map(|at| pool.idle.swap_remove(at).lanes);
        if pool.clock.is_multiple_of(PATIENCE / 16) {
            let now = pool.clock;
            pool.idle.retain(|idle| now - idle.since < PATIENCE);
        }
        drop(pool);
        Buffer { lanes: found.unwrap_or_else(|| fresh(length)), used: length }
    }

    /// A buffer for so many floats.
    pub(crate) fn of_floats(count: usize) -> Self {
        Buffer::take(count.div_ceil(LANES))
    }

    /// The same for a short while.
    pub(crate) fn borrow_floats(count: usize) -> Self {
        Buffer::borrow(count.div_ceil(LANES))
    }

    /// All of it as floats.
    #[allow(unsafe_code)]
    pub(crate) fn floats(&mut self) -> &mut [f32] {
        // SAFETY: lanes are sixteen plain floats without padding, and the borrow is as long as that of the lanes.
        unsafe { std::slice::from_raw_parts_mut(self.lanes.as_mut_ptr().cast(), self.used * LANES) }
    }

    /// All of it as floats, for reading.
    #[allow(unsafe_code)]
    pub(crate) fn as_floats(&self) -> &[f32] {
        // SAFETY: as above.
        unsafe { std::slice::from_raw_parts(self.lanes.as_ptr().cast(), self.used * LANES) }
    }

    /// The first `count` floats as the bytes of a tensor; the buffer returns to the pool with the tensor.
    #[allow(unsafe_code)]
    pub(crate) fn into_bytes(self, count: usize) -> Bytes {
        assert!(count <= self.used * LANES, "a buffer of {} floats holds no {count}", self.used * LANES);
        // SAFETY: all of the buffer is initialised, and the length lies within it.
        unsafe { Bytes::from_controller(Box::new(self), count * size_of::<f32>()) }
    }
}

/// Bytes from which on large pages are asked for. Smaller buffers would only cut the system's map of pages into pieces.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const LARGE: usize = 1 << 18;

/// New memory, in large pages where the system has them: a pass over kept results touches thousands of small ones.
fn fresh(length: usize) -> Vec<Lanes> {
    let mut lanes = Vec::with_capacity(length);
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    if length * size_of::<Lanes>() >= LARGE {
        const PAGE: usize = 4096;
        let start = lanes.as_mut_ptr() as usize;
        let end = start + length * size_of::<Lanes>();
        let from = start / PAGE * PAGE;
        #[allow(unsafe_code)]
        // SAFETY: the call only advises how the pages that the vector lies in are backed, whoever else has a part of them;
        // where it fails, they stay small.
        unsafe {
            libc::madvise(from as *mut libc::c_void, end - from, libc::MADV_HUGEPAGE);
        }
    }
    lanes.resize(length, Lanes::ZERO);
    lanes
}

/// Gives the memory that edges keep between passes back to the system: for when edges have vanished, and with them the use
/// for buffers of their sizes.
pub fn release_memory() {
    pool().idle.clear();
    super::plan::forget_plans();
    #[cfg(feature = "gpu")]
    crate::gpu::forget();
    // The system's allocator keeps what is freed, too, unless it is told.
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    #[allow(unsafe_code)]
    // SAFETY: it has no preconditions.
    unsafe {
        libc::malloc_trim(0);
    }
}

impl Deref for Buffer {
    type Target = [Lanes];

    fn deref(&self) -> &[Lanes] {
        &self.lanes[..self.used]
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [Lanes] {
        &mut self.lanes[..self.used]
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        if !self.lanes.is_empty() {
            let mut pool = pool();
            let since = pool.clock;
            pool.idle.push(Idle { lanes: std::mem::take(&mut self.lanes), since });
        }
    }
}

impl AllocationController for Buffer {
    fn alloc_align(&self) -> usize {
        align_of::<Lanes>()
    }

    fn property(&self) -> AllocationProperty {
        AllocationProperty::Other
    }

    #[allow(unsafe_code)]
    unsafe fn memory_mut(&mut self, _: AccessPolicy) -> Result<&mut [MaybeUninit<u8>], AccessError> {
        let length = size_of_val::<[Lanes]>(self);
        // SAFETY: lanes have no padding, the borrow is as long as theirs, and the caller writes initialised bytes only.
        Ok(unsafe { std::slice::from_raw_parts_mut(self.lanes.as_mut_ptr().cast(), length) })
    }

    #[allow(unsafe_code)]
    fn memory(&self, _: AccessPolicy) -> Result<&[MaybeUninit<u8>], AccessError> {
        let length = size_of_val::<[Lanes]>(self);
        // SAFETY: as above, for reading.
        Ok(unsafe { std::slice::from_raw_parts(self.lanes.as_ptr().cast(), length) })
    }
}

struct Pool {
    idle: Vec<Idle>,
    /// Requests so far.
    clock: u64,
}

struct Idle {
    lanes: Vec<Lanes>,
    since: u64,
}

static POOL: Mutex<Pool> = Mutex::new(Pool { idle: Vec::new(), clock: 0 });

fn pool() -> MutexGuard<'static, Pool> {
    // A panic elsewhere leaves the pool whole: nothing in it is ever half done.
    POOL.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Working memory of one thread.
#[derive(Default)]
pub(crate) struct Scratch {
    /// The input, or an earlier unit's normed result, after a ReLU, in a grid.
    pub(crate) activated: Vec<Lanes>,
    /// The input as it is, in a grid.
    pub(crate) raw: Vec<Lanes>,
    /// The input as it is, padded to whole blocks: `[blocks, pixels]`.
    pub(crate) padded: Vec<Lanes>,
    /// Results of the pools for a strip: the plan says which lie where.
    pub(crate) pooled: Vec<Lanes>,
    /// What a pool joins along the columns, for a row.
    pub(crate) columns: Vec<Lanes>,
    /// A gradient, in a grid.
    pub(crate) grid: Vec<Lanes>,
    /// What a product reads: `[blocks, pixels of a strip]`.
    pub(crate) rows: Vec<Lanes>,
    /// Gradient of a product's result: `[blocks, pixels of a strip]`.
    pub(crate) results: Vec<Lanes>,
    /// Gradient of what a product reads.
    pub(crate) row_gradients: Vec<Lanes>,
    /// Sums over a strip, by block.
    pub(crate) sums: Vec<Lanes>,
    /// Gradient of what stands in `activated`: `[blocks, pixels]`.
    pub(crate) activated_gradient: Vec<Lanes>,
    /// Whether anything has been added to it yet; what stands there otherwise is left from before.
    pub(crate) activated_begun: bool,
    /// Gradient of the input where it is read as it is.
    pub(crate) raw_gradient: Vec<Lanes>,
    /// As for the other.
    pub(crate) raw_begun: bool,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

/// Runs `body` with this thread's scratch.
pub(crate) fn with_scratch<R>(body: impl FnOnce(&mut Scratch) -> R) -> R {
    SCRATCH.with_borrow_mut(body)
}

/// The first `length` of a scratch vector, which grows where it is too short; arbitrary numbers.
#[inline(always)]
pub(crate) fn first(scratch: &mut Vec<Lanes>, length: usize) -> &mut [Lanes] {
    if scratch.len() < length {
        scratch.resize(length, Lanes::ZERO);
    }
    &mut scratch[..length]
}
