//! Clips, decoded once into a cache of frames, and their optical flow in another; or only counted, to be decoded when they
//! are looked at.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use rayon::ThreadPoolBuilder;

use super::dataset::{Dataset, Sample};
use super::packs::{Building, Count, Header, Known, Made, Packs, build};
use super::undecoded::{Clips, Undecoded};
use super::{Checked, Prepared, Splits, bytes_of};
use crate::decode::{CHANNELS, Entries, Form, FoundDecoder, Frames, decode_frames};
use crate::error::DataError;
use crate::flow::{BOUND, TvL1};
use crate::random::fnv1a;
use crate::remarks::{Ledger, Listed, Remarks};
use crate::source::clips::{FoundClips, Item};
use crate::source::{Duplicates, Input, Keep, Paths, Unusable, duplicates};

/// What is made of clips.
pub(crate) struct Making {
    pub(crate) keep: Keep,
    pub(crate) form: Form,
    pub(crate) input: Input,
    pub(crate) broken: Unusable,
    pub(crate) duplicates: Duplicates,
    pub(crate) ledger: Ledger,
    /// The most pixels of a frame that is a file of its own.
    pub(crate) max_pixels: u64,
}

/// Clips that have been found, what is to be made of them, and where that is kept.
pub(crate) struct ClipsCache {
    found: FoundClips,
    making: Making,
    /// The folder for their frames, or for what is counted of them. That for their flow is called so too, but for the
    /// ending.
    folder: PathBuf,
}

/// The caches of clips: of frames, and of flow where that is delivered.
struct Caches {
    frames: Packs,
    flow: Option<Packs>,
}

impl Caches {
    /// What is known of `item`, as it is delivered.
    fn find(&self, item: &Item) -> Option<Known<'_>> {
        match (self.frames.find(item)?, &self.flow) {
            (Known::Packed(_) | Known::Counted(_), Some(flow)) => flow.find(item),
            (known, _) => Some(known),
        }
    }

    /// The cache that is delivered from.
    fn delivered(&self) -> &Packs {
        self.flow.as_ref().unwrap_or(&self.frames)
    }
}

impl ClipsCache {
    /// Among the `caches`: in the same place for every choice of clips.
    pub(crate) fn new(found: FoundClips, making: Making, caches: &Path) -> Result<Self, DataError> {
        let root = found.root.canonicalize().map_err(DataError::read(&found.root))?;
        let hash = fnv1a(format!("{root:?} {:?}", frames_header(&making.form)).as_bytes());
        let name = root.file_name().map_or("clips".into(), |name| name.to_string_lossy());
        let ending = if making.keep == Keep::None { "counts" } else { "frames" };
        let folder = caches.join(format!("{name}-{hash:016x}.{ending}"));
        Ok(Self { found, making, folder })
    }

    /// Makes what the caches lack, and opens them.
    fn build(&self, progress: &(dyn Fn(&Building) + Sync)) -> Result<Caches, DataError> {
        let mut caches = Caches { frames: self.decode(progress)?, flow: None };
        if self.making.input == Input::Flow {
            // Before the long part.
            self.remarks(&caches)?;
            self.mend(&mut caches.frames, progress)?;
            caches.flow = Some(self.compute_flow(&caches.frames, progress)?);
        }
        Ok(caches)
    }

    /// Decodes anew what is damaged of the frames that flow is to be computed from: it would be
    /// trusted from then on.
    fn mend(&self, frames: &mut Packs, progress: &(dyn Fn(&Building) + Sync)) -> Result<(), DataError> {
        let flow = Packs::open(&self.flow_folder(), &flow_header(&self.making.form))?;
        let lacking: Vec<_> = self.found.items.iter().filter(|item| flow.find(item).is_none()).cloned().collect();
        if !frames.verify(&lacking)?.is_empty() {
            *frames = self.decode(progress)?;
        }
        Ok(())
    }

    /// Makes what the cache of flow lacks of clips that have frames, and opens it.
    fn compute_flow(&self, frames: &Packs, progress: &(dyn Fn(&Building) + Sync)) -> Result<Packs, DataError> {
        let place_of = |item: &Item| match frames.find(item) {
            Some(Known::Packed(place)) => Some(*place),
            Some(Known::Counted(_) | Known::Broken(_)) | None => None,
        };
        let produce = |item: &Item| {
            let place = place_of(item).expect("only these are asked for");
            let size = [place.height, place.width];
            let compute = || Frames { size, pixels: TvL1::default().fields(frames.bytes(&place), size) };
            // A clip to each thread: within one, threads would wait for each other.
            let alone = ThreadPoolBuilder::new().num_threads(1).build().expect("a thread can be started");
            Ok(alone.install(compute))
        };
        let progress = |building: &Building| progress(&Building { what: "flow", ..*building });
        let usable: Vec<_> = self.found.items.iter().filter(|item| place_of(item).is_some()).cloned().collect();
        build(&self.flow_folder(), &flow_header(&self.making.form), &usable, false, &produce, &progress)
    }

    /// Decodes what the cache of frames lacks, and keeps or counts it, and opens the cache.
    fn decode(&self, progress: &(dyn Fn(&Building) + Sync)) -> Result<Packs, DataError> {
        let again = self.making.broken == Unusable::Error;
        let decoder = FoundDecoder::default();
        let produce = |item: &Item| {
            if item.path.is_dir() {
                let frames = decode_frames(&item.path, &self.making.form, self.making.max_pixels, None)?;
                return Ok(self.made(frames, None));
            }
            let decoder = decoder.get()?;
            let (frames, entries) = match self.making.keep {
                Keep::None => decoder.look(&item.path, &self.making.form)?,
                Keep::Memory | Keep::Cache => (decoder.decode(&item.path, &self.making.form)?, None),
            };
            Ok(self.made(frames, entries))
        };
        let progress = |building: &Building| progress(&Building { what: "clips", ..*building });
        build(&self.folder, &self.header(), &self.found.items, again, &produce, &progress)
    }

    /// What the cache has of these frames.
    fn made(&self, frames: Frames, entries: Option<Entries>) -> Made {
        match self.making.keep {
            Keep::None => Made::Count(Count::of(&frames, entries)),
            Keep::Memory | Keep::Cache => Made::Frames(frames),
        }
    }

    fn header(&self) -> Header {
        match self.making.keep {
            Keep::None => Header::new("counts", self.making.form.filters(), CHANNELS),
            Keep::Memory | Keep::Cache => frames_header(&self.making.form),
        }
    }

    fn flow_folder(&self) -> PathBuf {
        self.folder.with_extension("flow")
    }

    /// The clips that cannot be delivered.
    ///
    /// # Errors
    /// If there are any, and that is not allowed.
    fn broken(&self, caches: &Caches) -> Result<Listed, DataError> {
        let mut broken = vec![];
        for item in &self.found.items {
            let words = match caches.find(item) {
                Some(Known::Packed(_) | Known::Counted(_)) => continue,
                Some(Known::Broken(words)) => words,
                // Changed or taken away since it was decoded.
                None => "it was changed while it was decoded",
            };
            broken.push((item.path.clone(), words.into()));
        }
        let broken = self.making.ledger.listed("broken", broken);
        if broken.count > 0 && self.making.broken == Unusable::Error {
            return Err(DataError::Broken { what: "clips", files: broken, total: self.found.items.len() });
        }
        Ok(broken)
    }

    /// What there is to say of what was decoded.
    ///
    /// # Errors
    /// If that is not allowed.
    fn remarks(&self, caches: &Caches) -> Result<Remarks, DataError> {
        let known = |number: usize| caches.frames.find(&self.found.items[number]);
        let key = |number| match known(number)? {
            Known::Packed(place) => Some(([place.frames, place.height, place.width], u64::from(place.crc))),
            Known::Counted(count) => Some(([count.frames, count.height, count.width], count.hash)),
            Known::Broken(_) => None,
        };
        let keys = (0..self.found.items.len()).filter_map(|number| Some((number, key(number)?)));
        // Of what is not kept the hash alone, which is long enough.
        let pixels = |number| match known(number) {
            Some(Known::Packed(place)) => Some(caches.frames.bytes(place)),
            Some(Known::Counted(_) | Known::Broken(_)) | None => None,
        };
        let equal = duplicates::find(keys, |one, other| pixels(one) == pixels(other));
        let file = |number: usize| &*self.found.items[number].path;
        let [shared, repeated] = duplicates::tell(&equal, self.found.labels[0].len(), file);
        let shared = self.making.ledger.listed("shared", shared);
        let broken = self.broken(caches)?;
        self.making.duplicates.check(&shared)?;
        Ok(Remarks {
            broken,
            shared,
            repeated: self.making.ledger.listed("repeated", [&self.found.named_again[..], &repeated].concat()),
            ..self.found.remarks.clone()
        })
    }

    pub(crate) fn load(&self, progress: &(dyn Fn(&Building) + Sync)) -> Result<Splits, DataError> {
        let caches = self.build(progress)?;
        let remarks = self.remarks(&caches)?;
        let [train, test] = &self.found.labels;
        let labels = train.iter().map(|&label| (0, label)).chain(test.iter().map(|&label| (1, label)));
        let mut splits = [vec![], vec![]];
        let mut train_sources = Vec::new();
        for (index, (item, (split, label))) in self.found.items.iter().zip(labels).enumerate() {
            if let Some(known @ (Known::Packed(_) | Known::Counted(_))) = caches.find(item) {
                if split == 0 {
                    train_sources.extend(self.found.recordings.get(index));
                }
                splits[split].push((item, known, label));
            }
        }
        self.found.no_class_is_empty(&splits.each_ref().map(|clips| clips.iter().map(|clip| clip.2).collect()))?;
        let decoder = Arc::default();
        let [train, test] = splits.map(|clips| self.dataset(&caches, &decoder, &clips));
        let train = match self.found.recordings.is_empty() {
            true => train?,
            false => train?.with_sources(train_sources),
        };
        Ok(Splits { train, test: test?, test_name: self.found.test_name.into(), remarks })
    }

    /// The clips of a split, which are all kept or none.
    fn dataset(
        &self,
        caches: &Caches,
        decoder: &Arc<FoundDecoder>,
        clips: &[(&Item, Known, u16)],
    ) -> Result<Dataset, DataError> {
        let classes = self.found.classes.clone();
        let (mut stores, mut numbers, mut samples) = (Vec::new(), BTreeMap::new(), Vec::new());
        let (mut paths, mut counts, mut labels) = (Paths::default(), Vec::new(), Vec::new());
        for (item, known, label) in clips {
            match known {
                Known::Packed(place) => {
                    let store = *numbers.entry(place.pack).or_insert_with(|| {
                        stores.push(Arc::clone(caches.delivered().store(place.pack)));
                        stores.len() as u32 - 1
                    });
                    let (frames, size) = (place.frames as u32, [place.height as u32, place.width as u32]);
                    samples.push(Sample { store, offset: place.offset, frames, size, label: *label });
                }
                Known::Counted(count) => {
                    paths.push(&item.path);
                    counts.push((*count).clone());
                    labels.push(*label);
                }
                Known::Broken(_) => {}
            }
        }
        if self.making.keep == Keep::None {
            let (form, max_pixels) = (self.making.form, self.making.max_pixels);
            let clips = Clips::new(paths, counts, decoder.clone(), form, max_pixels);
            return Ok(Dataset::undecoded(Undecoded::Clips(clips), labels, classes));
        }
        Dataset::from_samples(stores, samples, classes, self.making.input.channels())
    }

    pub(crate) fn prepare(&self, progress: &(dyn Fn(&Building) + Sync)) -> Result<Prepared, DataError> {
        let begun = Instant::now();
        let before = self.open()?;
        let is_there = |item: &&Item| matches!(before.find(item), Some(Known::Packed(_) | Known::Counted(_)));
        let found = self.found.items.iter().filter(is_there).count();
        drop(before);
        let splits = self.load(progress)?;
        Ok(Prepared {
            clips: splits.train.len() + splits.test.len(),
            bytes: bytes_of(&splits),
            seconds: begun.elapsed().as_secs_f64(),
            found,
            remarks: splits.remarks,
            cache: Some(match self.making.input {
                Input::Rgb => self.folder.clone(),
                Input::Flow => self.flow_folder(),
            }),
        })
    }

    /// Opens the caches as they are.
    fn open(&self) -> Result<Caches, DataError> {
        Ok(Caches {
            frames: Packs::open(&self.folder, &self.header())?,
            flow: match self.making.input {
                Input::Rgb => None,
                Input::Flow => Some(Packs::open(&self.flow_folder(), &flow_header(&self.making.form))?),
            },
        })
    }

    pub(crate) fn check(&self) -> Result<Checked, DataError> {
        let begun = Instant::now();
        let caches = self.open()?;
        let mut checked = Checked {
            clips: 0,
            bytes: 0,
            seconds: 0.0,
            absent: 0,
            damaged: Listed::default(),
            remarks: self.found.remarks.clone(),
        };
        let mut damaged = HashSet::new();
        let frames = [(&caches.frames, "its frames are not what was written")];
        let flow = caches.flow.iter().map(|flow| (flow, "its optical flow is not what was written"));
        for (packs, words) in frames.into_iter().chain(flow) {
            for item in packs.verify(&self.found.items)? {
                if damaged.insert(&item.key) {
                    checked.damaged.add(&item.path, words);
                }
            }
        }
        for item in &self.found.items {
            match caches.find(item) {
                _ if damaged.contains(&item.key) => {}
                Some(Known::Packed(place)) => {
                    checked.clips += 1;
                    checked.bytes += place.bytes(self.making.input.channels());
                }
                Some(Known::Counted(_)) => checked.clips += 1,
                Some(Known::Broken(words)) => checked.remarks.broken.add(&item.path, words),
                None => checked.absent += 1,
            }
        }
        checked.seconds = begun.elapsed().as_secs_f64();
        Ok(checked)
    }
}

fn frames_header(form: &Form) -> Header {
    Header::new("frames", form.filters(), CHANNELS)
}

fn flow_header(form: &Form) -> Header {
    let settings = format!("{} {:?} bound {BOUND}", form.filters(), TvL1::default());
    Header::new("flow", settings, Input::Flow.channels())
}
