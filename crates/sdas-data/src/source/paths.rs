//! Paths of many files, compactly.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Component, Path, PathBuf};

/// Paths in an order in which files of one folder mostly follow each other: little more than the bytes
/// of their names, which matters where there are millions.
#[derive(Clone, Debug, Default)]
pub(crate) struct Paths {
    /// Folders, each with the number of the first file that lies in it.
    folders: Vec<(usize, PathBuf)>,
    /// Names, one after the other.
    names: String,
    /// Where each of them ends.
    ends: Vec<usize>,
    /// Names that are no Unicode, by number.
    odd: BTreeMap<usize, OsString>,
}

impl Paths {
    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    /// Takes a file's path.
    pub(crate) fn push(&mut self, path: &Path) {
        let folder = path.parent().unwrap_or(Path::new(""));
        if self.folders.last().is_none_or(|(_, last)| last != folder) {
            self.folders.push((self.len(), folder.into()));
        }
        let name = path.file_name().unwrap_or_default();
        match name.to_str() {
            Some(name) => self.names += name,
            None => {
                self.odd.insert(self.len(), name.into());
            }
        }
        self.ends.push(self.names.len());
    }

    /// The path of file `number`.
    pub(crate) fn get(&self, number: usize) -> PathBuf {
        let folder = self.folders.partition_point(|&(first, _)| first <= number) - 1;
        let start = number.checked_sub(1).map_or(0, |before| self.ends[before]);
        let name = || self.names[start..self.ends[number]].as_ref();
        self.folders[folder].1.join(self.odd.get(&number).map_or_else(name, OsString::as_os_str))
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = PathBuf> {
        (0..self.len()).map(|number| self.get(number))
    }
}

impl Extend<PathBuf> for Paths {
    fn extend<T: IntoIterator<Item = PathBuf>>(&mut self, paths: T) {
        paths.into_iter().for_each(|path| self.push(&path));
    }
}

/// What a list from elsewhere names lies in the data set's folder, or the list is refused: `named`, from `folder` on, which
/// is `root` or in it. Links are followed: they are there because somebody has put them there.
pub(crate) fn within(root: &Path, folder: &Path, named: impl AsRef<Path>) -> Option<PathBuf> {
    let path = folder.join(named);
    let absolute = std::path::absolute(root).ok();
    let own = [Some(root), absolute.as_deref()].into_iter().flatten().find_map(|root| path.strip_prefix(root).ok())?;
    let mut depth = 0usize;
    for part in own.components() {
        match part {
            Component::Normal(_) => depth += 1,
            Component::CurDir => {}
            Component::ParentDir => depth = depth.checked_sub(1)?,
            Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    Some(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_elsewhere_is_not_within() {
        let within = |root: &str, named: &str| within(root.as_ref(), root.as_ref(), named).is_some();
        for (root, named) in [
            ("/data/set", "a/b.png"),
            ("/data/set", "./a/../b.png"),
            ("/data/set", "/data/set/b.png"),
            ("/data/set", "..b.png"),
            ("set", "a.png"),
            ("/", "/anywhere/b.png"),
        ] {
            assert!(within(root, named), "{root} {named}");
        }
        let here = std::env::current_dir().unwrap();
        assert!(within("set", here.join("set/a.png").to_str().unwrap()));
        for (root, named) in [
            ("/data/set", "../b.png"),
            ("/data/set", "a/../../b.png"),
            ("/data/set", "/data/settled/b.png"),
            ("/data/set", "/data/set/../b.png"),
            ("/data/set", "/etc/passwd"),
            ("set", "/etc/passwd"),
            ("set", "../set/a.png"),
        ] {
            assert!(!within(root, named), "{root} {named}");
        }
    }

    #[test]
    fn paths_are_given_back() {
        let mut all: Vec<PathBuf> = ["/a/b/1.png", "/a/b/2.png", "/a/c/é.jpg", "/a/b/3", "4"].map(PathBuf::from).into();
        #[cfg(unix)]
        {
            use std::os::unix::ffi::OsStringExt;
            all.insert(2, Path::new("/a/b").join(OsString::from_vec(vec![b'x', 0xff])));
        }
        let mut paths = Paths::default();
        paths.extend(all.clone());
        assert_eq!(paths.len(), all.len());
        assert!(paths.iter().eq(all));
    }
}
