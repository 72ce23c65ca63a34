//! `sdas eval`.

use super::{Outcome, STOP, say, say_json};
use crate::arguments::EvalArguments;
use crate::display::Display;
use crate::format::{percent, thousands};
use sdas::evaluate::Evaluation;
use sdas::run::Context;

/// Measures a run's network. Ctrl-C needs no care here: there is nothing to save.
pub(crate) fn run(arguments: &EvalArguments) -> anyhow::Result<Outcome> {
    let device = sdas::device::choose(arguments.device.name())?;
    let mut display = Display::new();
    let context = Context { device, observer: &mut display, stop: &STOP };
    let evaluation = sdas::evaluate::evaluate(&arguments.run, arguments.data.clone(), context)?;
    drop(display);
    if arguments.json {
        say_json(&evaluation)?;
    } else {
        say(&report(&evaluation))?;
    }
    Ok(Outcome::Done)
}

fn report(evaluation: &Evaluation) -> String {
    let Evaluation { split, count, top1, top5, loss, classes } = evaluation;
    let mut text = format!(
        "{split}: {} samples\ntop-1  {:>8}\ntop-5  {:>8}\nloss   {loss:>8.4}\n\naccuracy by class\n",
        thousands(*count),
        percent(*top1),
        percent(*top5),
    );
    let width = classes.iter().map(|class| class.name.chars().count()).max().unwrap_or(0);
    for class in classes {
        text += &format!("  {:width$}  {:>8}  of {}\n", class.name, percent(class.accuracy), thousands(class.count));
    }
    text
}
