//! Parallel passes without waking anybody: a step is thousands of passes of a fraction of a millisecond, and waking a
//! sleeping thread takes as long as one of them. The helpers are workers of rayon's pool that keep looking for work, ours
//! or rayon's, for a little while after each pass.

use std::any::Any;
use std::cell::Cell;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long a helper without work stays awake: longer than what lies between two passes of a step.
const PATIENCE: Duration = Duration::from_millis(3);

/// Runs `body` on every task, in parallel. Every thread begins with its own part of them, the same in each pass, so that
/// it finds in its cache what it has left there, and in the opposite direction, since what it has left there last is what is
/// still there. It then takes from the others'; who does what in the end is chance.
pub(crate) fn each<T: Send>(tasks: impl IntoIterator<Item = T>, body: impl Fn(T) + Sync) {
    let slots: Vec<Mutex<Option<T>>> = tasks.into_iter().map(|task| Mutex::new(Some(task))).collect();
    let run = |index: usize| {
        if let Some(task) = lock(&slots[index]).take() {
            body(task);
        }
    };
    if slots.len() < 2 || rayon::current_num_threads() < 2 {
        return (0..slots.len()).for_each(run);
    }
    let direction = DIRECTION.replace(!DIRECTION.get());
    let job = Arc::new(Job::new(&run, slots.len(), rayon::current_num_threads(), direction));
    *lock(&BOARD) = Some(job.clone());
    POSTED.fetch_add(1, Ordering::Release);
    call_helpers();
    job.work(0);
    job.wait();
    let panic = lock(&job.panic).take();
    if let Some(panic) = panic {
        resume_unwind(panic);
    }
}

/// What `body` makes of every item, in their order, computed in parallel.
pub(crate) fn map<T: Send, U: Send>(items: impl IntoIterator<Item = T>, body: impl Fn(T) -> U + Sync) -> Vec<U> {
    let items: Vec<_> = items.into_iter().collect();
    let mut made: Vec<Option<U>> = items.iter().map(|_| None).collect();
    each(items.into_iter().zip(&mut made), |(item, to)| *to = Some(body(item)));
    made.into_iter().map(|made| made.expect("every task is done")).collect()
}

thread_local! {
    /// Whether the next job of this thread goes from the last task to the first.
    static DIRECTION: Cell<bool> = const { Cell::new(false) };
}

/// The job that is on.
static BOARD: Mutex<Option<Arc<Job>>> = Mutex::new(None);
/// Jobs posted so far: what helpers look at.
static POSTED: AtomicUsize = AtomicUsize::new(0);
/// Helpers that are awake.
static HELPERS: AtomicUsize = AtomicUsize::new(0);

struct Job {
    run: *const (dyn Fn(usize) + Sync),
    count: usize,
    parts: Vec<Part>,
    /// Whether tasks are taken from the last to the first.
    backwards: bool,
    done: AtomicUsize,
    panic: Mutex<Option<Box<dyn Any + Send>>>,
}

// SAFETY: `run` may be called from any thread, since it is `Sync`; everything else is a lock or an atomic.
#[allow(unsafe_code)]
unsafe impl Send for Job {}
// SAFETY: as above.
#[allow(unsafe_code)]
unsafe impl Sync for Job {}

impl Job {
    /// Whoever makes a job has to [`wait`](Self::wait) for it before `run` goes.
    #[allow(unsafe_code)]
    fn new(run: &(dyn Fn(usize) + Sync), count: usize, threads: usize, backwards: bool) -> Self {
        // SAFETY: only the lifetime changes; `wait` is called before it ends.
        let run = unsafe { std::mem::transmute::<&(dyn Fn(usize) + Sync), &'static (dyn Fn(usize) + Sync)>(run) };
        let parts = (0..threads).map(|part| Part::new(part * count / threads..(part + 1) * count / threads)).collect();
        Job { run, count, parts, backwards, done: AtomicUsize::new(0), panic: Mutex::new(None) }
    }

    /// Takes tasks until none is left: those of its own part in their order, the others' from the other end.
    fn work(&self, own: usize) {
        let own = own % self.parts.len();
        let next = || {
            let others = (1..self.parts.len()).map(|step| &self.parts[(own + step) % self.parts.len()]);
            self.parts[own]
                .take(self.backwards)
                .or_else(|| others.into_iter().find_map(|part| part.take(!self.backwards)))
        };
        while let Some(index) = next() {
            // SAFETY: a task that is not done keeps its maker in `wait`, so that `run` is there.
            #[allow(unsafe_code)]
            let run = unsafe { &*self.run };
            if let Err(panic) = catch_unwind(AssertUnwindSafe(|| run(index))) {
                *lock(&self.panic) = Some(panic);
            }
            self.done.fetch_add(1, Ordering::Release);
        }
    }

    fn wait(&self) {
        let mut rounds = 0u32;
        while self.done.load(Ordering::Acquire) < self.count {
            rest(&mut rounds);
        }
    }
}

/// The tasks of a part that nobody has taken: the first and the one behind the last, in one number.
struct Part(AtomicU64);

impl Part {
    fn new(tasks: Range<usize>) -> Self {
        Part(AtomicU64::new(Self::packed(tasks.start as u64, tasks.end as u64)))
    }

    fn packed(start: u64, end: u64) -> u64 {
        start << 32 | end
    }

    fn take(&self, last: bool) -> Option<usize> {
        let bounds = |packed: u64| (packed >> 32, packed & u64::from(u32::MAX));
        let rest = |packed: u64| match bounds(packed) {
            (start, end) if start >= end => None,
            (start, end) if last => Some(Self::packed(start, end - 1)),
            (start, end) => Some(Self::packed(start + 1, end)),
        };
        let before = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, rest).ok()?;
        let (start, end) = bounds(before);
        Some(if last { end - 1 } else { start } as usize)
    }
}

/// A short rest, in which another thread may run if this machine has fewer cores than threads that want them.
fn rest(rounds: &mut u32) {
    *rounds += 1;
    if rounds.is_multiple_of(64) { std::thread::yield_now() } else { std::hint::spin_loop() }
}

/// Makes sure that every other worker of the pool helps, or soon will.
fn call_helpers() {
    let caller = rayon::current_thread_index();
    while HELPERS.load(Ordering::Relaxed) + 1 < rayon::current_num_threads() {
        let part = 1 + HELPERS.fetch_add(1, Ordering::Relaxed);
        rayon::spawn(move || {
            // The caller itself may have taken this from its own queue, while it waited for something of rayon's.
            if caller.is_none() || rayon::current_thread_index() != caller {
                help(part);
            }
            HELPERS.fetch_sub(1, Ordering::Relaxed);
        });
    }
}

/// Works for whoever posts a job, on this part first, or for rayon, until there has been nothing to do for a while.
fn help(part: usize) {
    let (mut seen, mut rounds, mut idle) = (0, 0, Instant::now());
    loop {
        let posted = POSTED.load(Ordering::Acquire);
        if posted != seen {
            seen = posted;
            let job = lock(&BOARD).clone();
            if let Some(job) = job {
                job.work(part);
            }
        } else if rayon::yield_now() != Some(rayon::Yield::Executed) {
            rest(&mut rounds);
            // The clock takes longer than a look at the board.
            if rounds.is_multiple_of(64) && idle.elapsed() > PATIENCE {
                return;
            }
            continue;
        }
        idle = Instant::now();
    }
}

/// Nothing is ever half done under these locks, so a panic elsewhere leaves them whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_task_is_done_once() {
        for count in [0, 1, 2, 7, 1000] {
            let mut seen = vec![0u8; count];
            for _ in 0..50 {
                each(seen.iter_mut(), |seen| *seen += 1);
            }
            assert!(seen.iter().all(|&seen| seen == 50));
        }
    }

    #[test]
    fn callers_side_by_side_and_rayon_do_not_block_one_another() {
        let total = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..200 {
                        each(0..9, |task| {
                            total.fetch_add(task, Ordering::Relaxed);
                        });
                        let (a, b) = rayon::join(|| 1, || 2);
                        total.fetch_add(a + b, Ordering::Relaxed);
                    }
                });
            }
        });
        assert_eq!(total.into_inner(), 4 * 200 * (36 + 3));
    }

    #[test]
    fn a_panic_reaches_the_caller() {
        let caught = catch_unwind(|| each(0..8, |task| assert!(task != 5, "task {task}")));
        let message = *caught.unwrap_err().downcast::<String>().unwrap();
        assert!(message.starts_with("task 5"), "{message}");
        each(0..8, |_| ());
    }
}
