//! Where pictures and clips come from, and the way from there to datasets.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Instant;

use etcetera::BaseStrategy;
use serde::{Deserialize, Serialize};

use crate::cache;
use crate::cifar::{Cifar, Version};
use crate::dataset::{Dataset, Sample, Store};
use crate::duplicates::Duplicates;
use crate::error::DataError;
use crate::folder::Folder;
use crate::input::{Input, with_flow};
use crate::motion::{Motion, Mover};
use crate::packs::Building;
use crate::random::fnv1a;
use crate::remarks::{Listed, Remarks};
use crate::shapes::{Painter, Shapes};
use crate::video::{Checked, Clips, Prepared, bytes_of};

/// The largest side pictures can be brought to, in pixels.
pub(crate) const MOST: usize = 4096;
/// The most pixels that a picture may be allowed: those of the largest JPEG, and a few more.
const MOST_PIXELS: u64 = 1 << 32;

/// Where pictures or clips come from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// Which kind of data.
    pub kind: Kind,
    /// The data set's folder; every kind but `shapes` and `motion` needs it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<PathBuf>,
    /// What is seen of clips; of pictures, only their colours can be.
    #[serde(default)]
    pub input: Input,
    /// Side in pixels of the square that every picture is brought to. None keeps them as they are:
    /// 32 for CIFAR, `shapes` and `motion`; the pictures of a folder must then all have one size.
    ///
    /// Of clips, the short side. The long one follows by proportion, rounded to an even number;
    /// cutting is left to the loader. None keeps every clip's own size.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<usize>,
    /// How pictures become square. Clips do by [`Resize::Squash`] only.
    #[serde(default)]
    pub resize: Resize,
    /// Folder for the memory-mapped cache of what is decoded, made if it is missing. None keeps
    /// pictures in memory, and clips in `sdas` in the user's folder for caches (`$XDG_CACHE_HOME`
    /// or `~/.cache`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache: Option<PathBuf>,
    /// How many pictures of `shapes` to generate; other kinds ignore it.
    #[serde(default)]
    pub shapes: Shapes,
    /// How many clips of `motion` to generate; other kinds ignore it.
    #[serde(default)]
    pub motion: Motion,
    /// Which of the official divisions into train and test, 1 to 3, of `ucf101` and `hmdb51`; other
    /// kinds ignore it.
    #[serde(default = "first_split")]
    pub split: usize,
    /// Folder of the official lists of `ucf101`, `hmdb51` and `kinetics`. None: they are in `path`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lists: Option<PathBuf>,
    /// Of clips, only these classes, with labels in this order. None: all, sorted or in the lists'
    /// order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub classes: Option<Vec<String>>,
    /// Frames per second that clips are brought to by leaving frames out or repeating them. None
    /// keeps every frame, whatever its time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fps: Option<f64>,
    /// What becomes of clips that the lists name and that are not there.
    #[serde(default)]
    pub missing: Unusable,
    /// What becomes of pictures of a folder, or clips, that cannot be decoded.
    #[serde(default)]
    pub broken: Unusable,
    /// What becomes of samples that are in both splits; `shapes`, `motion` and CIFAR ignore it.
    #[serde(default)]
    pub duplicates: Duplicates,
    /// The most pixels, width times height, of a picture's file: one that has more, or says that it
    /// has, cannot be decoded. It bounds the memory that a file can ask for.
    #[serde(default = "usual_pixels")]
    pub max_pixels: u64,
}

fn first_split() -> usize {
    1
}

/// What the largest cameras have, but for a few: at most a gigabyte and a half for each thread that
/// decodes one.
fn usual_pixels() -> u64 {
    120_000_000
}

/// What becomes of pictures or clips that cannot be used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Unusable {
    /// They are an error, that counts them all and names the first ten.
    #[default]
    Error,
    /// They are left out, counted, and the first ten named in [`Remarks`].
    Skip,
}

impl Source {
    /// A source of this kind with every choice at its default.
    pub fn new(kind: Kind) -> Self {
        Self {
            kind,
            path: None,
            input: Input::default(),
            size: None,
            resize: Resize::default(),
            cache: None,
            shapes: Shapes::default(),
            motion: Motion::default(),
            split: first_split(),
            lists: None,
            classes: None,
            fps: None,
            missing: Unusable::default(),
            broken: Unusable::default(),
            duplicates: Duplicates::default(),
            max_pixels: usual_pixels(),
        }
    }

    /// The folder for caches: the one asked for, or the user's.
    pub(crate) fn cache_folder(&self) -> Result<PathBuf, DataError> {
        match &self.cache {
            Some(folder) => Ok(folder.clone()),
            None => Ok(etcetera::choose_base_strategy().map_err(|_| DataError::NoCache)?.cache_dir().join("sdas")),
        }
    }

    /// These files, which are `what`; all of them are named in a file among the caches if there are
    /// many.
    pub(crate) fn listed(&self, what: &str, files: Vec<(PathBuf, String)>) -> Listed {
        let path = self.path.as_ref().map(|path| path.canonicalize().unwrap_or_else(|_| path.clone()));
        let name = path.as_deref().and_then(Path::file_name).map_or("data".into(), |name| name.to_string_lossy());
        let hash = fnv1a(format!("{path:?}").as_bytes());
        // Without a folder for caches the temporary one will do.
        let folder = self.cache_folder().unwrap_or_else(|_| std::env::temp_dir());
        Listed::of(files, &folder.join(format!("{name}-{hash:016x}.{what}.txt")))
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
    /// `train/<class>/**` and `test/<class>/**` or `val/<class>/**`: JPEG, PNG, WebP, BMP and PNM, in
    /// the class's folder and in all folders below it. Gray becomes RGB, 16 bits become 8,
    /// transparent parts become white, and a photo's orientation tag is honoured.
    Folder,
    /// Clips: `train/<class>/**` and `test/<class>/**` or `val/<class>/**`, as ffmpeg can read them.
    Clips,
    /// UCF101, or clips with lists of its form: `classInd.txt`, `trainlist0N.txt` and
    /// `testlist0N.txt` in `path` or in `ucfTrainTestlist` inside it; clips `<class>/*` in `path` or
    /// in `videos` or `UCF-101` inside it.
    Ucf101,
    /// HMDB51: `<class>_test_splitN.txt` in `path` or in `testTrainMulti_7030_splits` inside it;
    /// clips `<class>/*` in `path` or in `videos` or `hmdb51_org` inside it.
    Hmdb51,
    /// Kinetics: `train.csv` and `val.csv`, or names that end so, in `path` or in `annotations`
    /// inside it; clips `<id>_<start>_<end>.mp4` or, of videos with one clip, `<id>.mp4` in `path` or
    /// in folders inside it, such as of splits and classes.
    Kinetics,
}

impl Kind {
    pub(crate) const ALL: [Kind; 9] = [
        Kind::Shapes,
        Kind::Motion,
        Kind::Cifar10,
        Kind::Cifar100,
        Kind::Folder,
        Kind::Clips,
        Kind::Ucf101,
        Kind::Hmdb51,
        Kind::Kinetics,
    ];

    /// Whether its samples are clips.
    pub(crate) fn has_clips(self) -> bool {
        self.is_video() || self == Kind::Motion
    }

    /// Whether it has clips in files.
    fn is_video(self) -> bool {
        matches!(self, Kind::Clips) || self.has_lists()
    }

    /// Whether official lists name its clips.
    fn has_lists(self) -> bool {
        matches!(self, Kind::Ucf101 | Kind::Hmdb51 | Kind::Kinetics)
    }

    /// Its name in recipes.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Shapes => "shapes",
            Kind::Motion => "motion",
            Kind::Cifar10 => "cifar10",
            Kind::Cifar100 => "cifar100",
            Kind::Folder => "folder",
            Kind::Clips => "clips",
            Kind::Ucf101 => "ucf101",
            Kind::Hmdb51 => "hmdb51",
            Kind::Kinetics => "kinetics",
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
        Self::ALL
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

/// The two splits of a data set; both have the same classes, and pictures have the same size.
#[derive(Clone, Debug)]
pub struct Splits {
    /// Pictures to train on.
    pub train: Dataset,
    /// Pictures to test on.
    pub test: Dataset,
    /// What the data set calls the latter: `test` or `val`.
    pub test_name: String,
    /// What there is to say besides.
    pub remarks: Remarks,
}

/// Told after every few samples how many are made, of how many in both splits; called from one
/// thread at a time.
pub(crate) type Progress<'a> = &'a (dyn Fn(usize, usize) + Sync);

/// Finds, decodes and checks all pictures or clips of `source`, or opens the cache that an earlier
/// call left.
///
/// Pictures are decoded on all cores; their order, by class and file name for folders, as in the
/// files for CIFAR, does not depend on that. A cache that is incomplete, damaged, or not of the
/// files as they are now is made anew.
///
/// Clips are always cached, and of them only those are decoded that the cache lacks. Their optical
/// flow, where that is the [`Input`], has a cache of its own, which is made from the frames in the
/// first; that of `motion` is computed anew each time.
///
/// `progress` is told how far it is, from one thread at a time; where optical flow is the input the
/// count begins anew when all clips are decoded.
///
/// # Errors
/// A [`DataError`] for whatever is missing or broken; of broken pictures in a folder, for all of
/// them at once.
pub fn load(source: &Source, progress: &(dyn Fn(&Building) + Sync)) -> Result<Splits, DataError> {
    validate(source)?;
    if source.kind.is_video() {
        return Clips::find(source)?.load(progress);
    }
    Ok(load_uniform(source, progress)?.0)
}

/// As [`load`], of a kind whose samples all have one shape: any but clips in files. With the number of
/// samples that were in the cache before.
fn load_uniform(source: &Source, progress: &(dyn Fn(&Building) + Sync)) -> Result<(Splits, usize), DataError> {
    let stage = |what| {
        let begun = Instant::now();
        move |done, total| {
            let seconds = begun.elapsed().as_secs_f64();
            progress(&Building { what, done, total, seconds, ..Building::default() });
        }
    };
    let (splits, found) = decode(source, &stage(if source.kind.has_clips() { "clips" } else { "pictures" }))?;
    match source.input {
        Input::Rgb => Ok((splits, found)),
        Input::Flow => Ok((with_flow(splits, &stage("flow"))?, found)),
    }
}

/// Where the samples of a kind come from whose samples all have one shape.
fn origin(source: &Source) -> Result<Box<dyn Origin>, DataError> {
    Ok(match source.kind {
        Kind::Shapes => Box::new(Painter::new(source.shapes, source.size)?),
        Kind::Motion => Box::new(Mover::new(source.motion, source.size)?),
        Kind::Cifar10 => Box::new(Cifar::find(Version::Ten, required(source)?, source.size)?),
        Kind::Cifar100 => Box::new(Cifar::find(Version::Hundred, required(source)?, source.size)?),
        Kind::Folder => Box::new(Folder::find(source)?),
        Kind::Clips | Kind::Ucf101 | Kind::Hmdb51 | Kind::Kinetics => unreachable!("these are video"),
    })
}

/// Decodes, or generates, or opens the cache; with the number of samples that were there before.
fn decode(source: &Source, progress: Progress) -> Result<(Splits, usize), DataError> {
    let origin = origin(source)?;
    let (store, decoded, was_there) = match &source.cache {
        Some(folder) => cache::load(source, &*origin, folder, progress)?,
        None => {
            let mut pixels = Vec::new();
            let decoded = origin.decode(&mut pixels, progress)?;
            (Store::Memory(pixels), decoded, false)
        }
    };
    let splits = assemble(store, decoded, &*origin)?;
    source.duplicates.check(&splits.remarks.shared)?;
    let found = if was_there { splits.train.len() + splits.test.len() } else { 0 };
    Ok((splits, found))
}

/// Does what [`load`] does for the sake of the cache that it leaves, and tells how far it is.
///
/// # Errors
/// Those of [`load`].
pub fn prepare(source: &Source, progress: &(dyn Fn(&Building) + Sync)) -> Result<Prepared, DataError> {
    validate(source)?;
    if source.kind.is_video() {
        return Clips::find(source)?.prepare(progress);
    }
    let begun = Instant::now();
    let (splits, found) = load_uniform(source, progress)?;
    Ok(Prepared {
        clips: splits.train.len() + splits.test.len(),
        bytes: bytes_of(&splits),
        seconds: begun.elapsed().as_secs_f64(),
        found,
        remarks: splits.remarks,
        cache: source.cache.clone(),
    })
}

/// Reads all that is in the cache of `source` and verifies its checksums. Nothing is decoded, save
/// that pictures without a cache are loaded.
///
/// # Errors
/// Those of [`load`], but for what is damaged, which [`Checked`] names.
pub fn check(source: &Source) -> Result<Checked, DataError> {
    validate(source)?;
    if source.kind.is_video() {
        return Clips::find(source)?.check();
    }
    // Flow that is kept in memory needs no check.
    let source = Source { input: Input::Rgb, ..source.clone() };
    let begun = Instant::now();
    let origin = origin(&source)?;
    if let Some(folder) = &source.cache
        && let Some((path, opened)) = cache::verify(&source, &*origin, folder)?
    {
        let mut checked = Checked { seconds: begun.elapsed().as_secs_f64(), ..Checked::default() };
        match opened {
            Some((store, decoded)) => {
                let splits = assemble(store, decoded, &*origin)?;
                (checked.clips, checked.bytes) = (splits.train.len() + splits.test.len(), bytes_of(&splits));
                checked.remarks = splits.remarks;
            }
            None => checked.damaged.add(&path, "cut off, altered, or of other files than there are now"),
        }
        return Ok(checked);
    }
    let Prepared { clips, bytes, seconds, remarks, .. } = prepare(&source, &|_| {})?;
    Ok(Checked { clips, bytes, seconds, absent: 0, damaged: Listed::default(), remarks })
}

/// Refuses what no kind can do, and what this one would pass over in silence.
pub(crate) fn validate(source: &Source) -> Result<(), DataError> {
    let Source { kind, size, fps, max_pixels, .. } = *source;
    if !(1..=MOST_PIXELS).contains(&max_pixels) {
        let expected = "a number of pixels from 1 to 4294967296";
        return Err(DataError::Value { key: "data.max_pixels", value: max_pixels.to_string(), expected });
    }
    if let Some(size) = size.filter(|size| !(1..=MOST).contains(size)) {
        return Err(DataError::Size { size, least: 1, most: MOST });
    }
    if let Some(fps) = fps.filter(|fps| !(0.01..=1000.0).contains(fps)) {
        let expected = "a number of frames per second from 0.01 to 1000";
        return Err(DataError::Value { key: "data.fps", value: fps.to_string(), expected });
    }
    let video = "`clips`, `ucf101`, `hmdb51` or `kinetics`";
    let listed = "`ucf101`, `hmdb51` or `kinetics`";
    for (key, is_set, is_used, kinds) in [
        ("data.classes", source.classes.is_some(), kind.is_video(), video),
        ("data.fps", fps.is_some(), kind.is_video(), video),
        ("data.lists", source.lists.is_some(), kind.has_lists(), listed),
    ] {
        if is_set && !is_used {
            return Err(DataError::Unused { key, kind: kind.name(), kinds });
        }
    }
    if source.input == Input::Flow && !kind.has_clips() {
        return Err(DataError::NoMotion { kind: kind.name() });
    }
    if source.classes.as_ref().is_some_and(Vec::is_empty) {
        let expected = "a list of classes, or leave it out to have all";
        return Err(DataError::Value { key: "data.classes", value: "empty".into(), expected });
    }
    Ok(())
}

/// The path, of a kind that needs one.
pub(crate) fn required(source: &Source) -> Result<&Path, DataError> {
    let expected = match source.kind {
        Kind::Cifar10 => "the folder `cifar-10-batches-bin`, unpacked from `cifar-10-binary.tar.gz`",
        Kind::Cifar100 => "the folder `cifar-100-binary`, unpacked from `cifar-100-binary.tar.gz`",
        Kind::Ucf101 | Kind::Hmdb51 => "the folder that holds the clips, in a folder per class, and the official lists",
        Kind::Kinetics => "the folder that holds the clips, and the official lists `train.csv` and `val.csv`",
        Kind::Shapes | Kind::Motion | Kind::Folder | Kind::Clips => {
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

    /// What there is to say of what was decoded.
    fn remarks(&self, _: &Decoded) -> Remarks {
        Remarks::default()
    }

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
#[derive(Default, Serialize, Deserialize)]
pub(crate) struct Decoded {
    /// Frames of each.
    pub(crate) frames: usize,
    /// Height and width.
    pub(crate) size: [usize; 2],
    /// Labels of the pictures to train on and to test on.
    pub(crate) labels: [Vec<u16>; 2],
    /// Files that are left out because they cannot be decoded, by number, each with the reason.
    pub(crate) broken: Vec<(usize, String)>,
    /// Files of equal samples, by number, each with the first such.
    pub(crate) equal: Vec<[usize; 2]>,
}

/// Red, green, blue.
pub(crate) const CHANNELS: usize = 3;

/// The datasets of samples that lie in `store`, those to train on first.
fn assemble(store: Store, decoded: Decoded, origin: &dyn Origin) -> Result<Splits, DataError> {
    let remarks = origin.remarks(&decoded);
    let Decoded { frames, size, labels, .. } = decoded;
    let store = Arc::new(store);
    let mut offset = 0;
    let mut dataset = |labels: &[u16]| {
        let samples = labels.iter().map(|&label| {
            let sample = Sample { store: 0, offset, frames: frames as u32, size: size.map(|side| side as u32), label };
            offset += (frames * size[0] * size[1] * CHANNELS) as u64;
            sample
        });
        let samples = samples.collect();
        Dataset::from_samples(vec![store.clone()], samples, origin.classes().to_vec(), CHANNELS)
    };
    Ok(Splits {
        train: dataset(&labels[0])?,
        test: dataset(&labels[1])?,
        test_name: origin.test_name().into(),
        remarks,
    })
}
