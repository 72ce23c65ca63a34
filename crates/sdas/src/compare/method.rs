//! Ways to find a cell: what a method changes in a recipe.

use crate::recipe::{Recipe, RecipeError};
use crate::schedule::Schedule;
use crate::table::Searcher;
use toml::{Table, Value};

/// Methods that need no recipe to name them, with what they change.
const BUILTIN: &[(&str, &str)] = &[
    ("sdas", ""),
    ("das", r#"search = { schedule = { kind = "at_end" }, criterion = "strength" }"#),
    ("confidence", r#"search.criterion = "confidence""#),
    ("margin", r#"search.criterion = "margin""#),
    ("certainty", r#"search.criterion = "certainty""#),
    ("strength", r#"search.criterion = "strength""#),
    ("sgas1", r#"search.criterion = "sgas1""#),
    ("sgas2", r#"search.criterion = "sgas2""#),
    ("random_order", r#"search.criterion = "random""#),
];
/// The method that searches nothing.
const DRAWN: &str = "random";
/// The key by which a method of a recipe asks a table of trained cells instead of searching by gradients.
const ASKING: &str = "table";

/// A way to find a cell.
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
}

impl Method {
    /// The method called `name`: one of the recipe's own (`[methods.NAME]`), or one of those built in: `sdas` (the recipe
    /// as it is), `das`, `random` (no search), the recipe with another criterion, by the criterion's name, and the searches that
    /// ask a table of trained cells, by theirs.
    ///
    /// # Errors
    ///
    /// An unknown name, or one that makes no sense for this recipe.
    pub fn resolve(name: &str, recipe: &Recipe) -> Result<Method, RecipeError> {
        let builtin = BUILTIN.iter().find(|(builtin, _)| *builtin == name);
        let way = match (recipe.methods.get(name), builtin, Searcher::named(name)) {
            (Some(own), _, _) => Method::own(name, own, recipe, &format!("method {name}"))?.way,
            (None, Some((_, text)), _) => Way::Search(text.parse().expect("built-in methods are TOML")),
            (None, None, Some(searcher)) => Way::Ask(searcher),
            (None, None, None) if name == DRAWN => Way::Draw,
            (None, None, None) => {
                let own = recipe.methods.keys().map(String::as_str);
                let builtin = BUILTIN.iter().map(|(name, _)| *name).chain([DRAWN]).chain(Searcher::names());
                return Err(RecipeError::Method {
                    name: name.to_owned(),
                    known: own.chain(builtin).collect::<Vec<_>>().join(", "),
                });
            }
        };
        let method = Method { name: name.to_owned(), way };
        let resolved = method.recipe(recipe, 0)?;
        if name == "sdas" && resolved.search.schedule == (Schedule::AtEnd {}) {
            return Err(RecipeError::Key {
                origin: format!("recipe {}", recipe.recipe),
                key: "search.schedule.kind".to_owned(),
                message: "is at_end, so that `sdas` would be `das`; name a recipe with a schedule".to_owned(),
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
            Way::Search(_) | Way::Draw => None,
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
            Way::Draw | Way::Ask(_) => base.clone(),
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

    fn recipe(overrides: &[&str]) -> Recipe {
        Recipe::resolve("shapes", &overrides.iter().map(|text| text.to_string()).collect::<Vec<_>>()).unwrap()
    }

    #[test]
    fn builtin_methods_are_recipes() {
        let base = recipe(&[]);
        for (name, _) in BUILTIN {
            let own = Method::resolve(name, &base).unwrap().recipe(&base, 7).unwrap();
            assert_eq!((own.search.seed, own.train.seed), (7, 7));
            assert_eq!((own.train.epochs, &own.data), (base.train.epochs, &base.data));
        }
        let das = Method::resolve("das", &base).unwrap().recipe(&base, 7).unwrap();
        let named = Recipe::resolve("shapes-das", &[]).unwrap();
        assert_eq!((das.search.schedule, das.search.criterion), (named.search.schedule, named.search.criterion));
        assert!(!Method::resolve("random", &base).unwrap().searches());
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
