//! Recipes: every choice of a run as data. A recipe is a TOML file or one of the built-in ones; what it does not say has
//! the default of SPEC's tables, and `key=value` overrides come last.

mod builtin;
mod read;
mod settings;

pub use builtin::{BUILTIN, Builtin};
pub use read::RecipeError;
pub use settings::{DataSettings, SearchSettings, SpaceSettings, TrainSettings};

use sdas_data::Views;
use serde::{Deserialize, Serialize};

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
}
