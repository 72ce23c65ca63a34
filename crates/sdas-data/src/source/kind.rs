//! The kinds of data by name, and what each is told.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{cifar, clips, folder, given, motion, picture_list, shapes, shards};
use crate::error::DataError;

/// A kind of data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Ten classes of figures, made by formula: see [`Shapes`](crate::Shapes).
    Shapes,
    /// Eight classes of clips that only motion tells apart, made by formula: see [`Motion`](crate::Motion).
    Motion,
    /// CIFAR-10, binary version: `data_batch_1.bin` to `data_batch_5.bin` and `test_batch.bin`, in
    /// `path` or in `cifar-10-batches-bin` inside it.
    Cifar10,
    /// CIFAR-100, binary version, fine labels: `train.bin` and `test.bin`, in `path` or in
    /// `cifar-100-binary` inside it.
    Cifar100,
    /// `train/<class>/**` and `test/<class>/**` or `val/<class>/**`: JPEG, PNG, WebP, BMP and PNM, in
    /// the class's folder and in all folders below it. Gray becomes RGB, 16 bits become 8, CMYK is
    /// brought to RGB, transparent parts become white, and a photo's orientation tag is honoured.
    ///
    /// Pictures to test on may also lie in `test` or `val` itself, as those of ImageNet do, with a list
    /// `val.txt`, `val.csv` or `LOC_val_solution.csv` (`test.…`) beside them: a line `<name> <class>`
    /// each, the class as the name of its folder or its number from 0 in the order of these.
    ///
    /// Or, as the datasets of Hugging Face have it, `train/metadata.csv` and `test/metadata.csv` (`val` or `validation`
    /// will do), or `.jsonl`, with the columns `file_name`, below their folder, and `label`.
    Folder,
    /// Such pictures in tar files, as WebDataset has them: `*train*-000000.tar` and so on, and `*test*`,
    /// `*val*` or `*validation*`, in `path`, or with any names in folders called so. A sample is
    /// consecutive members with one stem: a picture, and its class as a number from 0 in `.cls`.
    /// `classes.txt` in `path` may name the classes, a line each.
    Shards,
    /// Pictures by lists, as [`Kind::List`] has them.
    #[serde(rename = "picture-list")]
    PictureList,
    /// Clips by lists, as mmaction2 has them: a `.txt` with `train` in its name and one with `test` or `val`, in
    /// `lists` or in `path`, of lines `<path> <label>`, or `<folder> <frames> <label>` for the frames of a clip as
    /// pictures in a folder (those called `img_…` where there are such, else all; of a clip's file the number is passed
    /// over). Paths are below `path`. Labels are numbers from 0 on, or names; `classes.txt` beside the lists may name
    /// the classes, a line each.
    List,
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
    /// What the program [gives](crate::give) that this library is part of.
    Given,
}

impl Kind {
    pub(crate) const ALL: [Kind; 13] = [
        Kind::Shapes,
        Kind::Motion,
        Kind::Cifar10,
        Kind::Cifar100,
        Kind::Folder,
        Kind::Shards,
        Kind::PictureList,
        Kind::List,
        Kind::Clips,
        Kind::Ucf101,
        Kind::Hmdb51,
        Kind::Kinetics,
        Kind::Given,
    ];

    /// Whether its samples are clips.
    pub fn has_clips(self) -> bool {
        self.is_video() || self == Kind::Motion
    }

    /// Whether it has clips in files.
    pub(crate) fn is_video(self) -> bool {
        matches!(self, Kind::List | Kind::Clips | Kind::Ucf101 | Kind::Hmdb51 | Kind::Kinetics)
    }

    /// Whether what is found out about its samples is written among the caches, even if they are not kept.
    pub(super) fn is_indexed(self) -> bool {
        self.is_video() || self == Kind::Shards
    }

    /// The keys of a recipe's `[data]` that it uses besides those that every kind does.
    fn keys(self) -> &'static [&'static str] {
        match self {
            Kind::Shapes => shapes::KEYS,
            Kind::Motion => motion::KEYS,
            Kind::Cifar10 | Kind::Cifar100 => cifar::KEYS,
            Kind::Folder => folder::KEYS,
            Kind::Shards => shards::KEYS,
            Kind::Clips => clips::FOLDERS_KEYS,
            Kind::PictureList => picture_list::KEYS,
            Kind::List | Kind::Kinetics => clips::LISTS_KEYS,
            Kind::Ucf101 | Kind::Hmdb51 => clips::SPLITS_KEYS,
            Kind::Given => given::KEYS,
        }
    }

    /// Whether it has a use for this key, which not every kind has.
    pub(super) fn uses(self, key: &str) -> bool {
        self.keys().contains(&key)
    }

    /// Whether a recipe's `data.<key>` is for other kinds alone.
    pub fn is_foreign(self, key: &str) -> bool {
        !self.uses(key) && Self::ALL.iter().any(|kind| kind.uses(key))
    }

    /// The kinds that have a use for this key, in words.
    pub(super) fn that_use(key: &str) -> String {
        let names: Vec<_> = Self::ALL.iter().filter(|kind| kind.uses(key)).map(|kind| format!("`{kind}`")).collect();
        match &names[..] {
            [before @ .., last] if !before.is_empty() => format!("{} or {last}", before.join(", ")),
            _ => names.concat(),
        }
    }

    /// What its path should lead to, in words.
    pub(super) fn expected_path(self) -> &'static str {
        match self {
            Kind::Cifar10 => {
                "the folder `cifar-10-batches-bin`, unpacked from `cifar-10-binary.tar.gz`; `sdas data fetch \
                 cifar10` gets it and says how to go on"
            }
            Kind::Cifar100 => {
                "the folder `cifar-100-binary`, unpacked from `cifar-100-binary.tar.gz`; `sdas data fetch \
                 cifar100` gets it and says how to go on"
            }
            Kind::Ucf101 => {
                "the folder that holds the clips, in a folder per class, and the official lists; `sdas data \
                 fetch ucf101-lists` gets these and says where the clips are"
            }
            Kind::Hmdb51 => {
                "the folder that holds the clips, in a folder per class, and the official lists; `sdas data \
                 fetch hmdb51-lists` gets these and says where the clips are"
            }
            Kind::Kinetics => {
                "the folder that holds the clips, and the official lists `train.csv` and `val.csv`; `sdas data fetch \
                 kinetics-lists` gets these and says where the clips are"
            }
            Kind::PictureList | Kind::List => {
                "the folder that the paths in the lists begin at, and `data.lists` to that of the lists if it is another"
            }
            Kind::Shards => "the folder that holds the tar files, `*train*.tar` and `*val*.tar`",
            Kind::Shapes | Kind::Motion | Kind::Folder | Kind::Clips | Kind::Given => {
                "a folder that holds `train/<class>` and `test/<class>` or `val/<class>`"
            }
        }
    }

    /// Its name in recipes.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Shapes => "shapes",
            Kind::Motion => "motion",
            Kind::Cifar10 => "cifar10",
            Kind::Cifar100 => "cifar100",
            Kind::Folder => "folder",
            Kind::Shards => "shards",
            Kind::PictureList => "picture-list",
            Kind::List => "list",
            Kind::Clips => "clips",
            Kind::Ucf101 => "ucf101",
            Kind::Hmdb51 => "hmdb51",
            Kind::Kinetics => "kinetics",
            Kind::Given => "given",
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
        Self::ALL.into_iter().find(|kind| kind.name() == name).ok_or_else(|| DataError::UnknownKind {
            name: name.into(),
            known: Self::ALL.map(|kind| format!("`{kind}`")).join(", "),
        })
    }
}
