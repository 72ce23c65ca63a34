//! MPI, OpenMPI's or another, as what leads from rank to rank: messages from each to each, waited for no longer than allowed.

use super::threads;
use crate::display::{QUIET, speak};
use crate::{FAILED, PANICKED};
use mpi::Threading;
use mpi::collective::CommunicatorCollectives;
use mpi::environment::Universe;
use mpi::point_to_point::{Destination, Source};
use mpi::request::scope;
use mpi::topology::{Communicator, SimpleCommunicator};
use sdas::run::{Link, RankError, Ranks, Wait};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// How many times as long as for a step is waited for another's data: it may have to be decoded first.
const LOADING: u32 = 24;

/// What a rank waits more than the first, which knows better who is missing, and then than the ranks before it.
const GRACE: Duration = Duration::from_secs(4);

/// MPI, as long as this process takes part.
pub(crate) struct Mpi {
    rank: usize,
    count: usize,
    /// Among those on this machine.
    local: SimpleCommunicator,
    patience: Duration,
    /// Last, since nothing of MPI may outlive it.
    _universe: Universe,
}

struct World {
    rank: usize,
    count: usize,
    local_rank: usize,
    patience: Duration,
}

impl Mpi {
    /// Joins; nobody is waited for longer than so many seconds.
    pub(crate) fn start(patience: u64) -> Option<Mpi> {
        // One thread at a time, which need not be the first.
        let (universe, _) = mpi::initialize_with_threading(Threading::Serialized)?;
        let world = universe.world();
        let (rank, count) = (world.rank() as usize, world.size() as usize);
        let local = world.split_shared(world.rank());
        Some(Mpi { rank, count, local, patience: Duration::from_secs(patience), _universe: universe })
    }

    pub(crate) fn count(&self) -> usize {
        self.count
    }

    /// The ranks that it leads to.
    pub(crate) fn ranks(&self) -> Ranks {
        let Mpi { rank, count, patience, .. } = *self;
        Ranks::new(Arc::new(World { rank, count, local_rank: self.local.rank() as usize, patience }))
    }

    /// How many threads are this rank's share of the machine's.
    pub(crate) fn threads(&self) -> usize {
        let own = threads::allowed();
        let mut all = vec![0u8; own.len() * self.local.size() as usize];
        self.local.all_gather_into(&own[..], &mut all[..]);
        threads::share(&own, &all)
    }

    /// Ends all ranks at once.
    pub(crate) fn abort(&self, code: u8) -> ! {
        end_all(code)
    }
}

fn end_all(code: u8) -> ! {
    // All has been said: the launcher's signal is not.
    QUIET.store(true, Ordering::SeqCst);
    SimpleCommunicator::world().abort(code.into())
}

impl Drop for Mpi {
    fn drop(&mut self) {
        // Others would wait for this one to leave together with them.
        if std::thread::panicking() {
            self.abort(PANICKED);
        }
    }
}

impl World {
    /// Says who is missing and ends all ranks: what has been begun with MPI cannot be taken back.
    fn give_up(&self, missing: usize, waited: Duration) -> ! {
        let error = RankError::Silent { rank: missing, seconds: waited.as_secs() };
        speak(&format!("error: rank {} of {}: {error}", self.rank, self.count));
        end_all(FAILED)
    }
}

impl Link for World {
    fn rank(&self) -> usize {
        self.rank
    }

    fn count(&self) -> usize {
        self.count
    }

    fn local_rank(&self) -> usize {
        self.local_rank
    }

    fn exchange(&self, sent: &[&[u8]], received: &mut [&mut [u8]], wait: Wait) -> Result<(), RankError> {
        let patience = match wait {
            Wait::Step => self.patience,
            Wait::Loading => self.patience * LOADING,
        };
        let patience =
            patience + if self.rank == 0 { Duration::ZERO } else { GRACE + Duration::from_secs(self.rank as u64) };
        let world = SimpleCommunicator::world();
        let others = |rank: &usize| *rank != self.rank;
        scope(|scope| {
            let mut open = Vec::with_capacity(2 * self.count);
            for (rank, buffer) in received.iter_mut().enumerate().filter(|(rank, _)| others(rank)) {
                let from = world.process_at_rank(rank as i32);
                open.push((rank, from.immediate_receive_into(scope, &mut **buffer)));
            }
            for (rank, buffer) in sent.iter().enumerate().filter(|(rank, _)| others(rank)) {
                open.push((rank, world.process_at_rank(rank as i32).immediate_send(scope, *buffer)));
            }
            let (start, mut rounds) = (Instant::now(), 0u32);
            loop {
                open = open.into_iter().filter_map(|(rank, request)| Some((rank, request.test().err()?))).collect();
                let Some((rank, _)) = open.first() else { return Ok(()) };
                if start.elapsed() > patience {
                    self.give_up(*rank, patience);
                }
                rounds += 1;
                // Soon it is worth more to let others have the core.
                if rounds < 2000 { std::thread::yield_now() } else { std::thread::sleep(Duration::from_micros(50)) }
            }
        })
    }
}
