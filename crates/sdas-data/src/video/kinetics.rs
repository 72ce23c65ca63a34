//! Kinetics' lists: CSV with a header, `label,youtube_id,time_start,time_end,split` and perhaps
//! more, for clips that are called `<id>_<start>_<end>.mp4`, with times in seconds of six digits.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::lists::{EXTENSIONS, Named, folder_of_lists, odd_line};
use crate::error::{DataError, found_at};
use crate::folder::{Wanted, visible};

const KIND: &str = "kinetics";
/// Levels of folders that are looked through: `path`, `videos`, a split, a class.
const DEPTH: usize = 4;
/// Clips of the official size, whatever tool has got them.
const CLIPS: Wanted = Wanted { kind: KIND, what: "clips", extensions: EXTENSIONS, none: "" };

/// A row of a list; other columns are passed over.
#[derive(Deserialize)]
struct Row {
    label: String,
    youtube_id: String,
    time_start: f64,
    time_end: f64,
}

impl Row {
    /// The name of its file, without extension.
    fn name(&self) -> String {
        format!("{}_{:06}_{:06}", self.youtube_id, self.time_start as u64, self.time_end as u64)
    }
}

/// Finds the clips of the lists for training and for validation; those for testing have no labels.
pub(super) fn find(path: &Path, lists: Option<&Path>) -> Result<Named, DataError> {
    let lists = folder_of_lists(path, lists, &["annotations", "lists"], KIND, "train.csv", |folder| {
        list_of(folder, &["train"]).is_ok_and(|list| list.is_some())
    })?;
    let need = |list: Option<PathBuf>, expected: &str| {
        list.ok_or_else(|| DataError::NotADataset {
            path: lists.clone(),
            kind: KIND,
            expected: format!("`{expected}`"),
            found: found_at(&lists),
            remedy: "get the official lists for training and for validation, and put them there",
        })
    };
    let train = need(list_of(&lists, &["train"])?, "train.csv")?;
    let val = need(list_of(&lists, &["val", "validate", "validation"])?, "val.csv")?;
    let rows = [read(&train)?, read(&val)?];

    let mut classes: Vec<_> = rows[0].iter().map(|row| row.label.clone()).collect();
    classes.sort();
    classes.dedup();
    let mut extra: Vec<_> =
        rows[1].iter().map(|row| &row.label).filter(|label| classes.binary_search(label).is_err()).collect();
    extra.sort();
    extra.dedup();
    if !extra.is_empty() {
        return Err(DataError::Classes { path: val, missing: vec![], extra: extra.into_iter().cloned().collect() });
    }

    let mut files = HashMap::new();
    walk(path, DEPTH, &mut files)?;
    let clips = rows.map(|rows| {
        let clips = rows.iter().map(|row| {
            let name = row.name();
            let class = classes.binary_search(&row.label).expect("all labels are in it");
            let file = files.get(&name).cloned();
            (file.unwrap_or_else(|| path.join(&row.label).join(name + ".mp4")), class)
        });
        clips.collect()
    });
    Ok(Named { classes, at: train, test_name: "val", clips })
}

/// The list in `folder` that is called by one of `names`: `val.csv`, or `kinetics-400_val.csv`.
fn list_of(folder: &Path, names: &[&str]) -> Result<Option<PathBuf>, DataError> {
    let mut lists: Vec<_> = visible(folder)?
        .into_iter()
        .filter_map(|path| {
            let stem = path.file_name()?.to_str()?.strip_suffix(".csv")?;
            let prefix = names.iter().find_map(|name| stem.strip_suffix(name))?;
            (prefix.is_empty() || prefix.ends_with(['_', '-'])).then_some((prefix.len(), path))
        })
        .collect();
    lists.sort();
    match lists.as_slice() {
        [(1.., one), (_, other), ..] => Err(DataError::NotADataset {
            path: folder.into(),
            kind: KIND,
            expected: format!("one list called `*{}.csv`", names[0]),
            found: format!("`{}` and `{}`", one.display(), other.display()),
            remedy: "keep the lists of one data set in a folder, and set `data.lists` to it",
        }),
        lists => Ok(lists.first().map(|(_, path)| path.clone())),
    }
}

/// The rows of a list.
fn read(path: &Path) -> Result<Vec<Row>, DataError> {
    let mut reader =
        csv::ReaderBuilder::new().trim(csv::Trim::All).from_path(path).map_err(|error| odd(path, &error))?;
    let header = reader.headers().map_err(|error| odd(path, &error))?.clone();
    let columns = ["label", "youtube_id", "time_start", "time_end"];
    if let Some(column) = columns.iter().find(|column| !header.iter().any(|name| name == **column)) {
        let found = header.iter().collect::<Vec<_>>().join(",");
        return Err(odd_line(path, 1, format!("a column `{column}`"), &found));
    }
    reader.deserialize().map(|row| row.map_err(|error| odd(path, &error))).collect()
}

/// What the reader of CSV does not like.
fn odd(path: &Path, error: &csv::Error) -> DataError {
    let line = error.position().map_or(1, |position| position.line() as usize);
    odd_line(path, line, "`label,youtube_id,time_start,time_end,split`", &error.to_string())
}

/// Adds the clips in `folder` and in folders inside it, by name without extension.
fn walk(folder: &Path, depth: usize, files: &mut HashMap<String, PathBuf>) -> Result<(), DataError> {
    for path in visible(folder)? {
        if CLIPS.names(&path) {
            if let Some(name) = path.file_stem().and_then(|name| name.to_str()) {
                files.entry(name.into()).or_insert(path);
            }
        } else if depth > 1 && path.is_dir() {
            walk(&path, depth - 1, files)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::video::tests::{official, write};

    #[test]
    fn rows_are_found_wherever_their_files_lie() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        write(
            root,
            "k_train.csv",
            "label,youtube_id,time_start,time_end,split,is_cc\n\"jumping jacks\",-a_B,7,17,train,0\n\
             abseiling,bb,1234567,1234577,train,1\n\"eating, fast\",cc,0,10,train,0\nabseiling,dd,1,11,train,0\n",
        );
        write(root, "k_val.csv", "label,youtube_id,time_start,time_end,split\nabseiling,ee,5.0,15.0,val\n");
        let files = [
            "-a_B_000007_000017.mp4",
            "train/abseiling/bb_1234567_1234577.MP4",
            "videos/train/eating,_fast/cc_000000_000010.webm",
            "val/ee_000005_000015.mp4",
        ];
        for file in files {
            write(root, file, "");
        }
        let named = find(root, None).unwrap();
        assert_eq!(named.classes, ["abseiling", "eating, fast", "jumping jacks"]);
        let [train, val] = named.clips;
        assert_eq!(train.iter().map(|clip| clip.1).collect::<Vec<_>>(), [2, 0, 1, 0]);
        assert_eq!(
            train[..3].iter().map(|clip| clip.0.clone()).collect::<Vec<_>>(),
            [0, 1, 2].map(|i| root.join(files[i]))
        );
        assert_eq!(train[3].0, root.join("abseiling/dd_000001_000011.mp4"));
        assert_eq!(val, [(root.join(files[3]), 0)]);
    }

    #[test]
    fn odd_lists_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        let message = || find(root, None).err().unwrap().to_string();
        assert!(message().contains("expected `train.csv`"), "{}", message());
        write(root, "train.csv", "label,youtube_id,time_start,time_end,split\na,b,1,2,train\na,b,x,2,train\n");
        assert!(message().contains("expected `val.csv`"), "{}", message());
        write(root, "val.csv", "youtube_id,time_start,time_end,split\nb,1,2,test\n");
        assert!(message().contains("train.csv, line 3: expected `label,"), "{}", message());
        write(root, "train.csv", "label,youtube_id,time_start,time_end,split\na,b,1,2,train\n");
        assert!(message().contains("val.csv, line 1: expected a column `label`"), "{}", message());
        write(root, "val.csv", "label,youtube_id,time_start,time_end,split\nc,b,1,2,train\n");
        assert!(message().contains("unknown `c`"), "{}", message());
        write(root, "a_val.csv", "");
        assert!(message().contains("unknown `c`"), "{}", message());
        std::fs::rename(root.join("val.csv"), root.join("b_val.csv")).unwrap();
        assert!(message().contains("expected one list called `*val.csv`"), "{}", message());
    }

    #[test]
    fn the_official_list_of_kinetics_400_is_read() {
        let Some(lists) = official("kinetics") else { return };
        let rows = read(&list_of(&lists, &["val"]).unwrap().unwrap()).unwrap();
        assert_eq!(rows.len(), 19906);
        let mut labels: Vec<_> = rows.iter().map(|row| row.label.as_str()).collect();
        labels.sort_unstable();
        labels.dedup();
        let map = std::fs::read_to_string(lists.join("label_map_k400.txt")).unwrap();
        assert!(labels.iter().copied().eq(map.lines()), "{labels:?}");
        assert_eq!((rows[0].label.as_str(), rows[0].name().as_str()), ("abseiling", "0wR5jVB-WPk_000417_000427"));
        // Those to test on have no labels.
        assert!(read(&list_of(&lists, &["test"]).unwrap().unwrap()).is_err());
    }
}
