//! Parts of a comparison side by side: two runs of one thread each are done sooner than one of two after another.

use super::Part;
use crate::run::{Context, RunError};
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;

/// Who computes parts of a comparison elsewhere, several at a time.
pub struct Beside<'a> {
    /// How many at a time.
    pub count: NonZeroUsize,
    /// Computes what is missing of a method and a seed, in its places within the comparison's folder. Where the flag is set
    /// or the comparison is stopped it leaves early, and says `false`.
    pub compute: &'a Compute<'a>,
}

/// See [`Beside`]: method, seed, and the flag.
pub type Compute<'a> = dyn Fn(&str, u64, &AtomicBool) -> Result<bool, RunError> + Sync + 'a;

/// Hands each part to `take`, which computes what is missing of it and says whether it could; where there is `beside`, what
/// is missing is computed there before. `false` if it was stopped.
pub(super) fn each<'p, 'a>(
    parts: &'p [Part<'a>],
    is_done: impl Fn(&Part<'_>) -> bool,
    beside: Option<&Beside<'_>>,
    context: &mut Context<'_>,
    mut take: impl FnMut(&'p Part<'a>, &mut Context<'_>) -> Result<bool, RunError>,
) -> Result<bool, RunError> {
    let (here, elsewhere): (Vec<_>, Vec<_>) = parts.iter().partition(|part| beside.is_none() || is_done(part));
    for part in here {
        if !take(part, context)? {
            return Ok(false);
        }
    }
    let Some(beside) = beside else { return Ok(true) };
    let (next, halted, stop) = (AtomicUsize::new(0), AtomicBool::new(false), context.stop);
    thread::scope(|scope| {
        let (sender, receiver) = mpsc::channel();
        for _ in 0..beside.count.get().min(elsewhere.len()) {
            let sender = sender.clone();
            let (next, halted, elsewhere) = (&next, &halted, &elsewhere);
            scope.spawn(move || {
                while let Some(&part) = elsewhere.get(next.fetch_add(1, Ordering::SeqCst)) {
                    if stop.load(Ordering::SeqCst) || halted.load(Ordering::SeqCst) {
                        // The receiver lives as long as the scope.
                        let _ = sender.send((part, Some(Ok(false))));
                        break;
                    }
                    let _ = sender.send((part, None));
                    let result = (beside.compute)(&part.method.name, part.seed, halted);
                    let is_last = !matches!(result, Ok(true));
                    let _ = sender.send((part, Some(result)));
                    if is_last {
                        break;
                    }
                }
            });
        }
        drop(sender);
        let mut ending = Ok(true);
        for (part, result) in receiver {
            let Some(result) = result else {
                part.tell(part.first_missing(), context);
                continue;
            };
            let taken = result.and_then(|is_done| Ok(is_done && take(part, context)?));
            if !matches!(taken, Ok(true)) {
                halted.store(true, Ordering::SeqCst);
                // The first error is the one to report: others may follow from it.
                ending = ending.and(taken);
            }
        }
        ending
    })
}
