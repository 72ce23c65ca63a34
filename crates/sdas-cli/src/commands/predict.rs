//! `sdas predict`.

use super::examinee::{is_run, of_run, of_words};
use super::{Outcome, device, say, say_json};
use crate::arguments::PredictArguments;
use crate::display::Display;
use crate::format::percent;
use crate::interrupt::STOP;
use anyhow::{Context as _, bail};
use sdas::evaluate::{Examinee, Prediction};
use sdas::run::Context;
use std::path::PathBuf;

/// Names the most probable classes of every file.
pub(crate) fn run(arguments: &PredictArguments) -> anyhow::Result<Outcome> {
    let device = device(arguments.device)?;
    let mut display = Display::new();
    let context = Context { device, observer: &mut display, stop: &STOP };
    let (examinee, files) = asked(arguments)?;
    let mut predictions = sdas::evaluate::predict(&examinee, files, context)?;
    drop(display);
    predictions.iter_mut().for_each(|prediction| prediction.classes.truncate(arguments.top.get()));
    if arguments.json {
        say_json(&predictions)?;
    } else {
        say(&predictions.iter().map(report).collect::<String>())?;
    }
    Ok(Outcome::Done)
}

/// The network, and what it is asked about.
fn asked(PredictArguments { network, files, given, .. }: &PredictArguments) -> anyhow::Result<(Examinee, &[PathBuf])> {
    if is_run(network) && given.data.is_some() {
        bail!("a run knows all that it needs of its data: leave out --data");
    }
    if given.weights.is_none() {
        return Ok((of_run(network)?, files));
    }
    if is_run(network) {
        return Ok((of_words(network, None, given)?, files));
    }
    let [recipe, files @ ..] = &files[..] else { unreachable!("there is one at least") };
    let recipe = recipe.to_str().with_context(|| format!("the name {} is not Unicode", recipe.display()))?;
    if files.is_empty() {
        bail!("{network} is a network: name a recipe after it, then the files");
    }
    Ok((of_words(network, Some(recipe), given)?, files))
}

fn report(Prediction { file, classes }: &Prediction) -> String {
    let width = classes.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    let lines = classes.iter().map(|(name, share)| format!("  {name:width$}  {:>8}\n", percent(*share)));
    format!("{}\n{}", file.display(), lines.collect::<String>())
}
