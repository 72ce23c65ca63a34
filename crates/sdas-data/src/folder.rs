//! A folder of pictures: `train/<class>/*` and `test/<class>/*` or `val/<class>/*`.

use std::fs;
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use crate::cache::stamp;
use crate::decode::{Picture, decode, resize};
use crate::error::{DataError, found_at};
use crate::random::fnv1a;
use crate::source::{CHANNELS, Decoded, Origin, Progress, Resize, Sink};

/// Names that end so are pictures, in any case.
const EXTENSIONS: [&str; 3] = ["jpg", "jpeg", "png"];
/// Pictures decoded between two calls of `progress`: enough for all cores, few enough to hold.
const CHUNK: usize = 512;
/// How many broken files an error names.
const NAMED: usize = 10;

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
        let train = path.join("train");
        if !train.is_dir() {
            return Err(DataError::NotADataset {
                path: path.into(),
                kind: "folder",
                expected: "a folder `train`".into(),
                found: found_at(path),
                remedy: "set `data.path` (--data) to the folder that holds `train` and `test` or `val`",
            });
        }
        let Some((test_name, test)) =
            ["test", "val"].map(|name| (name, path.join(name))).into_iter().find(|(_, folder)| folder.is_dir())
        else {
            return Err(DataError::NoTest { path: path.into(), found: found_at(path) });
        };

        let classes = class_names(&train)?;
        let tested = class_names(&test)?;
        let without =
            |all: &[String], known: &[String]| all.iter().filter(|name| !known.contains(name)).cloned().collect();
        let (missing, extra): (Vec<_>, Vec<_>) = (without(&classes, &tested), without(&tested, &classes));
        if !missing.is_empty() || !extra.is_empty() {
            return Err(DataError::Classes { path: test, missing, extra });
        }

        let mut files = Vec::new();
        let mut labels = [vec![], vec![]];
        for (split, labels) in [train, test].iter().zip(&mut labels) {
            for (label, class) in (0..).zip(&classes) {
                let found = pictures_of(split, class)?;
                labels.extend(std::iter::repeat_n(label, found.len()));
                files.extend(found);
            }
        }
        Ok(Self { root: path.into(), classes, test_name, files, labels, size, resize })
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
                chunk.par_iter().map(|file| decode(file).map(|picture| self.fit(picture))).collect();
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

impl Folder {
    fn fit(&self, picture: Picture) -> Picture {
        match self.size {
            Some(side) => Picture { size: [side; 2], pixels: resize(&picture, side, self.resize) },
            None => picture,
        }
    }
}

/// The folders in `split`, sorted.
fn class_names(split: &Path) -> Result<Vec<String>, DataError> {
    let names: Vec<_> = visible(split)?
        .into_iter()
        .filter(|path| path.is_dir())
        .filter_map(|path| Some(path.file_name()?.to_string_lossy().into_owned()))
        .collect();
    if names.is_empty() {
        return Err(DataError::NotADataset {
            path: split.into(),
            kind: "folder",
            expected: "one folder per class".into(),
            found: found_at(split),
            remedy: "put every class's pictures into a folder named as the class",
        });
    }
    if names.len() > usize::from(u16::MAX) {
        return Err(DataError::TooManyClasses { path: split.into(), classes: names.len() });
    }
    Ok(names)
}

/// The picture files of one class: in its folder and in folders inside it, as Tiny ImageNet's
/// `images`.
fn pictures_of(split: &Path, class: &str) -> Result<Vec<PathBuf>, DataError> {
    let folder = split.join(class);
    let mut files = Vec::new();
    for path in visible(&folder)? {
        if path.is_dir() {
            files.extend(visible(&path)?.into_iter().filter(|path| is_picture(path)));
        } else if is_picture(&path) {
            files.push(path);
        }
    }
    if files.is_empty() {
        return Err(DataError::EmptyClass {
            path: folder,
            class: class.into(),
            remedy: "put pictures (.jpg, .jpeg or .png) there, or delete the class's folders in both splits",
        });
    }
    Ok(files)
}

fn is_picture(path: &Path) -> bool {
    path.extension()
        .and_then(|extension| extension.to_str())
        .is_some_and(|extension| EXTENSIONS.iter().any(|known| extension.eq_ignore_ascii_case(known)))
        && path.is_file()
}

/// Everything in `folder` but hidden files, sorted by name.
fn visible(folder: &Path) -> Result<Vec<PathBuf>, DataError> {
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
