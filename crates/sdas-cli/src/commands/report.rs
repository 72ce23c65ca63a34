//! `sdas report`.

use super::{Outcome, device, say};
use crate::arguments::ReportArguments;
use crate::display::{Display, note};
use crate::interrupt::STOP;
use anyhow::Context as _;
use sdas::report::{Form, Measured, is_run, measure, page};
use sdas::run::Context;
use sdas_data::whole::write_whole;

/// Writes a page.
pub(crate) fn run(arguments: &ReportArguments) -> anyhow::Result<Outcome> {
    let ReportArguments { folder, output, data, device: name } = arguments;
    let measured = match is_run(folder)? {
        false => Measured::Not("a comparison has measured its runs".to_owned()),
        true => {
            let mut display = Display::new();
            let mut context = Context { device: device(*name)?, observer: &mut display, stop: &STOP };
            note("measuring the network on the test set");
            let measured = measure(folder, data.as_deref(), &mut context);
            if let Measured::Not(why) = &measured {
                note(&format!("the test set is left out: {why}"));
            }
            measured
        }
    };
    let html = page(folder, &measured, Form::File)?;
    write_whole(output, html.as_bytes()).with_context(|| format!("cannot write {}", output.display()))?;
    say(&format!("written to {} ({} KiB)\n", output.display(), html.len().div_ceil(1024)))?;
    Ok(Outcome::Done)
}
