//! `sdas data fetch`.

use super::{Outcome, program, say, say_json, shell_word};
use crate::arguments::FetchArguments;
use crate::display::Coming;
use sdas_data::fetch::{Fetched, fetch};

/// Downloads a set. Ctrl-C needs no care here: what has come stays, and the next call goes on.
pub(crate) fn run(arguments: &FetchArguments) -> anyhow::Result<Outcome> {
    let FetchArguments { set, dir, from, json } = arguments;
    let mut coming = Coming::new();
    let fetched = fetch(set, dir.as_deref(), from.as_deref(), &mut |event| coming.show(&event))?;
    drop(coming);
    let next = next(&fetched);
    if *json {
        let Fetched { folder, was_there, data, besides, .. } = &fetched;
        say_json(&serde_json::json!({
            "folder": folder, "was_there": was_there, "data": data, "besides": besides, "next": next,
        }))?;
    } else {
        say(&report(&fetched, &next))?;
    }
    Ok(Outcome::Done)
}

fn report(Fetched { folder, was_there, besides, .. }: &Fetched, next: &str) -> String {
    let what = if *was_there { "was there" } else { "fetched" };
    let besides = besides.map_or(String::new(), |words| format!("\nnot fetched:\n  {words}\n"));
    format!("{what:9} {}\n{besides}\nnext:\n  {next}\n", folder.display())
}

/// The command that uses it.
fn next(Fetched { data, recipe, setting, .. }: &Fetched) -> String {
    let setting = setting.map_or(String::new(), |setting| format!(" --set {setting}"));
    format!("{} search {recipe} --data {}{setting}", program(), shell_word(data))
}
