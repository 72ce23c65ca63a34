//! Recipes: every choice of a run as data. A recipe is a TOML file or one of the built-in ones; what it does not say has
//! the default of SPEC's tables, and `key=value` overrides come last.

mod builtin;
mod mixing;
mod read;
mod settings;

pub use builtin::{BUILTIN, Builtin};
pub use read::RecipeError;
pub use settings::{DataSettings, RunSettings, SearchSettings, SpaceSettings, TrainSettings};

use crate::run::Stage;
use sdas_data::Views;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use toml::Value;

/// A run's choices.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Recipe {
    /// The name of the recipe these choices started from.
    pub recipe: String,
    /// The pictures or clips.
    pub data: DataSettings,
    /// The candidate operations.
    pub space: SpaceSettings,
    /// The search.
    pub search: SearchSettings,
    /// Training the found network.
    pub train: TrainSettings,
    /// What is averaged over where a network is measured on the test set.
    pub eval: Views,
    /// What a run writes besides.
    pub run: RunSettings,
    /// Methods to compare by name, each what it changes in this recipe: `[methods.late.search.schedule]`, `start = 0.3`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub methods: BTreeMap<String, toml::Table>,
}

impl Recipe {
    pub(crate) fn make_paths_absolute(&mut self) {
        let DataSettings { path, lists, cache, .. } = &mut self.data;
        for path in [path, lists, cache, &mut self.train.initial].into_iter().flatten() {
            *path = std::path::absolute(&*path).unwrap_or_else(|_| path.clone());
        }
    }

    /// As it was before a run measured or chose anything, paths made absolute, and what a stage does not depend on as by default.
    pub(crate) fn asked(mut self, stage: Stage) -> Self {
        self.make_paths_absolute();
        self.run = RunSettings::default();
        match stage {
            Stage::Search => {
                let TrainSettings { stem, channels, cells, .. } = std::mem::take(&mut self.train);
                self.eval = Views::default();
                if !self.search.budget.is_unlimited() {
                    self.train = TrainSettings { stem, channels, cells, ..TrainSettings::default() };
                }
            }
            Stage::Train | Stage::Test => self.search = Default::default(),
        }
        if self.train.at.is_some() {
            let TrainSettings { channels, width, .. } = TrainSettings::default();
            (self.train.channels, self.train.width) = (channels, width);
        }
        if self.data.measured {
            self.data.measured = false;
            self.data.mean.clear();
            self.data.std.clear();
        }
        self
    }

    /// The value of a dotted key as TOML; `None` where it is not said.
    pub(crate) fn value(&self, key: &str) -> Option<String> {
        let all = Value::try_from(self).expect("a recipe is TOML");
        key.split('.').try_fold(&all, |value, part| value.get(part)).map(Value::to_string)
    }

    /// Every key with its value as TOML.
    pub(crate) fn values(&self) -> Vec<(String, String)> {
        let mut values = Vec::new();
        flatten("", &Value::try_from(self).expect("a recipe is TOML"), &mut values);
        values
    }

    /// The first key whose value differs, with both values as TOML.
    pub(crate) fn difference(&self, other: &Recipe) -> Option<(String, [String; 2])> {
        let [own, other] = [self, other].map(|recipe| Value::try_from(recipe).expect("a recipe is TOML"));
        first_difference("", Some(&own), Some(&other))
    }
}

fn flatten(key: &str, value: &Value, to: &mut Vec<(String, String)>) {
    match value {
        Value::Table(table) => table.iter().for_each(|(name, value)| {
            flatten(&if key.is_empty() { name.clone() } else { format!("{key}.{name}") }, value, to);
        }),
        value => to.push((key.to_owned(), value.to_string())),
    }
}

fn first_difference(key: &str, own: Option<&Value>, other: Option<&Value>) -> Option<(String, [String; 2])> {
    match (own, other) {
        (Some(Value::Table(own)), Some(Value::Table(other))) => {
            let names: BTreeSet<&String> = own.keys().chain(other.keys()).collect();
            names.into_iter().find_map(|name| {
                let key = if key.is_empty() { name.clone() } else { format!("{key}.{name}") };
                first_difference(&key, own.get(name), other.get(name))
            })
        }
        (own, other) if own == other => None,
        (own, other) => {
            let text = |value: Option<&Value>| value.map_or("its default".to_owned(), Value::to_string);
            Some((key.to_owned(), [text(own), text(other)]))
        }
    }
}
