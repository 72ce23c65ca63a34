//! Walking through a shard for where its samples lie.

use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::Path;

use crate::decode::EXTENSIONS;
use crate::error::DataError;

/// Bytes of a block of a tar file: headers have one, and members fill their last.
const BLOCK: u64 = 512;

/// How files begin that gzip, bzip2, xz and Zstandard have made.
const COMPRESSED: [&[u8]; 4] = [b"\x1f\x8b", b"BZh", b"\xfd7zX", b"\x28\xb5\x2f\xfd"];

/// Where a picture's file lies in a shard, its first byte and its length, and its class.
pub(super) type Found = (u64, u32, u16);

/// What is known of a sample while its members go by.
struct Half {
    stem: String,
    /// Where its first member's header lies.
    at: u64,
    /// Its first byte and its length.
    picture: Option<(u64, u32)>,
    label: Option<u16>,
}

/// Finds the samples of a shard.
pub(super) fn walk(path: &Path) -> Result<Vec<Found>, DataError> {
    let read = DataError::read;
    let mut file = File::open(path).map_err(read(path))?;
    let length = file.metadata().map_err(read(path))?.len();
    let cut = |member: &str, offset: u64, words: String| DataError::Shard {
        path: path.into(),
        member: member.into(),
        offset,
        words,
    };
    let mut archive =
        tar::Archive::new(BufReader::with_capacity(BLOCK as usize, File::open(path).map_err(read(path))?));
    let mut start = [0; 4];
    if file.read(&mut start).is_ok_and(|read| read > 2) && COMPRESSED.iter().any(|sign| start.starts_with(sign)) {
        return Err(cut(
            "",
            0,
            "it is compressed; unpack it, since pictures are read from within it in any order".into(),
        ));
    }
    let (mut all, mut half, mut end, mut last) = (Vec::new(), None::<Half>, 0, String::new());
    for entry in archive.entries_with_seek().map_err(read(path))? {
        // Not in the library's words, which may have bytes of the file in them.
        let entry = entry.map_err(|_| cut(&last, end, "what follows it is no header of a tar file".into()))?;
        let (at, offset, size) = (entry.raw_header_position(), entry.raw_file_position(), entry.size());
        last = entry.path().map_err(read(path))?.to_string_lossy().into_owned();
        end = offset + size.div_ceil(BLOCK) * BLOCK;
        if offset + size > length {
            let words = format!("it should go on to byte {}, and the shard ends at {length}", offset + size);
            return Err(cut(&last, at, words));
        }
        if !entry.header().entry_type().is_file() {
            continue;
        }
        let (stem, ending) = parts(&last);
        if half.as_ref().is_none_or(|half| half.stem != stem) {
            finish(path, half.take(), &mut all)?;
            half = Some(Half { stem: stem.into(), at, picture: None, label: None });
        }
        let half = half.as_mut().expect("just begun");
        if EXTENSIONS.iter().any(|known| ending.eq_ignore_ascii_case(known)) {
            let length = u32::try_from(size).map_err(|_| cut(&last, at, "it is longer than four gigabytes".into()))?;
            half.picture = Some((offset, length));
        } else if ending.eq_ignore_ascii_case("cls") {
            let mut text = String::new();
            file.seek(SeekFrom::Start(offset)).map_err(read(path))?;
            let label =
                (&file).take(size.min(BLOCK)).read_to_string(&mut text).ok().and_then(|_| text.trim().parse().ok());
            let odd = || cut(&last, at, format!("`{}` is no class; expected a number from 0 to 65534", text.trim()));
            half.label = Some(label.filter(|&label| label < u16::MAX).ok_or_else(odd)?);
        }
    }
    finish(path, half, &mut all)?;
    // The end of a tar file is two blocks of zeros; some programs write one.
    let mut mark = [1; BLOCK as usize];
    file.seek(SeekFrom::Start(end)).map_err(read(path))?;
    if file.read_exact(&mut mark).is_err() || mark.iter().any(|&byte| byte != 0) {
        return Err(cut(&last, end, "behind it the mark is lacking that ends a tar file".into()));
    }
    Ok(all)
}

/// The stem and the ending of a member's name: what lies before and behind the first dot of its last part.
fn parts(name: &str) -> (&str, &str) {
    let start = name.rfind('/').map_or(0, |slash| slash + 1);
    match name[start..].find('.') {
        Some(dot) => (&name[..start + dot], &name[start + dot + 1..]),
        None => (name, ""),
    }
}

/// Takes a sample whose members have all gone by.
fn finish(path: &Path, half: Option<Half>, all: &mut Vec<Found>) -> Result<(), DataError> {
    match half {
        None => {}
        Some(Half { picture: Some((offset, length)), label: Some(label), .. }) => all.push((offset, length, label)),
        // What belongs to no picture, such as a description of the shard.
        Some(Half { picture: None, label: None, .. }) => {}
        Some(Half { stem, at, picture, .. }) => {
            let lacking = if picture.is_none() { "picture, such as `.jpg`," } else { "class, `.cls`," };
            let words = format!("the sample has no {lacking} beside it");
            return Err(DataError::Shard { path: path.into(), member: stem, offset: at, words });
        }
    }
    Ok(())
}
