//! UCF101 and whatever has its lists: `classInd.txt` with a number and a name a line,
//! `trainlist0N.txt` with a path and a number a line, `testlist0N.txt` with a path a line.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::super::paths::within;
use super::lists::{Named, folder_of_clips, folder_of_lists, odd_line};
use crate::error::DataError;
use crate::source::text;

pub(super) const KIND: &str = "ucf101";
const CLASSES: &str = "classInd.txt";

/// Finds the clips of a split, 1 to 3.
pub(super) fn find(path: &Path, lists: Option<&Path>, split: usize) -> Result<Named, DataError> {
    let lists =
        folder_of_lists(path, lists, &["ucfTrainTestlist"], KIND, CLASSES, |folder| folder.join(CLASSES).is_file())?;
    let list = read(&lists, split)?;
    let folder = folder_of_clips(path, &["videos", "UCF-101"], KIND, &list.classes)?;
    Ok(list.within(&folder))
}

/// The lists, with paths as they give them.
fn read(lists: &Path, split: usize) -> Result<Named, DataError> {
    let at = lists.join(CLASSES);
    let classes = class_names(&at)?;
    let numbers: HashMap<&str, usize> = classes.iter().map(String::as_str).zip(0..).collect();
    let [train, test] = ["train", "test"].map(|name| lists.join(format!("{name}list{split:02}.txt")));
    let mut clips = [vec![], vec![]];
    for (list, clips) in [train, test].iter().zip(&mut clips) {
        for (number, line) in text::lines(list)? {
            let (file, label) = match line.rsplit_once([' ', '\t']) {
                Some((file, label)) if label.bytes().all(|byte| byte.is_ascii_digit()) => {
                    (file.trim_end(), Some(label))
                }
                _ => (line.as_str(), None),
            };
            let class = Path::new(file).parent().and_then(Path::file_name).and_then(|class| class.to_str());
            let Some(&class) = class.and_then(|class| numbers.get(class)) else {
                return Err(odd_line(list, number, "a path `<class>/<file>` of a class in `classInd.txt`", &line));
            };
            // Where there is a label, the two must agree.
            if label.is_some_and(|label| label.parse() != Ok(class + 1)) {
                return Err(odd_line(list, number, format!("the label {}", class + 1), &line));
            }
            if within(Path::new(""), Path::new(""), file).is_none() {
                return Err(odd_line(list, number, "a path within the folder of the clips", &line));
            }
            clips.push((PathBuf::from(file), class));
        }
    }
    Ok(Named { classes, at, test_name: "test", clips, sought: String::new() })
}

/// The classes, by their numbers.
fn class_names(path: &Path) -> Result<Vec<String>, DataError> {
    let mut names = Vec::new();
    for (line, text) in text::lines(path)? {
        let next = names.len() + 1;
        match text.split_once([' ', '\t']) {
            Some((number, name)) if number.parse() == Ok(next) => names.push(name.trim_start().to_owned()),
            _ => return Err(odd_line(path, line, format!("`{next} <class>`"), &text)),
        }
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::super::tests::{official, write};
    use super::super::{Naming, recording};
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn lists_are_read_with_labels_and_without() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        write(root, CLASSES, "1 Jump\r\n2 Run\r\n\r\n");
        write(root, "trainlist02.txt", "Run/v 1.avi 2\r\nJump/a.avi 1\r\n");
        write(root, "testlist02.txt", "Jump/b.avi\r\nRun/c.avi 2");
        let named = read(root, 2).unwrap();
        assert_eq!(named.classes, ["Jump", "Run"]);
        assert_eq!(named.clips[0], [("Run/v 1.avi".into(), 1), ("Jump/a.avi".into(), 0)]);
        assert_eq!(named.clips[1], [("Jump/b.avi".into(), 0), ("Run/c.avi".into(), 1)]);

        for (file, text, words) in [
            ("trainlist02.txt", "Jump/a.avi 1\nRun/b.avi 1", "trainlist02.txt, line 2: expected the label 2"),
            ("testlist02.txt", "Walk/b.avi", "testlist02.txt, line 1: expected a path `<class>/<file>`"),
            (CLASSES, "1 Jump\n3 Run", "classInd.txt, line 2: expected `2 <class>`, found `3 Run`"),
        ] {
            write(root, file, text);
            let error = read(root, 2).unwrap_err().to_string();
            assert!(error.contains(words) && error.contains("remedy: "), "{error}");
            write(root, file, "1 Jump\n2 Run");
            write(root, "trainlist02.txt", "");
        }
        let error = read(root, 1).unwrap_err().to_string();
        assert!(error.contains("trainlist01.txt"), "{error}");
    }

    #[test]
    fn official_lists_have_as_many_clips_as_the_data_set_says() {
        // The counts of https://www.crcv.ucf.edu/data/UCF101.php's lists.
        let Some(lists) = official("ucf101_splits") else { return };
        for (split, train, test) in [(1, 9537, 3783), (2, 9586, 3734), (3, 9624, 3696)] {
            let named = read(&lists, split).unwrap();
            assert_eq!(named.classes.len(), 101);
            // "The videos in each action category are grouped into 25 groups", of which seven are to test on.
            let recordings = |clips: &[(PathBuf, usize)]| -> HashSet<(usize, String)> {
                let of = |path: &Path| recording(Naming::Ucf101 { split: 1 }, path, "").expect("names tell");
                clips.iter().map(|(path, class)| (*class, of(path))).collect()
            };
            let [to_train, to_test] = named.clips.each_ref().map(|clips| recordings(clips));
            assert_eq!((to_train.len(), to_test.len()), (101 * 18, 101 * 7));
            assert!(to_train.is_disjoint(&to_test));
            assert_eq!(named.clips.map(|clips| clips.len()), [train, test]);
        }
    }
}
