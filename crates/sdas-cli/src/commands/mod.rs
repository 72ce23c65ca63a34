//! The commands.

mod bench;
mod compare;
mod completions;
mod data;
mod devices;
mod draw;
mod eval;
mod examinee;
mod export;
mod fetch;
mod lookup;
mod params;
mod predict;
mod report;
mod search;
mod sizes;
mod tensorboard;
mod train;
mod watch;

pub(crate) use data::tell;

use crate::arguments::{BenchCommand, Command, DataCommand, DeviceName, RunArguments};
use crate::display::{QUIET, note};
use crate::format::{duration, memory, percent, thousands};
use crate::interrupt::{self, say_interrupted};
use anyhow::Context as _;
use sdas::device::{Device, Place};
use sdas::recipe::BUILTIN;
use sdas::run::{Ending, Ranks, RunResult, Wait};
use sdas::schedule::Spending;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

/// How a command ended without an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// All done.
    Done,
    /// Stopped from outside, after a checkpoint.
    Interrupted,
}

/// Runs a command. Whoever is asked to stop leaves with one status, whatever it does.
pub(crate) fn dispatch(command: Command, ranks: &Ranks) -> anyhow::Result<Outcome> {
    interrupt::catch()?;
    match command {
        Command::Search(arguments) => search::run(arguments, ranks),
        Command::Train(arguments) => train::run(arguments, ranks),
        Command::Eval(arguments) => eval::run(&arguments),
        Command::Predict(arguments) => predict::run(&arguments),
        Command::Data(DataCommand::Prepare(arguments)) => data::prepare(&arguments),
        Command::Data(DataCommand::Check(arguments)) => data::check(&arguments),
        Command::Data(DataCommand::Fetch(arguments)) => fetch::run(&arguments),
        Command::Compare(arguments) => compare::run(arguments),
        Command::Lookup(arguments) => lookup::run(&arguments),
        Command::Draw(arguments) => draw::run(&arguments),
        Command::Export(arguments) => export::run(&arguments),
        Command::Report(arguments) => report::run(&arguments),
        Command::Watch(arguments) => watch::run(&arguments),
        Command::Tensorboard(arguments) => tensorboard::run(&arguments),
        Command::Params(arguments) => params::run(&arguments),
        Command::Bench(BenchCommand::Step(arguments)) => bench::step(&arguments),
        Command::Devices(arguments) => devices::run(&arguments),
        Command::Completions(arguments) => completions::run(&arguments),
        Command::Recipes => recipes(),
    }
}

fn recipes() -> anyhow::Result<Outcome> {
    let width = BUILTIN.iter().map(|builtin| builtin.name.len()).max().unwrap_or(0);
    let line = |name: &str, summary: &str| format!("{name:width$}  {summary}\n");
    say(&BUILTIN.iter().map(|builtin| line(builtin.name, builtin.summary())).collect::<String>())?;
    Ok(Outcome::Done)
}

/// The device of that name; which one it is is said unless it is the processor by its name.
fn device(name: DeviceName) -> anyhow::Result<Device> {
    device_of(name, &Ranks::alone())
}

/// That of one of several ranks, of which each on a machine takes another card.
fn device_of(name: DeviceName, ranks: &Ranks) -> anyhow::Result<Device> {
    let place = Place::resolve_nth(name.name(), ranks.local_rank())?;
    if name != DeviceName::Cpu {
        note(&format!("computing on {place}"));
    }
    Ok(place.device())
}

/// Does what may fail before a run begins, on all its ranks; where it fails on any, all leave, and one of them says why.
fn prepare<T>(ranks: &Ranks, make: impl FnOnce() -> anyhow::Result<T>) -> anyhow::Result<T> {
    ranks.all(Wait::Loading, make)
}

/// Writes to standard output; unlike `print!`, a closed pipe is an error and no panic.
fn say(text: &str) -> io::Result<()> {
    if QUIET.load(Ordering::SeqCst) {
        return Ok(());
    }
    let mut output = io::stdout().lock();
    output.write_all(text.as_bytes())?;
    output.flush()
}

/// Writes a value to standard output as JSON.
fn say_json(value: &impl serde::Serialize) -> anyhow::Result<()> {
    let text = serde_json::to_string_pretty(value).context("cannot write the result as JSON")?;
    Ok(say(&format!("{text}\n"))?)
}

/// The result and the folder it lies in, as one JSON object.
fn say_result(result: &RunResult, folder: &Path) -> anyhow::Result<()> {
    let mut value = serde_json::to_value(result).context("cannot write the result as JSON")?;
    value["folder"] = folder.display().to_string().into();
    say_json(&value)
}

/// A run's numbers, a line each.
fn summary(result: &RunResult) -> String {
    let accuracies = |loss: f64, accuracy: f64| format!("accuracy {}, loss {loss:.4}", percent(accuracy));
    let mut rows = vec![("training", accuracies(result.train_loss, result.train_accuracy))];
    if let (Some(loss), Some(accuracy)) = (result.validation_loss, result.validation_accuracy) {
        rows.push(("held out", accuracies(loss, accuracy)));
    }
    let [parameters, multiply_adds] = [result.parameters, result.multiply_adds].map(thousands);
    rows.push(("network", format!("{parameters} parameters, {multiply_adds} multiply-adds a sample")));
    if let Some(spending) = &result.budget {
        rows.push(("budget", spending_text(spending)));
    }
    let peak = result.peak_memory.map_or(String::new(), |bytes| format!(", at most {} of memory", memory(bytes)));
    rows.push(("took", format!("{} for {} epochs{peak}", duration(result.seconds), result.epochs)));
    rows.into_iter().map(|(name, text)| format!("{name:9} {text}\n")).collect()
}

/// What the network that a found cell is trained as takes of a search's budget.
fn spending_text(spending: &Spending) -> String {
    let Spending { budget, parameters, multiply_adds } = *spending;
    let part = |used: usize, bound: Option<usize>, what: &str| {
        let of = bound.map_or(String::new(), |bound| format!(" of {}", thousands(bound)));
        format!("{}{of} {what}", thousands(used))
    };
    format!(
        "{}, {} a sample, at the training's sizes",
        part(parameters, budget.parameters, "parameters"),
        part(multiply_adds, budget.multiply_adds, "multiply-adds")
    )
}

/// Tells how a run ended: how to go on with one that was interrupted, or its result, as JSON or as `report` words it.
fn conclude(
    command: &str,
    folder: &Path,
    ending: Ending,
    json: bool,
    report: impl FnOnce(&RunResult) -> anyhow::Result<String>,
) -> anyhow::Result<Outcome> {
    match ending {
        Ending::Interrupted => {
            say_interrupted(&format!("continue with: {} {command} --resume {}", program(), shell_word(folder)));
            return Ok(Outcome::Interrupted);
        }
        Ending::Done(result) if json => say_result(&result, folder)?,
        Ending::Done(result) => say(&report(&result)?)?,
    }
    Ok(Outcome::Done)
}

/// This program as it was called, so that a command that we suggest can be copied.
fn program() -> String {
    std::env::args_os().next().map_or_else(|| "sdas".to_owned(), |name| shell_word(Path::new(&name)))
}

/// The recipe's overrides that the arguments ask for; `section` has the seed.
fn overrides(arguments: &RunArguments, section: &str) -> anyhow::Result<Vec<String>> {
    let mut overrides = data_overrides(&arguments.set, arguments.data.as_deref())?;
    if let Some(seed) = arguments.seed {
        overrides.push(format!("{section}.seed={seed}"));
    }
    Ok(overrides)
}

/// `--set` and `--data`.
fn data_overrides(set: &[String], data: Option<&Path>) -> anyhow::Result<Vec<String>> {
    let mut overrides = set.to_vec();
    if let Some(data) = data {
        let path = data.to_str().with_context(|| format!("the path {} is not Unicode", data.display()))?;
        overrides.push(format!("data.path={}", toml_string(path)));
    }
    Ok(overrides)
}

/// A basic string of TOML.
fn toml_string(text: &str) -> String {
    let mut quoted = String::from("\"");
    for character in text.chars() {
        match character {
            '"' | '\\' => quoted.extend(['\\', character]),
            _ if character.is_control() => quoted += &format!("\\u{:04X}", u32::from(character)),
            _ => quoted.push(character),
        }
    }
    quoted + "\""
}

/// A path as a shell takes it.
fn shell_word(path: &Path) -> String {
    let text = path.display().to_string();
    let is_plain = |character: char| character.is_alphanumeric() || "/._-+=:@%,\\".contains(character);
    if !text.is_empty() && text.chars().all(is_plain) { text } else { format!("'{}'", text.replace('\'', "'\\''")) }
}

/// `base`, or the first of `base-2`, `base-3`, … that is free.
fn free_folder(base: &Path) -> PathBuf {
    let numbered = |number: usize| PathBuf::from(format!("{}-{number}", base.display()));
    let mut candidates = std::iter::once(base.to_owned()).chain((2..).map(numbered));
    candidates.find(|folder| is_free(folder)).expect("there is always another number")
}

/// Whether a folder has a run that is done, so that nothing is computed any more.
fn is_done(folder: &Path) -> bool {
    folder.join("result.json").exists()
}

/// Whether nothing is there, or an empty folder.
fn is_free(path: &Path) -> bool {
    match path.read_dir() {
        Ok(mut entries) => entries.next().is_none(),
        Err(error) => error.kind() == io::ErrorKind::NotFound,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_never_lands_in_a_used_folder() {
        let place = tempfile::tempdir().unwrap();
        let base = place.path().join("shapes-seed0");
        assert_eq!(free_folder(&base), base);
        std::fs::create_dir(&base).unwrap();
        assert_eq!(free_folder(&base), base);
        std::fs::write(base.join("config.toml"), "").unwrap();
        assert_eq!(free_folder(&base), place.path().join("shapes-seed0-2"));
    }

    #[test]
    fn any_path_is_quoted() {
        assert_eq!(toml_string("C:\\data \"x\"\n"), "\"C:\\\\data \\\"x\\\"\\u000A\"");
        assert_eq!(shell_word(Path::new("runs/a b")), "'runs/a b'");
        assert_eq!(shell_word(Path::new("runs/a-2")), "runs/a-2");
    }
}
