//! What there is to say about samples that can be used all the same.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use crate::random::fnv1a;

/// How many files a message names.
const NAMED: usize = 10;

/// Where lists of files are written that are too long for a message, and what was found in shards: among the caches, by
/// the name of what they are about.
#[derive(Clone, Debug)]
pub(crate) struct Ledger {
    folder: PathBuf,
    name: String,
}

impl Ledger {
    /// Of the data set at `path`, in `folder`.
    pub(crate) fn of(path: Option<&Path>, folder: PathBuf) -> Self {
        let name = path.and_then(Path::file_name).map_or("data".into(), |name| name.to_string_lossy());
        let name = format!("{name}-{:016x}", fnv1a(format!("{path:?}").as_bytes()));
        Self { folder, name }
    }

    /// The file for what is known of it, by its ending.
    pub(crate) fn file(&self, ending: &str) -> PathBuf {
        self.folder.join(format!("{}.{ending}", self.name))
    }

    /// These files, which are `what`.
    pub(crate) fn listed(&self, what: &str, files: Vec<(PathBuf, String)>) -> Listed {
        Listed::of(files, &self.file(&format!("{what}.txt")))
    }
}

/// Files to tell of.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Listed {
    /// How many.
    pub count: usize,
    /// The first ten, each with what there is to say.
    pub first: Vec<(PathBuf, String)>,
    /// The file that names all of them, where they are more than ten and it could be written.
    pub list: Option<PathBuf>,
}

impl Listed {
    /// These files, all of which are named in the file `list`, too, if they are more than a message
    /// can name.
    pub(crate) fn of(mut files: Vec<(PathBuf, String)>, list: &Path) -> Self {
        let count = files.len();
        let list = (count > NAMED && write(&files, list).is_ok()).then(|| list.into());
        files.truncate(NAMED);
        Self { count, first: files, list }
    }

    pub(crate) fn add(&mut self, path: &Path, words: &str) {
        self.count += 1;
        if self.first.len() < NAMED {
            self.first.push((path.into(), words.into()));
        }
    }

    /// The first of them, each on a line, and where the others are named.
    pub(crate) fn lines(&self) -> String {
        let mut text: String =
            self.first.iter().map(|(path, words)| format!("\n  {}: {words}", path.display())).collect();
        if self.count > self.first.len() {
            text += &format!("\n  and {} more", self.count - self.first.len());
        }
        if let Some(list) = &self.list {
            text += &format!("; all are named in {}", list.display());
        }
        text
    }

    /// As a remark, if there are any.
    pub fn remark(&self, what: &'static str) -> Option<Remark> {
        (self.count > 0).then(|| Remark { count: self.count, what, which: self.lines() })
    }
}

fn write(files: &[(PathBuf, String)], list: &Path) -> std::io::Result<()> {
    if let Some(folder) = list.parent() {
        fs::create_dir_all(folder)?;
    }
    let mut text = String::new();
    for (path, words) in files {
        writeln!(text, "{}: {words}", path.display()).expect("text can be written to memory");
    }
    fs::write(list, text)
}

/// Files that are not taken to be samples.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PassedOver {
    /// How many.
    pub count: usize,
    /// How many of each ending, with its dot; the most frequent first.
    pub endings: Vec<(String, usize)>,
}

impl PassedOver {
    pub(crate) fn of(endings: BTreeMap<String, usize>) -> Self {
        let count = endings.values().sum();
        let mut endings: Vec<_> = endings.into_iter().collect();
        endings.sort_by_key(|&(_, count)| Reverse(count));
        Self { count, endings }
    }

    fn remark(&self) -> Option<Remark> {
        let mut which: Vec<_> =
            self.endings.iter().take(NAMED).map(|(ending, count)| format!("{count} {ending}")).collect();
        if self.endings.len() > NAMED {
            which.push("…".into());
        }
        (self.count > 0).then(|| Remark {
            count: self.count,
            what: "passed over by their endings",
            which: format!(" {}", which.join(", ")),
        })
    }
}

/// Something to say: "`count` `what`:`which`".
#[derive(Clone, Debug, PartialEq)]
pub struct Remark {
    /// How many files it is about.
    pub count: usize,
    /// What they are.
    pub what: &'static str,
    /// Which they are.
    pub which: String,
}

/// What was found besides the samples.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Remarks {
    /// Clips that the lists name and that are not there: they are left out.
    pub missing: Listed,
    /// Pictures or clips that cannot be decoded: they are left out.
    pub broken: Listed,
    /// Files in the folders of the classes, or beside them, that are not samples by their names.
    pub passed_over: PassedOver,
    /// Samples of the test set that are in the training set, too.
    pub shared: Listed,
    /// Samples that are in one set more than once. What a list names twice is taken once.
    pub repeated: Listed,
    /// Files for what was found that could not be written: it will be found again at every start.
    pub unwritten: Listed,
}

impl Remarks {
    /// All that there is to say.
    pub fn all(&self) -> impl Iterator<Item = Remark> {
        let remarks = [
            self.missing.remark("missing"),
            self.broken.remark("broken"),
            self.passed_over.remark(),
            self.shared.remark("of the test set also in the training set"),
            self.repeated.remark("in one set more than once"),
            self.unwritten.remark("of the lists that spare the next start its search not written"),
        ];
        remarks.into_iter().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_files_are_all_named_in_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let list = folder.path().join("deep/list.txt");
        let files = |count| (0..count).map(|i| (PathBuf::from(format!("{i}.png")), "cut".to_owned())).collect();
        let few = Listed::of(files(10), &list);
        assert!(!list.exists() && few.list.is_none() && few.lines().ends_with("\n  9.png: cut"));
        let many = Listed::of(files(12), &list);
        assert_eq!((many.count, many.first.len(), many.list.as_deref()), (12, 10, Some(list.as_path())));
        let end = format!("\n  9.png: cut\n  and 2 more; all are named in {}", list.display());
        assert!(many.lines().ends_with(&end), "{}", many.lines());
        let text = fs::read_to_string(&list).unwrap();
        assert!(text.lines().count() == 12 && text.ends_with("11.png: cut\n"), "{text}");
        // Where it cannot be written, nothing leads to it.
        assert_eq!(Listed::of(files(12), &list.join("x")).lines(), many.lines().split(';').next().unwrap());
    }

    #[test]
    fn endings_are_counted_the_most_frequent_first() {
        let endings = [(".bmp", 1), (".txt", 7), (".tiff", 30)].map(|(ending, count)| (ending.to_owned(), count));
        let passed_over = PassedOver::of(endings.into());
        let remarks = Remarks { passed_over, ..Remarks::default() };
        let told: Vec<_> = remarks.all().map(|remark| (remark.count, remark.which)).collect();
        assert_eq!(told, [(38, " 30 .tiff, 7 .txt, 1 .bmp".to_owned())]);
    }
}
