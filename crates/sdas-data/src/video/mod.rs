//! Clips: which there are, decoded once into a cache of frames, and their optical flow in another.

mod container;
mod decoder;
mod hmdb51;
mod kinetics;
mod lists;
mod process;
mod ucf101;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use rayon::ThreadPoolBuilder;
use rayon::prelude::*;

use crate::dataset::{Dataset, Sample};
use crate::duplicates;
use crate::error::DataError;
use crate::flow::{BOUND, TvL1};
use crate::folder::{Listing, Wanted, list};
use crate::input::Input;
use crate::packs::{Building, Failure, Frames, Header, Item, Known, Packs, Place, Stamp, build};
use crate::random::fnv1a;
use crate::remarks::{Listed, PassedOver, Remarks};
use crate::source::{CHANNELS, Kind, Source, Splits, Unusable, required};
pub(crate) use decoder::{Decoder, Form};
use lists::{EXTENSIONS, Named};

const FOLDERS: Wanted = Wanted {
    kind: "clips",
    what: "clips",
    extensions: EXTENSIONS,
    none: "put clips (.mp4, .mkv, .avi, .webm, .mov, …) there, or delete the class's folders in both splits",
};

/// Whether a file of this name would be taken to be a clip.
pub(crate) fn is_named_as_clip(path: &Path) -> bool {
    FOLDERS.names(path)
}

/// What [`prepare`](crate::prepare) has done.
#[derive(Clone, Debug, PartialEq)]
pub struct Prepared {
    /// Clips, or pictures, that can be used, in both splits.
    pub clips: usize,
    /// Bytes of their frames, or of their flow where that is the input.
    pub bytes: u64,
    /// Time that it took.
    pub seconds: f64,
    /// Those of them that were in the cache before, that of flow where flow is the input.
    pub found: usize,
    /// What there is to say besides.
    pub remarks: Remarks,
    /// The cache's folder, that of flow where flow is the input; none if all is kept in memory.
    pub cache: Option<PathBuf>,
}

/// What [`check`](crate::check) has found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Checked {
    /// Clips, or pictures, that are in the cache as they should be, in both splits; where flow is the
    /// input, in both caches.
    pub clips: usize,
    /// Bytes of their frames, or of their flow where that is the input, all of which were read.
    pub bytes: u64,
    /// Time that it took.
    pub seconds: f64,
    /// Clips that are not in the cache, or were changed since.
    pub absent: usize,
    /// Clips whose frames, or flow, are not what was written. They are struck from the cache: whoever
    /// uses it next makes them anew. Of pictures, the cache that is not to be trusted.
    pub damaged: Listed,
    /// What there is to say besides, as far as the cache tells.
    pub remarks: Remarks,
}

/// Clips that have been found but not decoded.
pub(crate) struct Clips {
    source: Source,
    root: PathBuf,
    classes: Vec<String>,
    test_name: &'static str,
    /// Clips to train on, then those to test on.
    items: Vec<Item>,
    labels: [Vec<u16>; 2],
    /// What each of `items` was cut from, by number; none where the names do not tell.
    sources: Vec<u32>,
    /// What is known before anything is decoded.
    remarks: Remarks,
    /// What a list names twice.
    named_again: Vec<(PathBuf, String)>,
    form: Form,
    /// The folder for their frames. That for their flow is called so too, but for the ending.
    cache: PathBuf,
}

/// What a clip was cut from, where the kind's names tell: of UCF101 `v_<class>_g01` of
/// `v_<class>_g01_c02`, of HMDB51 the film, which comes before the class.
fn recording(kind: Kind, path: &Path, class: &str) -> Option<String> {
    let stem = path.file_stem()?.to_string_lossy();
    let clip = || stem.rsplit_once('_').map_or(&*stem, |(recording, _)| recording);
    match kind {
        Kind::Ucf101 => Some(clip().to_owned()),
        Kind::Hmdb51 => Some(stem.split_once(&format!("_{class}_")).map_or_else(clip, |(film, _)| film).to_owned()),
        _ => None,
    }
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
            (Known::Packed(_), Some(flow)) => flow.find(item),
            (known, _) => Some(known),
        }
    }

    /// The cache that is delivered from.
    fn delivered(&self) -> &Packs {
        self.flow.as_ref().unwrap_or(&self.frames)
    }
}

impl Clips {
    /// Finds the clips of `source`, which is of a kind that has clips, and looks whether they are
    /// there.
    pub(crate) fn find(source: &Source) -> Result<Self, DataError> {
        let root = required(source)?;
        let (mut named, passed_over) = name(source, root)?;
        if let Some(names) = &source.classes {
            named.choose(names)?;
        }
        if named.classes.len() > usize::from(u16::MAX) {
            return Err(DataError::TooManyClasses { path: named.at, classes: named.classes.len() });
        }

        let stamps = named
            .clips
            .each_ref()
            .map(|clips| clips.par_iter().map(|(path, _)| Stamp::of(path)).collect::<Result<Vec<_>, _>>());
        let (mut items, mut labels, mut sources) = (Vec::new(), [vec![], vec![]], Vec::new());
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
                        items.push(Item { key: key(root, path), path: path.clone(), stamp });
                        labels.push(*class as u16);
                        if let Some(source) = recording(source.kind, path, &named.classes[*class]) {
                            let number = numbers.len() as u32;
                            sources.push(*numbers.entry((class, source)).or_insert(number));
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
        source.duplicates.check(&source.listed("shared", shared))?;
        let missing = source.listed("missing", missing);
        if missing.count > 0 && source.missing == Unusable::Error {
            return Err(DataError::Missing { files: missing, total, sought: named.sought });
        }
        absent.retain(|class, _| !labels[0].contains(&(*class as u16)));
        if let Some((class, (count, first))) = absent.pop_first() {
            let class = named.classes.swap_remove(class);
            return Err(DataError::AbsentClass { class, count, first, sought: named.sought });
        }
        let form = Form { size: source.size, resize: source.resize, fps: source.fps };
        let found = Self {
            source: source.clone(),
            root: root.into(),
            classes: named.classes,
            test_name: named.test_name,
            items,
            labels,
            sources,
            remarks: Remarks { missing, passed_over, ..Remarks::default() },
            named_again,
            form,
            cache: cache_folder(source, root, &form)?,
        };
        found.no_class_is_empty(&found.labels)?;
        Ok(found)
    }

    /// Makes what the caches lack, and opens them.
    fn build(&self, progress: &(dyn Fn(&Building) + Sync)) -> Result<Caches, DataError> {
        let mut caches = Caches { frames: self.decode(progress)?, flow: None };
        if self.source.input == Input::Flow {
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
        let flow = Packs::open(&self.flow_folder(), &flow_header(&self.form))?;
        let lacking: Vec<_> = self.items.iter().filter(|item| flow.find(item).is_none()).cloned().collect();
        if !frames.verify(&lacking)?.is_empty() {
            *frames = self.decode(progress)?;
        }
        Ok(())
    }

    /// Makes what the cache of flow lacks of clips that have frames, and opens it.
    fn compute_flow(&self, frames: &Packs, progress: &(dyn Fn(&Building) + Sync)) -> Result<Packs, DataError> {
        let place_of = |item: &Item| match frames.find(item) {
            Some(Known::Packed(place)) => Some(*place),
            Some(Known::Broken(_)) | None => None,
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
        let usable: Vec<_> = self.items.iter().filter(|item| place_of(item).is_some()).cloned().collect();
        build(&self.flow_folder(), &flow_header(&self.form), &usable, false, &produce, &progress)
    }

    /// Decodes what the cache of frames lacks, and opens it.
    fn decode(&self, progress: &(dyn Fn(&Building) + Sync)) -> Result<Packs, DataError> {
        let again = self.source.broken == Unusable::Error;
        let decoder = OnceLock::new();
        let produce = |item: &Item| {
            // Looked for only where something is to be decoded: a whole cache needs no ffmpeg.
            let decoder = match decoder.get() {
                Some(decoder) => decoder,
                None => {
                    let found = Decoder::find().map_err(Failure::Fatal)?;
                    decoder.get_or_init(|| found)
                }
            };
            decoder.decode(&item.path, &self.form)
        };
        let progress = |building: &Building| progress(&Building { what: "clips", ..*building });
        build(&self.cache, &frames_header(&self.form), &self.items, again, &produce, &progress)
    }

    fn flow_folder(&self) -> PathBuf {
        self.cache.with_extension("flow")
    }

    /// The clips that cannot be delivered.
    ///
    /// # Errors
    /// If there are any, and that is not allowed.
    fn broken(&self, caches: &Caches) -> Result<Listed, DataError> {
        let mut broken = vec![];
        for item in &self.items {
            let words = match caches.find(item) {
                Some(Known::Packed(_)) => continue,
                Some(Known::Broken(words)) => words,
                // Changed or taken away since it was decoded.
                None => "it was changed while it was decoded",
            };
            broken.push((item.path.clone(), words.into()));
        }
        let broken = self.source.listed("broken", broken);
        if broken.count > 0 && self.source.broken == Unusable::Error {
            return Err(DataError::Broken { what: "clips", files: broken, total: self.items.len() });
        }
        Ok(broken)
    }

    /// What there is to say of what was decoded.
    ///
    /// # Errors
    /// If that is not allowed.
    fn remarks(&self, caches: &Caches) -> Result<Remarks, DataError> {
        let place = |number: usize| match caches.frames.find(&self.items[number]) {
            Some(Known::Packed(place)) => Some(place),
            Some(Known::Broken(_)) | None => None,
        };
        let key = |place: &Place| (place.frames, place.height, place.width, place.crc);
        let keys = (0..self.items.len()).filter_map(|number| Some((number, key(place(number)?))));
        let pixels = |number| place(number).map(|place| caches.frames.bytes(place));
        let equal = duplicates::find(keys, |one, other| pixels(one) == pixels(other));
        let file = |number: usize| &*self.items[number].path;
        let [shared, repeated] = duplicates::tell(&equal, self.labels[0].len(), file);
        let shared = self.source.listed("shared", shared);
        let broken = self.broken(caches)?;
        self.source.duplicates.check(&shared)?;
        Ok(Remarks {
            broken,
            shared,
            repeated: self.source.listed("repeated", [&self.named_again[..], &repeated].concat()),
            ..self.remarks.clone()
        })
    }

    pub(crate) fn load(&self, progress: &(dyn Fn(&Building) + Sync)) -> Result<Splits, DataError> {
        let caches = self.build(progress)?;
        let mut splits = [vec![], vec![]];
        let remarks = self.remarks(&caches)?;
        let mut stores = Vec::new();
        let mut numbers = BTreeMap::new();
        let [train, test] = &self.labels;
        let labels = train.iter().map(|&label| (0, label)).chain(test.iter().map(|&label| (1, label)));
        let mut train_sources = Vec::new();
        for (index, (item, (split, label))) in self.items.iter().zip(labels).enumerate() {
            if let Some(Known::Packed(place)) = caches.find(item) {
                let store = *numbers.entry(place.pack).or_insert_with(|| {
                    stores.push(Arc::clone(caches.delivered().store(place.pack)));
                    stores.len() as u32 - 1
                });
                if split == 0 {
                    train_sources.extend(self.sources.get(index));
                }
                splits[split].push(Sample {
                    store,
                    offset: place.offset,
                    frames: place.frames as u32,
                    size: [place.height as u32, place.width as u32],
                    label,
                });
            }
        }
        self.no_class_is_empty(&splits.each_ref().map(|samples| samples.iter().map(|sample| sample.label).collect()))?;
        let channels = self.source.input.channels();
        let [train, test] =
            splits.map(|samples| Dataset::from_samples(stores.clone(), samples, self.classes.clone(), channels));
        let train = match self.sources.is_empty() {
            true => train?,
            false => train?.with_sources(train_sources),
        };
        Ok(Splits { train, test: test?, test_name: self.test_name.into(), remarks })
    }

    /// Every class has clips to train on, and there are some to test on.
    fn no_class_is_empty(&self, [train, test]: &[Vec<u16>; 2]) -> Result<(), DataError> {
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
                kind: self.source.kind.name(),
                expected: "clips to test on".into(),
                found: "none that can be used".into(),
                remedy: "get them, or set `data.path` (--data) to the folder that holds them",
            });
        }
        Ok(())
    }

    pub(crate) fn prepare(&self, progress: &(dyn Fn(&Building) + Sync)) -> Result<Prepared, DataError> {
        let begun = Instant::now();
        let before = self.open()?;
        let found = self.items.iter().filter(|item| matches!(before.find(item), Some(Known::Packed(_)))).count();
        drop(before);
        let splits = self.load(progress)?;
        Ok(Prepared {
            clips: splits.train.len() + splits.test.len(),
            bytes: bytes_of(&splits),
            seconds: begun.elapsed().as_secs_f64(),
            found,
            remarks: splits.remarks,
            cache: Some(match self.source.input {
                Input::Rgb => self.cache.clone(),
                Input::Flow => self.flow_folder(),
            }),
        })
    }

    /// Opens the caches as they are.
    fn open(&self) -> Result<Caches, DataError> {
        Ok(Caches {
            frames: Packs::open(&self.cache, &frames_header(&self.form))?,
            flow: match self.source.input {
                Input::Rgb => None,
                Input::Flow => Some(Packs::open(&self.flow_folder(), &flow_header(&self.form))?),
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
            remarks: self.remarks.clone(),
        };
        let mut damaged = HashSet::new();
        let frames = [(&caches.frames, "its frames are not what was written")];
        let flow = caches.flow.iter().map(|flow| (flow, "its optical flow is not what was written"));
        for (packs, words) in frames.into_iter().chain(flow) {
            for item in packs.verify(&self.items)? {
                if damaged.insert(&item.key) {
                    checked.damaged.add(&item.path, words);
                }
            }
        }
        for item in &self.items {
            match caches.find(item) {
                _ if damaged.contains(&item.key) => {}
                Some(Known::Packed(place)) => {
                    checked.clips += 1;
                    checked.bytes += place.bytes(self.source.input.channels());
                }
                Some(Known::Broken(words)) => checked.remarks.broken.add(&item.path, words),
                None => checked.absent += 1,
            }
        }
        checked.seconds = begun.elapsed().as_secs_f64();
        Ok(checked)
    }
}

pub(crate) fn bytes_of(splits: &Splits) -> u64 {
    let bytes = |dataset: &Dataset| (0..dataset.len()).map(|i| dataset.pixels(i).len() as u64).sum::<u64>();
    bytes(&splits.train) + bytes(&splits.test)
}

/// The clips by their lists or folders.
fn name(source: &Source, root: &Path) -> Result<(Named, PassedOver), DataError> {
    let lists = source.lists.as_deref();
    let by_split = |find: fn(&Path, Option<&Path>, usize) -> Result<Named, DataError>| match source.split {
        split @ 1..=3 => find(root, lists, split),
        split => Err(DataError::Value { key: "data.split", value: split.to_string(), expected: "1, 2 or 3" }),
    };
    let named = match source.kind {
        Kind::Ucf101 => by_split(ucf101::find)?,
        Kind::Hmdb51 => by_split(hmdb51::find)?,
        Kind::Kinetics => kinetics::find(root, lists)?,
        _ => {
            let Listing { classes, test_name, files, labels, passed_over } = list(root, &FOLDERS)?;
            let [train, test] = files;
            let pair = |(files, labels): (Vec<PathBuf>, &Vec<u16>)| {
                files.into_iter().zip(labels.iter().map(|&label| label.into())).collect()
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

/// What the index calls a clip.
fn key(root: &Path, path: &Path) -> String {
    let below = path.strip_prefix(root).unwrap_or(path);
    // What is no Unicode is written with escapes, so that no two paths are one.
    below.to_str().map_or_else(|| format!("{below:?}"), String::from)
}

fn frames_header(form: &Form) -> Header {
    Header::new("frames", form.filters(), CHANNELS)
}

fn flow_header(form: &Form) -> Header {
    let settings = format!("{} {:?} bound {BOUND}", form.filters(), TvL1::default());
    Header::new("flow", settings, Input::Flow.channels())
}

/// The folder for the frames of these clips in this form: the same for every choice of clips.
fn cache_folder(source: &Source, root: &Path, form: &Form) -> Result<PathBuf, DataError> {
    let all = source.cache_folder()?;
    let root = root.canonicalize().map_err(DataError::read(root))?;
    let hash = fnv1a(format!("{root:?} {:?}", frames_header(form)).as_bytes());
    let name = root.file_name().map_or("clips".into(), |name| name.to_string_lossy());
    Ok(all.join(format!("{name}-{hash:016x}.frames")))
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
        let of = |kind, file: &str, class| recording(kind, Path::new(file), class);
        let ucf = |file| of(Kind::Ucf101, file, "HandstandWalking");
        let first = ucf("HandstandWalking/v_HandStandWalking_g01_c01.avi");
        assert_eq!(first.as_deref(), Some("v_HandStandWalking_g01"));
        assert_eq!(first, ucf("HandstandWalking/v_HandStandWalking_g01_c04.avi"));
        assert_ne!(first, ucf("HandstandWalking/v_HandStandWalking_g02_c01.avi"));
        assert_eq!(ucf("plain.avi").as_deref(), Some("plain"));
        let film = of(Kind::Hmdb51, "a/Faith_Rewarded_catch_f_cm_np1_fr_med_10.avi", "catch");
        assert_eq!(film.as_deref(), Some("Faith_Rewarded"));
        assert_eq!(of(Kind::Hmdb51, "a/odd_3.avi", "catch").as_deref(), Some("odd"));
        assert_eq!(of(Kind::Kinetics, "a/x_000001_000011.mp4", "archery"), None);
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
