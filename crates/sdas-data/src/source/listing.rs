//! Folders of files by class: `train/<class>/**` and `test/<class>/**` or `val/<class>/**`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

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
    /// Sorted by class and path.
    pub(crate) files: [Vec<PathBuf>; 2],
    pub(crate) labels: [Vec<u16>; 2],
    pub(crate) passed_over: PassedOver,
}

/// Lists what lies in `path/train/<class>` and `path/test/<class>` or `path/val/<class>`, and below.
pub(crate) fn list(path: &Path, wanted: &Wanted) -> Result<Listing, DataError> {
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
    let tested = class_names(&test, wanted)?;
    let without = |all: &[String], known: &[String]| all.iter().filter(|name| !known.contains(name)).cloned().collect();
    let (missing, extra): (Vec<_>, Vec<_>) = (without(&classes, &tested), without(&tested, &classes));
    if !missing.is_empty() || !extra.is_empty() {
        return Err(DataError::Classes { path: test, missing, extra });
    }

    let (mut files, mut labels) = <([Vec<PathBuf>; 2], [Vec<u16>; 2])>::default();
    let mut walk = Walk { wanted, within: vec![], found: vec![], passed_over: BTreeMap::new() };
    for (split, folder) in [train, test].iter().enumerate() {
        visible(folder)?.iter().filter(|path| !path.is_dir()).for_each(|path| walk.pass_over(path));
        for (label, class) in (0..).zip(&classes) {
            let folder = folder.join(class);
            walk.enter(&folder)?;
            if walk.found.is_empty() {
                return Err(DataError::EmptyClass {
                    path: folder,
                    class: class.clone(),
                    what: wanted.what,
                    remedy: wanted.none,
                });
            }
            labels[split].extend(std::iter::repeat_n(label, walk.found.len()));
            files[split].append(&mut walk.found);
        }
    }
    Ok(Listing { classes, test_name, files, labels, passed_over: PassedOver::of(walk.passed_over) })
}

/// The folders in `split`, sorted.
fn class_names(split: &Path, wanted: &Wanted) -> Result<Vec<String>, DataError> {
    let names: Vec<_> = visible(split)?
        .into_iter()
        .filter(|path| path.is_dir())
        .filter_map(|path| Some(path.file_name()?.to_string_lossy().into_owned()))
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
    /// Looks at what is in `folder` and below it, in order.
    fn enter(&mut self, folder: &Path) -> Result<(), DataError> {
        let real = folder.canonicalize().map_err(DataError::read(folder))?;
        if self.within.contains(&real) {
            // A link to a folder that it lies in.
            return Ok(());
        }
        self.within.push(real);
        for path in visible(folder)? {
            if path.is_dir() {
                self.enter(&path)?;
            } else if self.wanted.accepts(&path) {
                self.found.push(path);
            } else {
                self.pass_over(&path);
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
    /// Whether a file is meant; also one that a link leads to in vain, which is then found to be broken.
    fn accepts(&self, path: &Path) -> bool {
        self.names(path) && (path.is_file() || !path.exists())
    }

    /// Whether a file of this name would be meant.
    pub(crate) fn names(&self, path: &Path) -> bool {
        path.extension()
            .and_then(|extension| extension.to_str())
            .is_some_and(|extension| self.extensions.iter().any(|known| extension.eq_ignore_ascii_case(known)))
    }
}

/// Everything in `folder` but hidden files, sorted by name.
pub(crate) fn visible(folder: &Path) -> Result<Vec<PathBuf>, DataError> {
    let entries = fs::read_dir(folder).map_err(DataError::read(folder))?;
    let mut paths = Vec::new();
    for entry in entries {
        let entry = entry.map_err(DataError::read(folder))?;
        if !entry.file_name().as_encoded_bytes().starts_with(b".") {
            paths.push(entry.path());
        }
    }
    paths.sort();
    Ok(paths)
}
