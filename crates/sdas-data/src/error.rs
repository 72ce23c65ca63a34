//! What can be wrong with data: what it is, where, and what to do about it.

use std::io;
use std::path::{Path, PathBuf};

use crate::remarks::Listed;

/// Why pictures or clips could not be loaded. Every message names the place and ends with a remedy.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DataError {
    /// No kind of data has this name.
    #[error("there is no kind of data called `{name}`\n  remedy: choose one of {known}")]
    UnknownKind {
        /// The name.
        name: String,
        /// Those that there are.
        known: String,
    },

    /// The source needs a path and has none.
    #[error("data of kind `{kind}` needs a path\n  remedy: set `data.path` (--data) to {expected}")]
    NoPath {
        /// Name of the kind.
        kind: &'static str,
        /// What the path should lead to.
        expected: &'static str,
    },

    /// Pictures of no size, or larger than anything this program is for.
    #[error("pictures cannot be {size} pixels wide\n  remedy: set `data.size` to a number from {least} to {most}")]
    Size {
        /// The size asked for.
        size: usize,
        /// The smallest that is possible.
        least: usize,
        /// The largest that is possible.
        most: usize,
    },

    /// Fewer generated samples than classes.
    #[error(
        "{count} {split} samples of a built-in set are fewer than its {classes} classes\n  \
         remedy: ask for at least {classes}"
    )]
    TooFew {
        /// Name of the split.
        split: &'static str,
        /// The number asked for.
        count: usize,
        /// The number of classes.
        classes: usize,
    },

    /// A file or folder could not be read.
    #[error("cannot read {}: {source}\n  remedy: check that it is there and that you may read it", path.display())]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },

    /// The cache could not be written.
    #[error(
        "cannot write the cache {}: {source}\n  \
         remedy: set `data.cache` to a folder that you may write to, with enough free space, or leave it out to keep \
         pictures in memory", path.display()
    )]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },

    /// The path leads to something other than a data set of this kind.
    #[error(
        "{} is not a data set of kind `{kind}`: expected {expected}, found {found}\n  remedy: {remedy}",
        path.display()
    )]
    NotADataset {
        /// Where it was looked for.
        path: PathBuf,
        /// Name of the kind.
        kind: &'static str,
        /// What should be there.
        expected: String,
        /// What is there.
        found: String,
        /// What to do.
        remedy: &'static str,
    },

    /// Pictures or clips to train on, but none to test on.
    #[error(
        "{} has no {what} to test on: expected a folder `test` or `val` beside `train`, found {found}\n  \
         remedy: move a part of every class's {what} to `{}`", path.display(),
        path.join("val").join("<class>").display()
    )]
    NoTest {
        /// The data set's folder.
        path: PathBuf,
        /// `pictures` or `clips`.
        what: &'static str,
        /// What is there.
        found: String,
    },

    /// The two splits disagree about the classes.
    #[error(
        "the classes of {} are not those of `train`: {}\n  \
         remedy: give both the same folders, one per class, each named as its class", path.display(),
        difference(missing, extra)
    )]
    Classes {
        /// The test split's folder.
        path: PathBuf,
        /// Classes of `train` that it lacks.
        missing: Vec<String>,
        /// Classes that `train` lacks.
        extra: Vec<String>,
    },

    /// A list of clips to test on has labels that no clip to train on has.
    #[error(
        "{} has labels that {} has not: {}\n  \
         remedy: take both lists from one release of the data set, with labels spelt alike", path.display(),
        train.file_name().unwrap_or_default().display(), quoted(extra)
    )]
    Labels {
        /// The list of clips to test on.
        path: PathBuf,
        /// That of clips to train on.
        train: PathBuf,
        /// The labels.
        extra: Vec<String>,
    },

    /// More classes than labels can tell apart.
    #[error(
        "{} has {classes} classes, more than the {} that are possible\n  remedy: check that this is the right folder",
        path.display(), u16::MAX
    )]
    TooManyClasses {
        /// The folder of classes.
        path: PathBuf,
        /// How many there are.
        classes: usize,
    },

    /// A class without pictures or clips.
    #[error("class `{class}` has no {what} in {}\n  remedy: {remedy}", path.display())]
    EmptyClass {
        /// Where they should be.
        path: PathBuf,
        /// `pictures` or `clips`.
        what: &'static str,
        /// Name of the class.
        class: String,
        /// What to do.
        remedy: &'static str,
    },

    /// A file of records that ends inside one, or holds none.
    #[error(
        "{} is {bytes} bytes long, which is not a whole number of records of {record} bytes: it is truncated or not \
         the binary version\n  remedy: unpack the archive again; if that does not help, download it again",
        path.display()
    )]
    Truncated {
        /// The file.
        path: PathBuf,
        /// Its length in bytes.
        bytes: u64,
        /// The length of one record in bytes.
        record: usize,
    },

    /// A label that no class belongs to.
    #[error(
        "{}: record {record} has label {label}, but there are only {classes} classes\n  \
         remedy: check that this is the right kind of data; if it is, the file is damaged: get it again",
        path.display()
    )]
    LabelOutOfRange {
        /// The file.
        path: PathBuf,
        /// The record's number in it, from 0.
        record: usize,
        /// The label.
        label: usize,
        /// The number of classes.
        classes: usize,
    },

    /// A list of class names of the wrong length.
    #[error(
        "{} names {found} classes instead of {expected}\n  \
         remedy: unpack the archive again, or delete this file to use the usual names", path.display()
    )]
    Names {
        /// The file.
        path: PathBuf,
        /// How many names it has.
        found: usize,
        /// How many it should have.
        expected: usize,
    },

    /// Pictures of several sizes and no size to bring them to.
    #[error(
        "pictures differ in size: {} is {}, {} is {}\n  \
         remedy: set `data.size` to the side in pixels that all should be brought to",
        paths[0].display(), sides(sizes[0]), paths[1].display(), sides(sizes[1])
    )]
    Sizes {
        /// Two files that differ.
        paths: [PathBuf; 2],
        /// Their heights and widths.
        sizes: [[usize; 2]; 2],
    },

    /// A setting of the optical flow that is not possible.
    #[error("optical flow cannot be computed with `{key}` = {value}\n  remedy: set `{key}` to {expected}")]
    Flow {
        /// The setting's name.
        key: &'static str,
        /// Its value.
        value: f64,
        /// What it should be.
        expected: &'static str,
    },

    /// More pictures than there is memory for.
    #[error(
        "{bytes} bytes of decoded pictures do not fit into memory\n  \
         remedy: set `data.cache` to a folder to keep them on disk, or choose a smaller `data.size`"
    )]
    Memory {
        /// How much memory they need.
        bytes: usize,
    },

    /// A shard that is cut off, or not of the form that it should have.
    #[error(
        "{}{}: {words}\n  \
         remedy: get this shard again; if that does not help, it was not written as WebDataset does", path.display(),
        if member.is_empty() { String::new() } else { format!(", member `{member}` at byte {offset}") }
    )]
    Shard {
        /// The shard.
        path: PathBuf,
        /// The member, or the sample's name; nothing where it is the shard as a whole.
        member: String,
        /// Where it begins, or where something should follow it.
        offset: u64,
        /// What is wrong with it.
        words: String,
    },

    /// A shard that is not there, while one with a higher number is.
    #[error(
        "{} is not there, but {} and {} are\n  remedy: get it; if there never was one, number the shards without a gap",
        path.display(), before.display(), after.display()
    )]
    AbsentShard {
        /// The shard.
        path: PathBuf,
        /// The one before it.
        before: PathBuf,
        /// The next that is there.
        after: PathBuf,
    },

    /// A picture that turns out to be no picture when it is looked at.
    #[error(
        "{} cannot be decoded: {words}\n  \
         remedy: replace it and go on; `sdas data check` names all that cannot be decoded", path.display()
    )]
    Undecodable {
        /// The picture.
        path: PathBuf,
        /// What is wrong with it.
        words: String,
    },

    /// A list of files or of their classes with a line that is not as it should be.
    #[error(
        "{}, line {line}: expected {expected}, found `{found}`\n  \
         remedy: put this line right; if the list is an official one, get it again", path.display()
    )]
    List {
        /// The list.
        path: PathBuf,
        /// The line's number, from 1.
        line: usize,
        /// What should be there.
        expected: String,
        /// What is there.
        found: String,
    },

    /// A class was chosen that is not there.
    #[error(
        "there is no class `{name}` in {}{}\n  remedy: give `data.classes` names of these, spelt the same", path.display(),
        if near.is_empty() { String::new() } else { format!("; near it: {}", quoted(near)) }
    )]
    NoSuchClass {
        /// Where the classes are named.
        path: PathBuf,
        /// The name.
        name: String,
        /// Names like it.
        near: Vec<String>,
    },

    /// A key was set that this kind of data has no use for.
    #[error(
        "data of kind `{kind}` has no use for `data.{key}`\n  remedy: leave it out, or choose {kinds} as `data.kind`"
    )]
    Unused {
        /// The key, without its section.
        key: &'static str,
        /// Name of the kind.
        kind: &'static str,
        /// The kinds that it is for.
        kinds: String,
    },

    /// A number that is not one of the possible ones.
    #[error("`{key}` cannot be {value}\n  remedy: set it to {expected}")]
    Value {
        /// The key.
        key: &'static str,
        /// The value.
        value: String,
        /// What it may be.
        expected: &'static str,
    },

    /// Optical flow was asked for of pictures.
    #[error(
        "`data.input` cannot be `flow` for data of kind `{kind}`: pictures do not move\n  \
         remedy: set `data.input` to `rgb`, or choose `motion`, `clips`, `list`, `ucf101`, `hmdb51` or `kinetics`"
    )]
    NoMotion {
        /// Name of the kind.
        kind: &'static str,
    },

    /// Files given by name that cannot be used.
    #[error(
        "{} of {total} files cannot be used as {what}:{}\n  remedy: {remedy}", failed.count, failed.lines()
    )]
    Files {
        /// `pictures` or `clips`.
        what: &'static str,
        /// How many files were given.
        total: usize,
        /// Those that cannot be used, each with the reason.
        failed: Listed,
        /// What to do.
        remedy: &'static str,
    },

    /// Clips that the lists name and that are not there.
    #[error(
        "{} of {total} clips that the lists name are not there:{}{sought}\n  \
         remedy: get them, or set `data.missing` to `skip` to go on without them", files.count, files.lines()
    )]
    Missing {
        /// These, each with where it was looked for.
        files: Listed,
        /// Of how many.
        total: usize,
        /// By which names they were looked for, on a line of its own, where the paths do not say all.
        sought: String,
    },

    /// A class of lists of which no clip to train on is there, where missing clips are left out.
    #[error(
        "class `{class}` has no clips to train on: of the {count} that the lists name, such as {}, none is \
         there{sought}\n  \
         remedy: get them, give them these names, or name the other classes in `data.classes`", first.display()
    )]
    AbsentClass {
        /// The class.
        class: String,
        /// How many of its clips the lists name.
        count: usize,
        /// The first of them.
        first: PathBuf,
        /// By which names they were looked for, on a line of its own, where the paths do not say all.
        sought: String,
    },

    /// Pictures or clips that cannot be decoded.
    #[error(
        "{} of {total} {what} cannot be decoded:{}\n  \
         remedy: replace or delete them, or set `data.broken` to `skip` to go on without them",
        files.count, files.lines()
    )]
    Broken {
        /// `pictures` or `clips`.
        what: &'static str,
        /// These, each with the decoder's words.
        files: Listed,
        /// Of how many.
        total: usize,
    },

    /// Samples to test on that are among those to train on.
    #[error(
        "{} of the test set {} also in the training set, so that what is measured there is in part what was learnt by \
         heart:{}\n  \
         remedy: take them out of one of the two, or set `data.duplicates` to `warn` to go on as it is",
        files.count, if files.count == 1 { "is" } else { "are" }, files.lines()
    )]
    Shared {
        /// These, each with what it is the same as.
        files: Listed,
    },

    /// A program that decodes clips is not there or does not run.
    #[error(
        "cannot run `{}`, which decodes clips: {source}\n  \
         remedy: install ffmpeg (`sudo apt install ffmpeg`, `brew install ffmpeg` or `winget install ffmpeg`) and \
         check that it is in a folder of PATH", program.display()
    )]
    NoFfmpeg {
        /// The program.
        program: PathBuf,
        /// What the system said.
        source: io::Error,
    },

    /// No place for the cache of frames.
    #[error("there is no folder for caches on this system\n  remedy: set `data.cache` to a folder for decoded clips")]
    NoCache,

    /// The cache of frames could not be written.
    #[error(
        "cannot write the cache {}: {source}; what is complete in it is kept\n  \
         remedy: free some space there, or set `data.cache` to another folder that you may write to, and start again: \
         finished clips are not decoded twice", path.display()
    )]
    WriteFrames {
        /// The cache's folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },

    /// Someone else is writing to the cache of frames.
    #[error(
        "the cache {} is being written by {holder}\n  remedy: wait until that is done, and start again", path.display()
    )]
    Locked {
        /// The cache's folder.
        path: PathBuf,
        /// Who it is.
        holder: String,
    },

    /// Pictures handed over in memory that do not have the shape they are said to have.
    #[error(
        "{bytes} bytes are not pictures of shape {shape:?}\n  \
         remedy: pass exactly count × height × width × channels bytes"
    )]
    Layout {
        /// How many bytes there are.
        bytes: usize,
        /// Count, height, width, channels.
        shape: [usize; 4],
    },

    /// Clips handed over in memory that do not have the shapes they are said to have.
    #[error(
        "{bytes} bytes and {labels} labels are not clips of these {shapes} shapes{}\n  \
         remedy: pass exactly frames × height × width × channels bytes, none of them 0, and one label for each shape",
        needed.map_or(String::new(), |needed| format!(", which need {needed} bytes"))
    )]
    ClipLayout {
        /// How many bytes there are.
        bytes: usize,
        /// How many shapes there are.
        shapes: usize,
        /// How many labels there are.
        labels: usize,
        /// How many bytes the shapes need, if they are possible.
        needed: Option<usize>,
    },

    /// A setting of the clips, crops or views that cannot be.
    #[error("`{key}` cannot be {value}\n  remedy: set it to {right}")]
    Setting {
        /// Its name.
        key: &'static str,
        /// What it is.
        value: String,
        /// What it can be.
        right: String,
    },

    /// The system starts no more threads.
    #[error(
        "cannot start a thread: {source}\n  \
         remedy: raise the limit of memory or processes (ulimit -v, ulimit -u)"
    )]
    Thread {
        /// What the system said.
        source: io::Error,
    },

    /// A sample that does not lie in the store it is said to lie in.
    #[error(
        "sample {record}, {shape:?} from byte {offset} on, does not lie within {bytes} bytes\n  \
         remedy: delete the cache: it is made anew"
    )]
    Outside {
        /// The sample's number, from 0.
        record: usize,
        /// Frames, height, width.
        shape: [usize; 3],
        /// Its first byte.
        offset: u64,
        /// How many bytes there are.
        bytes: usize,
    },
}

impl DataError {
    pub(crate) fn setting(key: &'static str, value: impl ToString, right: impl Into<String>) -> Self {
        Self::Setting { key, value: value.to_string(), right: right.into() }
    }

    pub(crate) fn read(path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Read { path: path.into(), source }
    }

    pub(crate) fn write(path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Write { path: path.into(), source }
    }
}

fn sides([height, width]: [usize; 2]) -> String {
    format!("{width}×{height}")
}

fn difference(missing: &[String], extra: &[String]) -> String {
    match (missing, extra) {
        (missing, []) => format!("missing {}", quoted(missing)),
        ([], extra) => format!("unknown {}", quoted(extra)),
        (missing, extra) => format!("missing {}; unknown {}", quoted(missing), quoted(extra)),
    }
}

fn quoted(names: &[String]) -> String {
    let mut text = names.iter().take(10).map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    if names.len() > 10 {
        text += &format!(" and {} more", names.len() - 10);
    }
    text
}

/// What is at `path`, in words for a message: the first few names of a folder.
pub(crate) fn found_at(path: &Path) -> String {
    let Ok(entries) = path.read_dir() else {
        return if path.exists() { "a file".into() } else { "nothing".into() };
    };
    let mut names: Vec<_> = entries
        .flatten()
        .filter(|entry| !entry.file_name().as_encoded_bytes().starts_with(b"."))
        .map(|entry| {
            let slash = if entry.path().is_dir() { "/" } else { "" };
            format!("`{}{slash}`", entry.file_name().to_string_lossy())
        })
        .collect();
    names.sort();
    match names.len() {
        0 => "an empty folder".into(),
        1..=6 => names.join(", "),
        count => format!("{} and {} more", names[..5].join(", "), count - 5),
    }
}
