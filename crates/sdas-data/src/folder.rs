//! A folder of pictures: `train/<class>/*` and `test/<class>/*` or `val/<class>/*`. Clips may lie in
//! folders of the same form.

use std::fs;
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use crate::cache::stamp;
use crate::decode::{Picture, decode, fit};
use crate::error::{DataError, NAMED, found_at};
use crate::random::fnv1a;
use crate::source::{CHANNELS, Decoded, Origin, Progress, Resize, Sink};

const PICTURES: Wanted = Wanted {
    kind: "folder",
    what: "pictures",
    extensions: &["jpg", "jpeg", "png"],
    none: "put pictures (.jpg, .jpeg or .png) there, or delete the class's folders in both splits",
};
/// Pictures decoded between two calls of `progress`: enough for all cores, few enough to hold.
const CHUNK: usize = 512;

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
}

/// Lists what lies in `path/train/<class>` and `path/test/<class>` or `path/val/<class>`.
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

    let mut listing = Listing { classes, test_name, files: Default::default(), labels: Default::default() };
    for (split, folder) in [train, test].iter().enumerate() {
        for (label, class) in (0..).zip(&listing.classes) {
            let found = files_of(folder, class, wanted)?;
            listing.labels[split].extend(std::iter::repeat_n(label, found.len()));
            listing.files[split].extend(found);
        }
    }
    Ok(listing)
}

/// Pictures that have been found but not decoded.
pub(crate) struct Folder {
    root: PathBuf,
    classes: Vec<String>,
    test_name: &'static str,
    /// Those to train on first, sorted by class and path.
    files: Vec<PathBuf>,
    labels: [Vec<u16>; 2],
    size: Option<usize>,
    resize: Resize,
}

impl Folder {
    /// Lists the pictures; `size` is the side in pixels to bring them to by `resize`.
    pub(crate) fn find(path: &Path, size: Option<usize>, resize: Resize) -> Result<Self, DataError> {
        let Listing { classes, test_name, files, labels } = list(path, &PICTURES)?;
        Ok(Self { root: path.into(), classes, test_name, files: files.concat(), labels, size, resize })
    }

    /// Height and width that the pictures will have: as asked for, or as the first that can be
    /// decoded has.
    fn target(&self) -> [usize; 2] {
        match self.size {
            Some(side) => [side; 2],
            None => self.files.iter().find_map(|file| decode(file).ok()).map_or([1; 2], |picture| picture.size),
        }
    }
}

impl Origin for Folder {
    fn fingerprint(&self) -> Result<u64, DataError> {
        let stamps: Result<Vec<_>, _> = self.files.par_iter().map(|file| stamp(&self.root, file)).collect();
        let what = format!("folder {:?} {:?} {}\n", self.size, self.resize, self.test_name);
        Ok(fnv1a((what + &stamps?.concat()).as_bytes()))
    }

    fn classes(&self) -> &[String] {
        &self.classes
    }

    fn test_name(&self) -> &'static str {
        self.test_name
    }

    fn decode(&self, sink: &mut dyn Sink, progress: Progress) -> Result<Decoded, DataError> {
        let size = self.target();
        let total = self.files.len();
        sink.reserve(total * size[0] * size[1] * CHANNELS)?;

        // The first failure ends the output, but not the search for others.
        let mut broken = Vec::new();
        let mut count = 0;
        let mut odd = None;
        for (i, chunk) in self.files.chunks(CHUNK).enumerate() {
            let pictures: Vec<Result<Picture, String>> =
                chunk.par_iter().map(|file| decode(file).map(|picture| fit(picture, self.size, self.resize))).collect();
            for (file, picture) in chunk.iter().zip(pictures) {
                match picture {
                    Ok(picture) if picture.size != size => odd = odd.or(Some((file, picture.size))),
                    Ok(picture) if count == 0 && odd.is_none() => sink.append(&picture.pixels)?,
                    Ok(_) => {}
                    Err(words) => {
                        count += 1;
                        if broken.len() < NAMED {
                            broken.push((file.clone(), words));
                        }
                    }
                }
            }
            progress(i * CHUNK + chunk.len(), total);
        }
        if count > 0 {
            return Err(DataError::Undecodable { count, total, first: broken });
        }
        if let Some((file, other)) = odd {
            return Err(DataError::Sizes { paths: [self.files[0].clone(), file.clone()], sizes: [size, other] });
        }
        Ok(Decoded { frames: 1, size, labels: self.labels.clone() })
    }
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

/// The files of one class: in its folder and in folders inside it, as Tiny ImageNet's `images`.
fn files_of(split: &Path, class: &str, wanted: &Wanted) -> Result<Vec<PathBuf>, DataError> {
    let folder = split.join(class);
    let mut files = Vec::new();
    for path in visible(&folder)? {
        if path.is_dir() {
            files.extend(visible(&path)?.into_iter().filter(|path| wanted.accepts(path)));
        } else if wanted.accepts(&path) {
            files.push(path);
        }
    }
    if files.is_empty() {
        return Err(DataError::EmptyClass {
            path: folder,
            class: class.into(),
            what: wanted.what,
            remedy: wanted.none,
        });
    }
    Ok(files)
}

impl Wanted {
    fn accepts(&self, path: &Path) -> bool {
        self.names(path) && path.is_file()
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
