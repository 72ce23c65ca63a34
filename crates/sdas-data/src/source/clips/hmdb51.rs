//! HMDB51's lists: a `<class>_test_splitN.txt` for every class, with a file's name and 1 (train), 2
//! (test) or 0 (neither) a line.

use std::path::{Path, PathBuf};

use super::super::paths::within;
use super::lists::{Named, folder_of_clips, folder_of_lists, odd_line};
use crate::error::DataError;
use crate::source::listing::visible;
use crate::source::text;

pub(super) const KIND: &str = "hmdb51";

/// Finds the clips of a split, 1 to 3.
pub(super) fn find(path: &Path, lists: Option<&Path>, split: usize) -> Result<Named, DataError> {
    let first = format!("<class>{}", suffix(split));
    let lists = folder_of_lists(path, lists, &["testTrainMulti_7030_splits", "splits"], KIND, &first, |folder| {
        class_lists(folder, split).is_ok_and(|lists| !lists.is_empty())
    })?;
    let list = read(&lists, split)?;
    let folder = folder_of_clips(path, &["videos", "hmdb51_org"], KIND, &list.classes)?;
    Ok(list.within(&folder))
}

fn suffix(split: usize) -> String {
    format!("_test_split{split}.txt")
}

/// The classes, sorted, each with its list.
fn class_lists(folder: &Path, split: usize) -> Result<Vec<(String, PathBuf)>, DataError> {
    let class = |path: &Path| path.file_name()?.to_str()?.strip_suffix(&suffix(split)).map(String::from);
    let mut lists: Vec<_> = visible(folder)?.into_iter().filter_map(|path| Some((class(&path)?, path))).collect();
    lists.sort();
    Ok(lists)
}

/// The lists, with paths `<class>/<file>`.
fn read(folder: &Path, split: usize) -> Result<Named, DataError> {
    let mut clips = [vec![], vec![]];
    let mut classes = Vec::new();
    for (class, list) in class_lists(folder, split)? {
        for (number, line) in text::lines(&list)? {
            let parts = line.rsplit_once([' ', '\t']).map(|(file, part)| (file.trim_end(), part));
            let (file, chosen) = match parts {
                Some((file, "1")) => (file, &mut clips[0]),
                Some((file, "2")) => (file, &mut clips[1]),
                Some((_, "0")) => continue,
                _ => return Err(odd_line(&list, number, "`<file> 1`, `<file> 2` or `<file> 0`", &line)),
            };
            if within(Path::new(&class), Path::new(&class), file).is_none() {
                return Err(odd_line(&list, number, "a file in the class's folder", &line));
            }
            chosen.push((Path::new(&class).join(file), classes.len()));
        }
        classes.push(class);
    }
    Ok(Named { classes, at: folder.into(), test_name: "test", clips, sought: String::new() })
}

#[cfg(test)]
mod tests {
    use super::super::tests::{official, write};
    use super::*;

    #[test]
    fn one_is_to_train_two_to_test_and_nought_neither() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        write(root, "wave_test_split1.txt", "a#(b);[c].avi 2 \nx.avi 0 \ny.avi 1 \n");
        write(root, "ride_bike_test_split1.txt", "z.avi 1 \n");
        write(root, "wave_test_split2.txt", "other.avi 1 \n");
        write(root, "class_list.txt", "wave\n");
        let named = read(root, 1).unwrap();
        assert_eq!(named.classes, ["ride_bike", "wave"]);
        assert_eq!(named.clips[0], [("ride_bike/z.avi".into(), 0), ("wave/y.avi".into(), 1)]);
        assert_eq!(named.clips[1], [("wave/a#(b);[c].avi".into(), 1)]);

        write(root, "wave_test_split1.txt", "a.avi 1\nb.avi 3\n");
        let error = read(root, 1).unwrap_err().to_string();
        assert!(error.contains("wave_test_split1.txt, line 2: expected `<file> 1`"), "{error}");
    }

    #[test]
    fn official_lists_have_seventy_to_train_and_thirty_to_test_of_every_class() {
        let Some(lists) = official("hmdb51_splits") else { return };
        for split in 1..=3 {
            let named = read(&lists, split).unwrap();
            assert_eq!(named.classes.len(), 51);
            for (clips, each) in named.clips.iter().zip([70, 30]) {
                assert_eq!(clips.len(), 51 * each);
                assert!((0..51).all(|class| clips.iter().filter(|clip| clip.1 == class).count() == each));
            }
        }
    }
}
