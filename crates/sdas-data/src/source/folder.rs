//! A folder of pictures: `train/<class>/**` and `test/<class>/**` or `val/<class>/**`.

use std::hash::{DefaultHasher, Hasher};
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use super::duplicates;
use super::listing::{Listing, Wanted, list};
use super::origin::{Decoded, Origin, Progress, Sink};
use super::stamp::stamp;
use super::unusable::Unusable;
use crate::decode::{CHANNELS, EXTENSIONS, Picture, Resize, decode, fit};
use crate::error::DataError;
use crate::random::fnv1a;
use crate::remarks::{Ledger, Listed, PassedOver, Remarks};

/// The keys that it uses.
pub(super) const KEYS: &[&str] = &["path", "resize", "broken", "duplicates"];

const PICTURES: Wanted = Wanted {
    kind: "folder",
    what: "pictures",
    extensions: EXTENSIONS,
    none: "put pictures (.jpg, .png, .webp, .bmp, …) there, or delete the class's folders in both splits",
};
/// Pictures decoded between two calls of `progress`: enough for all cores, few enough to hold.
const CHUNK: usize = 512;

/// Which pictures are meant, and what is made of them.
pub(crate) struct FolderSettings {
    pub(crate) root: PathBuf,
    pub(crate) size: Option<usize>,
    pub(crate) resize: Resize,
    pub(crate) broken: Unusable,
    pub(crate) max_pixels: u64,
    pub(crate) ledger: Ledger,
}

/// Pictures that have been found but not decoded.
pub(crate) struct Folder {
    settings: FolderSettings,
    classes: Vec<String>,
    test_name: &'static str,
    /// Those to train on first, sorted by class and path.
    files: Vec<PathBuf>,
    labels: [Vec<u16>; 2],
    passed_over: PassedOver,
}

impl Folder {
    /// Lists the pictures.
    pub(crate) fn find(settings: FolderSettings) -> Result<Self, DataError> {
        let Listing { classes, test_name, files, labels, passed_over } = list(&settings.root, &PICTURES)?;
        Ok(Self { settings, classes, test_name, files: files.concat(), labels, passed_over })
    }

    fn listed(&self, broken: &[(usize, String)]) -> Listed {
        let files = broken.iter().map(|(number, words)| (self.files[*number].clone(), words.clone()));
        self.settings.ledger.listed("broken", files.collect())
    }

    /// A picture as it will be, and the hash of its pixels.
    fn open(&self, file: &Path) -> Result<(Picture, u64), String> {
        let picture = fit(decode(file, self.settings.max_pixels)?, self.settings.size, self.settings.resize);
        let mut hasher = DefaultHasher::new();
        hasher.write(&picture.pixels);
        Ok((picture, hasher.finish()))
    }

    /// Height and width that the pictures will have: as asked for, or as the first that can be
    /// decoded has.
    fn target(&self) -> [usize; 2] {
        match self.settings.size {
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
                let path = self.settings.root.join(split).join(&class);
                let remedy = "replace those that are broken, or delete the class's folders in both splits";
                Err(DataError::EmptyClass { path, class, what: "pictures that can be decoded", remedy })
            }
        }
    }
}

impl Origin for Folder {
    fn fingerprint(&self) -> Result<u64, DataError> {
        // What is not there is broken, which is told of when it is decoded.
        let of = |file: &PathBuf| stamp(&self.settings.root, file).unwrap_or_else(|_| format!("{}\n", file.display()));
        let stamps: Vec<_> = self.files.par_iter().map(of).collect();
        let FolderSettings { size, resize, broken, max_pixels, .. } = &self.settings;
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
            shared: self.settings.ledger.listed("shared", shared),
            repeated: self.settings.ledger.listed("repeated", repeated),
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
                        let may_go_on = broken.is_empty() || self.settings.broken == Unusable::Skip;
                        if odd.is_none() && may_go_on {
                            sink.append(&picture.pixels)?;
                        }
                    }
                    Err(words) => broken.push((number, words)),
                }
            }
            progress(i * CHUNK + chunk.len(), total);
        }
        if !broken.is_empty() && self.settings.broken == Unusable::Error {
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
