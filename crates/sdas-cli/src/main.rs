//! The program `sdas`: searches, trains and evaluates networks for pictures and clips.

mod arguments;
mod commands;
mod display;
mod format;
mod interrupt;
mod ranks;

use arguments::Arguments;
use clap::Parser;
use commands::Outcome;
use ranks::Session;
use sdas::architecture::ArchitectureError;
use sdas::device::{Allocator, DeviceError};
use sdas::export::ExportError;
use sdas::genotype::GenotypeError;
use sdas::recipe::RecipeError;
use sdas::run::RunError;
use sdas::table::{ArchitectureError as BenchmarkError, TableError};
use sdas_data::DataError;
use sdas_data::fetch::FetchError;
use sdas_data::threads::begin;
use std::io;
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: Allocator = Allocator;

/// Something went wrong on the way.
pub(crate) const FAILED: u8 = 1;
/// A fault of ours; Rust uses the same code.
#[cfg(feature = "mpi")]
pub(crate) const PANICKED: u8 = 101;
/// Wrong usage or configuration; clap uses the same code.
const MISUSED: u8 = 2;
/// Another process is at what was asked for.
pub(crate) const BUSY: u8 = 3;
/// Stopped by Ctrl-C or a signal; the same command goes on.
pub(crate) const INTERRUPTED: u8 = 130;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let session = match Session::join(&arguments.command) {
        Ok(session) => session,
        Err(error) => {
            display::note(&format!("error: {error}"));
            return ExitCode::from(MISUSED);
        }
    };
    let pool = rayon::ThreadPoolBuilder::new().num_threads(session.threads);
    let pool = pool.spawn_handler(|thread| begin("computing", || thread.run()).map(drop));
    if let Err(error) = pool.build_global() {
        let remedy = "set RAYON_NUM_THREADS to less, or raise the limit of memory or processes (ulimit -v, ulimit -u)";
        display::note(&format!("error: cannot start the threads to compute with: {error}\n  remedy: {remedy}"));
        return ExitCode::from(FAILED);
    }
    // On a worker of the thread pool, so that starting parallel work never means waking another thread and waiting for it.
    match rayon::scope(|_| commands::dispatch(arguments.command, &session.ranks)) {
        Ok(Outcome::Done) => ExitCode::SUCCESS,
        Ok(Outcome::Interrupted) => ExitCode::from(INTERRUPTED),
        Err(error) if is_closed_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            if let Some(words) = session.words(&error, message(&error)) {
                display::speak(&format!("error: {words}"));
            }
            session.leave(&error, status(&error))
        }
    }
}

/// Every cause once: many errors repeat their cause in their own words.
fn message(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if text.is_empty() {
            text = cause;
        } else if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}

/// The status of an error.
fn status(error: &anyhow::Error) -> u8 {
    let is_busy = |cause: &(dyn std::error::Error + 'static)| {
        cause.downcast_ref().is_some_and(RunError::is_busy)
            || matches!(cause.downcast_ref(), Some(DataError::Locked { .. }))
            || matches!(cause.downcast_ref(), Some(FetchError::Busy { .. }))
    };
    if error.chain().any(is_busy) {
        BUSY
    } else if is_misuse(error) {
        MISUSED
    } else {
        FAILED
    }
}

/// Whether a run was asked for that cannot be.
fn is_misuse_of_run(error: &RunError) -> bool {
    match error {
        RunError::Recipe(_) | RunError::Genotype(_) | RunError::Table(_) => true,
        RunError::Setting { .. } | RunError::TooLarge { .. } | RunError::NoRoom { .. } => true,
        RunError::OtherRecipe { .. } | RunError::OtherSizes { .. } => true,
        RunError::Occupied { .. } | RunError::NoRun { .. } | RunError::OtherPhase { .. } => true,
        RunError::Data(error) => is_misuse_of_data(error),
        RunError::Parts { failed, .. } => failed.iter().all(|(_, error)| is_misuse_of_run(error)),
        _ => false,
    }
}

/// Whether data was asked for that cannot be.
fn is_misuse_of_data(error: &DataError) -> bool {
    matches!(
        error,
        DataError::NoPath { .. }
            | DataError::NoMotion { .. }
            | DataError::Setting { .. }
            | DataError::Unused { .. }
            | DataError::Value { .. }
    )
}

fn is_misuse(error: &anyhow::Error) -> bool {
    let of_fetch = |error: &FetchError| matches!(error, FetchError::UnknownSet { .. } | FetchError::From { .. });
    error.chain().any(|cause| {
        cause.is::<RecipeError>()
            || cause.is::<GenotypeError>()
            || cause.is::<TableError>()
            || cause.is::<ArchitectureError>()
            || cause.is::<BenchmarkError>()
            || cause.is::<DeviceError>()
            || cause.downcast_ref().is_some_and(is_misuse_of_run)
            || matches!(cause.downcast_ref(), Some(ExportError::Run(error)) if is_misuse_of_run(error))
            || cause.downcast_ref().is_some_and(is_misuse_of_data)
            || cause.downcast_ref().is_some_and(of_fetch)
    })
}

/// Whether the reader of our output has left, as `head` does.
fn is_closed_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}
