//! `sdas tensorboard`.

use super::{Outcome, say, shell_word};
use crate::arguments::TensorboardArguments;

/// Writes runs for TensorBoard.
pub(crate) fn run(arguments: &TensorboardArguments) -> anyhow::Result<Outcome> {
    let TensorboardArguments { folders, output } = arguments;
    let written = sdas::report::tensorboard::write(folders, output)?;
    let names: String = written.iter().map(|place| format!("  {}\n", place.display())).collect();
    say(&format!("written to\n{names}\nnext:\n  tensorboard --logdir {}\n", shell_word(output)))?;
    Ok(Outcome::Done)
}
