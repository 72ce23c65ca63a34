//! Files with their labels, as other programs write them: a list of lines `<path> <label>`, or `<folder> <frames> <label>`
//! for frames in files of their own, or a table with the columns `file_name` and `label`.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use rayon::prelude::*;
use serde::Deserialize;

use super::clips::is_named_as_clip;
use super::duplicates::Duplicates;
use super::listing::visible;
use super::paths::within;
use super::text;
use super::unusable::Unusable;
use crate::decode::{EXTENSIONS, frame_files};
use crate::error::{DataError, found_at};

/// Names of the classes, a line each, in the order of their numbers.
const CLASSES: &str = "classes.txt";
/// Tables of a folder of pictures.
const TABLES: [&str; 2] = ["metadata.csv", "metadata.jsonl"];
/// What test sets are called.
const TESTS: [&str; 3] = ["test", "val", "validation"];

/// What the files are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    Pictures,
    Clips,
}

/// What may be wrong with the files.
#[derive(Clone, Copy, Debug)]
pub(super) struct Allowed {
    pub(super) what: What,
    pub(super) missing: Unusable,
    pub(super) duplicates: Duplicates,
}

/// The files of both splits, those to train on first.
#[derive(Debug)]
pub(super) struct Labelled {
    pub(super) classes: Vec<String>,
    /// The list of those to train on.
    pub(super) at: PathBuf,
    pub(super) test_name: &'static str,
    pub(super) files: [Vec<PathBuf>; 2],
    pub(super) labels: [Vec<u16>; 2],
}

/// A line of a list.
struct Line {
    number: usize,
    path: PathBuf,
    /// How many, of a folder of frames.
    frames: Option<usize>,
    label: String,
}

struct List {
    path: PathBuf,
    lines: Vec<Line>,
}

impl List {
    fn odd(&self, line: &Line, expected: impl Into<String>, found: impl Into<String>) -> DataError {
        DataError::List { path: self.path.clone(), line: line.number, expected: expected.into(), found: found.into() }
    }
}

/// By two lists, in `lists` or else in `root`: those whose names end in `.txt` and have `train` in them, and `test` or `val`.
/// Paths in them are below `root`, also where they begin at the system's.
pub(super) fn by_lists(
    kind: &'static str,
    root: &Path,
    lists: Option<&Path>,
    allowed: Allowed,
) -> Result<Labelled, DataError> {
    let folder = lists.unwrap_or(root);
    let texts: Vec<_> =
        visible(folder)?.into_iter().filter(|path| path.extension().is_some_and(|e| e == "txt")).collect();
    let named = |part: &str| texts.iter().filter(|path| name(path).contains(part)).cloned().collect::<Vec<_>>();
    let one = |lists: &[PathBuf], what: &str| match lists {
        [list] => Ok(list.clone()),
        several => Err(DataError::NotADataset {
            path: folder.into(),
            kind,
            expected: format!("one list of files to {what}, a `.txt` with `{what}` in its name"),
            found: match several {
                [] => found_at(folder),
                several => several.iter().map(|list| format!("`{}`", name(list))).collect::<Vec<_>>().join(", "),
            },
            remedy: "put the two lists, of lines `<path> <label>`, into a folder of their own, and set `data.lists` to it",
        }),
    };
    let train = one(&named("train"), "train")?;
    let (test_name, tests) =
        TESTS.iter().map(|&test| (test, named(test))).find(|(_, lists)| !lists.is_empty()).unwrap_or(("test", vec![]));
    let test = one(&tests, "test")?;
    let read = |path: PathBuf| -> Result<List, DataError> {
        let lines =
            text::lines(&path)?.into_iter().map(|(number, line)| parse(root, &path, number, &line, allowed.what));
        Ok(List { lines: lines.collect::<Result<_, _>>()?, path })
    };
    Labelled::new([read(train)?, read(test)?], test_name, &folder.join(CLASSES), allowed)
}

/// By tables in the folders `train` and `test`, `val` or `validation`, of which the files' paths are below these; none where
/// `train` has none.
pub(super) fn by_tables(root: &Path, allowed: Allowed) -> Result<Option<Labelled>, DataError> {
    let table = |split: &str| TABLES.map(|name| root.join(split).join(name)).into_iter().find(|table| table.is_file());
    let Some(train) = table("train") else { return Ok(None) };
    let Some((test_name, test)) = TESTS.iter().find_map(|&split| Some((split, table(split)?))) else {
        return Err(DataError::NotADataset {
            path: root.into(),
            kind: "folder",
            expected:
                "a table of the pictures to test on, `test/metadata.csv` (or in `val` or `validation`), as there is \
                       one of those to train on"
                    .into(),
            found: found_at(root),
            remedy: "write it, with the columns `file_name` and `label`; or delete the other, and put the pictures into \
                     folders by class",
        });
    };
    let lists = [read_table(root, train)?, read_table(root, test)?];
    Labelled::new(lists, test_name, &root.join(CLASSES), allowed).map(Some)
}

/// The end of a path, in lower case.
fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().to_lowercase()
}

/// A line `<path> <label>`, or `<folder> <frames> <label>` where there is such a folder. There may be blanks in the path.
fn parse(root: &Path, list: &Path, number: usize, line: &str, what: What) -> Result<Line, DataError> {
    let cut = |text: &str| {
        let (before, last) = text.rsplit_once([' ', '\t'])?;
        Some((before.trim_end().to_owned(), last.to_owned()))
    };
    let Some((path, label)) = cut(line) else {
        let expected = match what {
            What::Pictures => "`<path> <label>`",
            What::Clips => "`<path> <label>` or `<folder> <frames> <label>`",
        };
        return Err(DataError::List { path: list.into(), line: number, expected: expected.into(), found: line.into() });
    };
    if what == What::Clips
        && let Some((folder, frames)) = cut(&path)
        && let Ok(frames) = frames.parse()
        && !root.join(&path).exists()
    {
        let folder = within(root, root, &folder).ok_or_else(|| elsewhere(list, number, &folder))?;
        return Ok(Line { number, path: folder, frames: Some(frames), label });
    }
    let path = within(root, root, &path).ok_or_else(|| elsewhere(list, number, &path))?;
    Ok(Line { number, path, frames: None, label })
}

/// A path that leads out of the data set's folder.
fn elsewhere(list: &Path, line: usize, found: &str) -> DataError {
    let expected = "a path within `data.path`, which may be a folder further up".into();
    DataError::List { path: list.into(), line, expected, found: found.into() }
}

/// A table's row as JSON; what else it says is passed over.
#[derive(Deserialize)]
struct Row {
    file_name: String,
    label: Label,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Label {
    Number(u64),
    Name(String),
}

/// The columns of a table.
const COLUMNS: [&str; 2] = ["file_name", "label"];

fn read_table(root: &Path, path: PathBuf) -> Result<List, DataError> {
    let folder = path.parent().unwrap_or(&path);
    let odd = |line: usize, found: String| DataError::List {
        path: path.clone(),
        line,
        expected: format!("the columns `{}` and `{}`", COLUMNS[0], COLUMNS[1]),
        found,
    };
    let line = |number, file: &str, label| {
        let file = within(root, folder, file).ok_or_else(|| elsewhere(&path, number, file))?;
        Ok(Line { number, path: file, frames: None, label })
    };
    let mut all = vec![];
    if path.extension().is_some_and(|ending| ending == "jsonl") {
        for (number, text) in text::lines(&path)? {
            let Row { file_name, label } = serde_json::from_str(&text).map_err(|_| odd(number, text))?;
            let label = match label {
                Label::Number(label) => label.to_string(),
                Label::Name(label) => label,
            };
            all.push(line(number, &file_name, label)?);
        }
    } else {
        let text = text::read(&path)?;
        let mut rows = csv::Reader::from_reader(text.as_bytes());
        let at = |error: &csv::Error| error.position().map_or(1, |position| position.line() as usize);
        let headers = rows.headers().map_err(|error| odd(at(&error), error.to_string()))?.clone();
        let [Some(file), Some(label)] = COLUMNS.map(|name| headers.iter().position(|header| header.trim() == name))
        else {
            return Err(odd(1, headers.iter().collect::<Vec<_>>().join(",")));
        };
        for record in rows.records() {
            let record = record.map_err(|error| odd(at(&error), error.to_string()))?;
            let number = record.position().map_or(1, |position| position.line() as usize);
            all.push(line(number, &record[file], record[label].trim().to_owned())?);
        }
    }
    Ok(List { path, lines: all })
}

impl Labelled {
    fn new(lists: [List; 2], test_name: &'static str, names: &Path, allowed: Allowed) -> Result<Self, DataError> {
        for list in &lists {
            if list.lines.is_empty() {
                return Err(DataError::List {
                    path: list.path.clone(),
                    line: 1,
                    expected: "a file and its label".into(),
                    found: "the end of the list".into(),
                });
            }
            let wrong = |line| wrong(list, line, allowed).err();
            if let Some(error) = list.lines.par_iter().find_map_first(wrong) {
                return Err(error);
            }
        }
        alone(&lists, allowed.duplicates)?;
        let (classes, numbers) = classes(&lists[0], names)?;
        let labels = lists.each_ref().map(|list| {
            let of = |line: &Line| match numbers.get(&line.label) {
                Some(&number) => Ok(number),
                None => {
                    let expected = match &classes[..] {
                        [first, .., last] if *first == "0" => {
                            format!("a label from 0 to {last}, which there are to train on")
                        }
                        classes => format!("one of {} labels, such as `{}`", classes.len(), classes[0]),
                    };
                    Err(list.odd(line, expected, &line.label))
                }
            };
            list.lines.iter().map(of).collect::<Result<Vec<u16>, _>>()
        });
        let [train, test] = labels;
        let (train, test) = (train?, test?);
        if let Some(class) = (0..classes.len()).find(|&class| !train.contains(&(class as u16))) {
            return Err(DataError::EmptyClass {
                path: lists[0].path.clone(),
                class: classes[class].clone(),
                what: "files to train on",
                remedy: "add some to the list, or take the class out of `classes.txt`",
            });
        }
        let at = lists[0].path.clone();
        let files = lists.map(|list| list.lines.into_iter().map(|line| line.path).collect());
        Ok(Self { classes, at, test_name, files, labels: [train, test] })
    }
}

/// What is wrong with the file of a line.
fn wrong(list: &List, line: &Line, Allowed { what, missing, .. }: Allowed) -> Result<(), DataError> {
    let found = format!("{}", line.path.display());
    let is_picture =
        line.path.extension().is_some_and(|ending| EXTENSIONS.iter().any(|known| ending.eq_ignore_ascii_case(known)));
    match (what, line.frames) {
        (_, Some(frames)) if line.path.is_dir() => {
            let count = frame_files(&line.path)?.len();
            if count != frames {
                let found = format!("{found}, which has {count}");
                return Err(list.odd(line, format!("a folder with {frames} frames"), found));
            }
            Ok(())
        }
        (What::Clips, None) if is_picture => {
            Err(list.odd(line, "a clip, as `data.kind` is `list`; for pictures it is `picture-list`", found))
        }
        (What::Pictures, _) if is_named_as_clip(&line.path) => {
            Err(list.odd(line, "a picture; for clips `data.kind` is `list`", found))
        }
        _ if line.path.is_file() => Ok(()),
        (What::Clips, None) if line.path.is_dir() => {
            Err(list.odd(line, "how many frames the folder has: `<folder> <frames> <label>`", found))
        }
        _ if line.path.exists() => Err(list.odd(line, "a file", found)),
        _ if missing == Unusable::Skip => Ok(()),
        _ => Err(list.odd(line, "a file or folder that is there", found)),
    }
}

/// No file is named twice: with two labels it cannot be, and in both lists it would be known by heart.
fn alone(lists: &[List; 2], duplicates: Duplicates) -> Result<(), DataError> {
    let mut known: HashMap<&Path, (&List, &Line)> = HashMap::new();
    for (list, line) in lists.iter().flat_map(|list| list.lines.iter().map(move |line| (list, line))) {
        let Some((before, at)) = known.insert(&line.path, (list, line)) else { continue };
        if duplicates == Duplicates::Error || at.label != line.label {
            let expected = "a file that no other line has";
            let found = format!("{}, as in {}, line {}", line.path.display(), name(&before.path), at.number);
            return Err(list.odd(line, expected, found));
        }
    }
    Ok(())
}

/// The classes, and the number of every label: of names in the order of their list, else of numbers from 0 on, else of words
/// in alphabetical order.
fn classes(train: &List, names: &Path) -> Result<(Vec<String>, HashMap<String, u16>), DataError> {
    let known: BTreeSet<&String> = train.lines.iter().map(|line| &line.label).collect();
    let (is_named, are_numbers) = (names.is_file(), known.iter().all(|label| label.parse::<usize>().is_ok()));
    let classes: Vec<String> = match (is_named, are_numbers) {
        (true, _) => text::names(names)?,
        (false, true) => (0..known.len()).map(|number| number.to_string()).collect(),
        (false, false) => known.into_iter().cloned().collect(),
    };
    if classes.is_empty() {
        let (expected, found) = ("the names of the classes, a line each".into(), "the end of the list".into());
        return Err(DataError::List { path: names.into(), line: 1, expected, found });
    }
    if classes.len() > usize::from(u16::MAX) {
        return Err(DataError::TooManyClasses { path: train.path.clone(), classes: classes.len() });
    }
    let by_number = (0..classes.len()).filter(|_| is_named).map(|number| (number.to_string(), number as u16));
    let numbers = by_number.chain(classes.iter().cloned().zip(0..)).collect();
    Ok((classes, numbers))
}
