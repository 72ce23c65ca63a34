//! Pictures that have been found, wherever they lie: decoded all at once, or one by one when they are looked at.

use std::hash::{DefaultHasher, Hasher};
use std::path::PathBuf;
use std::sync::Arc;

use rayon::prelude::*;

use super::duplicates;
use super::origin::{Decoded, Origin, Progress, Sink};
use super::paths::Paths;
use super::places::Places;
use super::stamp::stamp;
use super::unusable::Unusable;
use crate::decode::{CHANNELS, Encoded, Picture, Resize, fit};
use crate::error::DataError;
use crate::random::fnv1a;
use crate::remarks::{Ledger, Listed, Remarks};

/// Pictures decoded between two calls of `progress`: enough for all cores, few enough to hold.
const CHUNK: usize = 512;

/// What is made of pictures in files.
#[derive(Clone)]
pub(crate) struct PictureSettings {
    /// The data set's folder.
    pub(crate) root: PathBuf,
    pub(crate) form: PictureForm,
    pub(crate) broken: Unusable,
    pub(crate) ledger: Ledger,
}

/// How a picture is decoded.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PictureForm {
    /// Side of the square that it is brought to; none leaves it as it is.
    pub(crate) size: Option<usize>,
    pub(crate) resize: Resize,
    /// The most pixels that its file may have.
    pub(crate) max_pixels: u64,
}

impl PictureForm {
    /// The picture of these bytes as it will be.
    fn decode(&self, bytes: Vec<u8>) -> Result<Picture, String> {
        Ok(fit(Encoded::new(bytes, self.max_pixels)?.whole()?, self.size, self.resize))
    }
}

/// Pictures that have been found but not decoded.
pub(crate) struct FoundPictures {
    pub(crate) kind: &'static str,
    pub(crate) settings: PictureSettings,
    pub(crate) classes: Vec<String>,
    /// What the data set calls its test set, such as `test` or `val`.
    pub(crate) test_name: &'static str,
    /// Those to train on first.
    pub(crate) places: Arc<Places>,
    pub(crate) labels: [Vec<u16>; 2],
    /// What is known before anything is decoded.
    pub(crate) remarks: Remarks,
}

/// What a look at all pictures has shown.
#[derive(Default)]
pub(crate) struct Looked {
    /// Those that cannot be decoded, by number, each with the reason.
    pub(crate) broken: Vec<(usize, String)>,
    /// The hashes of the others.
    hashes: Vec<(usize, u64)>,
}

impl FoundPictures {
    /// Pictures in a file each, those to train on first.
    pub(crate) fn in_files(
        kind: &'static str,
        settings: PictureSettings,
        classes: Vec<String>,
        test_name: &'static str,
        files: [Vec<PathBuf>; 2],
        labels: [Vec<u16>; 2],
    ) -> Self {
        let mut paths = Paths::default();
        files.into_iter().for_each(|files| paths.extend(files));
        let (places, remarks) = (Arc::new(Places::Files(paths)), Remarks::default());
        Self { kind, settings, classes, test_name, places, labels, remarks }
    }

    fn listed(&self, broken: &[(usize, String)]) -> Listed {
        let files = broken.iter().map(|(number, words)| (self.places.name(*number), words.clone()));
        self.settings.ledger.listed("broken", files.collect())
    }

    /// Decodes all, on all cores, and hands them over in order until one is refused.
    ///
    /// # Errors
    /// What `take` says.
    pub(crate) fn look(
        &self,
        progress: Progress,
        mut take: impl FnMut(usize, &Picture, &Looked) -> Result<(), DataError>,
    ) -> Result<Looked, DataError> {
        let PictureForm { max_pixels, .. } = self.settings.form;
        let open = |number: usize| {
            let picture = self.settings.form.decode(self.places.read(number, Encoded::most_bytes(max_pixels))?)?;
            let mut hasher = DefaultHasher::new();
            hasher.write(&picture.pixels);
            Ok((picture, hasher.finish()))
        };
        let (total, mut looked) = (self.places.len(), Looked::default());
        for start in (0..total).step_by(CHUNK) {
            let numbers = start..total.min(start + CHUNK);
            let pictures: Vec<Result<_, String>> = numbers.clone().into_par_iter().map(open).collect();
            for (number, picture) in numbers.clone().zip(pictures) {
                match picture {
                    Ok((picture, hash)) => {
                        take(number, &picture, &looked)?;
                        looked.hashes.push((number, hash));
                    }
                    Err(words) => looked.broken.push((number, words)),
                }
            }
            progress(numbers.end, total);
        }
        Ok(looked)
    }

    /// Height and width that the pictures will have: as asked for, or as the first that can be
    /// decoded has.
    fn target(&self) -> [usize; 2] {
        let PictureForm { size, max_pixels, .. } = self.settings.form;
        let of = |number| {
            Encoded::new(self.places.read(number, Encoded::most_bytes(max_pixels)).ok()?, max_pixels)
                .and_then(Encoded::whole)
                .ok()
        };
        match size {
            Some(side) => [side; 2],
            None => (0..self.places.len()).find_map(of).map_or([1; 2], |picture| picture.size),
        }
    }

    /// What there is to say of pictures that were looked at.
    ///
    /// # Errors
    /// If some cannot be decoded, and that is not allowed.
    pub(crate) fn judge(&self, looked: Looked) -> Result<Decoded, DataError> {
        let Looked { broken, hashes } = looked;
        if !broken.is_empty() && self.settings.broken == Unusable::Error {
            let total = self.places.len();
            return Err(DataError::Broken { what: "pictures", files: self.listed(&broken), total });
        }
        let labels = self.labels_without(&broken)?;
        Ok(Decoded { frames: 1, size: [1; 2], labels, broken, equal: duplicates::find(hashes, |_, _| true) })
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
        let mut is_there = vec![false; self.classes.len()];
        labels[0].iter().for_each(|&label| is_there[usize::from(label)] = true);
        let empty = is_there.iter().position(|is_there| !is_there).map(|class| (class, "train"));
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

impl Origin for FoundPictures {
    fn fingerprint(&self) -> Result<u64, DataError> {
        // What is not there is broken, which is told of when it is decoded.
        let of = |path: PathBuf| stamp(&self.settings.root, &path).unwrap_or_else(|_| format!("{}\n", path.display()));
        let stamps: Vec<_> = match &*self.places {
            Places::Files(paths) => (0..paths.len()).into_par_iter().map(|number| of(paths.get(number))).collect(),
            Places::Members { shards, .. } => shards.iter().cloned().map(of).collect(),
        };
        let PictureForm { size, resize, max_pixels } = self.settings.form;
        let (kind, broken) = (self.kind, self.settings.broken);
        let what =
            format!("{kind} {size:?} {resize:?} {broken:?} {max_pixels} {:?} {:?}\n", self.test_name, self.labels[1]);
        Ok(fnv1a((what + &stamps.concat()).as_bytes()))
    }

    fn classes(&self) -> &[String] {
        &self.classes
    }

    fn test_name(&self) -> &'static str {
        self.test_name
    }

    fn remarks(&self, decoded: &Decoded) -> Remarks {
        let [shared, repeated] =
            duplicates::tell(&decoded.equal, self.labels[0].len(), |number| self.places.name(number));
        Remarks {
            broken: self.listed(&decoded.broken),
            shared: self.settings.ledger.listed("shared", shared),
            repeated: self.settings.ledger.listed("repeated", repeated),
            ..self.remarks.clone()
        }
    }

    fn decode(&self, sink: &mut dyn Sink, progress: Progress) -> Result<Decoded, DataError> {
        let size = self.target();
        sink.reserve(self.places.len() * size[0] * size[1] * CHANNELS)?;
        // A failure ends the output, but not the search for others.
        let mut odd = None;
        let looked = self.look(progress, |number, picture, before| {
            if picture.size != size {
                let first = before.hashes.first().map_or(number, |(first, _)| *first);
                odd = odd.or(Some(([first, number], picture.size)));
            }
            let may_go_on = before.broken.is_empty() || self.settings.broken == Unusable::Skip;
            if odd.is_none() && may_go_on { sink.append(&picture.pixels) } else { Ok(()) }
        })?;
        let decoded = self.judge(looked)?;
        match odd {
            Some((numbers, other)) => {
                let paths = numbers.map(|number| self.places.name(number));
                Err(DataError::Sizes { paths, sizes: [size, other] })
            }
            None => Ok(Decoded { size, ..decoded }),
        }
    }
}
