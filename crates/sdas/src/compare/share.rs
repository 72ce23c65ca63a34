//! Who does which part of a comparison. Any number of processes, on any machines that share the folder, do parts of one
//! comparison: whoever does a part holds the lock of its folder, and looks then whether it is still missing. After each part
//! what is done by anybody is written down, so that the last one to end writes all of it.

use super::{Listed, Part};
use crate::run::{Context, Event, Folder, RunError, busy, worker};
use sdas_data::DataError;
use sdas_data::threads::begin_within;
use std::collections::BTreeSet;
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

/// What of a comparison is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Share {
    /// All of it: parts that others are doing are waited for, and done here if they leave them.
    All,
    /// Whatever is left and nobody else does.
    Left,
    /// One part, by its number in the [list](super::Comparison::list).
    One(usize),
}

/// How far a comparison has come.
#[derive(Debug, Clone, PartialEq)]
pub enum Completion<R> {
    /// All is done.
    Whole(Box<R>),
    /// What was to be done is, and so many parts are others'.
    Others(usize),
    /// Stopped from outside; the same again goes on.
    Interrupted,
}

/// Who computes parts of a comparison elsewhere, several at a time: two runs of one thread each are done sooner than one of
/// two after another.
pub struct Beside<'a> {
    /// How many at a time.
    pub count: NonZeroUsize,
    /// Computes what is missing of a method and a seed, in its places within the comparison's folder. Leaves early where the
    /// comparison is stopped.
    pub compute: &'a Compute<'a>,
}

/// See [`Beside`]: method and seed.
pub type Compute<'a> = dyn Fn(&str, u64) -> Result<Computed, RunError> + Sync + 'a;

/// What became of a part that was to be computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Computed {
    /// It is done.
    Done,
    /// Another process does it.
    Held,
    /// Stopped from outside.
    Stopped,
}

/// What is made of the parts of a comparison.
pub(super) trait Account {
    /// What they come to.
    type Report;

    /// Whether nothing of a part is missing.
    fn is_done(&self, part: &Part<'_>) -> bool;

    /// Does what is missing of a part; says whether it was done, else it was stopped.
    fn compute(&self, part: &Part<'_>, context: &mut Context<'_>) -> Result<bool, RunError>;

    /// Takes a part that is done into the account; says whether it could, else it was stopped.
    fn take(&mut self, part: &Part<'_>, context: &mut Context<'_>) -> Result<bool, RunError>;

    /// Tells of a part that was taken; `missing` are those that nobody has done.
    fn tell(&self, part: &Part<'_>, missing: &[&Part<'_>], context: &mut Context<'_>);

    /// What the parts that were taken come to.
    fn report(&self) -> Self::Report;

    /// Writes it down.
    fn write(&self, place: &Folder) -> Result<(), RunError>;
}

/// Between two looks at what others do.
const PAUSE: Duration = Duration::from_secs(1);

/// Parts of a comparison being done.
pub(super) struct Work<'w, 'a, A> {
    parts: &'w [Part<'a>],
    folder: &'w Path,
    beside: Option<&'w Beside<'w>>,
    account: A,
    /// Which parts are in the account.
    taken: BTreeSet<usize>,
    /// Which came to nothing here, and why.
    failed: Vec<(usize, RunError)>,
    /// Which others were said to do.
    held: BTreeSet<usize>,
}

impl<'w, 'a, A: Account> Work<'w, 'a, A> {
    pub(super) fn new(parts: &'w [Part<'a>], folder: &'w Path, beside: Option<&'w Beside<'w>>, account: A) -> Self {
        let (taken, failed, held) = Default::default();
        Work { parts, folder, beside, account, taken, failed, held }
    }

    /// Does what `share` says.
    pub(super) fn run(mut self, share: Share, context: &mut Context<'_>) -> Result<Completion<A::Report>, RunError> {
        if let Share::One(number) = share {
            return self.run_one(number, context);
        }
        // What is done comes first, so that no report says less than the one before.
        if !self.take_done(context, &|_| true)? {
            return Ok(Completion::Interrupted);
        }
        loop {
            let left: Vec<usize> = (0..self.parts.len()).filter(|&index| self.is_left(index)).collect();
            if left.is_empty() {
                break;
            }
            let is_moving = match self.beside {
                None => self.round_here(&left, context)?,
                Some(beside) => self.round_beside(&left, beside, context)?,
            };
            match is_moving {
                None => return Ok(Completion::Interrupted),
                Some(true) => {}
                // All that is left is others'.
                Some(false) if share == Share::Left => break,
                Some(false) if !wait(context) => return Ok(Completion::Interrupted),
                Some(false) => {}
            }
        }
        self.conclude()
    }

    /// Does one part.
    fn run_one(mut self, number: usize, context: &mut Context<'_>) -> Result<Completion<A::Report>, RunError> {
        let part = self.parts.get(number).ok_or_else(|| {
            let all = self.parts.len();
            let message =
                format!("{number} is none of the {all} parts of this comparison, counted from 0; --list prints them");
            RunError::Setting { key: "part", message }
        })?;
        match self.compute(part, context)? {
            true if self.take_done(context, &|index| index == number)? => self.conclude(),
            _ => Ok(Completion::Interrupted),
        }
    }

    fn is_left(&self, index: usize) -> bool {
        !self.taken.contains(&index) && !self.failed.iter().any(|(failed, _)| *failed == index)
    }

    /// Computes a part here, unless somebody else does; says whether it is done, else it was stopped. Where somebody decodes the
    /// samples just now, that is waited for.
    fn compute(&self, part: &Part<'_>, context: &mut Context<'_>) -> Result<bool, RunError> {
        if context.stop.load(Ordering::SeqCst) {
            return Ok(false);
        }
        let _claimed = Folder::claim(&part.place())?;
        // Somebody else may just have done it.
        if self.account.is_done(part) {
            return Ok(true);
        }
        let mut is_told = false;
        loop {
            match self.account.compute(part, context) {
                Err(RunError::Data(DataError::Locked { path, holder })) => {
                    if !std::mem::replace(&mut is_told, true) {
                        context.observer.notice(&Event::Waiting { cache: &path, holder: &holder });
                    }
                    if !wait(context) {
                        return Ok(false);
                    }
                }
                computed => return computed,
            }
        }
    }

    /// Tries every part that is left here, in their order. Says whether any of them was not others'; `None` if it was
    /// stopped.
    fn round_here(&mut self, left: &[usize], context: &mut Context<'_>) -> Result<Option<bool>, RunError> {
        let parts = self.parts;
        let mut is_moving = false;
        for &index in left {
            if !self.is_left(index) {
                continue;
            }
            match self.compute(&parts[index], context) {
                Ok(false) => return Ok(None),
                Ok(true) => {
                    is_moving = true;
                    if !self.take_done(context, &|_| true)? {
                        return Ok(None);
                    }
                }
                Err(fault) => is_moving |= self.pass(index, fault, context),
            }
        }
        Ok(Some(is_moving))
    }

    /// The same, elsewhere and several at a time.
    fn round_beside(
        &mut self,
        left: &[usize],
        beside: &Beside<'_>,
        context: &mut Context<'_>,
    ) -> Result<Option<bool>, RunError> {
        let (parts, next, halted, stop) = (self.parts, AtomicUsize::new(0), AtomicBool::new(false), context.stop);
        let (mut is_moving, mut is_stopped, mut fault) = (false, false, None);
        thread::scope(|scope| {
            let (sender, receiver) = mpsc::channel();
            for worker in 0..beside.count.get().min(left.len()) {
                let (sender, next, halted) = (sender.clone(), &next, &halted);
                let works = move || {
                    while let Some(&index) = left.get(next.fetch_add(1, Ordering::SeqCst)) {
                        // The receiver lives as long as the scope.
                        let _ = sender.send((index, None));
                        let computed = match stop.load(Ordering::SeqCst) || halted.load(Ordering::SeqCst) {
                            true => Ok(Computed::Stopped),
                            false => (beside.compute)(&parts[index].method.name, parts[index].seed),
                        };
                        let _ = sender.send((index, Some(computed)));
                    }
                };
                if let Err(source) = begin_within(scope, "part", works) {
                    // With fewer it only takes longer.
                    fault = (worker == 0).then(|| DataError::Thread { source }.into());
                    break;
                }
            }
            drop(sender);
            for (index, computed) in receiver {
                match computed {
                    None if !stop.load(Ordering::SeqCst) => parts[index].tell(parts[index].first_missing(), context),
                    None => {}
                    Some(Ok(Computed::Stopped)) => is_stopped = true,
                    Some(Ok(Computed::Held)) => {
                        self.pass(index, busy(&parts[index].place()), context);
                    }
                    Some(Ok(Computed::Done)) => {
                        is_moving = true;
                        match self.take_done(context, &|_| true) {
                            Ok(is_taken) => is_stopped |= !is_taken,
                            // What cannot be written is no part's fault.
                            Err(error) => {
                                halted.store(true, Ordering::SeqCst);
                                fault.get_or_insert(error);
                            }
                        }
                    }
                    Some(Err(error)) => is_moving |= self.pass(index, error, context),
                }
            }
        });
        match fault {
            Some(fault) => Err(fault),
            None => Ok(if is_stopped { None } else { Some(is_moving) }),
        }
    }

    /// Leaves a part to those who do it, or, if that is not the fault, for another time, which it says.
    fn pass(&mut self, index: usize, fault: RunError, context: &mut Context<'_>) -> bool {
        let has_failed = !fault.is_busy();
        if has_failed || self.held.insert(index) {
            let Part { method, seed, .. } = &self.parts[index];
            context.observer.notice(&Event::Passed { method: &method.name, seed: *seed, fault: &fault });
        }
        if has_failed {
            self.failed.push((index, fault));
        }
        has_failed
    }

    /// Takes what is done by anybody into the account, tells of those that are `told`, and writes down what it comes to; says
    /// whether it could, else it was stopped.
    fn take_done(&mut self, context: &mut Context<'_>, told: &dyn Fn(usize) -> bool) -> Result<bool, RunError> {
        // First without keeping the others waiting.
        if !self.take_new(context, told)? {
            return Ok(false);
        }
        if self.taken.is_empty() && !self.parts.is_empty() {
            return Ok(true);
        }
        let place = Folder::claim_in_turn(self.folder)?;
        // Whoever wrote before did so with no more than is there now.
        let is_whole = self.take_new(context, told)?;
        self.account.write(&place)?;
        Ok(is_whole)
    }

    fn take_new(&mut self, context: &mut Context<'_>, told: &dyn Fn(usize) -> bool) -> Result<bool, RunError> {
        let parts = self.parts;
        for (index, part) in parts.iter().enumerate() {
            if !self.is_left(index) || !self.account.is_done(part) {
                continue;
            }
            match self.account.take(part, context) {
                Ok(false) => return Ok(false),
                Ok(true) => {
                    self.taken.insert(index);
                    if told(index) {
                        let is_missing = |index: &usize| self.is_left(*index) && !self.account.is_done(&parts[*index]);
                        let missing: Vec<_> = (0..parts.len()).filter(is_missing).map(|index| &parts[index]).collect();
                        self.account.tell(part, &missing, context);
                    }
                }
                Err(fault) => {
                    self.pass(index, fault, context);
                }
            }
        }
        Ok(true)
    }

    fn conclude(mut self) -> Result<Completion<A::Report>, RunError> {
        if !self.failed.is_empty() {
            self.failed.sort_by_key(|(index, _)| *index);
            let failed = self.failed.into_iter().map(|(index, fault)| (self.parts[index].label(), fault)).collect();
            return Err(RunError::Parts { failed, all: self.parts.len() });
        }
        Ok(match self.parts.len() - self.taken.len() {
            0 => Completion::Whole(Box::new(self.account.report())),
            others => Completion::Others(others),
        })
    }

    /// The parts, and where each stands.
    pub(super) fn list(&self) -> Vec<Listed> {
        let listed = |(number, part): (usize, &Part<'_>)| {
            let next = (!self.account.is_done(part)).then(|| part.first_missing());
            Listed {
                part: number,
                method: part.method.name.clone(),
                seed: part.seed,
                next,
                by: next.and_then(|_| worker(&part.place())),
            }
        };
        self.parts.iter().enumerate().map(listed).collect()
    }
}

/// Waits a moment; says whether it was not stopped meanwhile.
fn wait(context: &Context<'_>) -> bool {
    let end = Instant::now() + PAUSE;
    while Instant::now() < end {
        if context.stop.load(Ordering::SeqCst) {
            return false;
        }
        thread::sleep(Duration::from_millis(50));
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::{Comparison, Method};
    use crate::device;
    use crate::recipe::Recipe;
    use crate::run::Observer;
    use std::cell::RefCell;

    /// Notes which parts are computed, of which some are done from the beginning. The first look at the samples finds them being
    /// decoded.
    #[derive(Default)]
    struct Notes {
        done: RefCell<BTreeSet<String>>,
        computed: RefCell<Vec<String>>,
        is_decoded: RefCell<bool>,
    }

    impl Account for &Notes {
        type Report = usize;

        fn is_done(&self, part: &Part<'_>) -> bool {
            self.done.borrow().contains(&part.label())
        }

        fn compute(&self, part: &Part<'_>, _: &mut Context<'_>) -> Result<bool, RunError> {
            if !self.is_decoded.replace(true) {
                let fault = DataError::Locked { path: "cache".into(), holder: "process 7".to_owned() };
                return Err(fault.into());
            }
            self.computed.borrow_mut().push(part.label());
            if part.label() == "das:2" {
                return Err(RunError::Setting { key: "das", message: "cannot be".to_owned() });
            }
            self.done.borrow_mut().insert(part.label());
            Ok(true)
        }

        fn take(&mut self, part: &Part<'_>, _: &mut Context<'_>) -> Result<bool, RunError> {
            assert!(self.is_done(part));
            Ok(true)
        }

        fn tell(&self, _: &Part<'_>, _: &[&Part<'_>], _: &mut Context<'_>) {}

        fn report(&self) -> usize {
            self.done.borrow().len()
        }

        fn write(&self, place: &Folder) -> Result<(), RunError> {
            place.write("count", self.report().to_string().as_bytes())
        }
    }

    /// What was told.
    #[derive(Default)]
    struct Told(Vec<String>);

    impl Observer for Told {
        fn notice(&mut self, event: &Event<'_>) {
            match event {
                Event::Waiting { cache, holder } => self.0.push(format!("{holder} writes {}", cache.display())),
                Event::Passed { method, seed, fault } => self.0.push(format!("{method}:{seed}: {fault}")),
                _ => {}
            }
        }
    }

    fn run(share: Share, folder: &Path, notes: &Notes) -> (Result<Completion<usize>, RunError>, Vec<String>) {
        let recipe = Recipe::resolve("shapes", &[]).unwrap();
        let methods = ["sdas", "das"].map(|name| Method::resolve(name, &recipe).unwrap()).to_vec();
        let comparison = Comparison::new(recipe, methods, 2).unwrap();
        let (mut told, stop) = (Told::default(), AtomicBool::new(false));
        let mut context = Context { device: device::choose("cpu").unwrap(), observer: &mut told, stop: &stop };
        let parts = comparison.parts(folder).unwrap();
        (Work::new(&parts, folder, None, notes).run(share, &mut context), told.0)
    }

    #[test]
    fn what_others_do_is_left_to_them_and_what_fails_keeps_nothing_from_being_done() {
        let place = tempfile::tempdir().unwrap();
        let notes = Notes::default();
        notes.done.borrow_mut().insert("sdas:1".to_owned());
        std::fs::create_dir_all(place.path().join("das/seed1")).unwrap();
        let other = Folder::claim(&place.path().join("das/seed1")).unwrap();
        let (ended, told) = run(Share::Left, place.path(), &notes);
        assert_eq!(*notes.computed.borrow(), ["sdas:2", "das:2"]);
        let Err(RunError::Parts { failed, all: 4 }) = ended else { panic!("{ended:?}") };
        assert_eq!(failed.iter().map(|(part, _)| part.as_str()).collect::<Vec<_>>(), ["das:2"]);
        assert_eq!(told.len(), 3, "{told:?}");
        assert!(told[0].starts_with("das:1: process ") && told[1] == "process 7 writes cache", "{told:?}");
        assert!(told[2].starts_with("das:2: das: cannot be"), "{told:?}");
        assert_eq!(std::fs::read_to_string(place.path().join("count")).unwrap(), "2");

        assert!(matches!(run(Share::One(1), place.path(), &notes).0, Err(RunError::Busy { .. })));
        drop(other);
        let (ended, _) = run(Share::One(1), place.path(), &notes);
        assert_eq!(ended.unwrap(), Completion::Others(1), "das:2 may be tried by others");
        notes.done.borrow_mut().insert("das:2".to_owned());
        assert_eq!(run(Share::All, place.path(), &notes).0.unwrap(), Completion::Whole(Box::new(4)));
        assert_eq!(*notes.computed.borrow(), ["sdas:2", "das:2", "das:1"]);
    }
}
