//! Making what a cache of packs lacks, on all cores.

use std::collections::HashSet;
use std::num::NonZero;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread::{self, ScopedJoinHandle};
use std::time::Instant;

use super::index::{Count, Header, Line, Outcome};
use super::writer::Writer;
use super::{Known, Packs};
use crate::decode::{Failure, Frames};
use crate::error::DataError;
use crate::source::clips::Item;
use crate::threads::begin_within;

/// Bytes from which on a pack takes no more clips.
const FULL: u64 = 1 << 30;

/// How far a cache is.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Building {
    /// What is being made: `pictures`, `clips`, or `flow` of clips that are done.
    pub what: &'static str,
    /// Clips that are done, those that were in the cache before included.
    pub done: usize,
    /// Clips altogether.
    pub total: usize,
    /// Those of `done` that were in the cache before.
    pub found: usize,
    /// Bytes of frames made now.
    pub bytes: u64,
    /// Time since the first of them was begun.
    pub seconds: f64,
    /// Whether another process makes them now, for which this one waits.
    pub waits: bool,
}

/// What is made of a clip.
pub(crate) enum Made {
    /// Frames to keep.
    Frames(Frames),
    /// What is known of frames that are not kept.
    Count(Count),
}

impl From<Frames> for Made {
    fn from(frames: Frames) -> Self {
        Made::Frames(frames)
    }
}

/// Opens the cache in `folder` after making what it lacks of `items`, in parallel, with `produce`.
/// Broken items have their words in the cache; `again` tries those anew that an earlier build left.
/// What failed in passing is broken for whoever has called, and unknown to the next.
///
/// What is finished when this fails, or is killed, stays.
///
/// # Errors
/// The first fatal failure, or why the cache cannot be written.
pub(crate) fn build<M: Into<Made>>(
    folder: &Path,
    header: &Header,
    items: &[Item],
    again: bool,
    produce: &(dyn Fn(&Item) -> Result<M, Failure> + Sync),
    progress: &(dyn Fn(&Building) + Sync),
) -> Result<Packs, DataError> {
    build_packs(folder, header, items, again, produce, progress, FULL)
}

/// As [`build`], with packs of another length.
pub(super) fn build_packs<M: Into<Made>>(
    folder: &Path,
    header: &Header,
    items: &[Item],
    again: bool,
    produce: &(dyn Fn(&Item) -> Result<M, Failure> + Sync),
    progress: &(dyn Fn(&Building) + Sync),
    full: u64,
) -> Result<Packs, DataError> {
    let lacks = |packs: &Packs, item: &Item| match packs.find(item) {
        Some(Known::Packed(_) | Known::Counted(_)) => false,
        Some(Known::Broken(_)) => again,
        None => true,
    };
    let packs = Packs::open(folder, header)?;
    if !items.iter().any(|item| lacks(&packs, item)) {
        progress(&Building { done: items.len(), total: items.len(), found: items.len(), ..Building::default() });
        return Ok(packs);
    }

    let waiting = || progress(&Building { total: items.len(), waits: true, ..Building::default() });
    let (writer, packs) = Writer::resume(folder, header, full, waiting)?;
    let mut todo: Vec<_> = items.iter().filter(|item| lacks(&packs, item)).collect();
    let found = items.len() - todo.len();
    let mut seen = HashSet::new();
    todo.retain(|item| seen.insert(&item.key));
    drop(packs);

    let begun = Instant::now();
    let next = AtomicUsize::new(0);
    let stop = AtomicBool::new(false);
    let total = found + todo.len();
    let state = Mutex::new((writer, Building { done: found, total, found, ..Building::default() }, Vec::new()));
    let work = || -> Result<(), DataError> {
        while let Some(item) = todo.get(next.fetch_add(1, Ordering::Relaxed)) {
            if stop.load(Ordering::Relaxed) {
                break;
            }
            let made = produce(item).map(Into::into);
            let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
            let (writer, building, passing) = &mut *state;
            match made {
                Ok(Made::Frames(frames)) => {
                    writer.pack(item, &frames)?;
                    building.bytes += frames.pixels.len() as u64;
                }
                Ok(Made::Count(count)) => writer.count(item, count)?,
                Err(Failure::Broken(words)) => writer.give_up(item, &words)?,
                Err(Failure::Passing(words)) => {
                    passing.push(Line { path: item.key.clone(), stamp: item.stamp, outcome: Outcome::Broken(words) });
                }
                Err(Failure::Fatal(error)) => return Err(error),
            }
            building.done += 1;
            building.seconds = begun.elapsed().as_secs_f64();
            progress(building);
        }
        Ok(())
    };
    let workers = thread::available_parallelism().map_or(1, NonZero::get).min(todo.len());
    let outcomes: Vec<_> = thread::scope(|scope| {
        let workers: Vec<_> = (0..workers)
            .map(|_| {
                begin_within(scope, "decoding", || {
                    let outcome = work();
                    if outcome.is_err() {
                        stop.store(true, Ordering::Relaxed);
                    }
                    outcome
                })
                .inspect_err(|_| stop.store(true, Ordering::Relaxed))
            })
            .collect();
        let outcome =
            |worker: ScopedJoinHandle<'_, _>| worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        workers.into_iter().map(|worker| outcome(worker.map_err(|source| DataError::Thread { source })?)).collect()
    });
    let (writer, _, passing) = state.into_inner().unwrap_or_else(PoisonError::into_inner);
    // Also after a failure: what is complete is kept. Of two errors the first tells more.
    let finished = writer.finish();
    outcomes.into_iter().collect::<Result<(), _>>()?;
    finished?;
    let mut packs = Packs::open(folder, header)?;
    packs.lines.extend(passing.into_iter().map(|line| (line.path.clone(), line)));
    Ok(packs)
}
