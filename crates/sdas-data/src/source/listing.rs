//! Folders of files by class: `train/<class>/**` and `test/<class>/**` or `val/<class>/**`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::paths::Paths;
use crate::error::{DataError, found_at};
use crate::remarks::PassedOver;

/// Which files of a folder are meant.
pub(crate) struct Wanted {
    /// Name of the kind of data, for messages.
    pub(crate) kind: &'static str,
    /// What the files hold, in the plural.
    pub(crate) what: &'static str,
    /// Names that end so are meant, in any case.
    pub(crate) extensions: &'static [&'static str],
    /// What to do about a class without any.
    pub(crate) none: &'static str,
}

/// The files of both splits, those to train on first.
pub(crate) struct Listing {
    pub(crate) classes: Vec<String>,
    /// `test` or `val`.
    pub(crate) test_name: &'static str,
    /// Sorted by class and path, or by name alone where they lie in no folders.
    pub(crate) files: [Paths; 2],
    pub(crate) labels: [Vec<u16>; 2],
    pub(crate) passed_over: PassedOver,
}

/// Finds the labels of files that lie side by side in the folder of the test set, for these classes.
pub(crate) type FlatTest<'a> = dyn Fn(&Path, &[String], &[PathBuf]) -> Result<Vec<u16>, DataError> + 'a;

/// Lists what lies in `path/train/<class>` and `path/test/<class>` or `path/val/<class>`, and below; where `flat` is
/// given, the files of the latter may also lie there without any folder.
pub(crate) fn list(path: &Path, wanted: &Wanted, flat: Option<&FlatTest>) -> Result<Listing, DataError> {
    let train = path.join("train");
    if !train.is_dir() {
        return Err(DataError::NotADataset {
            path: path.into(),
            kind: wanted.kind,
            expected: "a folder `train`".into(),
            found: found_at(path),
            remedy: "set `data.path` (--data) to the folder that holds `train` and `test` or `val`",
        });
    }
    let Some((test_name, test)) =
        ["test", "val"].map(|name| (name, path.join(name))).into_iter().find(|(_, folder)| folder.is_dir())
    else {
        return Err(DataError::NoTest { path: path.into(), what: wanted.what, found: found_at(path) });
    };

    let classes = class_names(&train, wanted)?;
    let mut walk = Walk { wanted, within: vec![], found: vec![], passed_over: BTreeMap::new() };
    let (train, train_labels) = walk.classes(&train, &classes)?;
    let files_of_test: Vec<_> = match flat {
        Some(_) if !has_folders(&test)? => visible(&test)?.into_iter().filter(|file| wanted.names(file)).collect(),
        _ => vec![],
    };
    let (test, test_labels) = match flat {
        Some(label) if !files_of_test.is_empty() => {
            let labels = label(&test, &classes, &files_of_test)?;
            let mut paths = Paths::default();
            paths.extend(files_of_test);
            (paths, labels)
        }
        _ => {
            let tested = class_names(&test, wanted)?;
            let without =
                |all: &[String], known: &[String]| all.iter().filter(|name| !known.contains(name)).cloned().collect();
            let (missing, extra): (Vec<_>, Vec<_>) = (without(&classes, &tested), without(&tested, &classes));
            if !missing.is_empty() || !extra.is_empty() {
                return Err(DataError::Classes { path: test, missing, extra });
            }
            walk.classes(&test, &classes)?
        }
    };
    Ok(Listing {
        classes,
        test_name,
        files: [train, test],
        labels: [train_labels, test_labels],
        passed_over: PassedOver::of(walk.passed_over),
    })
}

/// The files in `folder` and below it that are meant, in order.
pub(crate) fn below(folder: &Path, wanted: &Wanted) -> Result<Vec<PathBuf>, DataError> {
    let mut walk = Walk { wanted, within: vec![], found: vec![], passed_over: BTreeMap::new() };
    walk.enter(folder)?;
    Ok(walk.found)
}

/// The folders in `split`, sorted.
fn class_names(split: &Path, wanted: &Wanted) -> Result<Vec<String>, DataError> {
    let names: Vec<_> = entries(split)?
        .into_iter()
        .filter(|entry| entry.lies == Lies::Folder)
        .filter_map(|entry| Some(entry.path.file_name()?.to_string_lossy().into_owned()))
        .collect();
    if names.is_empty() {
        return Err(DataError::NotADataset {
            path: split.into(),
            kind: wanted.kind,
            expected: "one folder per class".into(),
            found: found_at(split),
            remedy: "put the files of every class into a folder named as the class",
        });
    }
    if names.len() > usize::from(u16::MAX) {
        return Err(DataError::TooManyClasses { path: split.into(), classes: names.len() });
    }
    Ok(names)
}

fn has_folders(folder: &Path) -> Result<bool, DataError> {
    Ok(entries(folder)?.iter().any(|entry| entry.lies == Lies::Folder))
}

/// Goes through folders.
struct Walk<'a> {
    wanted: &'a Wanted,
    /// The folder that it is in and all above, without links.
    within: Vec<PathBuf>,
    found: Vec<PathBuf>,
    /// Endings of the names of other files, and how many have them.
    passed_over: BTreeMap<String, usize>,
}

impl Walk<'_> {
    /// The files of these classes in `split`, with their labels.
    fn classes(&mut self, split: &Path, classes: &[String]) -> Result<(Paths, Vec<u16>), DataError> {
        let beside = entries(split)?.into_iter().filter(|entry| entry.lies != Lies::Folder);
        beside.for_each(|entry| self.pass_over(&entry.path));
        let (mut files, mut labels) = (Paths::default(), vec![]);
        for (label, class) in (0..).zip(classes) {
            let folder = split.join(class);
            self.enter(&folder)?;
            if self.found.is_empty() {
                let (what, remedy) = (self.wanted.what, self.wanted.none);
                return Err(DataError::EmptyClass { path: folder, class: class.clone(), what, remedy });
            }
            labels.extend(std::iter::repeat_n(label, self.found.len()));
            files.extend(self.found.drain(..));
        }
        Ok((files, labels))
    }

    /// Looks at what is in `folder` and below it, in order.
    fn enter(&mut self, folder: &Path) -> Result<(), DataError> {
        let real = folder.canonicalize().map_err(DataError::read(folder))?;
        if self.within.contains(&real) {
            // A link to a folder that it lies in.
            return Ok(());
        }
        self.within.push(real);
        for Entry { path, lies } in entries(folder)? {
            match lies {
                Lies::Folder => self.enter(&path)?,
                // Also what a link leads to in vain, which is then found to be broken.
                Lies::File | Lies::Nowhere if self.wanted.names(&path) => self.found.push(path),
                _ => self.pass_over(&path),
            }
        }
        self.within.pop();
        Ok(())
    }

    fn pass_over(&mut self, path: &Path) {
        let ending = path.extension().map(|ending| format!(".{}", ending.to_string_lossy().to_lowercase()));
        *self.passed_over.entry(ending.unwrap_or("without ending".into())).or_default() += 1;
    }
}

impl Wanted {
    /// Whether a file of this name would be meant.
    pub(crate) fn names(&self, path: &Path) -> bool {
        path.extension()
            .and_then(|extension| extension.to_str())
            .is_some_and(|extension| self.extensions.iter().any(|known| extension.eq_ignore_ascii_case(known)))
    }
}

/// Everything in `folder` but hidden files, sorted by name.
pub(crate) fn visible(folder: &Path) -> Result<Vec<PathBuf>, DataError> {
    Ok(entries(folder)?.into_iter().map(|entry| entry.path).collect())
}

/// Something in a folder.
struct Entry {
    path: PathBuf,
    lies: Lies,
}

/// What an entry is, or where it leads to as a link.
#[derive(PartialEq)]
enum Lies {
    File,
    Folder,
    Nowhere,
    Other,
}

/// Likewise, with what it is: as the folder has it, since to look at a million files takes long.
fn entries(folder: &Path) -> Result<Vec<Entry>, DataError> {
    let read = || DataError::read(folder);
    let mut entries = Vec::new();
    for entry in fs::read_dir(folder).map_err(read())? {
        let entry = entry.map_err(read())?;
        if entry.file_name().as_encoded_bytes().starts_with(b".") {
            continue;
        }
        let path = entry.path();
        let lies = match entry.file_type() {
            Ok(kind) if kind.is_file() => Lies::File,
            Ok(kind) if kind.is_dir() => Lies::Folder,
            _ if path.is_dir() => Lies::Folder,
            _ if path.is_file() => Lies::File,
            _ if !path.exists() => Lies::Nowhere,
            _ => Lies::Other,
        };
        entries.push(Entry { path, lies });
    }
    entries.sort_by(|one, other| one.path.cmp(&other.path));
    Ok(entries)
}
