//! Pictures in tar files, as WebDataset has them: `train-000000.tar`, …; a sample is consecutive members with one stem,
//! a picture and its class, `0001.jpg` and `0001.cls`.
//!
//! Of a shard only the headers are read, and the classes; pictures are then read from where they lie, so that their
//! order is free.

use std::fs::{self, File};
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rayon::prelude::*;

use super::listing::visible;
use super::pictures::{FoundPictures, PictureSettings};
use super::places::{Member, Places};
use crate::decode::EXTENSIONS;
use crate::error::{DataError, found_at};
use crate::remarks::PassedOver;

/// The keys that they use.
pub(super) const KEYS: &[&str] = &["path", "resize", "broken", "duplicates", "keep"];
const KIND: &str = "shards";
/// What test sets are called.
const TESTS: [&str; 3] = ["test", "val", "validation"];
/// Names of the classes, a line each, in the order of their numbers.
const CLASSES: &str = "classes.txt";
/// Bytes of a block of a tar file: headers have one, and members fill their last.
const BLOCK: u64 = 512;

/// Pictures of one split, shard by shard.
#[derive(Default)]
struct Split {
    members: Vec<Member>,
    labels: Vec<u16>,
}

/// Indexes the shards in the data set's folder, or in folders in it that are called as splits are.
pub(super) fn find(settings: PictureSettings) -> Result<FoundPictures, DataError> {
    let root = &settings.root;
    let expected =
        || format!("tar files with `train` in their names, or in a folder `train`, and others with {}", quoted(&TESTS));
    let missing = || DataError::NotADataset {
        path: root.clone(),
        kind: KIND,
        expected: expected(),
        found: found_at(root),
        remedy: "set `data.path` (--data) to the folder that holds the shards, unpacked if they are compressed",
    };
    let train = shards_of(root, "train")?;
    let test_name = TESTS.into_iter().find(|name| shards_of(root, name).is_ok_and(|shards| !shards.is_empty()));
    let Some(test_name) = test_name.filter(|_| !train.is_empty()) else { return Err(missing()) };
    let shards = [train, shards_of(root, test_name)?];
    shards.iter().try_for_each(|shards| none_is_missing(shards))?;

    let indexed = |shards: &[PathBuf], first: usize| -> Result<Split, DataError> {
        let splits: Vec<_> =
            shards.par_iter().enumerate().map(|(number, shard)| index(shard, first + number)).collect();
        let mut all = Split::default();
        for split in splits {
            let Split { members, labels } = split?;
            all.members.extend(members);
            all.labels.extend(labels);
        }
        Ok(all)
    };
    let train = indexed(&shards[0], 0)?;
    let test = indexed(&shards[1], shards[0].len())?;
    let count = train.labels.iter().chain(&test.labels).map(|&label| usize::from(label) + 1).max().unwrap_or(0);
    let classes = class_names(root, count)?;
    let lacks = (0..classes.len()).find(|&class| !train.labels.contains(&(class as u16)));
    if let Some(class) = lacks {
        let remedy = "get all shards; numbers of classes go from 0 on, without a gap";
        return Err(DataError::EmptyClass {
            path: root.clone(),
            class: classes[class].clone(),
            what: "pictures to train on",
            remedy,
        });
    }
    let members = [train.members, test.members].concat();
    let places = Arc::new(Places::Members { shards: shards.concat(), members });
    let labels = [train.labels, test.labels];
    Ok(FoundPictures { kind: KIND, settings, classes, test_name, places, labels, passed_over: PassedOver::default() })
}

fn quoted(names: &[&str]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

/// The shards of a split, by name: in the folder called so, or those that have it as a word of their own name.
fn shards_of(root: &Path, split: &str) -> Result<Vec<PathBuf>, DataError> {
    let folder = root.join(split);
    let is_tar = |path: &PathBuf| path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("tar"));
    let has_word = |path: &PathBuf| {
        let stem = path.file_stem().unwrap_or_default().to_string_lossy().to_lowercase();
        stem.split(|letter: char| !letter.is_ascii_alphabetic()).any(|word| word == split)
    };
    if folder.is_dir() {
        return Ok(visible(&folder)?.into_iter().filter(is_tar).collect());
    }
    Ok(visible(root)?.into_iter().filter(is_tar).filter(has_word).collect())
}

/// The shards' last numbers must follow each other.
fn none_is_missing(shards: &[PathBuf]) -> Result<(), DataError> {
    let number = |shard: &PathBuf| -> Option<(String, usize, usize)> {
        let stem = shard.file_stem()?.to_str()?;
        let prefix = stem.trim_end_matches(|letter: char| letter.is_ascii_digit());
        let digits = &stem[prefix.len()..];
        Some((prefix.into(), digits.len(), digits.parse().ok()?))
    };
    for pair in shards.windows(2) {
        if let (Some((one, width, before)), Some((other, _, after))) = (number(&pair[0]), number(&pair[1]))
            && one == other
            && after > before + 1
        {
            let path = pair[0].with_file_name(format!("{one}{:0width$}.tar", before + 1));
            return Err(DataError::AbsentShard { path, before: pair[0].clone(), after: pair[1].clone() });
        }
    }
    Ok(())
}

fn class_names(root: &Path, count: usize) -> Result<Vec<String>, DataError> {
    let path = root.join(CLASSES);
    if !path.is_file() {
        return Ok((0..count).map(|class| class.to_string()).collect());
    }
    let text = fs::read_to_string(&path).map_err(DataError::read(&path))?;
    let names: Vec<String> = text.lines().map(str::trim).filter(|name| !name.is_empty()).map(String::from).collect();
    if names.len() < count {
        return Err(DataError::Names { path, found: names.len(), expected: count });
    }
    Ok(names)
}

/// What is known of a sample while its members go by.
struct Half {
    stem: String,
    /// Where its first member's header lies.
    at: u64,
    picture: Option<Member>,
    label: Option<u16>,
}

/// Finds the samples of a shard.
fn index(path: &Path, number: usize) -> Result<Split, DataError> {
    let read = DataError::read;
    let mut file = File::open(path).map_err(read(path))?;
    let length = file.metadata().map_err(read(path))?.len();
    let cut = |member: &str, offset: u64, words: String| DataError::Shard {
        path: path.into(),
        member: member.into(),
        offset,
        words,
    };
    let mut archive =
        tar::Archive::new(BufReader::with_capacity(BLOCK as usize, File::open(path).map_err(read(path))?));
    let (mut split, mut half, mut end, mut last) = (Split::default(), None::<Half>, 0, String::new());
    for entry in archive.entries_with_seek().map_err(read(path))? {
        let entry = entry.map_err(|error| cut(&last, end, format!("what follows it is no header: {error}")))?;
        let (at, offset, size) = (entry.raw_header_position(), entry.raw_file_position(), entry.size());
        last = entry.path().map_err(read(path))?.to_string_lossy().into_owned();
        end = offset + size.div_ceil(BLOCK) * BLOCK;
        if offset + size > length {
            let words = format!("it should go on to byte {}, and the shard ends at {length}", offset + size);
            return Err(cut(&last, at, words));
        }
        if !entry.header().entry_type().is_file() {
            continue;
        }
        let (stem, ending) = parts(&last);
        if half.as_ref().is_none_or(|half| half.stem != stem) {
            finish(path, half.take(), &mut split)?;
            half = Some(Half { stem: stem.into(), at, picture: None, label: None });
        }
        let half = half.as_mut().expect("just begun");
        if EXTENSIONS.iter().any(|known| ending.eq_ignore_ascii_case(known)) {
            let member = u32::try_from(size).ok().map(|length| Member { shard: number as u32, length, offset });
            half.picture = Some(member.ok_or_else(|| cut(&last, at, "it is longer than four gigabytes".into()))?);
        } else if ending.eq_ignore_ascii_case("cls") {
            let mut text = String::new();
            file.seek(SeekFrom::Start(offset)).map_err(read(path))?;
            let label =
                (&file).take(size.min(BLOCK)).read_to_string(&mut text).ok().and_then(|_| text.trim().parse().ok());
            let odd = || cut(&last, at, format!("`{}` is no class; expected a number from 0 to 65534", text.trim()));
            half.label = Some(label.filter(|&label| label < u16::MAX).ok_or_else(odd)?);
        }
    }
    finish(path, half, &mut split)?;
    // The end of a tar file is two blocks of zeros; some programs write one.
    let mut mark = [1; BLOCK as usize];
    file.seek(SeekFrom::Start(end)).map_err(read(path))?;
    if file.read_exact(&mut mark).is_err() || mark.iter().any(|&byte| byte != 0) {
        return Err(cut(&last, end, "behind it the mark is lacking that ends a tar file".into()));
    }
    Ok(split)
}

/// The stem and the ending of a member's name: what lies before and behind the first dot of its last part.
fn parts(name: &str) -> (&str, &str) {
    let start = name.rfind('/').map_or(0, |slash| slash + 1);
    match name[start..].find('.') {
        Some(dot) => (&name[..start + dot], &name[start + dot + 1..]),
        None => (name, ""),
    }
}

/// Takes a sample whose members have all gone by.
fn finish(path: &Path, half: Option<Half>, split: &mut Split) -> Result<(), DataError> {
    match half {
        None => {}
        Some(Half { picture: Some(picture), label: Some(label), .. }) => {
            split.members.push(picture);
            split.labels.push(label);
        }
        // What belongs to no picture, such as a description of the shard.
        Some(Half { picture: None, label: None, .. }) => {}
        Some(Half { stem, at, picture, .. }) => {
            let lacking = if picture.is_none() { "picture, such as `.jpg`," } else { "class, `.cls`," };
            let words = format!("the sample has no {lacking} beside it");
            return Err(DataError::Shard { path: path.into(), member: stem, offset: at, words });
        }
    }
    Ok(())
}
