//! Where samples come from: a file a kind, with the keys that it uses.

mod cifar;
pub(crate) mod clips;
pub(crate) mod duplicates;
mod folder;
mod given;
mod input;
mod keep;
mod kind;
mod labelled;
mod listing;
mod motion;
mod origin;
mod paths;
mod picture_list;
mod pictures;
mod places;
mod settings;
mod shapes;
mod shards;
mod stamp;
mod unusable;

pub use duplicates::Duplicates;
pub(crate) use folder::pictures_below;
pub use given::give;
pub use input::Input;
pub use keep::Keep;
pub use kind::Kind;
pub use motion::Motion;
pub(crate) use origin::{Decoded, Origin, Progress, Sink};
pub(crate) use pictures::{FoundPictures, PictureForm};
pub(crate) use places::Places;
pub(crate) use settings::Found;
pub use settings::Source;
pub use shapes::Shapes;
pub(crate) use stamp::Stamp;
pub use unusable::Unusable;
