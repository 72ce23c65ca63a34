//! Archives to folders: plain files and folders alone, and only below where they are unpacked.

use std::fs::{self, File};
use std::io::{self, BufReader, Read, Write};
use std::path::{Component, Path, PathBuf};
use std::process::{Command, Stdio};

use flate2::bufread::MultiGzDecoder;
use tar::EntryType;
use zip::ZipArchive;

use super::error::FetchError;
use super::sets::Form;

/// A program that unpacks RAR: how it lists members, a line each, and how it unpacks them.
struct Program {
    name: &'static str,
    list: &'static [&'static str],
    unpack: &'static [&'static str],
    /// The option before the folder to unpack to, where it needs one.
    to: Option<&'static str>,
}

/// In this order. On Windows and macOS `tar` is bsdtar.
const PROGRAMS: [Program; 3] = [
    Program { name: "bsdtar", list: &["-tf"], unpack: &["-xf"], to: Some("-C") },
    Program { name: "unrar", list: &["lb", "-p-", "--"], unpack: &["x", "-p-", "-o-", "-idq", "--"], to: None },
    Program { name: "tar", list: &["-tf"], unpack: &["-xf"], to: Some("-C") },
];

/// Unpacks `archive` into the folder `into`, which is there.
pub(super) fn unpack(form: Form, archive: &Path, into: &Path) -> Result<(), FetchError> {
    match form {
        Form::TarGz => untar(archive, into),
        Form::Zip => unzip(archive, into),
        Form::Rar => unrar(archive, into, &PROGRAMS),
        // Not packed.
        Form::Table => Ok(()),
    }
}

/// Where a member goes.
///
/// # Errors
/// If its name leads, or on some system would lead, elsewhere.
fn place(archive: &Path, into: &Path, member: &str) -> Result<PathBuf, FetchError> {
    let is_plain = |part: Component| matches!(part, Component::Normal(_) | Component::CurDir);
    if Path::new(member).components().all(is_plain) && !member.contains(['\\', ':']) && !member.starts_with('/') {
        Ok(into.join(member))
    } else {
        Err(unsafe_member(archive, member, "would lie outside of the folder"))
    }
}

fn unsafe_member(archive: &Path, member: impl Into<String>, words: &'static str) -> FetchError {
    FetchError::Unsafe { path: archive.into(), member: member.into(), words }
}

const NO_FILE: &str = "is neither a file nor a folder";

fn damaged(archive: &Path) -> impl Fn(io::Error) -> FetchError {
    move |error| FetchError::Damaged { path: archive.into(), words: error.to_string() }
}

/// Writes a member to a file that was not there before.
fn write(archive: &Path, from: &mut impl Read, to: &Path) -> Result<(), FetchError> {
    let write = || FetchError::write(to);
    fs::create_dir_all(to.parent().unwrap_or(to)).map_err(write())?;
    let mut file = File::create_new(to).map_err(write())?;
    let mut buffer = vec![0; 1 << 16];
    loop {
        match from.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(count) => file.write_all(&buffer[..count]).map_err(write())?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(damaged(archive)(error)),
        }
    }
}

fn untar(archive: &Path, into: &Path) -> Result<(), FetchError> {
    let file = File::open(archive).map_err(FetchError::read(archive))?;
    let mut members = tar::Archive::new(MultiGzDecoder::new(BufReader::new(file)));
    for member in members.entries().map_err(damaged(archive))? {
        let mut member = member.map_err(damaged(archive))?;
        let name = String::from_utf8_lossy(&member.path_bytes()).into_owned();
        let path = place(archive, into, &name)?;
        match member.header().entry_type() {
            EntryType::Regular => write(archive, &mut member, &path)?,
            EntryType::Directory => fs::create_dir_all(&path).map_err(FetchError::write(&path))?,
            // What was noted of the archive as a whole.
            EntryType::XGlobalHeader => {}
            _ => return Err(unsafe_member(archive, name, NO_FILE)),
        }
    }
    Ok(())
}

fn unzip(archive: &Path, into: &Path) -> Result<(), FetchError> {
    let damaged = |error: zip::result::ZipError| damaged(archive)(error.into());
    let file = File::open(archive).map_err(FetchError::read(archive))?;
    let mut members = ZipArchive::new(BufReader::new(file)).map_err(damaged)?;
    for number in 0..members.len() {
        let mut member = members.by_index(number).map_err(damaged)?;
        let name = member.name().map_err(damaged)?.into_owned();
        let path = place(archive, into, &name)?;
        if member.is_symlink() {
            return Err(unsafe_member(archive, name, NO_FILE));
        }
        match member.is_dir() {
            true => fs::create_dir_all(&path).map_err(FetchError::write(&path))?,
            false => write(archive, &mut member, &path)?,
        }
    }
    Ok(())
}

/// By the first of the programs that is there. What it makes is looked at, since it goes by rules of its own.
fn unrar(archive: &Path, into: &Path, programs: &[Program]) -> Result<(), FetchError> {
    let Some(program) = programs.iter().find(|program| program.is_there()) else {
        let programs = programs.iter().map(|program| format!("`{}`", program.name)).collect::<Vec<_>>().join(", ");
        return Err(FetchError::NoUnpacker { path: archive.into(), programs });
    };
    let run = |command: &mut Command| {
        let output = command.stdin(Stdio::null()).output().map_err(damaged(archive))?;
        match output.status.success() {
            true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
            false => {
                let words = String::from_utf8_lossy(&output.stderr).trim().replace('\n', "; ");
                Err(FetchError::Damaged { path: archive.into(), words: format!("{}: {words}", program.name) })
            }
        }
    };
    for member in run(Command::new(program.name).args(program.list).arg(archive))?.lines() {
        place(archive, into, &member.replace('\\', "/"))?;
    }
    let mut command = Command::new(program.name);
    command.args(program.unpack).arg(archive).args(program.to);
    // unrar takes for a folder what ends so.
    run(command.arg(into.join("")))?;
    nothing_odd(archive, into)
}

impl Program {
    fn is_there(&self) -> bool {
        let version = Command::new(self.name).arg("--version").stdin(Stdio::null()).output();
        // GNU's tar knows no RAR.
        version.is_ok_and(|output| self.name != "tar" || String::from_utf8_lossy(&output.stdout).contains("bsdtar"))
    }
}

/// Refuses links and whatever else is no file and no folder.
fn nothing_odd(archive: &Path, folder: &Path) -> Result<(), FetchError> {
    for entry in fs::read_dir(folder).map_err(FetchError::read(folder))? {
        let entry = entry.map_err(FetchError::read(folder))?;
        let (path, kind) = (entry.path(), entry.file_type().map_err(FetchError::read(folder))?);
        match kind {
            kind if kind.is_dir() => nothing_odd(archive, &path)?,
            kind if kind.is_file() => {}
            _ => return Err(unsafe_member(archive, entry.file_name().to_string_lossy(), NO_FILE)),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_goes_below_the_folder_or_nowhere() {
        let to = |member| place(Path::new("a.zip"), Path::new("into"), member);
        assert_eq!(to("a/./b.txt").unwrap(), Path::new("into/a/./b.txt"));
        for member in ["../x", "a/../../x", "/etc/x", "..\\x", "C:\\x", "C:x", "a/.."] {
            let text = to(member).unwrap_err().to_string();
            assert!(text.contains(&format!("member `{member}` would lie outside")), "{text}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn rar_is_unpacked_by_a_program_that_is_there() {
        let folder = tempfile::tempdir().unwrap();
        let (archive, into) = (folder.path().join("lists.rar"), folder.path().join("into"));
        fs::write(&archive, "").unwrap();
        let program = |name, list, unpack| Program { name, list, unpack, to: Some("-C") };
        let none = unrar(&archive, &into, &[program("no-such-program", &[], &[])]).unwrap_err().to_string();
        assert!(none.contains("none of `no-such-program` is there") && none.contains("libarchive-tools"), "{none}");

        // A shell that does as such a program: $0 is the archive, $2 the folder.
        let by = |list, unpack| {
            let _ = fs::remove_dir_all(&into);
            fs::create_dir(&into).unwrap();
            unrar(&archive, &into, &[program("no-such-program", &[], &[]), program("sh", list, unpack)])
        };
        by(&["-c", "echo a/b.txt"], &["-c", "mkdir \"$2\"/a && echo c > \"$2\"/a/b.txt"]).unwrap();
        assert_eq!(fs::read_to_string(into.join("a/b.txt")).unwrap(), "c\n");
        let text = |list, unpack| by(list, unpack).unwrap_err().to_string();
        let outside = text(&["-c", "printf '%s\n' a '..\\b'"], &["-c", "touch \"$2\"/unpacked"]);
        assert!(outside.contains("`../b` would lie outside") && !into.join("unpacked").exists(), "{outside}");
        let link = text(&["-c", "echo a"], &["-c", "ln -s /etc \"$2\"/a"]);
        assert!(link.contains("member `a` is neither a file nor a folder"), "{link}");
        let failed = text(&["-c", "echo lost >&2; exit 3"], &[]);
        assert!(failed.contains("cannot be unpacked: sh: lost"), "{failed}");
    }
}
