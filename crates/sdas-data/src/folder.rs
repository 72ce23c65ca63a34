//! A folder of pictures: `train/<class>/**` and `test/<class>/**` or `val/<class>/**`. Clips may lie in
//! folders of the same form.

use std::collections::BTreeMap;
use std::fs;
use std::hash::{DefaultHasher, Hasher};
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use crate::cache::stamp;
use crate::decode::{EXTENSIONS, Picture, decode, fit};
use crate::duplicates;
use crate::error::{DataError, found_at};
use crate::random::fnv1a;
use crate::remarks::{Listed, PassedOver, Remarks};
use crate::source::{CHANNELS, Decoded, Origin, Progress, Sink, Source, Unusable, required};

const PICTURES: Wanted = Wanted {
    kind: "folder",
    what: "pictures",
    extensions: EXTENSIONS,
    none: "put pictures (.jpg, .png, .webp, .bmp, …) there, or delete the class's folders in both splits",
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

/// Pictures that have been found but not decoded.
pub(crate) struct Folder {
    source: Source,
    root: PathBuf,
    classes: Vec<String>,
    test_name: &'static str,
    /// Those to train on first, sorted by class and path.
    files: Vec<PathBuf>,
    labels: [Vec<u16>; 2],
    passed_over: PassedOver,
}

impl Folder {
    /// Lists the pictures of `source`.
    pub(crate) fn find(source: &Source) -> Result<Self, DataError> {
        let root = required(source)?;
        let Listing { classes, test_name, files, labels, passed_over } = list(root, &PICTURES)?;
        let (source, root) = (source.clone(), root.into());
        Ok(Self { source, root, classes, test_name, files: files.concat(), labels, passed_over })
    }

    fn listed(&self, broken: &[(usize, String)]) -> Listed {
        let files = broken.iter().map(|(number, words)| (self.files[*number].clone(), words.clone()));
        self.source.listed("broken", files.collect())
    }

    /// A picture as it will be, and the hash of its pixels.
    fn open(&self, file: &Path) -> Result<(Picture, u64), String> {
        let picture = fit(decode(file, self.source.max_pixels)?, self.source.size, self.source.resize);
        let mut hasher = DefaultHasher::new();
        hasher.write(&picture.pixels);
        Ok((picture, hasher.finish()))
    }

    /// Height and width that the pictures will have: as asked for, or as the first that can be
    /// decoded has.
    fn target(&self) -> [usize; 2] {
        match self.source.size {
            Some(side) => [side; 2],
            None => self.files.iter().find_map(|file| self.open(file).ok()).map_or([1; 2], |(picture, _)| picture.size),
        }
    }

    /// The labels of the files that can be decoded.
    ///
    /// # Errors
    /// If a class has none to train on, or there are none to test on.
    fn labels_without(&self, broken: &[(usize, String)]) -> Result<[Vec<u16>; 2], DataError> {
        let mut labels = [vec![], vec![]];
        let mut broken = broken.iter().map(|(number, _)| *number).peekable();
        let all =
            self.labels.iter().enumerate().flat_map(|(split, labels)| labels.iter().map(move |label| (split, label)));
        for (number, (split, &label)) in all.enumerate() {
            if broken.next_if_eq(&number).is_none() {
                labels[split].push(label);
            }
        }
        let lacks = |class: &usize| labels[0].binary_search(&(*class as u16)).is_err();
        let empty = (0..self.classes.len()).find(lacks).map(|class| (class, "train"));
        match empty.or(labels[1].is_empty().then_some((0, self.test_name))) {
            None => Ok(labels),
            Some((class, split)) => {
                let class = self.classes[class].clone();
                let path = self.root.join(split).join(&class);
                let remedy = "replace those that are broken, or delete the class's folders in both splits";
                Err(DataError::EmptyClass { path, class, what: "pictures that can be decoded", remedy })
            }
        }
    }
}

impl Origin for Folder {
    fn fingerprint(&self) -> Result<u64, DataError> {
        // What is not there is broken, which is told of when it is decoded.
        let of = |file: &PathBuf| stamp(&self.root, file).unwrap_or_else(|_| format!("{}\n", file.display()));
        let stamps: Vec<_> = self.files.par_iter().map(of).collect();
        let Source { size, resize, broken, max_pixels, .. } = &self.source;
        let what = format!("folder {size:?} {resize:?} {broken:?} {max_pixels} {:?}\n", self.test_name);
        Ok(fnv1a((what + &stamps.concat()).as_bytes()))
    }

    fn classes(&self) -> &[String] {
        &self.classes
    }

    fn test_name(&self) -> &'static str {
        self.test_name
    }

    fn remarks(&self, decoded: &Decoded) -> Remarks {
        let [shared, repeated] = duplicates::tell(&decoded.equal, self.labels[0].len(), |number| &self.files[number]);
        Remarks {
            broken: self.listed(&decoded.broken),
            passed_over: self.passed_over.clone(),
            shared: self.source.listed("shared", shared),
            repeated: self.source.listed("repeated", repeated),
            ..Remarks::default()
        }
    }

    fn decode(&self, sink: &mut dyn Sink, progress: Progress) -> Result<Decoded, DataError> {
        let size = self.target();
        let total = self.files.len();
        sink.reserve(total * size[0] * size[1] * CHANNELS)?;

        // A failure ends the output, but not the search for others.
        let (mut broken, mut hashes, mut odd) = (Vec::new(), Vec::new(), None);
        for (i, chunk) in self.files.chunks(CHUNK).enumerate() {
            let pictures: Vec<_> = chunk.par_iter().map(|file| self.open(file)).collect();
            for (number, picture) in (i * CHUNK..).zip(pictures) {
                match picture {
                    Ok((picture, _)) if picture.size != size => odd = odd.or(Some((number, picture.size))),
                    Ok((picture, hash)) => {
                        hashes.push((number, hash));
                        let may_go_on = broken.is_empty() || self.source.broken == Unusable::Skip;
                        if odd.is_none() && may_go_on {
                            sink.append(&picture.pixels)?;
                        }
                    }
                    Err(words) => broken.push((number, words)),
                }
            }
            progress(i * CHUNK + chunk.len(), total);
        }
        if !broken.is_empty() && self.source.broken == Unusable::Error {
            return Err(DataError::Broken { what: "pictures", files: self.listed(&broken), total });
        }
        if let Some((number, other)) = odd {
            let paths = [hashes[0].0, number].map(|number| self.files[number].clone());
            return Err(DataError::Sizes { paths, sizes: [size, other] });
        }
        let labels = self.labels_without(&broken)?;
        Ok(Decoded { frames: 1, size, labels, broken, equal: duplicates::find(hashes, |_, _| true) })
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
