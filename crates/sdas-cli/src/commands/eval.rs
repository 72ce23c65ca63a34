//! `sdas eval`.

use super::{Outcome, device, say, say_json};
use crate::arguments::EvalArguments;
use crate::display::Display;
use crate::format::{percent, thousands};
use crate::interrupt::STOP;
use sdas::evaluate::{Evaluation, Weighed};
use sdas::run::{Context, RunError};

/// Measures a run's network. Ctrl-C needs no care here: there is nothing to save.
pub(crate) fn run(arguments: &EvalArguments) -> anyhow::Result<Outcome> {
    let device = device(arguments.device)?;
    let mut display = Display::new();
    let context = Context { device, observer: &mut display, stop: &STOP };
    let evaluation = sdas::evaluate::evaluate(&weighed(arguments)?, arguments.data.as_deref(), context)?;
    drop(display);
    if arguments.json {
        say_json(&evaluation)?;
    } else {
        say(&report(&evaluation))?;
    }
    Ok(Outcome::Done)
}

/// The runs with their weights.
fn weighed(EvalArguments { runs, weights, .. }: &EvalArguments) -> Result<Vec<Weighed>, RunError> {
    let fault = |message: String| RunError::Setting { key: "--weights", message };
    if !weights.is_empty() && weights.len() != runs.len() {
        return Err(fault(format!("has {} numbers for {} runs; give one for each", weights.len(), runs.len())));
    }
    if let Some(weight) = weights.iter().find(|weight| !weight.is_finite() || **weight <= 0.0) {
        return Err(fault(format!("must be above 0, not {weight}")));
    }
    let weights = weights.iter().copied().chain(std::iter::repeat(1.0));
    Ok(runs.iter().zip(weights).map(|(run, weight)| Weighed { run: run.clone(), weight }).collect())
}

fn report(evaluation: &Evaluation) -> String {
    let Evaluation { split, count, views: [clips, crops], top1, top5, loss, seconds_per_view, classes } = evaluation;
    let views = match clips * crops {
        1 => String::new(),
        _ => format!(", mean over {clips} clips × {crops} crops of each"),
    };
    let mut text = format!(
        "{split}: {} samples{views}\ntop-1  {:>8}\ntop-5  {:>8}\nloss   {loss:>8.4}\ntime   {:>8}\n\naccuracy by class\n",
        thousands(*count),
        percent(*top1),
        percent(*top5),
        format!("{:.2} ms a sample{}", 1e3 * seconds_per_view, if clips * crops > 1 { " and view" } else { "" }),
    );
    let width = classes.iter().map(|class| class.name.chars().count()).max().unwrap_or(0);
    for class in classes {
        text += &format!("  {:width$}  {:>8}  of {}\n", class.name, percent(class.accuracy), thousands(class.count));
    }
    text
}
