//! `sdas train`.

use super::{
    Outcome, conclude, device_of, free_folder, is_done, note, overrides, prepare, program, shell_word, summary,
};
use crate::arguments::TrainArguments;
use crate::display::Display;
use crate::interrupt::STOP;
use anyhow::Context as _;
use sdas::architecture::Architecture;
use sdas::genotype::PUBLISHED;
use sdas::recipe::Recipe;
use sdas::run::{Context, Ranks};
use std::path::{Path, PathBuf};

/// Trains, or goes on training.
pub(crate) fn run(arguments: TrainArguments, ranks: &Ranks) -> anyhow::Result<Outcome> {
    let TrainArguments { network, recipe, weights, run } = arguments;
    let device = prepare(ranks, || device_of(run.device, ranks))?;
    let mut display = Display::new();
    let context = Context { device, observer: &mut display, stop: &STOP };
    let (folder, ending) = match &run.resume {
        Some(folder) => (folder.clone(), sdas::train::resume_among(ranks, folder, context)?),
        None => {
            let (recipe, architecture) = prepare(ranks, || {
                let name = network.context("which network? name a cell or a network that people made")?;
                let architecture = Architecture::resolve(&name)?;
                let recipe = recipe.unwrap_or_else(|| default_recipe(&name));
                let mut recipe = Recipe::resolve(&recipe, &overrides(&run, "train")?)?;
                recipe.train.initial = weights.or(recipe.train.initial);
                Ok((recipe, architecture))
            })?;
            let folder = run.out.clone().unwrap_or_else(|| free_folder(&default_folder(&recipe)));
            let was_done = is_done(&folder);
            let ending = sdas::train::complete_among(ranks, recipe, &architecture, &folder, context)?;
            if was_done {
                note(&format!("{} is done; this is what it came to", folder.display()));
            }
            (folder, ending)
        }
    };
    drop(display);
    conclude("train", &folder, ending, run.json, |result| {
        let metrics = folder.join("metrics.jsonl");
        let next = format!("next:\n  {} eval {}\n", program(), shell_word(&folder));
        Ok(format!("{}\nmetrics   {}\n\n{next}", summary(result), metrics.display()))
    })
}

/// The recipe of the run that the cell lies in, if it lies in one.
pub(super) fn default_recipe(genotype: &str) -> String {
    let path = Path::new(genotype);
    let folder = match path.ends_with("genotype.json") {
        true => path.parent(),
        false => Some(path),
    };
    let is_published = PUBLISHED.iter().any(|published| published.name == genotype);
    let config = folder.filter(|_| !is_published).map(|folder| folder.join("config.toml"));
    let config = config.filter(|config| config.is_file());
    config.map_or_else(|| "shapes".to_owned(), |config| config.to_string_lossy().into_owned())
}

/// Named apart from the search of the same recipe.
fn default_folder(recipe: &Recipe) -> PathBuf {
    let name = recipe.recipe.strip_suffix("-train").unwrap_or(&recipe.recipe);
    PathBuf::from(format!("runs/{name}-train-seed{}", recipe.train.seed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_of_a_run_is_trained_as_the_run_says() {
        let run = tempfile::tempdir().unwrap();
        let [config, genotype] = ["config.toml", "genotype.json"].map(|name| run.path().join(name));
        assert_eq!(default_recipe(run.path().to_str().unwrap()), "shapes");
        std::fs::write(&config, "").unwrap();
        std::fs::write(&genotype, "").unwrap();
        assert_eq!(Path::new(&default_recipe(run.path().to_str().unwrap())), config);
        assert_eq!(Path::new(&default_recipe(genotype.to_str().unwrap())), config);
        assert_eq!(default_recipe("darts_v2"), "shapes");
    }
}
