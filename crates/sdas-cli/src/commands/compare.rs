//! `sdas compare`.

mod list;
mod processes;

use super::{Outcome, data_overrides, device, note, program, say, say_json};
use crate::arguments::{CompareArguments, PartName};
use crate::display::Display;
use crate::interrupt::{STOP, say_interrupted};
use anyhow::Context as _;
use sdas::compare::{Beside, Comparison, Completion, Compute, Method, Share, Truth};
use sdas::recipe::Recipe;
use sdas::run::Context;
use sdas::table::{CellSpace, Table};
use serde::Serialize;
use std::path::{Path, PathBuf};

/// What a comparison by training writes.
const FILES: [&str; 6] = ["compare.md", "compare.csv", "compare.json", "accuracy.svg", "cost.svg", "course.svg"];
/// What a comparison by a table writes.
const TRUTH_FILES: [&str; 5] = ["truth.md", "truth.csv", "truth.json", "trajectory.svg", "trajectory.csv"];

/// Compares methods, goes on comparing, or does a share of that.
pub(crate) fn run(arguments: CompareArguments) -> anyhow::Result<Outcome> {
    let overrides = data_overrides(&arguments.set, arguments.data.as_deref())?;
    let mut recipe = Recipe::resolve(&arguments.recipe, &overrides)?;
    recipe.train.at = arguments.at.or(recipe.train.at);
    let mut methods: Vec<Method> =
        arguments.methods.iter().map(|name| Method::resolve(name, &recipe)).collect::<Result<_, _>>()?;
    for name in &arguments.networks {
        methods.push(Method::network(name).with_context(|| format!("--networks {name}"))?);
    }
    let folder = arguments.out.unwrap_or_else(|| PathBuf::from(format!("runs/compare-{}", recipe.recipe)));
    let comparison = Comparison::new(recipe, methods, arguments.seeds)?;
    let truth = match &arguments.table {
        None => None,
        Some(table) => {
            let table = Table::read(table, CellSpace::nas_bench_201())?;
            Some(Truth::new(table, &arguments.column, &arguments.validation)?)
        }
    };
    let list = || match &truth {
        None => comparison.list(&folder),
        Some(truth) => comparison.list_looked_up(truth, &folder),
    };
    if arguments.list {
        return list::say_parts(&list()?, arguments.json);
    }
    let share = match &arguments.part {
        None => Share::All,
        Some(PartName::Left) => Share::Left,
        Some(name) => Share::One(list::number(name, &list()?)?),
    };
    let device = device(arguments.device)?;
    let mut display = Display::new();
    let context = Context { device, observer: &mut display, stop: &STOP };
    let count = arguments.parallel;
    let compute: &Compute<'_> = &|method, seed| processes::compute(method, seed, &folder, count);
    let beside = (count.get() > 1).then_some(Beside { count, compute });
    match truth {
        None => {
            let completion = comparison.run(&folder, share, context, beside.as_ref())?;
            drop(display);
            conclude(&completion, arguments.json, &folder, &FILES, |report| report.to_text())
        }
        Some(truth) => {
            let completion = comparison.look_up(&truth, &folder, share, context, beside.as_ref())?;
            drop(display);
            conclude(&completion, arguments.json, &folder, &TRUTH_FILES, |report| report.to_text())
        }
    }
}

/// Tells how a comparison ended, and what it wrote.
fn conclude<R: Serialize>(
    completion: &Completion<R>,
    json: bool,
    folder: &Path,
    files: &[&str],
    text: impl FnOnce(&R) -> String,
) -> anyhow::Result<Outcome> {
    match completion {
        Completion::Interrupted => {
            say_interrupted(&format!("the same command goes on with what is in {}", folder.display()));
            return Ok(Outcome::Interrupted);
        }
        Completion::Others(count) => {
            let parts = if *count == 1 { "1 part of it is" } else { &format!("{count} parts of it are") };
            note(&format!(
                "done; {parts} left to others, and whoever is last writes all of it to {}",
                folder.display()
            ));
        }
        Completion::Whole(report) if json => say_json(report)?,
        Completion::Whole(report) => {
            let files = files.iter().map(|name| folder.join(name)).filter(|path| path.exists());
            let files: String = files.map(|path| format!("  {}\n", path.display())).collect();
            say(&format!(
                "{}\nwritten to\n{files}\nnext, for any of its runs:\n  {} draw RUN\n",
                text(report),
                program()
            ))?;
        }
    }
    Ok(Outcome::Done)
}
