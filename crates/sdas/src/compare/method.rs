//! Ways to come to a network: what a method changes in a recipe, or which network it is.

use crate::architecture::{Architecture, ArchitectureError};
use crate::recipe::{Recipe, RecipeError};
use crate::schedule::Schedule;
use crate::table::Searcher;
use toml::{Table, Value};

/// What `das` changes: everything is decided at the end.
const DAS: &str = "search.schedule.kind = \"at_end\"\nsearch.criterion = \"strength\"";

/// What the literature puts beside the schedule: with everything decided at the end by these names, as it was
/// published, and with the recipe's schedule as `sdas-NAME`.
const PUBLISHED: &[(&str, &str)] = &[
    ("snas", r#"search.relaxation.kind = "gumbel""#),
    ("gdas", r#"search.relaxation.kind = "gumbel_hard""#),
    ("beta-darts", "search.beta_decay = 50.0"),
    ("darts-minus", "search.auxiliary_skip = 1.0"),
    ("pc-darts", r#"search.relaxation.kind = "partial""#),
];
/// What such a name begins with where the recipe's schedule stays.
const SCHEDULED: &str = "sdas-";

/// Methods that need no recipe to name them, with what they change.
const BUILTIN: &[(&str, &str)] = &[
    ("sdas", ""),
    ("das", DAS),
    ("confidence", r#"search.criterion = "confidence""#),
    ("margin", r#"search.criterion = "margin""#),
    ("certainty", r#"search.criterion = "certainty""#),
    ("strength", r#"search.criterion = "strength""#),
    ("sgas1", r#"search.criterion = "sgas1""#),
    ("sgas2", r#"search.criterion = "sgas2""#),
    ("random_order", r#"search.criterion = "random""#),
    ("shrink", "search.schedule.unit = \"operation\"\nsearch.criterion = \"strength\""),
];
/// The method that searches nothing.
const DRAWN: &str = "random";
/// The key by which a method of a recipe asks a table of trained cells instead of searching by gradients.
const ASKING: &str = "table";

/// A way to come to a network.
#[derive(Debug, Clone, PartialEq)]
pub struct Method {
    /// Its name, which its runs' folder has, too.
    pub name: String,
    way: Way,
}

#[derive(Debug, Clone, PartialEq)]
enum Way {
    /// A search, with this laid on the recipe.
    Search(Table),
    /// A cell drawn uniformly from the space.
    Draw,
    /// A search that asks a table of trained cells.
    Ask(Searcher),
    /// No search: this network.
    Is(Architecture),
}

/// What a built-in search of this name changes in a recipe.
fn builtin(name: &str) -> Option<String> {
    let find = |of: &[(&str, &'static str)], name: &str| of.iter().find(|(own, _)| *own == name).map(|(_, text)| *text);
    let scheduled = || find(PUBLISHED, name.strip_prefix(SCHEDULED)?).map(str::to_owned);
    let at_end = || find(PUBLISHED, name).map(|text| format!("{DAS}\n{text}"));
    find(BUILTIN, name).map(str::to_owned).or_else(at_end).or_else(scheduled)
}

/// The names of all built-in searches.
fn builtin_names() -> impl Iterator<Item = String> {
    let published = PUBLISHED.iter().flat_map(|(name, _)| [name.to_string(), format!("{SCHEDULED}{name}")]);
    BUILTIN.iter().map(|(name, _)| name.to_string()).chain(published)
}

impl Method {
    /// The method called `name`: one of the recipe's own (`[methods.NAME]`), or one of those built in: `sdas` (the recipe
    /// as it is), `das`, `random` (no search), the recipe with another criterion, by the criterion's name, or with
    /// operations decided (`shrink`), what the
    /// literature puts beside the schedule (`snas`, `gdas`, `beta-darts`, `darts-minus`, `pc-darts` as published, `sdas-gdas` and
    /// so on with the recipe's schedule), and the searches that ask a table of trained cells, by their names.
    ///
    /// # Errors
    ///
    /// An unknown name, or one that makes no sense for this recipe.
    pub fn resolve(name: &str, recipe: &Recipe) -> Result<Method, RecipeError> {
        let way = match (recipe.methods.get(name), builtin(name), Searcher::named(name)) {
            (Some(own), _, _) => Method::own(name, own, recipe, &format!("method {name}"))?.way,
            (None, Some(text), _) => Way::Search(text.parse().expect("built-in methods are TOML")),
            (None, None, Some(searcher)) => Way::Ask(searcher),
            (None, None, None) if name == DRAWN => Way::Draw,
            (None, None, None) => {
                let others = [DRAWN].into_iter().chain(Searcher::names()).map(str::to_owned);
                let known = recipe.methods.keys().cloned().chain(builtin_names()).chain(others);
                let known = known.collect::<Vec<_>>().join(", ");
                return Err(RecipeError::Method { name: name.to_owned(), known });
            }
        };
        let method = Method { name: name.to_owned(), way };
        let resolved = method.recipe(recipe, 0)?;
        let published = name.strip_prefix(SCHEDULED).filter(|_| !recipe.methods.contains_key(name));
        let at_end = if name == "sdas" { Some("das") } else { published };
        if let (Some(at_end), Schedule::AtEnd {}) = (at_end, resolved.search.schedule) {
            return Err(RecipeError::Key {
                origin: format!("recipe {}", recipe.recipe),
                key: "search.schedule.kind".to_owned(),
                message: format!("is at_end, so that `{name}` would be `{at_end}`; name a recipe with a schedule"),
            });
        }
        Ok(method)
    }

    /// The method that a recipe has as `[methods.NAME]`, checked: what it changes in the recipe, or, as `table`, the search
    /// that asks a table and its settings. Errors call it `origin`.
    pub(crate) fn own(name: &str, over: &Table, recipe: &Recipe, origin: &str) -> Result<Method, RecipeError> {
        let way = match over.get(ASKING) {
            Some(asking) => Way::Ask(searcher(asking, over, origin)?),
            None => {
                recipe.with(over.clone(), origin)?;
                Way::Search(over.clone())
            }
        };
        Ok(Method { name: name.to_owned(), way })
    }

    /// A network that is trained as it is: `NAME`, one that people made or a published cell, or `NAME:WHAT`, which calls the
    /// cell or network `WHAT` by a name of one's own.
    ///
    /// # Errors
    ///
    /// If there is no such network.
    pub fn network(text: &str) -> Result<Method, ArchitectureError> {
        let (name, what) = text.split_once(':').unwrap_or((text, text));
        Ok(Method { name: name.to_owned(), way: Way::Is(Architecture::resolve(what)?) })
    }

    /// The network that it is, if it finds none.
    pub fn architecture(&self) -> Option<&Architecture> {
        match &self.way {
            Way::Is(architecture) => Some(architecture),
            Way::Search(_) | Way::Draw | Way::Ask(_) => None,
        }
    }

    /// Whether it searches by gradients.
    pub fn searches(&self) -> bool {
        matches!(self.way, Way::Search(_))
    }

    /// Whether its cells are drawn by chance.
    pub fn draws(&self) -> bool {
        matches!(self.way, Way::Draw)
    }

    /// The search that asks a table of trained cells, if it is one.
    pub fn asks(&self) -> Option<&Searcher> {
        match &self.way {
            Way::Ask(searcher) => Some(searcher),
            Way::Search(_) | Way::Draw | Way::Is(_) => None,
        }
    }

    /// What a run of the method with this seed does, `base` being the recipe that the methods share.
    ///
    /// # Errors
    ///
    /// What the method changes may be impossible.
    pub fn recipe(&self, base: &Recipe, seed: u64) -> Result<Recipe, RecipeError> {
        let mut recipe = match &self.way {
            Way::Search(over) => base.with(over.clone(), &format!("method {}", self.name))?,
            Way::Draw | Way::Ask(_) | Way::Is(_) => base.clone(),
        };
        recipe.methods.clear();
        recipe.search.seed = seed;
        recipe.train.seed = seed;
        Ok(recipe)
    }
}

/// The search that a method asks a table with, all that the method says being `over`.
fn searcher(asking: &Value, over: &Table, origin: &str) -> Result<Searcher, RecipeError> {
    let fault =
        |key: &str, message: String| RecipeError::Key { origin: origin.to_owned(), key: key.to_owned(), message };
    if let Some(other) = over.keys().find(|key| *key != ASKING) {
        let message = format!("what asks a table of trained cells has no use for it; leave it out, or {ASKING}");
        return Err(fault(other, message));
    }
    let searcher: Searcher =
        asking.clone().try_into().map_err(|error: toml::de::Error| fault(ASKING, error.message().to_owned()))?;
    searcher.check().map_err(|(key, message)| fault(&format!("{ASKING}.{key}"), message))?;
    Ok(searcher)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schedule::Criterion;
    use crate::supernet::Relaxation;

    fn recipe(overrides: &[&str]) -> Recipe {
        Recipe::resolve("shapes", &overrides.iter().map(|text| text.to_string()).collect::<Vec<_>>()).unwrap()
    }

    #[test]
    fn builtin_methods_are_recipes() {
        let base = recipe(&[]);
        for name in builtin_names() {
            let own = Method::resolve(&name, &base).unwrap().recipe(&base, 7).unwrap();
            assert_eq!((own.search.seed, own.train.seed), (7, 7));
            assert_eq!((own.train.epochs, &own.data), (base.train.epochs, &base.data));
        }
        let das = Method::resolve("das", &base).unwrap().recipe(&base, 7).unwrap();
        let named = Recipe::resolve("shapes-das", &[]).unwrap();
        assert_eq!((das.search.schedule, das.search.criterion), (named.search.schedule, named.search.criterion));
        assert!(!Method::resolve("random", &base).unwrap().searches());
    }

    #[test]
    fn what_was_published_runs_at_the_end_or_with_the_schedule() {
        let base = recipe(&[]);
        let search = |name: &str| Method::resolve(name, &base).unwrap().recipe(&base, 7).unwrap().search;
        let das = search("das");
        for (name, _) in PUBLISHED {
            let (at_end, scheduled) = (search(name), search(&format!("sdas-{name}")));
            assert_eq!((&at_end.schedule, at_end.criterion), (&Schedule::AtEnd {}, Criterion::Strength));
            let base = &base.search;
            assert_eq!((scheduled.schedule, scheduled.criterion), (base.schedule.clone(), base.criterion));
            assert_eq!(at_end.relaxation, scheduled.relaxation);
            assert_ne!(at_end, das, "{name}");
        }
        assert_eq!(search("gdas").relaxation, Relaxation::GumbelHard { from: 10.0, to: 0.1 });
        assert_eq!((search("sdas-beta-darts").beta_decay, search("darts-minus").auxiliary_skip), (50.0, 1.0));
        let das = recipe(&["search.schedule.kind=at_end"]);
        let text = Method::resolve("sdas-gdas", &das).unwrap_err().to_string();
        assert!(text.contains("`sdas-gdas` would be `gdas`"), "{text}");
    }

    #[test]
    fn a_recipe_names_methods_of_its_own() {
        let base = recipe(&["methods.late.search.schedule.start=0.3", "methods.late.search.criterion=sgas2"]);
        let late = Method::resolve("late", &base).unwrap().recipe(&base, 1).unwrap();
        assert_eq!(late.search.criterion, Criterion::Sgas2);
        assert!(matches!(late.search.schedule, Schedule::Linear { start, .. } if start == 0.3));
        assert!(late.methods.is_empty());
    }

    #[test]
    fn searches_that_ask_a_table_are_methods_too() {
        let base = recipe(&["methods.large.table.kind=evolution", "methods.large.table.population=100"]);
        let large = Method::resolve("large", &base).unwrap();
        let Some(Searcher::Evolution(own)) = large.asks() else { panic!("{large:?}") };
        assert_eq!((own.population, own.sample), (100, 3));
        assert!(!large.searches() && !large.draws());
        assert_eq!(Method::resolve("evolution", &base).unwrap().asks(), Searcher::named("evolution").as_ref());
        let fault = |overrides: &[&str]| {
            let overrides: Vec<String> = overrides.iter().map(|text| text.to_string()).collect();
            Recipe::resolve("shapes", &overrides).unwrap_err().to_string()
        };
        let text = fault(&["methods.x.table.kind=evolution", "methods.x.table.populace=3"]);
        assert!(text.contains("method x: table: unknown field `populace`, expected one of"), "{text}");
        let text = fault(&["methods.x.table.kind=evolution", "methods.x.table.sample=0"]);
        assert!(text.contains("method x: table.sample: must be at least 1, not 0"), "{text}");
        let text = fault(&["methods.x.table.kind=evolution", "methods.x.search.epochs=3"]);
        assert!(text.contains("method x: search: what asks a table of trained cells has no use for it"), "{text}");
    }

    #[test]
    fn errors_name_the_method() {
        let text = |name: &str, base: &Recipe| Method::resolve(name, base).unwrap_err().to_string();
        let unknown = text("sgas3", &recipe(&[]));
        assert!(unknown.contains("\"sgas3\"") && unknown.contains("sgas2") && unknown.contains("random"), "{unknown}");
        let wrong = Recipe::resolve("shapes", &["methods.late.search.epoch=3".to_owned()]).unwrap_err().to_string();
        assert!(wrong.contains("method late: search.epoch: unknown field `epoch`"), "{wrong}");
        assert!(text("sdas", &recipe(&["search.schedule.kind=at_end"])).contains("would be `das`"));
    }
}
