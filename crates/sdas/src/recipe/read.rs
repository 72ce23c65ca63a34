//! Reading, overriding and checking recipes. Every error names the key and says what would be right.

use super::mixing::check_mixing;
use super::{BUILTIN, Recipe};
use crate::compare::Method;
use crate::optimizer::SgdSettings;
use crate::schedule::{Budget, Criterion, Moment, Unit};
use crate::space::{Candidates, OperationKind, Stem};
use sdas_data::{DataError, Kind};
use std::path::Path;
use toml::{Table, Value};

/// More epochs than anybody lives to see, so that steps can be counted.
const MOST_EPOCHS: usize = 1_000_000;

/// What is wrong with a recipe.
#[derive(Debug, thiserror::Error)]
pub enum RecipeError {
    /// Neither a file nor a built-in recipe.
    #[error(
        "there is no recipe \"{name}\": neither a file of that name nor built in; built in are {}",
        builtin_names()
    )]
    Unknown {
        /// What was asked for.
        name: String,
    },
    /// The file cannot be read.
    #[error("cannot read the recipe {path}: {source}")]
    Read {
        /// The file.
        path: String,
        /// Why not.
        source: std::io::Error,
    },
    /// Not TOML.
    #[error("{origin} is not TOML: {message}")]
    Syntax {
        /// The file, or the override.
        origin: String,
        /// The parser's words, with the place.
        message: String,
    },
    /// An override that is not `key=value`.
    #[error("\"{given}\" is no override; write key=value, for example search.epochs=10")]
    Override {
        /// What was given.
        given: String,
    },
    /// A method to compare that nobody knows.
    #[error("there is no method \"{name}\"; there are {known}; a recipe adds its own as [methods.{name}]")]
    Method {
        /// What was asked for.
        name: String,
        /// Those there are.
        known: String,
    },
    /// An unknown key, a wrong type, or an impossible value.
    #[error("{origin}: {key}: {message}")]
    Key {
        /// The recipe.
        origin: String,
        /// The key, dotted as overrides take it.
        key: String,
        /// What is wrong and what would be right.
        message: String,
    },
}

fn builtin_names() -> String {
    BUILTIN.iter().map(|builtin| builtin.name).collect::<Vec<_>>().join(", ")
}

impl Recipe {
    /// The recipe called `name`, built in or a file's path, with `overrides` of the form `key=value` on top, checked.
    ///
    /// # Errors
    ///
    /// See [`RecipeError`].
    pub fn resolve(name: &str, overrides: &[String]) -> Result<Recipe, RecipeError> {
        let builtin = BUILTIN.iter().find(|builtin| builtin.name == name);
        let text = match builtin {
            Some(builtin) => builtin.text.to_owned(),
            None if Path::new(name).exists() => {
                std::fs::read_to_string(name).map_err(|source| RecipeError::Read { path: name.to_owned(), source })?
            }
            None => return Err(RecipeError::Unknown { name: name.to_owned() }),
        };
        let origin = match builtin {
            Some(_) => format!("recipe {name}"),
            None => name.to_owned(),
        };
        let short = Path::new(name).file_stem().map_or(name.to_owned(), |stem| stem.to_string_lossy().into_owned());
        Recipe::from_toml(&text, &origin, &short, overrides)
    }

    /// Reads a recipe's text; `origin` is how errors call it, and `name` what it is called unless it says so itself.
    /// `base = "NAME"` starts from the built-in recipe of that name rather than from the defaults.
    ///
    /// # Errors
    ///
    /// See [`RecipeError`].
    pub fn from_toml(text: &str, origin: &str, name: &str, overrides: &[String]) -> Result<Recipe, RecipeError> {
        let syntax =
            |error: toml::de::Error| RecipeError::Syntax { origin: origin.to_owned(), message: error.to_string() };
        let mut table: Table = Recipe::default().to_toml().parse().map_err(syntax)?;
        table.insert("recipe".to_owned(), Value::String(name.to_owned()));
        merge(&mut table, with_base(text, origin)?);
        let mut over = Table::new();
        for given in overrides {
            merge(&mut over, parse_override(given)?);
        }
        let recipe = finish(table, over, origin)?;
        for (method, over) in &recipe.methods {
            Method::own(method, over, &recipe, &format!("{origin}: method {method}"))?;
        }
        Ok(recipe)
    }

    /// This recipe with `over` laid on it, checked; errors call that `origin`.
    ///
    /// # Errors
    ///
    /// See [`RecipeError`].
    pub(crate) fn with(&self, over: Table, origin: &str) -> Result<Recipe, RecipeError> {
        finish(Table::try_from(self).expect("a recipe is TOML"), over, origin)
    }

    /// The recipe as TOML; reading it gives the same recipe.
    pub fn to_toml(&self) -> String {
        toml::to_string(self).expect("a recipe is TOML")
    }

    /// The first impossible value, as its key and what would be right.
    fn check(&self) -> Result<(), (String, String)> {
        let fault = |key: &str, message: String| Err((key.to_owned(), message));
        let least = |key: &str, value: usize, least: usize| match value < least {
            true => fault(key, format!("must be at least {least}, not {value}")),
            false => Ok(()),
        };
        let within = |key: &str, value: f64, low: f64, high: f64| match (low..high).contains(&value) {
            true => Ok(()),
            false => fault(key, format!("must be at least {low} and below {high}, not {value}")),
        };
        for (key, epochs) in [("search.epochs", self.search.epochs), ("train.epochs", self.train.epochs)] {
            if epochs > MOST_EPOCHS {
                return fault(key, format!("must be at most {MOST_EPOCHS}, not {epochs}"));
            }
        }
        let search = &self.search;
        least("search.channels", search.channels, 1)?;
        least("search.cells", search.cells, 3)?;
        least("search.batch", search.batch, 2)?;
        least("search.epochs", search.epochs, 1)?;
        check_optimizer("search.weights", &search.weights, search.epochs)?;
        within("search.alpha.rate", search.alpha.rate, 0.0, f64::INFINITY)?;
        within("search.alpha.weight_decay", search.alpha.weight_decay, 0.0, f64::INFINITY)?;
        for beta in search.alpha.betas {
            within("search.alpha.betas", beta, 0.0, 1.0)?;
        }
        if search.alpha_warmup >= search.epochs {
            let message = format!("must be less than search.epochs = {}, not {}", search.epochs, search.alpha_warmup);
            return fault("search.alpha_warmup", message);
        }
        let space = self.space.name;
        let candidates = Candidates::subset(space, &self.space.operations)
            .map_err(|error| ("space.operations".to_owned(), error.to_string()))?;
        let unit = search.schedule.unit();
        let decisions = space.kinds().iter().map(|&kind| unit.decisions(&candidates, kind)).max().unwrap_or(0);
        if let Some((key, message)) = search.schedule.fault(search.epochs, decisions) {
            return fault(&format!("search.schedule.{key}"), message);
        }
        if unit == Unit::Operation && !matches!(search.criterion, Criterion::Strength | Criterion::Random) {
            let message = "ranks edges; where operations are decided (search.schedule.unit) it must be strength, by which \
                           the weakest goes, or random";
            return fault("search.criterion", message.to_owned());
        }
        let (warmup, epochs) = (search.alpha_warmup, search.epochs);
        if warmup > 0 && search.schedule.due(Moment { step: warmup, steps_per_epoch: 1, epochs }, decisions) > 0 {
            let message = format!(
                "a decision would fall before α has learnt anything: its warm-up of {warmup} epochs ends at {:.2} of the search; decide later or shorten the warm-up",
                warmup as f64 / epochs as f64
            );
            return fault("search.schedule", message);
        }
        check_mixing(search, &candidates)?;
        let kinds = space.kinds().iter();
        let has_skips = kinds
            .flat_map(|&kind| candidates.edges(kind).iter().flatten())
            .any(|operation| operation.kind == OperationKind::Skip);
        if let Some((key, message)) = search.collapse.fault(epochs - warmup, has_skips) {
            return fault(&format!("search.collapse.{key}"), message);
        }
        let Budget { parameters, multiply_adds } = search.budget;
        for (key, bound) in [("parameters", parameters), ("multiply_adds", multiply_adds)] {
            least(&format!("search.budget.{key}"), bound.unwrap_or(1), 1)?;
        }

        let train = &self.train;
        space.check_stem(train.stem).map_err(|message| ("train.stem".to_owned(), message))?;
        least("train.channels", train.channels, if train.stem == Stem::Cifar { 1 } else { 2 })?;
        least("train.cells", train.cells, 3)?;
        if !(train.width.is_finite() && train.width > 0.0) {
            return fault("train.width", format!("must be above 0, not {}", train.width));
        }
        least("train.batch", train.batch, 2)?;
        least("train.epochs", train.epochs, 1)?;
        check_optimizer("train.weights", &train.weights, train.epochs)?;
        within("train.holdout", train.holdout, 0.0, 1.0)?;
        within("train.drop_path", train.drop_path, 0.0, 1.0)?;
        within("train.dropout", train.dropout, 0.0, 1.0)?;
        within("train.handmade_dropout", train.handmade_dropout.unwrap_or(0.0), 0.0, 1.0)?;
        within("train.auxiliary", train.auxiliary, 0.0, f64::INFINITY)?;
        within("train.label_smoothing", train.label_smoothing, 0.0, 1.0)?;
        within("train.average", train.average, 0.0, 1.0)?;
        if !(1..=train.batch / 2).contains(&train.parts) {
            let message =
                format!("must be from 1 to half of train.batch, {}, so that a part has two samples", train.batch / 2);
            return fault("train.parts", message);
        }

        if let (Kind::Shapes | Kind::Motion, Some(_)) = (self.data.kind, &self.data.path) {
            let message = format!(
                "the samples of `{}` are made by formula and lie nowhere; for your own, name a recipe: `folder` or `cifar10-small` for pictures, `clips` or `ucf101-small` for clips",
                self.data.kind
            );
            return fault("data.path", message);
        }
        if self.data.kind == Kind::Motion && (search.augment.flip || train.augment.flip) {
            let key = if search.augment.flip { "search.augment.flip" } else { "train.augment.flip" };
            let message = "must be false: a mirrored clip of `motion` is one of another class".to_owned();
            return fault(key, message);
        }
        let is_plain = |name: &&String| {
            !name.is_empty()
                && name.chars().all(|character| character.is_ascii_alphanumeric() || "_-".contains(character))
        };
        if let Some(name) = self.methods.keys().find(|name| !is_plain(name)) {
            return fault(
                "methods",
                format!("\"{name}\" must be of letters, digits, _ and -, for a folder has its name"),
            );
        }
        if search.stem_stride.contains(&0) {
            return fault("search.stem_stride", "must be at least 1 along every axis".to_owned());
        }
        if let Some(limit) = self.data.limit {
            least("data.limit", limit, 2)?;
        }
        if let Some(size) = self.data.size {
            least("data.size", size, 8)?;
        }
        if self.data.mean.len() != self.data.std.len() {
            return fault("data.std", "must be given together with data.mean, one number a channel each".to_owned());
        }
        if self.data.mean.iter().any(|mean| !mean.is_finite()) {
            return fault("data.mean", "must be finite".to_owned());
        }
        if self.data.std.iter().any(|&std| !std.is_finite() || std <= 0.0) {
            return fault("data.std", "must be finite and above 0".to_owned());
        }
        let minutes = self.run.checkpoint_minutes;
        if minutes.is_nan() || minutes <= 0.0 {
            return fault("run.checkpoint_minutes", format!("must be above 0, not {minutes}"));
        }
        // Only now, not when it is needed, which may be hours later.
        let checks = [
            ("", self.eval.check()),
            ("search.", search.cropping.check()),
            ("search.", search.augment.check()),
            ("train.", train.cropping.check()),
            ("train.", train.augment.check()),
        ];
        checks.into_iter().try_for_each(|(section, check)| check.map_err(|error| section_error(section, error)))
    }
}

/// The recipe that a table with `over` laid on it is, checked.
fn finish(mut table: Table, over: Table, origin: &str) -> Result<Recipe, RecipeError> {
    if let (Some(Value::Table(data)), Some(Value::Table(other))) = (table.get_mut("data"), over.get("data")) {
        let measured = data.get("measured").and_then(Value::as_bool) == Some(true);
        if measured && !other.is_empty() {
            data.retain(|key, _| !matches!(key, "mean" | "std" | "measured"));
        }
    }
    merge(&mut table, over);
    let schedule = table.get("search").and_then(|search| search.get("schedule"));
    let is_at_end = schedule.and_then(|schedule| schedule.get("kind")).and_then(Value::as_str) == Some("at_end");
    if is_at_end && schedule.is_some_and(|schedule| schedule.get("unit").is_some()) {
        let message = "has no meaning with at_end, which decides all in one moment: to take the weakest operations away one \
                       after another would leave the strongest, which is what it takes; leave it out";
        return Err(key_error(origin, "search.schedule.unit", message.to_owned()));
    }
    let recipe = parsed(table.clone()).map_err(|(key, message)| {
        // Of a number where a name belongs the parser does not say which names there are.
        let named = as_name(table, &key).and_then(|table| parsed(table).err());
        let named = named.filter(|(own, message)| *own == key && message.starts_with("unknown variant"));
        key_error(origin, &key, named.map_or(message, |(_, message)| message))
    })?;
    recipe.check().map_err(|(key, message)| key_error(origin, &key, message))?;
    Ok(recipe)
}

/// The recipe that a table is, or the key that is wrong and why.
fn parsed(table: Table) -> Result<Recipe, (String, String)> {
    serde_path_to_error::deserialize(table).map_err(|error| {
        let key = error.path().to_string();
        // The parser's further lines say where in its own input, which is not what the user wrote.
        let message = error.into_inner().to_string();
        let line = message.lines().next().unwrap_or_default();
        (key, line.replace(", there are no fields", ": this kind has no keys of its own, leave it out"))
    })
}

/// The table with the number, truth value or date at this key as the name that it would be in quotes; `None` of anything
/// else.
fn as_name(mut table: Table, key: &str) -> Option<Table> {
    let (sections, last) = key.rsplit_once('.').unwrap_or(("", key));
    let mut section = &mut table;
    for name in sections.split('.').filter(|name| !name.is_empty()) {
        section = section.get_mut(name)?.as_table_mut()?;
    }
    let value = section.get_mut(last).filter(|value| !(value.is_str() || value.is_table() || value.is_array()))?;
    *value = Value::String(value.to_string());
    Some(table)
}

/// A recipe's text on top of the built-in recipe that it names as its base.
fn with_base(text: &str, origin: &str) -> Result<Table, RecipeError> {
    let mut own: Table = text.parse().map_err(|error: toml::de::Error| RecipeError::Syntax {
        origin: origin.to_owned(),
        message: error.to_string(),
    })?;
    let Some(base) = own.remove("base") else { return Ok(own) };
    let builtin = BUILTIN.iter().find(|builtin| Some(builtin.name) == base.as_str()).ok_or_else(|| {
        key_error(origin, "base", format!("{base} is no built-in recipe; built in are {}", builtin_names()))
    })?;
    let mut table = with_base(builtin.text, builtin.name)?;
    merge(&mut table, own);
    Ok(table)
}

fn check_optimizer(section: &str, settings: &SgdSettings, epochs: usize) -> Result<(), (String, String)> {
    let numbers = [
        ("rate", settings.rate, f64::INFINITY),
        ("rate_end", settings.rate_end, f64::INFINITY),
        ("momentum", settings.momentum, 1.0),
        ("weight_decay", settings.weight_decay, f64::INFINITY),
        ("clip", settings.clip, f64::INFINITY),
    ];
    for (key, value, below) in numbers {
        if !(0.0..below).contains(&value) {
            return Err((format!("{section}.{key}"), format!("must be at least 0 and below {below}, not {value}")));
        }
    }
    if settings.warmup >= epochs {
        let message = format!("must be less than the {epochs} epochs, not {}", settings.warmup);
        return Err((format!("{section}.warmup"), message));
    }
    let fault = settings.course.fault(epochs);
    fault.map_or(Ok(()), |(key, message)| Err((format!("{section}.course.{key}"), message)))
}

fn key_error(origin: &str, key: &str, message: String) -> RecipeError {
    RecipeError::Key { origin: origin.to_owned(), key: key.to_owned(), message }
}

/// What a data setting of a section cannot be, as a key and what would be right.
fn section_error(section: &str, error: DataError) -> (String, String) {
    match error {
        DataError::Setting { key, value, right } => {
            (format!("{section}{key}"), format!("must be {right}, not {value}"))
        }
        other => (section.to_owned(), other.to_string()),
    }
}

/// `key=value` as nested tables; a value that is not TOML is taken as text, so that quotes may be left out.
fn parse_override(given: &str) -> Result<Table, RecipeError> {
    let fault = || RecipeError::Override { given: given.to_owned() };
    let (key, value) = given.split_once('=').ok_or_else(fault)?;
    let (key, value) = (key.trim(), value.trim());
    if value.is_empty() || key.split('.').any(|part| part.trim().is_empty()) {
        return Err(fault());
    }
    let parsed = format!("value = {value}").parse::<Table>().ok().and_then(|mut table| table.remove("value"));
    let value = parsed.unwrap_or_else(|| Value::String(value.to_owned()));
    let nested =
        key.rsplit('.').fold(value, |inner, part| Value::Table(Table::from_iter([(part.trim().to_owned(), inner)])));
    nested.try_into().map_err(|_| fault())
}

/// Lays `over` on `table`. A schedule, and what else has a kind, starts afresh if that is another, since the kind decides
/// which keys there are; the schedules `linear` and `cosine` have the same.
fn merge(table: &mut Table, over: Table) {
    for (key, value) in over {
        match (table.get_mut(&key), value) {
            (Some(Value::Table(own)), Value::Table(new)) => {
                let [before, now] = [&*own, &new].map(|table| table.get("kind").and_then(Value::as_str));
                let has_points = |kind: Option<&str>| matches!(kind, Some("linear" | "cosine"));
                let is_other = before.is_some() && now.is_some() && before != now;
                let other_data = now.and_then(|kind| kind.parse::<Kind>().ok()).filter(|_| key == "data" && is_other);
                if matches!(key.as_str(), "schedule" | "cropping" | "relaxation" | "by" | "course")
                    && is_other
                    && !(has_points(before) && has_points(now))
                {
                    own.clear();
                }
                // What another kind of data has no use for stays behind with the kind that had.
                if let Some(kind) = other_data {
                    own.retain(|key, _| !kind.is_foreign(key));
                }
                merge(own, new);
            }
            // A whole number is fine where a number is meant.
            (Some(own @ Value::Float(_)), Value::Integer(whole)) => *own = Value::Float(whole as f64),
            (_, value) => {
                table.insert(key, value);
            }
        }
    }
}

#[cfg(test)]
mod tests;
