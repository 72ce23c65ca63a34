//! Samples that are there more than once.

use std::collections::HashMap;
use std::hash::Hash;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::DataError;
use crate::remarks::Listed;

/// What becomes of a test set that has samples of the training set: what is measured on it is not
/// only what was learnt.
///
/// Samples are the same if they have the same pixels when they are decoded, whatever their files are
/// called, or if the lists name the same file. Those that are in one set more than once are a remark
/// in either case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Duplicates {
    /// It is an error that counts and names them.
    #[default]
    Error,
    /// They are counted and named in [`Remarks`](crate::Remarks), and used.
    Warn,
}

impl Duplicates {
    /// # Errors
    /// If there are any such samples, and that is not allowed.
    pub(crate) fn check(self, shared: &Listed) -> Result<(), DataError> {
        match self {
            Self::Error if shared.count > 0 => Err(DataError::Shared { files: shared.clone() }),
            _ => Ok(()),
        }
    }
}

/// The numbers of samples that are not the first of their kind, each with that of the first. Equal
/// samples have equal keys; where keys are equal, `are_equal` decides.
pub(crate) fn find<K: Hash + Eq>(
    keys: impl IntoIterator<Item = (usize, K)>,
    are_equal: impl Fn(usize, usize) -> bool,
) -> Vec<[usize; 2]> {
    let mut firsts: HashMap<K, Vec<usize>> = HashMap::new();
    let mut found = Vec::new();
    for (number, key) in keys {
        let alike = firsts.entry(key).or_default();
        match alike.iter().find(|&&first| are_equal(first, number)) {
            Some(&first) => found.push([number, first]),
            None => alike.push(number),
        }
    }
    found
}

/// The files of duplicates, each with what it is the same as: those to test on that are among those to
/// train on, too, and those that are in one set twice. The first `train` numbers are to train on.
pub(crate) fn tell<P: AsRef<Path>>(
    found: &[[usize; 2]],
    train: usize,
    file: impl Fn(usize) -> P,
) -> [Vec<(PathBuf, String)>; 2] {
    let (mut shared, mut repeated) = (vec![], vec![]);
    for &[number, first] in found {
        let told = if first < train && number >= train { &mut shared } else { &mut repeated };
        let [first, number] = [file(first), file(number)];
        let words = match first.as_ref() == number.as_ref() {
            true => "named twice".into(),
            false => format!("the same as {}", first.as_ref().display()),
        };
        told.push((number.as_ref().into(), words));
    }
    [shared, repeated]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_further_one_is_found_with_the_first() {
        // The key is the tens, so that 31 and 35 are taken for each other unless one looks.
        let values = [10, 31, 20, 35, 10, 31, 20, 35, 10];
        let found = find(values.map(|value| value / 10).into_iter().enumerate(), |a, b| values[a] == values[b]);
        assert_eq!(found, [[4, 0], [5, 1], [6, 2], [7, 3], [8, 0]]);

        let names = ["a", "b", "c", "d", "e", "f", "g", "d", "i"].map(Path::new);
        let [shared, repeated] = tell(&found, 6, |number| names[number]);
        let text = |told: &[(PathBuf, String)]| {
            told.iter().map(|(file, words)| format!("{}: {words}", file.display())).collect::<Vec<_>>()
        };
        assert_eq!(text(&shared), ["g: the same as c", "d: named twice", "i: the same as a"]);
        assert_eq!(text(&repeated), ["e: the same as a", "f: the same as b"]);
    }
}
