//! What a recipe says of data, and which kind is told what of it.

use std::path::{Path, PathBuf};

use etcetera::BaseStrategy;
use serde::{Deserialize, Serialize};

use super::cifar::{Cifar, Version};
use super::clips::{ClipsSettings, FoundClips, Naming};
use super::duplicates::Duplicates;
use super::folder;
use super::given::given;
use super::input::Input;
use super::keep::Keep;
use super::kind::Kind;
use super::motion::{Motion, Mover};
use super::origin::Origin;
use super::picture_list;
use super::pictures::{FoundPictures, PictureForm, PictureSettings};
use super::shapes::{Painter, Shapes};
use super::shards;
use super::unusable::Unusable;
use crate::decode::{Form, MOST, Resize};
use crate::error::DataError;
use crate::keep::Splits;
use crate::random::fnv1a;
use crate::remarks::Ledger;

/// The most pixels that a picture may be allowed: those of the largest JPEG, and a few more.
const MOST_PIXELS: u64 = 1 << 32;

/// Where pictures or clips come from, key by key as recipes say it. What a kind has no use for is an
/// error where it says anything but the usual.
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
    /// 32 for CIFAR, `shapes` and `motion`; the pictures of a folder or of shards must then all have one
    /// size, unless they are not [kept](Keep::None).
    ///
    /// Of clips, the short side. The long one follows by proportion, rounded to an even number;
    /// cutting is left to the loader. None keeps every clip's own size.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<usize>,
    /// How pictures become square. Clips do by [`Resize::Squash`] only.
    #[serde(default)]
    pub resize: Resize,
    /// How what is decoded is kept. None: clips in files in a cache, and others in memory unless a folder
    /// for the `cache` is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep: Option<Keep>,
    /// Folder for the memory-mapped cache of what is decoded, made if it is missing. None: `sdas` in the
    /// user's folder for caches (`$XDG_CACHE_HOME` or `~/.cache`), where there is a cache.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache: Option<PathBuf>,
    /// How many pictures of `shapes` to generate.
    #[serde(default)]
    pub shapes: Shapes,
    /// How many clips of `motion` to generate.
    #[serde(default)]
    pub motion: Motion,
    /// Which of the official divisions into train and test, 1 to 3, of `ucf101` and `hmdb51`.
    #[serde(default = "first_split")]
    pub split: usize,
    /// Folder of the official lists of `ucf101`, `hmdb51` and `kinetics`, of those of `list` and `picture-list`, or of
    /// that of the classes of a folder's pictures to test on. None: they are in `path`.
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
    /// What becomes of files whose samples are in both splits.
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

/// Samples that have been found but not decoded.
pub(crate) enum Found {
    /// Such as all have one shape, or are brought to one.
    Uniform(Box<dyn Origin>),
    /// Pictures in files or shards.
    Pictures(FoundPictures),
    /// Clips in files.
    Clips(FoundClips),
    /// Samples of the program's own.
    Given(Splits),
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
            keep: None,
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

    /// How samples are kept, by what is said or usual.
    pub(crate) fn kept(&self) -> Keep {
        let usual = if self.kind.is_video() || self.cache.is_some() { Keep::Cache } else { Keep::Memory };
        self.keep.unwrap_or(usual)
    }

    /// What the file is called that a cache of these samples is, whatever they are now.
    pub(crate) fn cache_name(&self) -> String {
        let mut what = format!("{:?} {:?} {:?} {:?}", self.real_path(), self.size, self.resize, self.shapes);
        if self.kind == Kind::Motion {
            what += &format!(" {:?}", self.motion);
        }
        format!("{}-{:016x}.pixels", self.kind, fnv1a(what.as_bytes()))
    }

    /// Where long lists of files are written.
    pub(crate) fn ledger(&self) -> Ledger {
        // Without a folder for caches the temporary one will do.
        Ledger::of(self.real_path().as_deref(), self.cache_folder().unwrap_or_else(|_| std::env::temp_dir()))
    }

    fn real_path(&self) -> Option<PathBuf> {
        self.path.as_ref().map(|path| path.canonicalize().unwrap_or_else(|_| path.clone()))
    }

    /// Of clips in files, what their frames should be like.
    pub(crate) fn form(&self) -> Form {
        Form { size: self.size, resize: self.resize, fps: self.fps }
    }

    /// Finds the samples, each kind by what it is told.
    pub(crate) fn find(&self) -> Result<Found, DataError> {
        let uniform: Box<dyn Origin> = match self.kind {
            Kind::Shapes => Box::new(Painter::new(self.shapes, self.size)?),
            Kind::Motion => Box::new(Mover::new(self.motion, self.size)?),
            Kind::Cifar10 => Box::new(Cifar::find(Version::Ten, self.root()?, self.size)?),
            Kind::Cifar100 => Box::new(Cifar::find(Version::Hundred, self.root()?, self.size)?),
            Kind::Folder => {
                let found = folder::find(self.picture_settings()?, self.lists.as_deref(), self.duplicates)?;
                return Ok(Found::Pictures(found));
            }
            Kind::Shards => return Ok(Found::Pictures(shards::find(self.picture_settings()?)?)),
            Kind::PictureList => {
                let found = picture_list::find(self.picture_settings()?, self.lists.as_deref(), self.duplicates)?;
                return Ok(Found::Pictures(found));
            }
            Kind::List => return self.find_clips(Naming::List),
            Kind::Clips => return self.find_clips(Naming::Folders),
            Kind::Ucf101 => return self.find_clips(Naming::Ucf101 { split: self.split }),
            Kind::Hmdb51 => return self.find_clips(Naming::Hmdb51 { split: self.split }),
            Kind::Kinetics => return self.find_clips(Naming::Kinetics),
            Kind::Given => return Ok(Found::Given(given()?)),
        };
        Ok(Found::Uniform(uniform))
    }

    fn picture_settings(&self) -> Result<PictureSettings, DataError> {
        Ok(PictureSettings {
            root: self.root()?.into(),
            form: PictureForm { size: self.size, resize: self.resize, max_pixels: self.max_pixels },
            broken: self.broken,
            ledger: self.ledger(),
        })
    }

    fn find_clips(&self, naming: Naming) -> Result<Found, DataError> {
        let settings = ClipsSettings {
            root: self.root()?.into(),
            naming,
            lists: self.lists.clone(),
            classes: self.classes.clone(),
            missing: self.missing,
            duplicates: self.duplicates,
            ledger: self.ledger(),
        };
        Ok(Found::Clips(FoundClips::find(settings)?))
    }

    /// The path, of a kind that needs one.
    fn root(&self) -> Result<&Path, DataError> {
        let expected = self.kind.expected_path();
        self.path.as_deref().ok_or(DataError::NoPath { kind: self.kind.name(), expected })
    }

    /// Refuses what no kind can do, and what this one would pass over in silence.
    pub(crate) fn validate(&self) -> Result<(), DataError> {
        let Self { kind, size, fps, max_pixels, .. } = *self;
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
        if let Some(key) = self.said().into_iter().find(|key| !kind.uses(key)) {
            return Err(DataError::Unused { key, kind: kind.name(), kinds: Kind::that_use(key) });
        }
        let is_used = self.kept() == Keep::Cache || kind.is_indexed();
        if self.cache.is_some() && !is_used {
            return Err(DataError::setting(
                "data.cache",
                "set where nothing is kept in a cache",
                "nothing, or leave `data.keep` out",
            ));
        }
        match self.keep {
            Some(Keep::Memory) if kind.is_video() => {
                let value = format!("`memory` for data of kind `{kind}`, whose frames are decoded once");
                return Err(DataError::setting("data.keep", value, "`cache`, or leave it out"));
            }
            Some(Keep::None) if !kind.uses("keep") => {
                let value = format!("`none` for data of kind `{kind}`");
                let right =
                    format!("`cache`, or leave it out; {} can be decoded while they are used", Kind::that_use("keep"));
                return Err(DataError::setting("data.keep", value, right));
            }
            Some(Keep::None) if self.input == Input::Flow => {
                let right = "`cache`, or leave it out; the flow of a clip takes far longer to compute than to read";
                return Err(DataError::setting("data.keep", "`none` where optical flow is the input", right));
            }
            Some(Keep::None) if self.broken == Unusable::Skip && !kind.is_video() => {
                let right = "`error`, or `data.keep` to `cache`; what is broken is only known once all is decoded, as `sdas data check` does";
                return Err(DataError::setting("data.broken", "`skip` where `data.keep` is `none`", right));
            }
            _ => {}
        }
        if self.input == Input::Flow && !kind.has_clips() {
            return Err(DataError::NoMotion { kind: kind.name() });
        }
        if self.classes.as_ref().is_some_and(Vec::is_empty) {
            let expected = "a list of classes, or leave it out to have all";
            return Err(DataError::Value { key: "data.classes", value: "empty".into(), expected });
        }
        Ok(())
    }

    /// The keys that say something else than usual, of those that not every kind uses.
    fn said(&self) -> Vec<&'static str> {
        let usual = Self::new(self.kind);
        let keys = [
            ("path", self.path != usual.path),
            ("resize", self.resize != usual.resize),
            ("shapes", self.shapes != usual.shapes),
            ("motion", self.motion != usual.motion),
            ("split", self.split != usual.split),
            ("lists", self.lists != usual.lists),
            ("classes", self.classes != usual.classes),
            ("fps", self.fps != usual.fps),
            ("missing", self.missing != usual.missing),
            ("broken", self.broken != usual.broken),
            ("duplicates", self.duplicates != usual.duplicates),
        ];
        keys.into_iter().filter(|(_, is_said)| *is_said).map(|(key, _)| key).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_kind_has_no_use_for_is_named_with_the_kinds_that_have() {
        let of = |kind, change: &dyn Fn(&mut Source)| {
            let mut source = Source::new(kind);
            change(&mut source);
            source.validate()
        };
        type Case<'a> = (&'a str, Kind, &'a str, &'a dyn Fn(&mut Source));
        let changes: [Case; 10] = [
            ("path", Kind::Motion, "`cifar10`, `cifar100`, `folder`", &|source| source.path = Some("x".into())),
            ("resize", Kind::Motion, "`shapes`, `cifar10`", &|source| source.resize = Resize::Squash),
            ("shapes", Kind::Cifar10, "choose `shapes`", &|source| source.shapes.train = 50),
            ("motion", Kind::Folder, "choose `motion`", &|source| source.motion.seed = 5),
            ("split", Kind::Kinetics, "choose `ucf101` or `hmdb51`", &|source| source.split = 2),
            ("lists", Kind::Clips, "`ucf101`, `hmdb51` or `kinetics`", &|source| source.lists = Some("x".into())),
            ("fps", Kind::Motion, "`clips`, `ucf101`", &|source| source.fps = Some(5.0)),
            ("missing", Kind::Clips, "`ucf101`, `hmdb51` or `kinetics`", &|source| source.missing = Unusable::Skip),
            ("broken", Kind::Shapes, "`folder`, `shards`, `picture-list`", &|source| source.broken = Unusable::Skip),
            ("duplicates", Kind::Cifar100, "`folder`, `shards`, `picture-list`", &|source| {
                source.duplicates = Duplicates::Warn
            }),
        ];
        for (key, kind, users, change) in changes {
            let text = of(kind, change).unwrap_err().to_string();
            let words = format!("data of kind `{kind}` has no use for `data.{key}`");
            assert!(text.contains(&words) && text.contains(users), "{text}");
            // Where it is used it is no error, and where it says what is usual neither.
            let user = Kind::ALL.into_iter().find(|kind| kind.uses(key)).unwrap();
            of(user, change).unwrap();
            assert!(kind.is_foreign(key) && !user.is_foreign(key) && !kind.is_foreign("size"));
        }
        Kind::ALL.into_iter().for_each(|kind| of(kind, &|_| {}).unwrap());
    }
}
