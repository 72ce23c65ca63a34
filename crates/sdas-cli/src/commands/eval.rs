//! `sdas eval`.

use super::examinee::{of_run, of_words};
use super::{Outcome, device, say, say_json};
use crate::arguments::EvalArguments;
use crate::display::Display;
use crate::format::{percent, thousands};
use crate::interrupt::STOP;
use anyhow::bail;
use sdas::evaluate::{Evaluation, Weighed};
use sdas::run::{Context, RunError};

/// Measures networks. Ctrl-C needs no care here: there is nothing to save.
pub(crate) fn run(arguments: &EvalArguments) -> anyhow::Result<Outcome> {
    let device = device(arguments.device)?;
    let mut display = Display::new();
    let context = Context { device, observer: &mut display, stop: &STOP };
    let evaluation = sdas::evaluate::evaluate(&weighed(arguments)?, arguments.given.data.as_deref(), context)?;
    drop(display);
    if arguments.json {
        say_json(&evaluation)?;
    } else {
        say(&report(&evaluation))?;
    }
    Ok(Outcome::Done)
}

/// The networks with their shares.
fn weighed(EvalArguments { networks, shares, given, .. }: &EvalArguments) -> anyhow::Result<Vec<Weighed>> {
    if given.weights.is_some() {
        let [network, recipe @ ..] = &networks[..] else { unreachable!("there is one at least") };
        if let [_, more, ..] = recipe {
            bail!("--weights are of one network: name it, or it and a recipe, without {more}");
        }
        let examinee = of_words(network, recipe.first().map(String::as_str), given)?;
        return Ok(vec![Weighed { examinee, share: 1.0 }]);
    }
    let fault = |message: String| RunError::Setting { key: "--shares", message };
    if !shares.is_empty() && shares.len() != networks.len() {
        return Err(
            fault(format!("has {} numbers for {} runs; give one for each", shares.len(), networks.len())).into()
        );
    }
    if let Some(share) = shares.iter().find(|share| !share.is_finite() || **share <= 0.0) {
        return Err(fault(format!("must be above 0, not {share}")).into());
    }
    let shares = shares.iter().copied().chain(std::iter::repeat(1.0));
    networks.iter().zip(shares).map(|(run, share)| Ok(Weighed { examinee: of_run(run)?, share })).collect()
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
