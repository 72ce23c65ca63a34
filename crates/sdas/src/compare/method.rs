//! Ways to find a cell: what a method changes in a recipe.

use crate::recipe::{Recipe, RecipeError};
use crate::schedule::Schedule;
use toml::Table;

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
}

impl Method {
    /// The method called `name`: one of the recipe's own (`[methods.NAME]`), or one of those built in: `sdas` (the recipe
    /// as it is), `das`, `random` (no search), and the recipe with another criterion, by the criterion's name.
    ///
    /// # Errors
    ///
    /// An unknown name, or one that makes no sense for this recipe.
    pub fn resolve(name: &str, recipe: &Recipe) -> Result<Method, RecipeError> {
        let way = match (recipe.methods.get(name), BUILTIN.iter().find(|(builtin, _)| *builtin == name)) {
            (Some(own), _) => Way::Search(own.clone()),
            (None, Some((_, text))) => Way::Search(text.parse().expect("built-in methods are TOML")),
            (None, None) if name == DRAWN => Way::Draw,
            (None, None) => {
                let own = recipe.methods.keys().map(String::as_str);
                let builtin = BUILTIN.iter().map(|(name, _)| *name).chain([DRAWN]);
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

    /// Whether it searches.
    pub fn searches(&self) -> bool {
        matches!(self.way, Way::Search(_))
    }

    /// What a run of the method with this seed does, `base` being the recipe that the methods share.
    ///
    /// # Errors
    ///
    /// What the method changes may be impossible.
    pub fn recipe(&self, base: &Recipe, seed: u64) -> Result<Recipe, RecipeError> {
        let mut recipe = match &self.way {
            Way::Search(over) => base.with(over.clone(), &format!("method {}", self.name))?,
            Way::Draw => base.clone(),
        };
        recipe.methods.clear();
        recipe.search.seed = seed;
        recipe.train.seed = seed;
        Ok(recipe)
    }
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
    fn errors_name_the_method() {
        let text = |name: &str, base: &Recipe| Method::resolve(name, base).unwrap_err().to_string();
        let unknown = text("sgas3", &recipe(&[]));
        assert!(unknown.contains("\"sgas3\"") && unknown.contains("sgas2") && unknown.contains("random"), "{unknown}");
        let wrong = Recipe::resolve("shapes", &["methods.late.search.epoch=3".to_owned()]).unwrap_err().to_string();
        assert!(wrong.contains("method late: search.epoch: unknown field `epoch`"), "{wrong}");
        assert!(text("sdas", &recipe(&["search.schedule.kind=at_end"])).contains("would be `das`"));
    }
}
