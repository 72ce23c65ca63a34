//! A disk that forgets: from what was written down of a run, what a power cut would have left of it.

use sdas_data::random::{below, stream};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// One change to what is on the disk.
#[derive(Debug, Clone)]
pub struct Operation {
    pub what: String,
    pub path: PathBuf,
    other: PathBuf,
    offset: usize,
    bytes: Vec<u8>,
}

/// What the shim has written down.
pub fn read_log(path: &Path) -> Vec<Operation> {
    let log = fs::read(path).unwrap_or_default();
    let (mut rest, mut operations) = (&log[..], Vec::new());
    while let Some(end) = rest.iter().position(|&byte| byte == b'\n') {
        let line = std::str::from_utf8(&rest[..end]).unwrap();
        let [what, path, other, offset, length] = line.split('\t').collect::<Vec<_>>()[..] else { panic!("{line}") };
        let length: usize = length.parse().unwrap();
        let bytes = rest[end + 1..][..length].to_vec();
        operations.push(Operation {
            what: what.to_owned(),
            path: path.into(),
            other: other.into(),
            offset: offset.parse().unwrap(),
            bytes,
        });
        rest = &rest[end + 1 + length..];
    }
    operations
}

/// What a name leads to.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Node {
    Folder,
    /// The number of a file's contents.
    File(usize),
}

#[derive(Debug, Clone, Default)]
struct Contents {
    written: Vec<u8>,
    synced: Vec<u8>,
}

/// A change of names that its folder has not been synchronised after.
#[derive(Debug, Clone)]
struct Renaming {
    gone: Option<PathBuf>,
    new: Option<(PathBuf, Node)>,
}

/// What a power cut leaves of that which was not synchronised.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Left {
    /// Nothing.
    Nothing,
    /// All names, and of the files what was synchronised.
    Names,
    /// Some changes of names and not others, and of files a part: which, by chance.
    Some(u64),
}

/// Files and folders below one, as processes see them and as the disk has them.
#[derive(Debug, Clone, Default)]
pub struct Disk {
    names: BTreeMap<PathBuf, Node>,
    lasting: BTreeMap<PathBuf, Node>,
    pending: Vec<Renaming>,
    contents: Vec<Contents>,
}

impl Disk {
    /// What is in a folder already, all of it for good.
    pub fn of(folder: &Path) -> Disk {
        let mut disk = Disk::default();
        disk.lasting.insert(folder.to_owned(), Node::Folder);
        for (path, bytes) in files(folder) {
            disk.lasting.insert(path, Node::File(disk.contents.len()));
            disk.contents.push(Contents { synced: bytes.clone(), written: bytes });
        }
        disk.names = disk.lasting.clone();
        disk
    }

    pub fn apply(&mut self, operation: &Operation) {
        let Operation { what, path, other, offset, bytes } = operation;
        match what.as_str() {
            "folder" => self.rename(None, Some((path.clone(), Node::Folder))),
            "create" => {
                self.contents.push(Contents::default());
                self.rename(None, Some((path.clone(), Node::File(self.contents.len() - 1))));
            }
            "truncate" => self.written(path).clear(),
            "cut" => self.written(path).resize(*offset, 0),
            "write" => {
                let written = self.written(path);
                written.resize(written.len().max(offset + bytes.len()), 0);
                written[*offset..][..bytes.len()].copy_from_slice(bytes);
            }
            "rename" => {
                let node = self.names[path];
                self.rename(Some(path.clone()), Some((other.clone(), node)));
            }
            "remove" => self.rename(Some(path.clone()), None),
            "sync" => match self.names[path] {
                Node::File(number) => self.contents[number].synced = self.contents[number].written.clone(),
                Node::Folder => self.sync_names(path),
            },
            other => panic!("{other} is no operation"),
        }
    }

    fn written(&mut self, path: &Path) -> &mut Vec<u8> {
        let Node::File(number) = self.names[path] else { panic!("{} is a folder", path.display()) };
        &mut self.contents[number].written
    }

    fn rename(&mut self, gone: Option<PathBuf>, new: Option<(PathBuf, Node)>) {
        let renaming = Renaming { gone, new };
        renaming.apply(&mut self.names);
        self.pending.push(renaming);
    }

    fn sync_names(&mut self, folder: &Path) {
        let is_in = |renaming: &Renaming| {
            let path = renaming.new.as_ref().map(|(path, _)| path).or(renaming.gone.as_ref());
            path.is_some_and(|path| path.parent() == Some(folder))
        };
        let (done, pending) = std::mem::take(&mut self.pending).into_iter().partition(is_in);
        self.pending = pending;
        let done: Vec<Renaming> = done;
        done.iter().for_each(|renaming| renaming.apply(&mut self.lasting));
    }

    /// The files that are there after a power cut, with their bytes, and the folders.
    pub fn after(&self, left: Left) -> (BTreeSet<PathBuf>, BTreeMap<PathBuf, Vec<u8>>) {
        let seed = match left {
            Left::Some(seed) => seed,
            Left::Nothing | Left::Names => 0,
        };
        let mut chance = stream(seed, "power", [0; 2]);
        let mut names = self.lasting.clone();
        for renaming in &self.pending {
            if left == Left::Names || left != Left::Nothing && below(&mut chance, 2) == 0 {
                renaming.apply(&mut names);
            }
        }
        let mut folders = BTreeSet::new();
        let mut files = BTreeMap::new();
        // In order, so that a folder comes before what is in it.
        for (path, node) in &names {
            let is_reached = folders.is_empty() || path.parent().is_some_and(|folder| folders.contains(folder));
            match *node {
                _ if !is_reached => {}
                Node::Folder => drop(folders.insert(path.clone())),
                Node::File(number) => {
                    let Contents { written, synced } = &self.contents[number];
                    let bytes = match left {
                        Left::Some(_) if written.starts_with(synced) => {
                            written[..synced.len() + below(&mut chance, written.len() - synced.len() + 1)].to_vec()
                        }
                        _ => synced.clone(),
                    };
                    files.insert(path.clone(), bytes);
                }
            }
        }
        (folders, files)
    }

    /// Files that are there with other bytes, or not at all, once nothing is left but what was synchronised.
    pub fn unsaved(&self) -> Vec<PathBuf> {
        let (_, files) = self.after(Left::Nothing);
        let unsaved = |(path, node): (&PathBuf, &Node)| match node {
            Node::File(number) => files.get(path) != Some(&self.contents[*number].written),
            Node::Folder => false,
        };
        self.names.iter().filter(|&entry| unsaved(entry)).map(|(path, _)| path.clone()).collect()
    }
}

impl Renaming {
    fn apply(&self, names: &mut BTreeMap<PathBuf, Node>) {
        if let Some(gone) = &self.gone {
            names.remove(gone);
        }
        if let Some((path, node)) = &self.new {
            names.insert(path.clone(), *node);
        }
    }
}

/// All files below a folder, with their bytes.
pub fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => found.extend(files(&path)),
            false => drop(found.insert(path.clone(), fs::read(&path).unwrap())),
        }
    }
    found
}

#[test]
fn what_was_not_synchronised_is_gone() {
    let operation = |what: &str, path: &str, other: &str, bytes: &[u8]| Operation {
        what: what.into(),
        path: path.into(),
        other: other.into(),
        offset: 0,
        bytes: bytes.into(),
    };
    let mut disk = Disk::default();
    disk.names.insert("/u".into(), Node::Folder);
    disk.lasting = disk.names.clone();
    let left = |disk: &Disk, left| disk.after(left).1.into_iter().collect::<Vec<_>>();
    let (old, new) = (PathBuf::from("/u/a.tmp"), PathBuf::from("/u/a"));
    disk.apply(&operation("create", "/u/a.tmp", "", b""));
    disk.apply(&operation("write", "/u/a.tmp", "", b"abc"));
    assert_eq!(left(&disk, Left::Nothing), []);
    assert_eq!(left(&disk, Left::Names), [(old, vec![])]);
    disk.apply(&operation("rename", "/u/a.tmp", "/u/a", b""));
    assert_eq!(left(&disk, Left::Names), [(new.clone(), vec![])], "a name may get there before the bytes");
    disk.apply(&operation("sync", "/u/a", "", b""));
    assert_eq!((left(&disk, Left::Nothing), disk.unsaved()), (vec![], vec![new.clone()]));
    disk.apply(&operation("sync", "/u", "", b""));
    assert_eq!((left(&disk, Left::Nothing), disk.unsaved()), (vec![(new, b"abc".to_vec())], vec![]));
    disk.apply(&operation("write", "/u/a", "", b"xyz"));
    assert_eq!(left(&disk, Left::Some(3))[0].1, b"abc", "what replaces bytes in place may be lost whole");
}
