//! Clips that are named by official lists: what the lists have in common.

use std::path::{Path, PathBuf};

use crate::error::{DataError, found_at};

/// Names that end so are clips, in any case.
pub(super) const EXTENSIONS: &[&str] =
    &["mp4", "mkv", "avi", "webm", "mov", "m4v", "mpg", "mpeg", "wmv", "flv", "3gp", "ogv", "ts", "mts", "gif"];

/// What lists, or folders, say: which clips there are, and of which class.
#[derive(Debug)]
pub(super) struct Named {
    pub(super) classes: Vec<String>,
    /// Where the classes are named, for messages.
    pub(super) at: PathBuf,
    /// `test` or `val`.
    pub(super) test_name: &'static str,
    /// Clips to train on and to test on: the file and the class's number.
    pub(super) clips: [Vec<(PathBuf, usize)>; 2],
    /// By which names clips were looked for, for messages; empty where their paths say all.
    pub(super) sought: String,
}

impl Named {
    /// With the paths taken to be below `folder`.
    pub(super) fn within(mut self, folder: &Path) -> Self {
        for (path, _) in self.clips.iter_mut().flatten() {
            *path = folder.join(&*path);
        }
        self
    }

    /// Keeps only the classes called so, in this order.
    pub(super) fn choose(&mut self, names: &[String]) -> Result<(), DataError> {
        let mut numbers = vec![None; self.classes.len()];
        for (new, name) in names.iter().enumerate() {
            let Some(old) = self.classes.iter().position(|class| class == name) else {
                return Err(DataError::NoSuchClass {
                    path: self.at.clone(),
                    name: name.clone(),
                    near: near(name, &self.classes),
                });
            };
            if numbers[old].replace(new).is_some() {
                let expected = "a list in which every class is named once";
                return Err(DataError::Value {
                    key: "data.classes",
                    value: format!("a list with `{name}` twice"),
                    expected,
                });
            }
        }
        for clips in &mut self.clips {
            clips.retain_mut(|(_, class)| numbers[*class].map(|new| *class = new).is_some());
        }
        self.classes = names.to_vec();
        Ok(())
    }
}

/// Up to three of `classes` that are spelt much like `name`, the most alike first.
fn near(name: &str, classes: &[String]) -> Vec<String> {
    let plain = |name: &str| name.to_lowercase().replace(['_', '-', ' '], "");
    let mut near: Vec<_> = classes
        .iter()
        .map(|class| (strsim::normalized_damerau_levenshtein(&plain(name), &plain(class)), class))
        .filter(|(likeness, _)| *likeness >= 0.6)
        .collect();
    near.sort_by(|(one, _), (other, _)| other.total_cmp(one));
    near.into_iter().take(3).map(|(_, class)| class.clone()).collect()
}

/// The folder that the lists are in: `lists` if it is given, or else `path` or one of the folders
/// `inside` it. `first` is a file that is there.
pub(super) fn folder_of_lists(
    path: &Path,
    lists: Option<&Path>,
    inside: &[&str],
    kind: &'static str,
    first: &str,
    is_there: impl Fn(&Path) -> bool,
) -> Result<PathBuf, DataError> {
    let folders = match lists {
        Some(lists) => vec![lists.to_path_buf()],
        None => [path.into()].into_iter().chain(inside.iter().map(|name| path.join(name))).collect(),
    };
    folders.iter().find(|folder| is_there(folder)).cloned().ok_or_else(|| {
        let (key, path) = if lists.is_some() { ("data.lists", &folders[0]) } else { ("data.path", &folders[0]) };
        DataError::NotADataset {
            path: path.clone(),
            kind,
            expected: format!("`{first}`"),
            found: found_at(path),
            remedy: if key == "data.lists" {
                "set `data.lists` to the folder that the official lists were unpacked to"
            } else {
                "get the official lists and put them there, or set `data.lists` to their folder"
            },
        }
    })
}

/// The folder that holds the clips' folders, one a class: one of those `inside` the path, or the
/// path itself.
pub(super) fn folder_of_clips(
    path: &Path,
    inside: &[&str],
    kind: &'static str,
    classes: &[String],
) -> Result<PathBuf, DataError> {
    inside
        .iter()
        .map(|name| path.join(name))
        .chain([path.to_path_buf()])
        .find(|folder| classes.iter().any(|class| folder.join(class).is_dir()))
        .ok_or_else(|| DataError::NotADataset {
            path: path.into(),
            kind,
            expected: format!(
                "folders named as the classes, such as `{}`, there or in `{}`",
                classes.first().map_or("", String::as_str),
                inside[0]
            ),
            found: found_at(path),
            remedy: "set `data.path` (--data) to the folder that the clips were unpacked to",
        })
}

/// That a line is not as it should be.
pub(super) fn odd_line(path: &Path, line: usize, expected: impl Into<String>, found: &str) -> DataError {
    DataError::List { path: path.into(), line, expected: expected.into(), found: found.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named() -> Named {
        Named {
            classes: ["ice skating", "jumping jacks", "juggling balls"].map(String::from).to_vec(),
            at: "lists".into(),
            test_name: "val",
            clips: [vec![("a".into(), 0), ("b".into(), 2), ("c".into(), 1)], vec![("d".into(), 2)]],
            sought: String::new(),
        }
    }

    #[test]
    fn chosen_classes_have_their_place_in_the_choice_as_label() {
        let mut named = named();
        named.choose(&["juggling balls".into(), "ice skating".into()]).unwrap();
        assert_eq!(named.classes, ["juggling balls", "ice skating"]);
        assert_eq!(named.clips, [vec![("a".into(), 1), ("b".into(), 0)], vec![("d".into(), 0)]]);
    }

    #[test]
    fn unknown_classes_are_an_error_that_names_near_ones() {
        let error = named().choose(&["Jumping_Jack".into()]).unwrap_err().to_string();
        assert!(error.contains("no class `Jumping_Jack` in lists; near it: `jumping jacks`\n"), "{error}");
        let error = named().choose(&["sumo".into()]).unwrap_err().to_string();
        assert!(error.contains("`sumo` in lists\n  remedy"), "{error}");
        let error = named().choose(&["ice skating".into(), "ice skating".into()]).unwrap_err().to_string();
        assert!(error.contains("`ice skating` twice"), "{error}");
    }
}
