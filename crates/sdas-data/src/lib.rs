//! Pictures and clips as batches: where they come from, how they are decoded, divided, sampled,
//! augmented and delivered.
//!
//! A sample is a clip, `[frames, height, width, channels]`; a picture is a clip of one frame. The way
//! of a sample through this crate:
//!
//! 1. [`load`] reads a [`Source`] (CIFAR, a folder of classes, or the built-in `shapes` and `motion`)
//!    and decodes every sample once, to 8 bits, in memory or into a memory-mapped cache: two
//!    [`Dataset`]s, [`Splits`]. Video files (folders of classes, UCF101, HMDB51, Kinetics) are decoded
//!    by ffmpeg, always into a cache; [`prepare`] does that ahead of time, and [`check`] verifies it.
//!    What is seen of clips is their colours or their optical flow, by [`Input`]. [`open_files`] decodes
//!    files by name, for prediction.
//! 2. [`split`] divides a dataset by class: halves for the two levels of a search, subsets for
//!    quick runs.
//! 3. A [`Loader`] makes [`Batch`]es, `[N, T, H, W, C]`, in background threads.
//!
//! # The way of a clip
//!
//! Of every sample a loader makes one row of a batch, or in testing one for each of its [`Views`]:
//!
//! 1. Which frames: [`ClipSettings`] say how many time steps, and whether they are one run or one in
//!    each of equal [segments](Sampling::Segments); where exactly is chance, or the view's place. A
//!    clip that is too short is looped. Of optical flow each step is a stack of fields, x1 y1 x2 y2 ….
//! 2. Which part: a window, by [`Cropping`] or the view, the same in all frames, scaled bilinearly to
//!    the square that the network sees.
//! 3. [`Augmentation`]: shifted, mirrored (of flow, x becomes 255 − x), with a hole; the same in all
//!    frames.
//! 4. Normalised by the data set's [`Statistics`] or by [the clip's own](Normalization::PerClip).
//!
//! [`flow`] finds the motion between two frames of a clip.
//!
//! Everything random is a pure function of a seed, a name and a position (see [`random`]): neither
//! the number of threads nor where a run was interrupted changes a single bit of any batch. Frames,
//! window and augmentation each have a stream of their own, `<loader>/frames`, `<loader>/crop` and
//! `<loader>/augment`.
//!
//! # Pictures
//!
//! ```
//! use sdas_data::{Augmentation, Kind, Loader, LoaderSettings, Source, load, split};
//!
//! let mut source = Source::new(Kind::Shapes);
//! source.shapes.train = 200;
//! source.shapes.test = 50;
//! let splits = load(&source, &|_| {})?;
//!
//! let [weights, _architecture] = split::halves(splits.train.labels(), 0);
//! let statistics = splits.train.statistics(&weights);
//! let augmentation = Augmentation { crop_padding: 4, flip: true, ..Augmentation::none() };
//! let settings = LoaderSettings::training("weights", 0, 32, statistics, augmentation);
//! let loader = Loader::new(&splits.train, &weights, settings);
//! for batch in loader.epoch(0, 0) {
//!     assert_eq!(batch?.shape, [32, 1, 32, 32, 3]);
//! }
//! # Ok::<(), sdas_data::DataError>(())
//! ```
//!
//! # Clips
//!
//! ```
//! use sdas_data::{Augmentation, ClipSettings, Cropping, Kind, Loader, LoaderSettings, Source, Views, load};
//!
//! let mut source = Source::new(Kind::Motion);
//! source.motion.train = 80;
//! source.motion.test = 16;
//! let splits = load(&source, &|_| {})?;
//! let train: Vec<_> = (0..splits.train.len()).collect();
//! let statistics = splits.train.statistics(&train);
//!
//! // Six of eight frames, and of each a corner or the middle, brought to 24×24.
//! let clip = ClipSettings { frames: 6, crop: Some(24), ..ClipSettings::default() };
//! let settings = LoaderSettings::training("weights", 0, 16, statistics.clone(), Augmentation::none());
//! let cropping = Cropping::Corners { scales: vec![1.0, 0.875, 0.75] };
//! let settings = LoaderSettings { clip, cropping, ..settings };
//! for batch in Loader::new(&splits.train, &train, settings).epoch(0, 0) {
//!     assert_eq!(batch?.shape, [16, 6, 24, 24, 3]);
//! }
//!
//! // Two clips of each sample, one after the other.
//! let views = Some(Views { clips: 2, ..Views::default() });
//! let settings = LoaderSettings { clip, views, ..LoaderSettings::evaluation(4, statistics) };
//! let batch = Loader::new(&splits.test, &[7, 9], settings).epoch(0, 0).next().expect("two samples")?;
//! assert_eq!(batch.samples, [7, 7, 9, 9]);
//! # Ok::<(), sdas_data::DataError>(())
//! ```

mod batch;
mod decode;
mod error;
pub mod fetch;
mod files;
pub mod flow;
mod keep;
mod lines;
mod load;
pub mod random;
mod remarks;
mod seen;
mod source;
pub mod threads;
pub mod whole;
mod windows;

pub use batch::{Batch, Epoch, Last, Loader, LoaderSettings, Order, Part, Share, split};
pub use decode::{Ending, Resize, ending};
pub use error::DataError;
pub use files::{Opened, Spooled, meant_files, open_each, open_files, spool};
pub use keep::{Building, Checked, Dataset, Prepared, Splits};
pub use load::{check, load, prepare};
pub use remarks::{Listed, PassedOver, Remark, Remarks};
pub use seen::{
    Augmentation, ClipSettings, ColourJitter, Cropping, Normalization, Sampling, Statistics, Views, augment,
};
pub use source::{Duplicates, Input, Keep, Kind, Motion, Shapes, Source, Unusable, give};
pub use windows::{Length, Stopped, TakeWindows, Window, WindowSettings, windows};
