//! `sdas compare`.

use super::{Outcome, data_overrides, note, program, say, say_json};
use crate::arguments::CompareArguments;
use crate::display::Display;
use crate::interrupt::{self, STOP};
use sdas::compare::{Comparison, Method};
use sdas::recipe::Recipe;
use sdas::run::{Context, Ending};
use std::path::PathBuf;

/// Compares methods, or goes on comparing.
pub(crate) fn run(arguments: CompareArguments) -> anyhow::Result<Outcome> {
    let device = sdas::device::choose(arguments.device.name())?;
    let overrides = data_overrides(&arguments.set, arguments.data.as_deref())?;
    let recipe = Recipe::resolve(&arguments.recipe, &overrides)?;
    let methods = arguments.methods.iter().map(|name| Method::resolve(name, &recipe)).collect::<Result<_, _>>()?;
    let folder = arguments.out.unwrap_or_else(|| PathBuf::from(format!("runs/compare-{}", recipe.recipe)));
    let comparison = Comparison::new(recipe, methods, arguments.seeds)?;
    let mut display = Display::new();
    let context = Context { device, observer: &mut display, stop: &STOP };
    interrupt::catch()?;
    let ending = comparison.run(&folder, context)?;
    drop(display);
    match ending {
        Ending::Interrupted => {
            note(&format!("interrupted; the same command goes on with what is in {}", folder.display()));
            return Ok(Outcome::Interrupted);
        }
        Ending::Done(report) if arguments.json => say_json(&report)?,
        Ending::Done(report) => {
            let files = ["compare.md", "compare.csv", "compare.json", "accuracy.svg", "course.svg"];
            let files = files.map(|name| folder.join(name)).into_iter().filter(|path| path.exists());
            let files: String = files.map(|path| format!("  {}\n", path.display())).collect();
            say(&format!(
                "{}\nwritten to\n{files}\nnext, for any of its runs:\n  {} draw RUN\n",
                report.to_text(),
                program()
            ))?;
        }
    }
    Ok(Outcome::Done)
}
