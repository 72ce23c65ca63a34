//! The command that makes a run again: its recipe's name, and what it changes in that.

use crate::recipe::{BUILTIN, Recipe};
use crate::run::{Phase, Stage};
use toml::Value;

/// The command, for a shell. `network` is what a training trains.
pub(super) fn command(recipe: &Recipe, phase: Phase, network: &str) -> String {
    let stage = match phase {
        Phase::Search => Stage::Search,
        Phase::Train => Stage::Train,
    };
    let mut words = vec!["sdas".to_owned(), phase.to_string()];
    if phase == Phase::Train {
        words.push(word(network));
    }
    let base = BUILTIN.iter().find(|builtin| builtin.name == recipe.recipe);
    let Some(base) = base.and_then(|builtin| Recipe::resolve(builtin.name, &[]).ok()) else {
        words.push("config.toml".to_owned());
        return words.join(" ");
    };
    words.push(word(&recipe.recipe));
    let [own, base] = [recipe.clone(), base].map(|recipe| {
        let mut asked = recipe.asked(stage);
        if phase == Phase::Search && asked.search.budget.is_unlimited() {
            asked.train = Default::default();
        }
        Value::try_from(asked).expect("a recipe is TOML")
    });
    let mut changes = Vec::new();
    differences("", &base, &own, &mut changes);
    for (key, value) in changes {
        match (key.as_str(), value) {
            ("data.path", Value::String(path)) => words.extend(["--data".to_owned(), word(path)]),
            ("search.seed" | "train.seed", seed) => words.extend(["--seed".to_owned(), seed.to_string()]),
            (_, value) => {
                let inline = inline(value);
                words.extend(["--set".to_owned(), word(&format!("{key}={inline}"))]);
            }
        }
    }
    words.join(" ")
}

/// The keys whose values are others than `base` has, or are not there; what is of another kind is one value.
fn differences<'a>(key: &str, base: &Value, own: &'a Value, changes: &mut Vec<(String, &'a Value)>) {
    match (base, own) {
        (Value::Table(base), Value::Table(own)) if base.get("kind") == own.get("kind") || key == "data" => {
            for (name, value) in own {
                let key = if key.is_empty() { name.clone() } else { format!("{key}.{name}") };
                match base.get(name) {
                    Some(base) => differences(&key, base, value, changes),
                    None => changes.push((key, value)),
                }
            }
        }
        (base, own) if base == own => {}
        (_, own) => changes.push((key.to_owned(), own)),
    }
}

/// A value as an override takes it: names without quotes, tables on one line.
fn inline(value: &Value) -> String {
    match value {
        Value::Table(table) => {
            let pairs: Vec<String> =
                table.iter().map(|(key, value)| format!("{key} = {value}", value = quoted(value))).collect();
            format!("{{ {} }}", pairs.join(", "))
        }
        Value::String(text) if text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') => text.clone(),
        other => quoted(other),
    }
}

fn quoted(value: &Value) -> String {
    match value {
        Value::Table(_) => inline(value),
        other => other.to_string(),
    }
}

/// A word as a shell takes it.
fn word(text: &str) -> String {
    let is_plain = |character: char| character.is_alphanumeric() || "/._-+=:@%,".contains(character);
    if !text.is_empty() && text.chars().all(is_plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', "'\\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(name: &str, set: &[&str], phase: Phase) -> String {
        let set: Vec<String> = set.iter().map(|set| set.to_string()).collect();
        command(&Recipe::resolve(name, &set).unwrap(), phase, "genotype.json")
    }

    #[test]
    fn a_command_says_what_differs_from_the_recipe() {
        assert_eq!(of("shapes", &[], Phase::Search), "sdas search shapes");
        let set = ["search.epochs=40", "search.seed=3", "train.epochs=7", "data.path='/tmp/my data'"];
        let text = of("cifar10", &set, Phase::Search);
        assert_eq!(text, "sdas search cifar10 --data '/tmp/my data' --set search.epochs=40 --seed 3");
        let text = of("cifar10", &set, Phase::Train);
        assert_eq!(text, "sdas train genotype.json cifar10 --data '/tmp/my data' --set train.epochs=7");
    }

    /// Whatever it says is read back as the same recipe.
    #[test]
    fn what_a_command_says_is_the_run() {
        let sets: [&[&str]; 3] = [
            &[
                "search.schedule.kind=at_end",
                "search.criterion=sgas1",
                "space.operations=[\"none\", \"skip_connect\", \"sep_conv_3x3\"]",
            ],
            &["search.schedule={ kind = \"step\", every = 1, from = 2 }", "search.epochs=20", "search.beta_decay=2.5"],
            &[
                "search.budget={ parameters = 30000 }",
                "train.channels=20",
                "search.collapse.by={ kind = \"curvature\" }",
            ],
        ];
        for set in sets {
            let set: Vec<String> = set.iter().map(|set| set.to_string()).collect();
            let recipe = Recipe::resolve("shapes", &set).unwrap();
            let text = command(&recipe, Phase::Search, "");
            let words = text.strip_prefix("sdas search shapes --set ").unwrap().split(" --set ");
            let read: Vec<String> = words.map(|word| word.trim_matches('\'').to_owned()).collect();
            let again = Recipe::resolve("shapes", &read).unwrap();
            assert_eq!(again.asked(Stage::Search), recipe.asked(Stage::Search), "{text}");
        }
    }
}
