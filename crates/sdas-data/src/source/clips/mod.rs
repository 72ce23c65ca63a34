//! Clips in files: which there are, by folders of classes or by official lists.

mod hmdb51;
mod kinetics;
mod list;
mod lists;
mod ucf101;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use super::duplicates::Duplicates;
use super::listing;
use super::listing::{Listing, Wanted};
use super::paths::Paths;
use super::stamp::{Stamp, key};
use super::unusable::Unusable;
use crate::error::DataError;
use crate::remarks::{Ledger, PassedOver, Remarks};
use lists::{EXTENSIONS, Named};

/// The keys that clips in folders use.
pub(super) const FOLDERS_KEYS: &[&str] = &["path", "resize", "classes", "fps", "broken", "duplicates", "keep"];
/// Those of Kinetics, which has lists, and of lists of one's own.
pub(super) const LISTS_KEYS: &[&str] =
    &["path", "resize", "classes", "fps", "broken", "duplicates", "keep", "lists", "missing"];
/// Those of UCF101 and HMDB51, which have lists of several divisions.
pub(super) const SPLITS_KEYS: &[&str] =
    &["path", "resize", "classes", "fps", "broken", "duplicates", "keep", "lists", "missing", "split"];

const FOLDERS: Wanted = Wanted {
    kind: "clips",
    what: "clips",
    extensions: EXTENSIONS,
    none: "put clips (.mp4, .mkv, .avi, .webm, .mov, …) there, or delete the class's folders in both splits",
};

/// The files in `folder` and below it that are named as clips are, in order.
pub(crate) fn clips_below(folder: &Path) -> Result<Vec<PathBuf>, DataError> {
    listing::below(folder, &FOLDERS)
}

/// Whether a file of this name would be taken to be a clip.
pub(crate) fn is_named_as_clip(path: &Path) -> bool {
    FOLDERS.names(path)
}

/// What names the clips.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Naming {
    /// The folders that they lie in.
    Folders,
    /// Official lists of UCF101's form, of this division into train and test.
    Ucf101 { split: usize },
    /// Likewise of HMDB51's.
    Hmdb51 { split: usize },
    /// Tables of Kinetics' form.
    Kinetics,
    /// Lists of one's own.
    List,
}

impl Naming {
    /// The name of the kind.
    fn name(self) -> &'static str {
        match self {
            Naming::Folders => FOLDERS.kind,
            Naming::Ucf101 { .. } => ucf101::KIND,
            Naming::Hmdb51 { .. } => hmdb51::KIND,
            Naming::Kinetics => kinetics::KIND,
            Naming::List => list::KIND,
        }
    }
}

/// Which clips are meant.
pub(crate) struct ClipsSettings {
    /// The folder of the clips.
    pub(crate) root: PathBuf,
    pub(crate) naming: Naming,
    /// That of the official lists, where it is not the same.
    pub(crate) lists: Option<PathBuf>,
    /// Only these classes.
    pub(crate) classes: Option<Vec<String>>,
    pub(crate) missing: Unusable,
    pub(crate) duplicates: Duplicates,
    pub(crate) ledger: Ledger,
}

/// A clip, by its file.
#[derive(Clone, Debug)]
pub(crate) struct Item {
    /// What a cache's index calls it: its path below the data set's folder.
    pub(crate) key: String,
    /// The file.
    pub(crate) path: PathBuf,
    /// The file as it is now.
    pub(crate) stamp: Stamp,
}

/// Clips that have been found but not decoded.
pub(crate) struct FoundClips {
    naming: Naming,
    pub(crate) root: PathBuf,
    pub(crate) classes: Vec<String>,
    pub(crate) test_name: &'static str,
    /// Clips to train on, then those to test on.
    pub(crate) items: Vec<Item>,
    pub(crate) labels: [Vec<u16>; 2],
    /// What each of `items` was cut from, by number; none where the names do not tell.
    pub(crate) recordings: Vec<u32>,
    /// What is known before anything is decoded.
    pub(crate) remarks: Remarks,
    /// What a list names twice.
    pub(crate) named_again: Vec<(PathBuf, String)>,
}

/// What a clip was cut from, where the kind's names tell: of UCF101 `v_<class>_g01` of
/// `v_<class>_g01_c02`, of HMDB51 the film, which comes before the class.
fn recording(naming: Naming, path: &Path, class: &str) -> Option<String> {
    let stem = path.file_stem()?.to_string_lossy();
    let clip = || stem.rsplit_once('_').map_or(&*stem, |(recording, _)| recording);
    match naming {
        Naming::Ucf101 { .. } => Some(clip().to_owned()),
        Naming::Hmdb51 { .. } => {
            Some(stem.split_once(&format!("_{class}_")).map_or_else(clip, |(film, _)| film).to_owned())
        }
        Naming::Folders | Naming::Kinetics | Naming::List => None,
    }
}

impl FoundClips {
    /// Finds the clips and looks whether they are there.
    pub(crate) fn find(settings: ClipsSettings) -> Result<Self, DataError> {
        let (mut named, passed_over) = name(&settings)?;
        let ClipsSettings { naming, root, classes, missing: unusable, duplicates, ledger, .. } = settings;
        if let Some(names) = &classes {
            named.choose(names)?;
        }
        if named.classes.len() > usize::from(u16::MAX) {
            return Err(DataError::TooManyClasses { path: named.at, classes: named.classes.len() });
        }

        let stamps = named
            .clips
            .each_ref()
            .map(|clips| clips.par_iter().map(|(path, _)| Stamp::of(path)).collect::<Result<Vec<_>, _>>());
        let (mut items, mut labels, mut recordings) = (Vec::new(), [vec![], vec![]], Vec::new());
        let mut numbers = HashMap::new();
        let (mut missing, mut shared, mut named_again) = (vec![], vec![], vec![]);
        // Of each class, how many clips to train on are not there, and the first of them.
        let mut absent: BTreeMap<usize, (usize, PathBuf)> = BTreeMap::new();
        let total = named.clips.iter().map(Vec::len).sum();
        let mut to_train = HashSet::new();
        for (split, ((clips, stamps), labels)) in named.clips.iter().zip(stamps).zip(&mut labels).enumerate() {
            let mut of_split = HashSet::new();
            for ((path, class), stamp) in clips.iter().zip(stamps?) {
                if !of_split.insert((path, class)) {
                    named_again.push((path.clone(), "named twice, taken once".into()));
                    continue;
                }
                if to_train.contains(path) {
                    shared.push((path.clone(), "named by both lists".into()));
                }
                match stamp {
                    Some(stamp) => {
                        items.push(Item { key: key(&root, path), path: path.clone(), stamp });
                        labels.push(*class as u16);
                        if let Some(recording) = recording(naming, path, &named.classes[*class]) {
                            let number = numbers.len() as u32;
                            recordings.push(*numbers.entry((class, recording)).or_insert(number));
                        }
                    }
                    None => {
                        missing.push((path.clone(), "it is not there".into()));
                        if split == 0 {
                            absent.entry(*class).or_insert_with(|| (0, path.clone())).0 += 1;
                        }
                    }
                }
            }
            to_train.extend(of_split.into_iter().map(|(path, _)| path));
        }
        duplicates.check(&ledger.listed("shared", shared))?;
        let missing = ledger.listed("missing", missing);
        if missing.count > 0 && unusable == Unusable::Error {
            return Err(DataError::Missing { files: missing, total, sought: named.sought });
        }
        absent.retain(|class, _| !labels[0].contains(&(*class as u16)));
        if let Some((class, (count, first))) = absent.pop_first() {
            let class = named.classes.swap_remove(class);
            return Err(DataError::AbsentClass { class, count, first, sought: named.sought });
        }
        let found = Self {
            naming,
            root,
            classes: named.classes,
            test_name: named.test_name,
            items,
            labels,
            recordings,
            remarks: Remarks { missing, passed_over, ..Remarks::default() },
            named_again,
        };
        found.no_class_is_empty(&found.labels)?;
        Ok(found)
    }

    /// Every class has clips to train on, and there are some to test on.
    pub(crate) fn no_class_is_empty(&self, [train, test]: &[Vec<u16>; 2]) -> Result<(), DataError> {
        let mut is_there = vec![false; self.classes.len()];
        train.iter().for_each(|&label| is_there[usize::from(label)] = true);
        let remedy = "get its clips, or name the other classes in `classes`";
        if let Some(class) = is_there.iter().position(|is_there| !is_there) {
            let class = self.classes[class].clone();
            return Err(DataError::EmptyClass { path: self.root.clone(), class, what: "clips to train on", remedy });
        }
        if test.is_empty() {
            return Err(DataError::NotADataset {
                path: self.root.clone(),
                kind: self.naming.name(),
                expected: "clips to test on".into(),
                found: "none that can be used".into(),
                remedy: "get them, or set `data.path` (--data) to the folder that holds them",
            });
        }
        Ok(())
    }
}

/// The clips by their lists or folders.
fn name(settings: &ClipsSettings) -> Result<(Named, PassedOver), DataError> {
    let (root, lists) = (&*settings.root, settings.lists.as_deref());
    let by_split = |find: fn(&Path, Option<&Path>, usize) -> Result<Named, DataError>, split| match split {
        1..=3 => find(root, lists, split),
        split => Err(DataError::Value { key: "data.split", value: split.to_string(), expected: "1, 2 or 3" }),
    };
    let named = match settings.naming {
        Naming::Ucf101 { split } => by_split(ucf101::find, split)?,
        Naming::Hmdb51 { split } => by_split(hmdb51::find, split)?,
        Naming::Kinetics => kinetics::find(root, lists)?,
        Naming::List => list::find(root, lists, settings.missing, settings.duplicates)?,
        Naming::Folders => {
            let Listing { classes, test_name, files, labels, passed_over } = listing::list(root, &FOLDERS, None)?;
            let [train, test] = files;
            let pair = |(files, labels): (Paths, &Vec<u16>)| {
                files.iter().zip(labels.iter().map(|&label| label.into())).collect()
            };
            let clips = [(train, &labels[0]), (test, &labels[1])].map(pair);
            return Ok((
                Named { classes, at: root.join("train"), test_name, clips, sought: String::new() },
                passed_over,
            ));
        }
    };
    Ok((named, PassedOver::default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Writes a file of a test, with its folders.
    pub(super) fn write(root: &Path, file: &str, text: &str) {
        let path = root.join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    #[test]
    fn names_tell_what_a_clip_was_cut_from() {
        let of = |naming, file: &str, class| recording(naming, Path::new(file), class);
        let ucf = |file| of(Naming::Ucf101 { split: 1 }, file, "HandstandWalking");
        let first = ucf("HandstandWalking/v_HandStandWalking_g01_c01.avi");
        assert_eq!(first.as_deref(), Some("v_HandStandWalking_g01"));
        assert_eq!(first, ucf("HandstandWalking/v_HandStandWalking_g01_c04.avi"));
        assert_ne!(first, ucf("HandstandWalking/v_HandStandWalking_g02_c01.avi"));
        assert_eq!(ucf("plain.avi").as_deref(), Some("plain"));
        let film = of(Naming::Hmdb51 { split: 1 }, "a/Faith_Rewarded_catch_f_cm_np1_fr_med_10.avi", "catch");
        assert_eq!(film.as_deref(), Some("Faith_Rewarded"));
        assert_eq!(of(Naming::Hmdb51 { split: 1 }, "a/odd_3.avi", "catch").as_deref(), Some("odd"));
        assert_eq!(of(Naming::Kinetics, "a/x_000001_000011.mp4", "archery"), None);
    }

    /// The official lists, in `splits` in one of the folders of `SDAS_TEST_DATA`, or in
    /// `shared/data` beside the checkout.
    pub(super) fn official(name: &str) -> Option<PathBuf> {
        let given = std::env::var_os("SDAS_TEST_DATA").unwrap_or_default();
        let beside = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().map(|folder| folder.join("shared/data"));
        let found = std::env::split_paths(&given)
            .chain(beside)
            .map(|folder| folder.join("splits").join(name))
            .find(|lists| lists.is_dir());
        if found.is_none() {
            eprintln!("skipped: `splits/{name}` is not there; SDAS_TEST_DATA may name the folder that holds it");
        }
        found
    }
}
