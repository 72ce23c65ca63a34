//! Which network is measured or asked.

use super::data_overrides;
use super::train::default_recipe;
use crate::arguments::WeightsArguments;
use anyhow::{anyhow, bail};
use sdas::architecture::Architecture;
use sdas::evaluate::Examinee;
use sdas::recipe::Recipe;
use std::path::Path;

/// Whether a name is that of a run: of a folder, which nothing else is called by.
pub(super) fn is_run(name: &str) -> bool {
    Path::new(name).is_dir()
}

/// The network of a run as it is.
pub(super) fn of_run(name: &str) -> anyhow::Result<Examinee> {
    if !is_run(name) && Architecture::resolve(name).is_ok() {
        bail!("{name} is a network without numbers of its own; give them by --weights FILE");
    }
    Ok(Examinee::run(name))
}

/// The network of a run, or one that a recipe would train, with the weights that are given.
pub(super) fn of_words(name: &str, recipe: Option<&str>, given: &WeightsArguments) -> anyhow::Result<Examinee> {
    let weights = given.weights.clone().ok_or_else(|| anyhow!("--weights says where its numbers are from"))?;
    if is_run(name) {
        if let Some(what) = recipe.map(|_| "the recipe").or(given.set.first().map(|_| "--set")) {
            bail!(
                "{name} is a folder, and a run is measured by its own recipe: leave out {what}, or name its genotype.json"
            );
        }
        return Ok(Examinee::Run { folder: name.into(), weights: Some(weights) });
    }
    let architecture = Architecture::resolve(name)?;
    let recipe = recipe.map_or_else(|| default_recipe(name), str::to_owned);
    let recipe = Recipe::resolve(&recipe, &data_overrides(&given.set, given.data.as_deref())?)?;
    Ok(Examinee::Network { architecture, recipe: Box::new(recipe), weights })
}
