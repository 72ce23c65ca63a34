//! `sdas completions`.

use super::{Outcome, say};
use crate::arguments::{Arguments, CompletionsArguments};
use anyhow::Context as _;
use clap::CommandFactory;
use std::fs;

/// Writes a shell's script, or the manual pages.
pub(crate) fn run(CompletionsArguments { shell, man }: &CompletionsArguments) -> anyhow::Result<Outcome> {
    let mut command = Arguments::command();
    if let Some(folder) = man {
        let written = fs::create_dir_all(folder).and_then(|()| clap_mangen::generate_to(command, folder));
        written.with_context(|| format!("cannot write manual pages to {}", folder.display()))?;
    } else if let Some(shell) = shell {
        let mut script = Vec::new();
        clap_complete::generate(*shell, &mut command, "sdas", &mut script);
        say(&String::from_utf8(script).context("the script is not Unicode")?)?;
    }
    Ok(Outcome::Done)
}
