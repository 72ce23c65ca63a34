//! Several processes of this program that share a run, as `mpirun` and `srun` start them.

#[cfg(feature = "mpi")]
mod mpi;
#[cfg(feature = "mpi")]
mod threads;

use crate::arguments::Command;
#[cfg(feature = "mpi")]
use crate::arguments::{RunArguments, SearchArguments, TrainArguments};
use crate::display::QUIET;
use sdas::run::{RankError, Ranks, RunError};
use std::process::ExitCode;
use std::sync::atomic::Ordering;

/// By what launchers say to a process how many they have started with it, and which of them it is: OpenMPI, MPICH and those after
/// it, MVAPICH, Slurm's `srun`.
const LAUNCHERS: [[&str; 2]; 4] = [
    ["OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK"],
    ["PMI_SIZE", "PMI_RANK"],
    ["MV2_COMM_WORLD_SIZE", "MV2_COMM_WORLD_RANK"],
    ["SLURM_STEP_NUM_TASKS", "SLURM_PROCID"],
];

/// What a launcher has told this process.
#[derive(Debug, PartialEq, Eq)]
struct Launched {
    count: usize,
    rank: usize,
    /// Which variable has the count.
    variable: &'static str,
}

/// This process among those that share its run.
pub(crate) struct Session {
    pub(crate) ranks: Ranks,
    /// How many threads it is to have; 0: what there are cores for, or what `RAYON_NUM_THREADS` says.
    pub(crate) threads: usize,
    #[cfg(feature = "mpi")]
    mpi: Option<mpi::Mpi>,
}

/// Why a process cannot share a run.
#[derive(Debug, thiserror::Error)]
pub(crate) enum JoinError {
    #[cfg(not(feature = "mpi"))]
    #[error(
        "{count} processes were started for one run ({variable} says so), and this build cannot share it\n  remedy: build with MPI: \
         cargo build --release --features mpi; or start one"
    )]
    NotBuilt { count: usize, variable: &'static str },
    #[cfg(feature = "mpi")]
    #[error(
        "{count} processes were started for one run ({variable} says so), but MPI knows of {known}\n  remedy: start them by the \
         mpirun of the MPI that this program was built with, or by srun --mpi=pmix"
    )]
    Other { count: usize, variable: &'static str, known: usize },
    #[cfg(feature = "mpi")]
    #[error("MPI does not start; see what it says above")]
    NoMpi,
}

/// What a launcher has told this process, if it has started others with it.
fn launched(variable: impl Fn(&str) -> Option<String>) -> Option<Launched> {
    let number = |name: &str| variable(name)?.trim().parse::<usize>().ok();
    let told = |[variable, rank]: [&'static str; 2]| {
        Some(Launched { count: number(variable)?, rank: number(rank).unwrap_or(0), variable })
    };
    LAUNCHERS.into_iter().filter_map(told).find(|launched| launched.count > 1)
}

/// An error that more than one rank knows of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// Another's.
    Failed,
    /// All have the same.
    Common,
}

fn fault(error: &anyhow::Error) -> Option<Fault> {
    let of_ranks = |error: &RankError| match error {
        RankError::Failed { .. } => Some(Fault::Failed),
        RankError::Differs { .. } => Some(Fault::Common),
        RankError::Silent { .. } | RankError::Gone { .. } => None,
    };
    match error.downcast_ref() {
        Some(RunError::Rank(error)) => of_ranks(error),
        Some(RunError::NotFinite { .. }) => Some(Fault::Common),
        Some(_) => None,
        None => error.downcast_ref().and_then(of_ranks),
    }
}

impl Session {
    /// Joins the others that share the command's run, if it is one that is shared and there are any.
    pub(crate) fn join(command: &Command) -> Result<Session, JoinError> {
        let alone = Session {
            ranks: Ranks::alone(),
            threads: 0,
            #[cfg(feature = "mpi")]
            mpi: None,
        };
        let is_shared = matches!(command, Command::Search(_) | Command::Train(_));
        let Some(Launched { count, rank, variable }) = launched(|name| std::env::var(name).ok()).filter(|_| is_shared)
        else {
            return Ok(alone);
        };
        QUIET.store(rank > 0, Ordering::SeqCst);
        #[cfg(not(feature = "mpi"))]
        return Err(JoinError::NotBuilt { count, variable });
        #[cfg(feature = "mpi")]
        {
            let (Command::Search(SearchArguments { run, .. }) | Command::Train(TrainArguments { run, .. })) = command
            else {
                return Ok(alone);
            };
            let RunArguments { rank_timeout, .. } = run;
            let mpi = mpi::Mpi::start(*rank_timeout).ok_or(JoinError::NoMpi)?;
            let (ranks, known) = (mpi.ranks(), mpi.count());
            if known != count {
                return Err(JoinError::Other { count, variable, known });
            }
            let threads = if std::env::var_os("RAYON_NUM_THREADS").is_some() { 0 } else { mpi.threads() };
            Ok(Session { ranks, threads, mpi: Some(mpi) })
        }
    }

    /// Whether this rank is the one that says what has gone wrong.
    fn speaks(&self, error: &anyhow::Error) -> bool {
        match fault(error) {
            // That one says why.
            Some(Fault::Failed) => false,
            Some(Fault::Common) => self.ranks.is_first(),
            None => true,
        }
    }

    /// What is said of an error; nothing where another rank says it.
    pub(crate) fn words(&self, error: &anyhow::Error, message: String) -> Option<String> {
        self.speaks(error).then(|| match self.ranks.is_alone() {
            true => message,
            false => format!("rank {} of {}: {message}", self.ranks.rank(), self.ranks.count()),
        })
    }

    /// Leaves after an error: together with the others, if they know of it; otherwise they are ended.
    pub(crate) fn leave(self, error: &anyhow::Error, code: u8) -> ExitCode {
        #[cfg(feature = "mpi")]
        if let Some(mpi) = &self.mpi
            && !self.ranks.are_told()
            && fault(error) != Some(Fault::Common)
        {
            mpi.abort(code);
        }
        let _ = error;
        ExitCode::from(code)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn launchers_say_how_many_there_are() {
        let of = |set: &[(&str, &str)]| {
            let value = |name: &str| set.iter().find(|(own, _)| *own == name).map(|(_, value)| value.to_string());
            launched(value).map(|Launched { count, rank, variable }| (count, rank, variable))
        };
        assert_eq!(of(&[]), None);
        assert_eq!(of(&[("OMPI_COMM_WORLD_SIZE", "1")]), None);
        let open_mpi = [("OMPI_COMM_WORLD_SIZE", "4"), ("OMPI_COMM_WORLD_RANK", "3")];
        assert_eq!(of(&open_mpi), Some((4, 3, "OMPI_COMM_WORLD_SIZE")));
        // mpirun within a job whose batch script is one task.
        assert_eq!(of(&[("SLURM_NTASKS", "8"), ("PMI_SIZE", "2"), ("PMI_RANK", "0")]), Some((2, 0, "PMI_SIZE")));
        assert_eq!(of(&[("SLURM_NTASKS", "8"), ("SLURM_PROCID", "0")]), None);
        assert_eq!(of(&[("SLURM_STEP_NUM_TASKS", "8"), ("SLURM_PROCID", "5")]), Some((8, 5, "SLURM_STEP_NUM_TASKS")));
    }
}
