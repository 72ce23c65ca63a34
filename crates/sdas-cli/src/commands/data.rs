//! `sdas data`.

use super::{Outcome, data_overrides, say, say_json};
use crate::arguments::DataArguments;
use crate::display::{Loading, note};
use crate::format::{duration, memory, thousands};
use anyhow::bail;
use sdas::recipe::Recipe;
use sdas_data::{Checked, Prepared, Remark, Source};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

/// Decodes everything into the cache. Whoever is asked to stop leaves at once: what is done of clips stays, and the next call
/// goes on.
pub(crate) fn prepare(arguments: &DataArguments) -> anyhow::Result<Outcome> {
    let loading = Mutex::new(Loading::new());
    let prepared = sdas_data::prepare(&source(arguments)?, &|building| {
        let mut loading = loading.lock().unwrap_or_else(PoisonError::into_inner);
        loading.show(building);
    })?;
    drop(loading);
    if arguments.json {
        let Prepared { clips, bytes, seconds, found, remarks, cache } = &prepared;
        say_json(&serde_json::json!({
            "clips": clips, "bytes": bytes, "seconds": seconds, "found": found, "cache": cache,
            "missing": remarks.missing.count, "broken": remarks.broken.count, "passed_over": remarks.passed_over.count,
            "shared": remarks.shared.count, "repeated": remarks.repeated.count,
        }))?;
    } else {
        say(&report(&prepared))?;
    }
    prepared.remarks.all().for_each(|remark| tell(&remark));
    Ok(Outcome::Done)
}

/// Reads everything in the cache.
pub(crate) fn check(arguments: &DataArguments) -> anyhow::Result<Outcome> {
    let Checked { clips, bytes, seconds, absent, damaged, remarks } = sdas_data::check(&source(arguments)?)?;
    if arguments.json {
        say_json(&serde_json::json!({
            "clips": clips, "bytes": bytes, "seconds": seconds, "absent": absent, "damaged": damaged.count,
            "missing": remarks.missing.count, "broken": remarks.broken.count,
        }))?;
    } else {
        let rate = bytes as f64 / seconds.max(1e-9);
        let (clips, absent) = (thousands(clips), thousands(absent));
        say(&format!(
            "in order  {clips} samples, {} ({} a second)\nnot there {absent}\ndamaged   {}\n",
            memory(bytes),
            memory(rate as u64),
            thousands(damaged.count),
        ))?;
    }
    damaged.remark("damaged").into_iter().chain(remarks.all()).for_each(|remark| tell(&remark));
    match damaged.count {
        0 => Ok(Outcome::Done),
        _ => bail!("the cache is damaged; `sdas data prepare` makes anew what is named above"),
    }
}

/// Where the recipe, or the run, has its data from.
fn source(DataArguments { recipe, data, set, .. }: &DataArguments) -> anyhow::Result<Source> {
    let of_run = Path::new(recipe).join("config.toml");
    let name = if of_run.is_file() { of_run.display().to_string() } else { recipe.clone() };
    Ok(Recipe::resolve(&name, &data_overrides(set, data.as_deref())?)?.data.source())
}

fn report(Prepared { clips, bytes, seconds, found, cache, .. }: &Prepared) -> String {
    let made = clips.saturating_sub(*found);
    let rate = made as f64 / seconds.max(1e-9);
    let speed = if made > 0 { format!(", {rate:.1} a second") } else { String::new() };
    let frames = match bytes / (*clips).max(1) as u64 {
        0 => "not kept: they are decoded when they are looked at".into(),
        each => format!("{} ({} bytes a sample)", memory(*bytes), thousands(each as usize)),
    };
    let cache = cache.as_ref().map_or("none: samples are kept in memory".to_owned(), |path| path.display().to_string());
    format!(
        "samples   {} ({} were there before)\ndecoded   {} in {}{speed}\nframes    {frames}\ncache     {cache}\n",
        thousands(*clips),
        thousands(*found),
        thousands(made),
        duration(*seconds),
    )
}

/// Says what there is to say of samples.
pub(crate) fn tell(Remark { count, what, which }: &Remark) {
    note(&format!("{} {what}:{which}", thousands(*count)));
}
