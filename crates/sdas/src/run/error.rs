//! What can go wrong in a run.

use super::{CheckpointError, Phase, RankError};
use crate::genotype::GenotypeError;
use crate::recipe::RecipeError;
use crate::table::TableError;
use crate::weights::LoadError;
use sdas_data::DataError;
use std::path::PathBuf;

/// What can go wrong in a run.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The data.
    #[error(transparent)]
    Data(#[from] DataError),
    /// A checkpoint.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// A recipe.
    #[error(transparent)]
    Recipe(#[from] RecipeError),
    /// A genotype.
    #[error(transparent)]
    Genotype(#[from] GenotypeError),
    /// A table of trained cells.
    #[error(transparent)]
    Table(#[from] TableError),
    /// A file of the run's folder.
    #[error("cannot {what} {}: {source}; what was written before is still valid", path.display())]
    File {
        /// What was tried.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// A folder that holds no run.
    #[error("{} holds no run: it has no {missing}; give the folder that `sdas search` or `sdas train` wrote", path.display())]
    NoRun {
        /// The folder.
        path: PathBuf,
        /// What a run would have.
        missing: &'static str,
    },
    /// A new run would overwrite another.
    #[error("{} already holds a run; choose another folder, or go on with it by --resume {}", path.display(), path.display())]
    Occupied {
        /// The folder.
        path: PathBuf,
    },
    /// A search where a training is asked for, or the other way round.
    #[error("the run in this folder is one of `sdas {phase}`; go on with it by `sdas {phase} --resume`")]
    OtherPhase {
        /// What it is.
        phase: Phase,
    },
    /// There is nothing whole left to go on from.
    #[error(
        "the run in {} cannot go on: {why}\n  remedy: put its checkpoints back as they were, or begin it again elsewhere: its \
         config.toml is the recipe", path.display()
    )]
    NoCheckpoint {
        /// The run's folder.
        path: PathBuf,
        /// What was found.
        why: String,
    },
    /// The sizes in the folder's recipe are not those that the run began with.
    #[error(
        "{key} is {now}, but the run was made with {before}\n  remedy: put config.toml back as it was, or begin another run"
    )]
    OtherSizes {
        /// The recipe's key.
        key: &'static str,
        /// Its value when the run was made.
        before: String,
        /// Its value now.
        now: String,
    },
    /// The classes have changed.
    #[error(
        "the run was made with the classes {before}, but the data has {now}\n  remedy: give it the data that it was made with"
    )]
    OtherClasses {
        /// When the run was made.
        before: String,
        /// Now.
        now: String,
    },
    /// Data of one class: whatever a network says of it is right.
    #[error(
        "there is only one class, `{class}`, so that there is nothing to tell apart, and any cell would do\n  \
         remedy: give the data two classes or more: folders in `train` and `test`, or names in `data.classes`"
    )]
    OneClass {
        /// Its name.
        class: String,
    },
    /// The training pictures have changed.
    #[error(
        "the training samples are not those that the run began with, so that it cannot go on as it would have\n  remedy: put them back as they were, or begin another run"
    )]
    OtherPictures,
    /// A run of another recipe is in the place where one is to begin or to go on.
    #[error(
        "the run in {} was made with {key} = {before}, but now it would be {now}\n  remedy: take another folder, or \
         the recipe and settings of before, or remove that run", path.display()
    )]
    OtherRecipe {
        /// The run's folder.
        path: PathBuf,
        /// The recipe's first key that differs.
        key: String,
        /// Its value when the run was made.
        before: String,
        /// Its value now.
        now: String,
    },
    /// Another process works in the folder.
    #[error("{by} works in {}; wait until it is done, or choose another folder", path.display())]
    Busy {
        /// The folder.
        path: PathBuf,
        /// Who that is.
        by: String,
    },
    /// Runs that are to be measured together have other test sets.
    #[error(
        "the runs cannot be measured together: their test sets have {before} and {now} samples, or the same number in another order
  remedy: name runs of the same data, split and classes"
    )]
    OtherTest {
        /// Samples of the first run's test set.
        before: usize,
        /// Of the other's.
        now: usize,
    },
    /// Weights that are not the network's.
    #[error(transparent)]
    Weights(#[from] LoadError),
    /// A run's network that cannot be told.
    #[error("{}: {message}", path.display())]
    Network {
        /// The run's file that names it.
        path: PathBuf,
        /// What is wrong.
        message: String,
    },
    /// A value that does not fit the data.
    #[error("{key}: {message}")]
    Setting {
        /// The recipe's key.
        key: &'static str,
        /// What would be right.
        message: String,
    },
    /// Sizes for which the memory cannot be enough.
    #[error(
        "{key}: is {value}, but a step would hold at least {needs} at once, and this process can have {has} ({by})\n  \
         remedy: make it smaller"
    )]
    TooLarge {
        /// The recipe's key that is furthest from the usual.
        key: &'static str,
        /// Its value.
        value: usize,
        /// What a step would hold.
        needs: String,
        /// What there can be.
        has: String,
        /// What sets that.
        by: &'static str,
    },
    /// A batch for which a graphics card has not the memory.
    #[error(
        "{key}: is {batch}, but such a step needs about {needs} of the card's memory, which has {has}\n  remedy: {}",
        remedy(key, *largest)
    )]
    NoRoom {
        /// The batch's key.
        key: &'static str,
        /// Its value.
        batch: usize,
        /// What a step needs.
        needs: String,
        /// What there is.
        has: String,
        /// The largest batch that fits.
        largest: usize,
    },
    /// The loss or a gradient is not a number any more.
    #[error(
        "{what} is not finite at step {step} (epoch {epoch}); checkpoints written before stay valid\n  remedy: a smaller {key}, for example half of it, or a smaller clip"
    )]
    NotFinite {
        /// What.
        what: &'static str,
        /// The epoch, from 1.
        epoch: usize,
        /// Steps done.
        step: usize,
        /// The key of the rate to lower.
        key: &'static str,
    },
    /// Parts of a comparison that came to nothing; the others are done.
    #[error("{} of {all} parts failed; the same command tries them again\n{}", failed.len(), by_fault(failed))]
    Parts {
        /// Those that failed, as METHOD:SEED, each with its fault.
        failed: Vec<(String, RunError)>,
        /// How many there are in all.
        all: usize,
    },
    /// Between the processes that share the run.
    #[error(transparent)]
    Rank(#[from] RankError),
    /// A part of a comparison that was computed by another process.
    #[error("{fault}\n  all of it: {}", log.display())]
    Part {
        /// What the process said last.
        fault: String,
        /// What it said before.
        log: PathBuf,
    },
}

impl RunError {
    /// Whether another process does what was to be done, or what that needs.
    pub fn is_busy(&self) -> bool {
        matches!(self, RunError::Busy { .. } | RunError::Data(DataError::Locked { .. }))
    }
}

/// Parts by what they failed for, which may be the same for all.
fn by_fault(failed: &[(String, RunError)]) -> String {
    let mut faults: Vec<(String, Vec<&str>)> = Vec::new();
    for (part, fault) in failed {
        let fault = fault.to_string();
        match faults.iter_mut().find(|(own, _)| *own == fault) {
            Some((_, parts)) => parts.push(part),
            None => faults.push((fault, vec![part])),
        }
    }
    let lines: Vec<String> = faults.iter().map(|(fault, parts)| format!("{}: {fault}", parts.join(", "))).collect();
    lines.join("\n")
}

/// What to do about a batch that does not fit a card.
fn remedy(key: &str, largest: usize) -> String {
    match largest {
        0 => "make the network smaller; not one sample fits".to_owned(),
        _ if key.starts_with("--") => format!("{key} {largest} is the largest that fits, or make the network smaller"),
        _ => format!("--set {key}={largest} is the largest that fits, or make the network smaller"),
    }
}
