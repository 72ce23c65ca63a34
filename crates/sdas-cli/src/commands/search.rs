//! `sdas search`.

use super::{
    Outcome, conclude, device_of, free_folder, is_done, note, overrides, prepare, program, shell_word, summary,
};
use crate::arguments::SearchArguments;
use crate::display::Display;
use crate::interrupt::STOP;
use anyhow::Context as _;
use sdas::draw::to_text;
use sdas::recipe::Recipe;
use sdas::run::{Context, Ranks, RunResult};
use std::path::{Path, PathBuf};

/// Searches, or goes on searching.
pub(crate) fn run(arguments: SearchArguments, ranks: &Ranks) -> anyhow::Result<Outcome> {
    let SearchArguments { recipe, run } = arguments;
    let device = prepare(ranks, || device_of(run.device, ranks))?;
    let mut display = Display::new();
    let context = Context { device, observer: &mut display, stop: &STOP };
    let (folder, ending) = match &run.resume {
        Some(folder) => (folder.clone(), sdas::search::resume_among(ranks, folder, context)?),
        None => {
            let recipe = prepare(ranks, || {
                Ok(Recipe::resolve(recipe.as_deref().unwrap_or("shapes"), &overrides(&run, "search")?)?)
            })?;
            let default = || free_folder(&PathBuf::from(format!("runs/{}-seed{}", recipe.recipe, recipe.search.seed)));
            let folder = run.out.clone().unwrap_or_else(default);
            let was_done = is_done(&folder);
            let ending = sdas::search::complete_among(ranks, recipe, &folder, context)?;
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
