//! Kinetics' lists: CSV with a header, `label,youtube_id,time_start,time_end,split` and perhaps
//! more, for clips that are called `<id>_<start>_<end>.mp4`, with times in seconds of six digits.
//!
//! What has fetched the clips may have called them otherwise, and put them into folders of splits, of
//! classes, of both or of neither: they are known by their names alone, wherever they lie.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::lists::{EXTENSIONS, Named, folder_of_lists, odd_line};
use crate::error::{DataError, found_at};
use crate::source::listing::{Wanted, visible};

pub(super) const KIND: &str = "kinetics";
/// Levels of folders that are looked through: `path`, `videos`, a split, a class, and what else
/// people keep their archives in.
const DEPTH: usize = 6;
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
    /// The official name of its file, without extension.
    fn name(&self) -> String {
        format!("{}_{:06}_{:06}", self.youtube_id, self.time_start as u64, self.time_end as u64)
    }

    /// The same, with times as they are in the list.
    fn plain_name(&self) -> String {
        format!("{}_{}_{}", self.youtube_id, self.time_start, self.time_end)
    }
}

/// What two spellings of one label have in common: lists made from the names of folders have
/// underscores, and lack what is not wanted in such names.
fn folded(label: &str) -> String {
    label.to_lowercase().replace('_', " ").replace(['\'', '"', '(', ')'], "")
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

    // Of several spellings that with spaces, which come before underscores.
    let mut spelt = BTreeMap::new();
    for row in &rows[0] {
        let name = spelt.entry(folded(&row.label)).or_insert(&row.label);
        *name = (*name).min(&row.label);
    }
    let extra: BTreeMap<_, _> = rows[1].iter().map(|row| (folded(&row.label), &row.label)).collect();
    let extra: Vec<_> = extra.into_iter().filter(|(label, _)| !spelt.contains_key(label)).collect();
    if !extra.is_empty() {
        let extra = extra.into_iter().map(|(_, label)| label.clone()).collect();
        return Err(DataError::Labels { path: val, train, extra });
    }
    let mut classes: Vec<String> = spelt.values().map(|&name| name.clone()).collect();
    classes.sort();
    let numbers: HashMap<_, _> = (0..).zip(&classes).map(|(number, name)| (folded(name), number)).collect();

    let mut files = HashMap::new();
    walk(path, DEPTH, &mut files)?;
    let mut uses = HashMap::new();
    rows.iter().flatten().for_each(|row| *uses.entry(&row.youtube_id).or_insert(0) += 1);
    let file = |row: &Row| {
        // A video's name alone tells which clip it is if only one was cut from it.
        let alone = (uses[&row.youtube_id] == 1).then_some(&row.youtube_id);
        [row.name(), row.plain_name()].iter().chain(alone).find_map(|name| files.get(name)).cloned()
    };
    let clips: [Vec<_>; 2] = rows.each_ref().map(|rows| {
        let clips = rows.iter().map(|row| {
            // What is not there, as it is named where it is told of.
            let file = file(row).unwrap_or_else(|| path.join(plain(&row.label)).join(plain(&row.name()) + ".mp4"));
            (file, numbers[&folded(&row.label)])
        });
        clips.collect()
    });
    let named: HashSet<&PathBuf> = clips.iter().flatten().map(|(path, _)| path).collect();
    let others = || files.values().filter(|path| !named.contains(path));
    let other = others().min().map(|one| format!(", such as {}", one.display())).unwrap_or_default();
    let sought = format!(
        "\n  looked for, in {} and folders in it: `<id>_<start>_<end>`, with times of six digits or as they are, \
         or `<id>`, as .mp4, .mkv, .webm or another ending of clips; clips there with other names: {}{other}",
        path.display(),
        others().count()
    );
    Ok(Named { classes, at: train, test_name: "val", clips, sought })
}

/// A name in which nothing leads elsewhere.
fn plain(name: &str) -> String {
    if name.chars().all(|letter| letter == '.') { "_".into() } else { name.replace(['/', '\\'], "_") }
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
    use super::super::tests::{official, write};
    use super::*;

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

    /// Both lists, with these rows behind the header.
    fn write_lists(root: &Path, train: &str, val: &str) {
        for (name, rows) in [("train", train), ("val", val)] {
            write(
                root,
                &format!("annotations/{name}.csv"),
                &format!("label,youtube_id,time_start,time_end,split\n{rows}"),
            );
        }
    }

    #[test]
    fn names_and_folders_are_those_of_whatever_has_fetched_the_clips() {
        let train = "air drumming,aa,1,11,train\nabseiling,bb,2.5,12.5,train\nabseiling,cc,0,10,train\n";
        for layout in [
            // The official archives; torchvision; others.
            [
                "train/aa_000001_000011.mp4",
                "train/bb_000002_000012.mp4",
                "train/cc_000000_000010.mp4",
                "val/dd_000000_000010.mp4",
            ],
            [
                "train/air_drumming/aa_000001_000011.mp4",
                "train/abseiling/bb_000002_000012.mp4",
                "train/abseiling/cc_000000_000010.mp4",
                "val/air_drumming/dd_000000_000010.mp4",
            ],
            ["abseiling/aa_1_11.mp4", "bb_2.5_12.5.mkv", "cc_0_10.webm", "k400/videos/compressed/val/dd_0_10.mp4"],
            ["train/air drumming/aa.mp4", "train/abseiling/bb.mp4", "replacement/cc.mp4", "val/dd.mp4"],
        ] {
            let folder = tempfile::tempdir().unwrap();
            let root = folder.path();
            write_lists(root, train, "air drumming,dd,0,10,val\n");
            layout.iter().for_each(|file| write(root, file, ""));
            let named = find(root, None).unwrap();
            assert_eq!(
                named.clips[0],
                [(root.join(layout[0]), 1), (root.join(layout[1]), 0), (root.join(layout[2]), 0)]
            );
            assert_eq!(named.clips[1], [(root.join(layout[3]), 1)]);
        }
    }

    #[test]
    fn a_video_cut_twice_is_not_known_by_its_name_alone() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        write_lists(root, "x,aa,1,11,train\n", "x,aa,20,30,val\n");
        write(root, "aa.mp4", "");
        let named = find(root, None).unwrap();
        assert_eq!(
            named.clips,
            [[(root.join("x/aa_000001_000011.mp4"), 0)], [(root.join("x/aa_000020_000030.mp4"), 0)]]
        );
        for words in ["`<id>_<start>_<end>`", "clips there with other names: 1, such as ", "aa.mp4"] {
            assert!(named.sought.contains(words), "{}", named.sought);
        }
    }

    #[test]
    fn spellings_of_a_label_are_one_class() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        let train = "air_drumming,aa,0,1,train\nmassaging person's head,bb,0,1,train\nair drumming,cc,0,1,train\n";
        write_lists(root, train, "massaging_persons_head,dd,0,1,val\nair_drumming,ee,0,1,val\n");
        let named = find(root, None).unwrap();
        assert_eq!(named.classes, ["air drumming", "massaging person's head"]);
        let labels = named.clips.map(|clips| clips.into_iter().map(|clip| clip.1).collect::<Vec<_>>());
        assert_eq!(labels, [vec![0, 1, 0], vec![1, 0]]);

        write_lists(root, train, "juggling,dd,0,1,val\n");
        let error = find(root, None).err().unwrap().to_string();
        assert!(error.contains("labels that train.csv has not: `juggling`") && error.contains("both lists"), "{error}");
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
        assert!(message().contains("labels that train.csv has not: `c`"), "{}", message());
        write(root, "a_val.csv", "");
        assert!(message().contains("labels that train.csv has not: `c`"), "{}", message());
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
