//! `sdas search`.

use super::{Outcome, conclude, device, free_folder, is_done, note, overrides, program, shell_word, summary};
use crate::arguments::SearchArguments;
use crate::display::Display;
use crate::interrupt::{self, STOP};
use anyhow::Context as _;
use sdas::draw::to_text;
use sdas::recipe::Recipe;
use sdas::run::{Context, RunResult};
use std::path::{Path, PathBuf};

/// Searches, or goes on searching.
pub(crate) fn run(arguments: SearchArguments) -> anyhow::Result<Outcome> {
    let SearchArguments { recipe, run } = arguments;
    interrupt::catch()?;
    let device = device(run.device)?;
    let mut display = Display::new();
    let context = Context { device, observer: &mut display, stop: &STOP };
    let (folder, ending) = match &run.resume {
        Some(folder) => (folder.clone(), sdas::search::resume(folder, context)?),
        None => {
            let recipe = Recipe::resolve(recipe.as_deref().unwrap_or("shapes"), &overrides(&run, "search")?)?;
            let default = || free_folder(&PathBuf::from(format!("runs/{}-seed{}", recipe.recipe, recipe.search.seed)));
            let folder = run.out.clone().unwrap_or_else(default);
            let was_done = is_done(&folder);
            let ending = sdas::search::complete(recipe, &folder, context)?;
            if was_done {
                note(&format!("{} is done; this is what it came to", folder.display()));
            }
            (folder, ending)
        }
    };
    drop(display);
    conclude("search", &folder, ending, run.json, |result| report(result, &folder))
}

fn report(result: &RunResult, folder: &Path) -> anyhow::Result<String> {
    let genotype = result.genotype().context("the result holds no genotype")?;
    let (program, word) = (program(), shell_word(folder));
    Ok(format!(
        "{}\n{}\ndrawing   {}\nmetrics   {}\n\nnext:\n  {program} train {word}\n  {program} eval {word}\n",
        to_text(&genotype),
        summary(result),
        folder.join("cell.svg").display(),
        folder.join("metrics.jsonl").display(),
    ))
}
