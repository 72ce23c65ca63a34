//! Pictures as batches: where they come from, how they are decoded, divided, augmented and
//! delivered.
//!
//! The way of a picture through this crate:
//!
//! 1. [`load`] reads a [`Source`] (CIFAR, a folder of classes, or the built-in `shapes`) and
//!    decodes every picture once, to 8 bits, in memory or into a memory-mapped cache: two
//!    [`Dataset`]s, [`Splits`].
//! 2. [`split`] divides a dataset by class: halves for the two levels of a search, subsets for
//!    quick runs.
//! 3. A [`Loader`] cuts it into [`Batch`]es in background threads, normalised and [`augment`]ed.
//!
//! [`flow`] finds the motion between two frames of a clip.
//!
//! Everything random is a pure function of a seed, a name and a position (see [`random`]): neither
//! the number of threads nor where a run was interrupted changes a single bit of any batch.
//!
//! ```
//! use sdas_data::{Augmentation, Kind, Loader, LoaderSettings, Source, load, split};
//!
//! let mut source = Source::new(Kind::Shapes);
//! source.shapes.train = 200;
//! source.shapes.test = 50;
//! let splits = load(&source, &|_done, _total| {})?;
//!
//! let [weights, _architecture] = split::halves(splits.train.labels(), 0);
//! let statistics = splits.train.statistics(&weights);
//! let augmentation = Augmentation { crop_padding: 4, flip: true, cutout: 0 };
//! let settings = LoaderSettings::training("weights", 0, 32, statistics, augmentation);
//! let loader = Loader::new(&splits.train, &weights, settings);
//! for batch in loader.epoch(0, 0) {
//!     assert_eq!(batch.shape, [32, 1, 32, 32, 3]);
//! }
//! # Ok::<(), sdas_data::DataError>(())
//! ```

mod augment;
mod cache;
mod cifar;
mod dataset;
mod decode;
mod error;
pub mod flow;
mod folder;
mod loader;
pub mod random;
mod shapes;
mod source;
pub mod split;

pub use augment::{Augmentation, augment};
pub use dataset::{Dataset, Statistics};
pub use error::DataError;
pub use loader::{Batch, Epoch, Last, Loader, LoaderSettings, Order};
pub use shapes::Shapes;
pub use source::{Kind, Progress, Resize, Source, Splits, load};
