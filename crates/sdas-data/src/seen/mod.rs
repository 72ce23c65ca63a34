//! What a network sees of a sample: which frames, which part of them, changed how and normalised by what.

mod augment;
mod clip;
mod colour;
mod crop;
mod statistics;
mod view;

pub use augment::{Augmentation, augment};
pub use clip::{ClipSettings, Normalization, Sampling};
pub use colour::ColourJitter;
pub use crop::{Cropping, Views};
pub use statistics::Statistics;
pub(crate) use view::{Sight, Viewer, pixel_type};
