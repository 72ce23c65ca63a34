//! Why a set could not be fetched.

use std::io;
use std::path::{Path, PathBuf};

/// Why a set could not be fetched. Every message names the place and ends with a remedy.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FetchError {
    /// No set has this name.
    #[error("there is no set called `{name}` to fetch\n  remedy: name one of {known}")]
    UnknownSet {
        /// The name.
        name: String,
        /// Those that there are.
        known: String,
    },

    /// A set that wants a login, a licence or a day's patience.
    #[error("`{name}` is not fetched: people have to get it by themselves\n  remedy: {words}")]
    ByHand {
        /// The set.
        name: String,
        /// Where it is, and where to put it.
        words: &'static str,
    },

    /// One file's address where there are several files.
    #[error(
        "`{set}` has {files} files, and {from} is the address of one\n  \
         remedy: give --from a folder's address, ending in `/`"
    )]
    From {
        /// The set.
        set: &'static str,
        /// How many files it has.
        files: usize,
        /// The address.
        from: String,
    },

    /// The program that downloads is not there.
    #[error(
        "cannot run `curl`, which downloads: {source}\n  \
         remedy: install it (`sudo apt install curl`, `winget install curl`), or put {url}, got with a browser, \
         into {} and give the same command again", folder.display()
    )]
    NoCurl {
        /// What the system said.
        source: io::Error,
        /// What was to be got.
        url: String,
        /// Where to.
        folder: PathBuf,
    },

    /// None of the programs that unpack RAR is there.
    #[error(
        "{} is a RAR archive, and none of {programs} is there to unpack it\n  \
         remedy: install one (`sudo apt install libarchive-tools`, `brew install libarchive`), and give the same \
         command again: nothing is downloaded twice", path.display()
    )]
    NoUnpacker {
        /// The archive.
        path: PathBuf,
        /// The programs.
        programs: String,
    },

    /// The server does not give it.
    #[error(
        "{url} cannot be got: the server answers {status}\n  \
         remedy: look whether it has moved, and give its new address, or a mirror's, as --from URL"
    )]
    Status {
        /// The address.
        url: String,
        /// HTTP's number.
        status: u16,
    },

    /// No connection lasts, or none comes about.
    #[error(
        "{url} cannot be got: {words}; {bytes} bytes of it are kept in {}\n  \
         remedy: give the same command again, which goes on from there, or the address of a mirror as --from URL",
        part.display()
    )]
    Cut {
        /// The address.
        url: String,
        /// What happened the last time.
        words: String,
        /// What is there of it.
        part: PathBuf,
        /// How much that is.
        bytes: u64,
    },

    /// What trying again does not change, such as a certificate.
    #[error(
        "{url} cannot be got: {words}\n  \
         remedy: get it with a browser, put it into {} as it is, and give the same command again; or give the \
         address of a mirror as --from URL", folder.display()
    )]
    Refused {
        /// The address.
        url: String,
        /// What curl said.
        words: String,
        /// Where to put it.
        folder: PathBuf,
    },

    /// The server has a file of another length.
    #[error(
        "{url} has {found} bytes, but it should have {expected}: it is another file\n  \
         remedy: get it from its publishers, or give the address of a mirror that has the same file as --from URL"
    )]
    Size {
        /// The address.
        url: String,
        /// How many bytes it has.
        found: u64,
        /// How many it should have.
        expected: u64,
    },

    /// A file that is not the one that was published.
    #[error(
        "{} is not the file that was published: its {sum} is {found} instead of {expected}\n  remedy: {remedy}",
        path.display()
    )]
    Checksum {
        /// The file.
        path: PathBuf,
        /// Which sum: `SHA-256`, `MD5` or the number of bytes.
        sum: &'static str,
        /// What it is.
        found: String,
        /// What it should be.
        expected: String,
        /// What to do.
        remedy: &'static str,
    },

    /// An archive that does not hold what it should.
    #[error(
        "{} has no {expected}, but {found}\n  \
         remedy: delete it and give the same command again; if that does not help, it is of another version",
        path.display()
    )]
    Contents {
        /// The archive.
        path: PathBuf,
        /// What it should hold.
        expected: String,
        /// What it holds.
        found: String,
    },

    /// An archive that cannot be unpacked to its end.
    #[error("{} cannot be unpacked: {words}\n  remedy: delete it and give the same command again", path.display())]
    Damaged {
        /// The archive.
        path: PathBuf,
        /// Why.
        words: String,
    },

    /// An archive that would write elsewhere, or something other than files.
    #[error(
        "{} is not unpacked: its member `{member}` {words}\n  \
         remedy: do not trust this archive; get it from its publishers", path.display()
    )]
    Unsafe {
        /// The archive.
        path: PathBuf,
        /// The member's name.
        member: String,
        /// What is wrong with it.
        words: &'static str,
    },

    /// Nothing can be written there.
    #[error(
        "cannot write {}: {source}\n  \
         remedy: free some space there, or name another DIR, and give the same command again: what has come is kept",
        path.display()
    )]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },

    /// A file cannot be read.
    #[error("cannot read {}: {source}\n  remedy: check that it is there and that you may read it", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },

    /// Somebody else fetches to the same place.
    #[error("another process is fetching to {}\n  remedy: wait until it is done, and start again", folder.display())]
    Busy {
        /// The place.
        folder: PathBuf,
    },
}

impl FetchError {
    pub(super) fn write(path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Write { path: path.into(), source }
    }

    pub(super) fn read(path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Read { path: path.into(), source }
    }
}
