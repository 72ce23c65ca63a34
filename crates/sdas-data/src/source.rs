//! Where pictures come from, and the way from there to datasets.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::cache;
use crate::cifar::{Cifar, Version};
use crate::dataset::{Dataset, Sample, Store};
use crate::error::DataError;
use crate::folder::Folder;
use crate::motion::{Motion, Mover};
use crate::shapes::{Painter, Shapes};

/// The largest side pictures can be brought to, in pixels.
pub(crate) const MOST: usize = 4096;

/// Where pictures come from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// Which kind of data.
    pub kind: Kind,
    /// The data set's folder; every kind but `shapes` and `motion` needs it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<PathBuf>,
    /// Side in pixels of the square that every picture is brought to. None keeps them as they are:
    /// 32 for CIFAR, `shapes` and `motion`; the pictures of a folder must then all have one size.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<usize>,
    /// How pictures become square.
    #[serde(default)]
    pub resize: Resize,
    /// Folder for the memory-mapped cache of decoded pictures, made if it is missing. None keeps
    /// them in memory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache: Option<PathBuf>,
    /// How many pictures of `shapes` to generate; other kinds ignore it.
    #[serde(default)]
    pub shapes: Shapes,
    /// How many clips of `motion` to generate; other kinds ignore it.
    #[serde(default)]
    pub motion: Motion,
}

impl Source {
    /// A source of this kind with every choice at its default.
    pub fn new(kind: Kind) -> Self {
        Self {
            kind,
            path: None,
            size: None,
            resize: Resize::default(),
            cache: None,
            shapes: Shapes::default(),
            motion: Motion::default(),
        }
    }
}

/// A kind of data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Ten classes of figures, made by formula: see [`Shapes`].
    Shapes,
    /// Eight classes of clips that only motion tells apart, made by formula: see [`Motion`].
    Motion,
    /// CIFAR-10, binary version: `data_batch_1.bin` to `data_batch_5.bin` and `test_batch.bin`, in
    /// `path` or in `cifar-10-batches-bin` inside it.
    Cifar10,
    /// CIFAR-100, binary version, fine labels: `train.bin` and `test.bin`, in `path` or in
    /// `cifar-100-binary` inside it.
    Cifar100,
    /// `train/<class>/*` and `test/<class>/*` or `val/<class>/*`, JPEG and PNG. Gray becomes RGB,
    /// 16 bits become 8, transparent parts become white, and a photo's orientation tag is honoured.
    Folder,
}

impl Kind {
    /// Its name in recipes.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Shapes => "shapes",
            Kind::Motion => "motion",
            Kind::Cifar10 => "cifar10",
            Kind::Cifar100 => "cifar100",
            Kind::Folder => "folder",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Kind {
    type Err = DataError;

    fn from_str(name: &str) -> Result<Self, DataError> {
        [Kind::Shapes, Kind::Motion, Kind::Cifar10, Kind::Cifar100, Kind::Folder]
            .into_iter()
            .find(|kind| kind.name() == name)
            .ok_or_else(|| DataError::UnknownKind { name: name.into() })
    }
}

/// How a picture of any shape becomes a square. Both scale linearly, averaging over the area where
/// they shrink.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Resize {
    /// The largest centred square, scaled: proportions stay, the ends of the longer side go.
    #[default]
    Crop,
    /// Both sides, each by its own factor: everything stays, proportions go.
    Squash,
}

/// The two splits of a data set; both have the same classes and the same size of pictures.
#[derive(Clone, Debug)]
pub struct Splits {
    /// Pictures to train on.
    pub train: Dataset,
    /// Pictures to test on.
    pub test: Dataset,
    /// What the data set calls the latter: `test` or `val`.
    pub test_name: String,
}

/// Told after every few pictures how many are decoded, of how many in both splits; called from one
/// thread at a time.
pub type Progress<'a> = &'a (dyn Fn(usize, usize) + Sync);

/// Finds, decodes and checks all pictures of `source`, or opens the cache that an earlier call
/// left.
///
/// Pictures are decoded on all cores; their order, by class and file name for folders, as in the
/// files for CIFAR, does not depend on that. A cache that is incomplete, damaged, or not of the
/// files as they are now is made anew.
///
/// # Errors
/// A [`DataError`] for whatever is missing or broken; of broken pictures in a folder, for all of
/// them at once.
pub fn load(source: &Source, progress: Progress) -> Result<Splits, DataError> {
    if let Some(size) = source.size.filter(|size| !(1..=MOST).contains(size)) {
        return Err(DataError::Size { size, least: 1, most: MOST });
    }
    let origin: Box<dyn Origin> = match source.kind {
        Kind::Shapes => Box::new(Painter::new(source.shapes, source.size)?),
        Kind::Motion => Box::new(Mover::new(source.motion, source.size)?),
        Kind::Cifar10 => Box::new(Cifar::find(Version::Ten, required(source)?, source.size)?),
        Kind::Cifar100 => Box::new(Cifar::find(Version::Hundred, required(source)?, source.size)?),
        Kind::Folder => Box::new(Folder::find(required(source)?, source.size, source.resize)?),
    };
    match &source.cache {
        Some(folder) => cache::load(source, &*origin, folder, progress),
        None => {
            let mut pixels = Vec::new();
            let decoded = origin.decode(&mut pixels, progress)?;
            assemble(Store::Memory(pixels), decoded, origin.classes(), origin.test_name())
        }
    }
}

fn required(source: &Source) -> Result<&Path, DataError> {
    let expected = match source.kind {
        Kind::Cifar10 => "the folder `cifar-10-batches-bin`, unpacked from `cifar-10-binary.tar.gz`",
        Kind::Cifar100 => "the folder `cifar-100-binary`, unpacked from `cifar-100-binary.tar.gz`",
        Kind::Shapes | Kind::Motion | Kind::Folder => {
            "a folder that holds `train/<class>` and `test/<class>` or `val/<class>`"
        }
    };
    source.path.as_deref().ok_or(DataError::NoPath { kind: source.kind.name(), expected })
}

/// A data set that has been found but not decoded.
pub(crate) trait Origin {
    /// A hash of everything the decoded pictures depend on.
    fn fingerprint(&self) -> Result<u64, DataError>;

    /// Names of the classes.
    fn classes(&self) -> &[String];

    /// `test` or `val`.
    fn test_name(&self) -> &'static str;

    /// Appends all pictures to train on, then all to test on, to `sink`.
    fn decode(&self, sink: &mut dyn Sink, progress: Progress) -> Result<Decoded, DataError>;
}

/// Takes decoded pictures, in order.
pub(crate) trait Sink {
    /// Told once, before the first picture, how many bytes there will be.
    fn reserve(&mut self, bytes: usize) -> Result<(), DataError>;

    /// Takes the next bytes.
    fn append(&mut self, bytes: &[u8]) -> Result<(), DataError>;
}

impl Sink for Vec<u8> {
    fn reserve(&mut self, bytes: usize) -> Result<(), DataError> {
        self.try_reserve_exact(bytes).map_err(|_| DataError::Memory { bytes })
    }

    fn append(&mut self, bytes: &[u8]) -> Result<(), DataError> {
        self.extend_from_slice(bytes);
        Ok(())
    }
}

/// What is known of decoded samples besides their pixels.
#[derive(Serialize, Deserialize)]
pub(crate) struct Decoded {
    /// Frames of each.
    pub(crate) frames: usize,
    /// Height and width.
    pub(crate) size: [usize; 2],
    /// Labels of the pictures to train on and to test on.
    pub(crate) labels: [Vec<u16>; 2],
}

/// Red, green, blue.
pub(crate) const CHANNELS: usize = 3;

/// The datasets of samples that lie in `store`, those to train on first.
pub(crate) fn assemble(
    store: Store,
    decoded: Decoded,
    classes: &[String],
    test_name: &str,
) -> Result<Splits, DataError> {
    let Decoded { frames, size, labels } = decoded;
    let store = Arc::new(store);
    let mut offset = 0;
    let mut dataset = |labels: &[u16]| {
        let samples = labels.iter().map(|&label| {
            let sample = Sample { store: 0, offset, frames: frames as u32, size: size.map(|side| side as u32), label };
            offset += (frames * size[0] * size[1] * CHANNELS) as u64;
            sample
        });
        let samples = samples.collect();
        Dataset::from_samples(vec![store.clone()], samples, classes.to_vec(), CHANNELS)
    };
    Ok(Splits { train: dataset(&labels[0])?, test: dataset(&labels[1])?, test_name: test_name.into() })
}
