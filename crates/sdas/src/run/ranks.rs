//! The processes that share a run, each a *rank*: a rank has a share of every batch, and all come to the same numbers.
//!
//! Sums are added up in the order of the ranks, so that they depend on nothing but how many there are: not on how numbers
//! travel, nor on who is first. Once a sum has failed nothing more is exchanged, and its numbers are worth nothing; whoever
//! goes on has to ask [`Ranks::check`] first.

use super::RunError;
use crate::batch::Tally;
use crate::parameters::Parameters;
use burn::tensor::{Tensor, Transaction};
use sdas_data::{Part, Share};
use sdas_kernels::{Others, Together};
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// How messages come from one rank to another.
pub trait Link: Send + Sync {
    /// Its own number, from 0.
    fn rank(&self) -> usize;

    /// How many there are.
    fn count(&self) -> usize;

    /// Its number among those on the same machine, from 0.
    fn local_rank(&self) -> usize;

    /// Sends `sent[r]` to every other rank r and fills `received[r]` with what that sends here, whose length is known. All
    /// ranks do so together; what is there for itself stays as it is.
    ///
    /// # Errors
    ///
    /// If another has gone or does not answer within what `wait` allows.
    fn exchange(&self, sent: &[&[u8]], received: &mut [&mut [u8]], wait: Wait) -> Result<(), RankError>;
}

/// What is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// What all do at the same time.
    Step,
    /// That another is done with its data, which may have to be decoded first.
    Loading,
}

/// What can go wrong between ranks.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum RankError {
    /// One does not answer.
    #[error(
        "rank {rank} has not answered for {seconds} s; what was written before stays valid\n  remedy: look what it waits for, then \
         go on by --resume; where it was only slow, allow more by --rank-timeout"
    )]
    Silent {
        /// Which.
        rank: usize,
        /// How long it was waited for.
        seconds: u64,
    },
    /// One has ended.
    #[error("rank {rank} has ended before the run; what was written before stays valid: go on by --resume")]
    Gone {
        /// Which.
        rank: usize,
    },
    /// One has failed, and says so itself.
    #[error("rank {rank} has failed")]
    Failed {
        /// Which.
        rank: usize,
    },
    /// They are not about to do the same.
    #[error(
        "{what} is {first} on rank 0, but {other} on rank {rank}\n  remedy: start the same program with the same recipe and data on \
         every rank"
    )]
    Differs {
        /// The first that differs.
        rank: usize,
        /// In what.
        what: String,
        /// On rank 0.
        first: String,
        /// On that rank.
        other: String,
    },
}

/// Numbers that are summed over ranks.
pub(crate) trait Number: Copy + std::ops::Add<Output = Self> {
    /// Bytes of one.
    const BYTES: usize;

    fn write(self, to: &mut [u8]);

    fn read(from: &[u8]) -> Self;
}

macro_rules! number {
    ($float:ty) => {
        impl Number for $float {
            const BYTES: usize = size_of::<$float>();

            fn write(self, to: &mut [u8]) {
                to.copy_from_slice(&self.to_le_bytes());
            }

            fn read(from: &[u8]) -> Self {
                <$float>::from_le_bytes(from.try_into().expect("the bytes of one"))
            }
        }
    };
}

number!(f32);
number!(f64);

/// Sums of so many bytes on all ranks together are made by everyone for himself: one message instead of two.
const SMALL: usize = 1 << 16;

/// The ranks of a run, as one of them sees them.
#[derive(Clone, Default)]
pub struct Ranks {
    link: Option<Arc<dyn Link>>,
    /// Whether norms go by the samples of all.
    sync_norm: bool,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    fault: Mutex<Option<RankError>>,
    /// Whether this one was asked to stop.
    asked: AtomicBool,
    /// Whether any was, which all know after the same step.
    stops: AtomicBool,
    /// Whether all know that the run ends here.
    told: AtomicBool,
}

impl fmt::Debug for Ranks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ranks({} of {})", self.rank(), self.count())
    }
}

impl Ranks {
    /// One rank, which has all of every batch.
    pub fn alone() -> Self {
        Ranks::default()
    }

    /// Those that a link leads to.
    pub fn new(link: Arc<dyn Link>) -> Self {
        Ranks { link: (link.count() > 1).then_some(link), ..Ranks::default() }
    }

    /// The same, with norms by the samples of all ranks, or of each by itself.
    pub(crate) fn with_sync_norm(self, sync_norm: bool) -> Self {
        Ranks { sync_norm, ..self }
    }

    /// The number of this one, from 0.
    pub fn rank(&self) -> usize {
        self.link.as_ref().map_or(0, |link| link.rank())
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.link.as_ref().map_or(1, |link| link.count())
    }

    /// Whether there is no other.
    pub fn is_alone(&self) -> bool {
        self.link.is_none()
    }

    /// Whether it is the one that writes and speaks.
    pub fn is_first(&self) -> bool {
        self.rank() == 0
    }

    /// Its number among those on the same machine, from 0.
    pub fn local_rank(&self) -> usize {
        self.link.as_ref().map_or(0, |link| link.local_rank())
    }

    /// Whether all know that the run ends by an error: nobody waits for anybody.
    pub fn are_told(&self) -> bool {
        self.shared.told.load(Ordering::SeqCst)
    }

    fn tell(&self) {
        self.shared.told.store(true, Ordering::SeqCst);
    }

    /// Its share of every batch.
    pub(crate) fn share(&self) -> Share {
        Share { number: self.rank(), of: self.count() }
    }

    /// The same fault for everyone who asks, once there is one.
    pub(crate) fn check(&self) -> Result<(), RankError> {
        self.fault().as_ref().map_or(Ok(()), |fault| Err(fault.clone()))
    }

    fn fault(&self) -> std::sync::MutexGuard<'_, Option<RankError>> {
        self.shared.fault.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the norms of a pass over a part of a batch go by, where that is more than the part.
    pub(crate) fn together(&self, part: Part) -> Option<Together> {
        let others: Arc<dyn Others> = Arc::new(self.clone());
        (self.sync_norm && !self.is_alone()).then_some(Together { samples: part.of, others })
    }

    /// Whether to stop: with several, what any of them was asked before the last step, so that all stop after the same.
    pub(crate) fn stops(&self, stop: &AtomicBool) -> bool {
        let asked = stop.load(Ordering::SeqCst);
        if self.is_alone() {
            return asked;
        }
        self.shared.asked.store(asked, Ordering::SeqCst);
        self.shared.stops.load(Ordering::SeqCst)
    }

    /// Adds numbers up over all ranks, in place.
    pub(crate) fn sum<T: Number>(&self, numbers: &mut [T]) {
        let Some(link) = &self.link else { return };
        let mut fault = self.fault();
        if fault.is_none() {
            *fault = sum(&**link, numbers).err();
        }
    }

    /// Adds up the accounts of all.
    pub(crate) fn sum_tally(&self, tally: &mut Tally) {
        if self.is_alone() {
            return;
        }
        let mut numbers = self.numbers_of(tally);
        self.sum(&mut numbers);
        *tally = self.tally_of(numbers);
    }

    /// An account, and whether this rank was asked to stop.
    fn numbers_of(&self, tally: &Tally) -> [f64; 5] {
        let Tally { count, loss, top1, top5 } = *tally;
        [loss, count as f64, top1 as f64, top5 as f64, f64::from(self.shared.asked.load(Ordering::SeqCst))]
    }

    /// The account of all; notes whether any was asked to stop.
    fn tally_of(&self, [loss, count, top1, top5, asked]: [f64; 5]) -> Tally {
        if asked > 0.0 {
            self.shared.stops.store(true, Ordering::SeqCst);
        }
        Tally { loss, count: count as usize, top1: top1 as usize, top5: top5 as usize }
    }

    /// Adds up α's gradients and the accounts that belong to them.
    pub(crate) fn sum_alpha<'a>(&self, gradients: impl Iterator<Item = &'a mut f64>, tally: &mut Tally) {
        if self.is_alone() {
            return;
        }
        let gradients: Vec<&mut f64> = gradients.collect();
        let mut flat: Vec<f64> = gradients.iter().map(|gradient| **gradient).chain(self.numbers_of(tally)).collect();
        self.sum(&mut flat);
        let account = flat.split_off(gradients.len());
        gradients.into_iter().zip(flat).for_each(|(gradient, sum)| *gradient = sum);
        *tally = self.tally_of(account.try_into().expect("as many as were put in"));
    }

    /// Adds up gradients.
    pub(crate) fn sum_gradients(&self, gradients: Parameters) -> Parameters {
        if self.is_alone() {
            return gradients;
        }
        let mut flat = values(&gradients.tensors());
        self.sum(&mut flat);
        let mut flat = flat.into_iter();
        gradients.map(|tensor| placed(&mut flat, tensor))
    }

    /// Adds up what a step of the weights comes to, by one message: gradients, which are shares of that of the whole batch;
    /// running statistics, of which all ranks have the mean, by their samples' `share` in the batch; the accounts.
    pub(crate) fn sum_step(
        &self,
        [gradients, statistics]: [Parameters; 2],
        share: f64,
        tally: Tally,
    ) -> ([Parameters; 2], Tally) {
        let tensors: Vec<_> = gradients.tensors().into_iter().chain(statistics.tensors()).collect();
        let mut flat = values(&tensors);
        flat[gradients.count()..].iter_mut().for_each(|statistic| *statistic *= share as f32);
        flat.extend(self.numbers_of(&tally).map(|number| number as f32));
        self.sum(&mut flat);
        let account = flat.split_off(gradients.count() + statistics.count());
        let account: Vec<f64> = account.into_iter().map(f64::from).collect();
        let tally = self.tally_of(account.try_into().expect("as many as were put in"));
        let mut flat = flat.into_iter();
        let summed = [gradients, statistics].map(|parameters| parameters.map(|tensor| placed(&mut flat, tensor)));
        (summed, tally)
    }

    /// Sees to it that all have the same values, by name, in the same order.
    pub(crate) fn compare(&self, values: &[(String, String)]) -> Result<(), RankError> {
        let Some(link) = &self.link else { return Ok(()) };
        let line = |(what, value): &(String, String)| format!("{what}\t{}\n", value.replace(['\t', '\n'], " "));
        let text: String = values.iter().map(line).collect();
        let texts = hear(&**link, &text)?;
        let lines = |text: &str| -> Vec<(String, String)> {
            let line = |line: &str| line.split_once('\t').map(|(what, value)| (what.to_owned(), value.to_owned()));
            text.lines().filter_map(line).collect()
        };
        let first = lines(&texts[0]);
        for (rank, text) in texts.iter().enumerate().filter(|(_, text)| **text != texts[0]) {
            let other = lines(text);
            let of = |values: &[(String, String)], what: &str| {
                values.iter().find(|(name, _)| name == what).map_or("not said".to_owned(), |(_, value)| value.clone())
            };
            let names = first.iter().chain(&other).map(|(what, _)| what);
            let mut pairs = names.map(|what| (what, of(&first, what), of(&other, what)));
            if let Some((what, first, other)) = pairs.find(|(_, first, other)| first != other) {
                self.tell();
                return Err(RankError::Differs { rank, what: what.clone(), first, other });
            }
        }
        Ok(())
    }

    /// Does something that may fail, on all ranks; where it fails on any, all leave, and the first of those has its error.
    ///
    /// # Errors
    ///
    /// That, or [`RankError::Failed`], or whatever keeps ranks from hearing of one another.
    pub fn all<T, E: From<RankError>>(&self, wait: Wait, make: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
        let made = make();
        let Some(link) = &self.link else { return made };
        let failed = gather(&**link, &[u8::from(made.is_err())], &vec![1; link.count()], wait)?;
        let first = failed.iter().position(|failed| failed[0] == 1);
        if first.is_some() {
            self.tell();
        }
        match (first, made) {
            (Some(rank), Err(error)) if rank == self.rank() => Err(error),
            (Some(rank), _) => Err(RankError::Failed { rank }.into()),
            (None, made) => made,
        }
    }

    /// Does something that may write where others look: rank 0 first, then the first on every other machine, then the rest.
    pub(crate) fn in_turn<T>(&self, make: impl FnOnce() -> Result<T, RunError>) -> Result<T, RunError> {
        let Some(link) = &self.link else { return make() };
        let turn = match (self.rank(), link.local_rank()) {
            (0, _) => 0,
            (_, 0) => 1,
            _ => 2,
        };
        let (mut make, mut made) = (Some(make), None);
        for now in 0..3 {
            let make = make.take_if(|_| now == turn);
            let done = self.all(Wait::Loading, || make.map(|make| make()).transpose())?;
            made = made.or(done);
        }
        Ok(made.expect("every rank has a turn"))
    }
}

/// In norms: numbers are worth nothing once there is a fault.
impl Others for Ranks {
    fn sum(&self, numbers: &mut [f64]) {
        Ranks::sum(self, numbers);
    }
}

/// Each rank adds up a part of the numbers, in the order of the ranks, and all hand their parts on; where they are few, each
/// adds up all of them.
fn sum<T: Number>(link: &dyn Link, numbers: &mut [T]) -> Result<(), RankError> {
    let (own, count) = (link.rank(), link.count());
    let mut bytes = vec![0; numbers.len() * T::BYTES];
    numbers.iter().zip(bytes.chunks_exact_mut(T::BYTES)).for_each(|(number, to)| number.write(to));
    let add = |numbers: &mut [T], received: &[Vec<u8>], own_bytes: &[u8]| {
        for rank in 0..count {
            let from = if rank == own { own_bytes } else { &received[rank] };
            let terms = from.chunks_exact(T::BYTES).map(T::read);
            match rank {
                0 => numbers.iter_mut().zip(terms).for_each(|(number, term)| *number = term),
                _ => numbers.iter_mut().zip(terms).for_each(|(number, term)| *number = *number + term),
            }
        }
    };
    if bytes.len() * count <= SMALL {
        let received = gather(link, &bytes, &vec![bytes.len(); count], Wait::Step)?;
        add(numbers, &received, &bytes);
        return Ok(());
    }
    let length = numbers.len();
    let part = |rank: usize| Share { number: rank, of: count }.range(length);
    let in_bytes = |rank: usize| part(rank).start * T::BYTES..part(rank).end * T::BYTES;
    let mut received: Vec<Vec<u8>> =
        (0..count).map(|rank| vec![0; if rank == own { 0 } else { in_bytes(own).len() }]).collect();
    let sent: Vec<&[u8]> = (0..count).map(|rank| &bytes[in_bytes(rank)]).collect();
    link.exchange(&sent, &mut received.iter_mut().map(|bytes| &mut bytes[..]).collect::<Vec<_>>(), Wait::Step)?;
    let (own_part, own_bytes) = (part(own), in_bytes(own));
    add(&mut numbers[own_part.clone()], &received, &bytes[own_bytes.clone()]);
    let mut summed = vec![0; own_bytes.len()];
    numbers[own_part].iter().zip(summed.chunks_exact_mut(T::BYTES)).for_each(|(number, to)| number.write(to));
    let ranges: Vec<_> = (0..count).map(in_bytes).collect();
    let mut rest = &mut bytes[..];
    let mut parts = Vec::with_capacity(count);
    for range in &ranges {
        let (part, after) = std::mem::take(&mut rest).split_at_mut(range.len());
        parts.push(part);
        rest = after;
    }
    parts[own].copy_from_slice(&summed);
    link.exchange(&vec![&summed[..]; count], &mut parts, Wait::Step)?;
    numbers.iter_mut().zip(bytes.chunks_exact(T::BYTES)).for_each(|(number, from)| *number = T::read(from));
    Ok(())
}

/// The same to all, and what each has sent, of these lengths.
fn gather(link: &dyn Link, own: &[u8], lengths: &[usize], wait: Wait) -> Result<Vec<Vec<u8>>, RankError> {
    let mut received: Vec<Vec<u8>> = lengths.iter().map(|&length| vec![0; length]).collect();
    received[link.rank()].copy_from_slice(own);
    let sent = vec![own; link.count()];
    link.exchange(&sent, &mut received.iter_mut().map(|bytes| &mut bytes[..]).collect::<Vec<_>>(), wait)?;
    Ok(received)
}

/// What every rank has to say, by rank.
fn hear(link: &dyn Link, own: &str) -> Result<Vec<String>, RankError> {
    let lengths = gather(link, &(own.len() as u64).to_le_bytes(), &vec![size_of::<u64>(); link.count()], Wait::Step)?;
    let length = |bytes: &Vec<u8>| u64::from_le_bytes(bytes[..].try_into().expect("the bytes of one")) as usize;
    let lengths: Vec<usize> = lengths.iter().map(length).collect();
    let texts = gather(link, own.as_bytes(), &lengths, Wait::Step)?;
    Ok(texts.into_iter().map(|text| String::from_utf8_lossy(&text).into_owned()).collect())
}

/// The values of tensors, one after another, with one wait for their device.
fn values(tensors: &[Tensor<1>]) -> Vec<f32> {
    let read = tensors.iter().cloned().fold(Transaction::default(), Transaction::register).execute();
    let mut values = Vec::with_capacity(tensors.iter().map(|tensor| tensor.dims()[0]).sum());
    for data in read {
        let data = data.convert::<f32>();
        values.extend_from_slice(data.as_slice().expect("it has just been converted"));
    }
    values
}

/// The next values, as a tensor like another.
fn placed(values: &mut impl Iterator<Item = f32>, like: Tensor<1>) -> Tensor<1> {
    let [count] = like.dims();
    let values: Vec<f32> = values.take(count).collect();
    Tensor::from_data(burn::tensor::TensorData::new(values, [count]), (&like.device(), like.dtype()))
}

#[cfg(test)]
mod tests;
