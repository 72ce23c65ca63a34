//! `sdas predict`.

use super::{Outcome, device, say, say_json};
use crate::arguments::PredictArguments;
use crate::display::Display;
use crate::format::percent;
use crate::interrupt::STOP;
use sdas::evaluate::Prediction;
use sdas::run::Context;

/// Names the most probable classes of every file.
pub(crate) fn run(arguments: &PredictArguments) -> anyhow::Result<Outcome> {
    let device = device(arguments.device)?;
    let mut display = Display::new();
    let context = Context { device, observer: &mut display, stop: &STOP };
    let mut predictions = sdas::evaluate::predict(&arguments.run, &arguments.files, context)?;
    drop(display);
    predictions.iter_mut().for_each(|prediction| prediction.classes.truncate(arguments.top.get()));
    if arguments.json {
        say_json(&predictions)?;
    } else {
        say(&predictions.iter().map(report).collect::<String>())?;
    }
    Ok(Outcome::Done)
}

fn report(Prediction { file, classes }: &Prediction) -> String {
    let width = classes.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    let lines = classes.iter().map(|(name, share)| format!("  {name:width$}  {:>8}\n", percent(*share)));
    format!("{}\n{}", file.display(), lines.collect::<String>())
}
