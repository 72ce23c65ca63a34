//! Pictures in tar files, as WebDataset has them: `train-000000.tar`, …; a sample is consecutive members with one stem,
//! a picture and its class, `0001.jpg` and `0001.cls`.
//!
//! Of a shard only the headers are read, and the classes; pictures are then read from where they lie, so that their
//! order is free. What was found is stored among the caches: a start over shards that have not changed reads that alone.

mod stored;
mod walk;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rayon::prelude::*;

use super::listing::visible;
use super::pictures::{FoundPictures, PictureSettings};
use super::places::{Member, Places};
use super::text;
use crate::error::{DataError, found_at};
use crate::remarks::{Listed, Remarks};
use stored::{Line, Stored};

/// The keys that they use.
pub(super) const KEYS: &[&str] = &["path", "resize", "broken", "duplicates", "keep"];
const KIND: &str = "shards";
/// What test sets are called.
const TESTS: [&str; 3] = ["test", "val", "validation"];
/// Names of the classes, a line each, in the order of their numbers.
const CLASSES: &str = "classes.txt";

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

    let [count_to_train, _] = shards.each_ref().map(Vec::len);
    let shards = shards.concat();
    let (lines, unwritten) = index(&settings, &shards)?;
    let (mut members, mut labels) = (Vec::new(), [vec![], vec![]]);
    for (shard, line) in (0..).zip(lines) {
        members.extend(line.found.iter().map(|&(offset, length, _)| Member { shard, length, offset }));
        let split = usize::from(shard as usize >= count_to_train);
        labels[split].extend(line.found.iter().map(|&(.., label)| label));
    }
    let count = labels.iter().flatten().map(|&label| usize::from(label) + 1).max().unwrap_or(0);
    let classes = class_names(root, count)?;
    let lacks = (0..classes.len()).find(|&class| !labels[0].contains(&(class as u16)));
    if let Some(class) = lacks {
        let remedy = "get all shards; numbers of classes go from 0 on, without a gap";
        return Err(DataError::EmptyClass {
            path: root.clone(),
            class: classes[class].clone(),
            what: "pictures to train on",
            remedy,
        });
    }
    let places = Arc::new(Places::Members { shards, members });
    let remarks = Remarks { unwritten, ..Remarks::default() };
    Ok(FoundPictures { kind: KIND, settings, classes, test_name, places, labels, remarks })
}

/// What lies in each of the shards, by what is stored of those that have not changed since; and what of it could not be
/// stored.
///
/// # Errors
/// The first shard that is not in order. What was found in others is stored all the same.
fn index(settings: &PictureSettings, shards: &[PathBuf]) -> Result<(Vec<Line>, Listed), DataError> {
    let path = settings.ledger.file("shards");
    let mut stored = Stored::open(&path);
    let known: Vec<_> = shards.iter().map(|shard| stored.take(&settings.root, shard)).collect::<Result<_, _>>()?;
    let of = |(shard, (key, stamp, known)): (&PathBuf, _)| match known {
        Some(line) => Ok((line, false)),
        None => Ok((Line { shard: key, stamp, found: walk::walk(shard)? }, true)),
    };
    let lines: Vec<Result<_, DataError>> = shards.par_iter().zip(known).map(of).collect();
    let mut unwritten = Listed::default();
    if lines.iter().flatten().any(|(_, is_new)| *is_new) {
        let written = stored::write(&path, lines.iter().flatten().map(|(line, _)| line));
        // Which only costs time at the next start.
        let _ = written.map_err(|error| unwritten.add(&path, &error.to_string()));
    }
    let lines: Result<_, _> = lines.into_iter().map(|line| Ok(line?.0)).collect();
    Ok((lines?, unwritten))
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
    let names = text::names(&path)?;
    if names.len() < count {
        return Err(DataError::Names { path, found: names.len(), expected: count });
    }
    Ok(names)
}
