//! Whether a file of clips ends where its container says that it does.
//!
//! ffmpeg reads a file that was cut off up to the cut, often without a word. But nearly every
//! container says how long it is, or how its end looks: only headers are read to find that out.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, BufReader, Read, Seek, SeekFrom};

/// What a clip's container says of the file's end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// All that it announces is there.
    Whole,
    /// So many frames are there, which are all, but not all of the index by which they are found.
    IndexCutOff(u64),
    /// The file ends before, in these words.
    CutOff(String),
    /// It says nothing, or is not one of those known here.
    Unknown,
}

impl Ending {
    /// Why a clip of which so many frames were found is not whole, if it is not.
    pub(super) fn lacks(&self, found: usize) -> Option<String> {
        match self {
            Ending::CutOff(words) => Some(format!("it is cut off: {words}")),
            &Ending::IndexCutOff(frames) if (found as f64) < frames as f64 * KEPT => {
                Some(format!("it is cut off in its index, by which only {found} of its {frames} frames are found"))
            }
            Ending::IndexCutOff(_) | Ending::Whole | Ending::Unknown => None,
        }
    }
}

/// Part of what a file promises that must be there if it ends as it should: some programs count
/// frames that they never wrote, and what was cut out of a longer clip may begin with some that need
/// others.
pub(super) const KEPT: f64 = 0.95;

/// Whether the file of a clip ends where its container says that it does: AVI, MP4, Matroska, Ogg, GIF, FLV, ASF, and MPEG's
/// program and transport streams. No frame is decoded.
///
/// # Errors
/// If the file cannot be read.
pub fn ending(mut file: impl Read + Seek) -> io::Result<Ending> {
    let length = file.seek(SeekFrom::End(0))?;
    file.rewind()?;
    let mut bytes = Bytes { reader: BufReader::new(file), at: 0, length };
    let Some(start) = bytes.get::<16>(0)? else { return Ok(Ending::Unknown) };
    match &start {
        [_, _, _, _, kind @ .., _, _, _, _, _, _, _, _] if BOXES.contains(&kind) => boxes(&mut bytes),
        [b'R', b'I', b'F', b'F', _, _, _, _, b'A', b'V', b'I', b' ', ..] => riff(&mut bytes),
        [0x1a, 0x45, 0xdf, 0xa3, ..] => ebml(&mut bytes),
        [b'O', b'g', b'g', b'S', ..] => ogg(&mut bytes),
        [b'G', b'I', b'F', b'8', ..] => gif(&mut bytes),
        [b'F', b'L', b'V', ..] => flv(&mut bytes),
        [0, 0, 1, 0xba, ..] => program_stream(&mut bytes),
        start if *start == ASF_OBJECTS[0] => asf(&mut bytes),
        _ => transport_stream(&mut bytes),
    }
}

/// A file of which a few bytes here and there are read.
struct Bytes<F> {
    reader: BufReader<F>,
    at: u64,
    length: u64,
}

impl<F: Read + Seek> Bytes<F> {
    /// The bytes from `at` on; none if the file ends before they do.
    fn get<const N: usize>(&mut self, at: u64) -> io::Result<Option<[u8; N]>> {
        let mut bytes = [0; N];
        Ok(self.fill(at, &mut bytes)?.then_some(bytes))
    }

    fn fill(&mut self, at: u64, bytes: &mut [u8]) -> io::Result<bool> {
        let end = at.saturating_add(bytes.len() as u64);
        if end > self.length {
            return Ok(false);
        }
        self.reader.seek_relative(at.wrapping_sub(self.at) as i64)?;
        self.at = at;
        self.reader.read_exact(bytes)?;
        self.at = end;
        Ok(true)
    }

    /// Whether the `rest` of the file begins as `sign` does; short of it, as far as it goes.
    fn is_start(&mut self, rest: u64, sign: &[u8]) -> io::Result<bool> {
        let mut start = vec![0; sign.len().min(self.length.saturating_sub(rest) as usize)];
        Ok(self.fill(rest, &mut start)? && sign.starts_with(&start))
    }

    /// That `what`, which begins at `at` and is `size` bytes long, goes beyond the file's end.
    fn cut_in(&self, what: &str, at: u64, size: u64) -> Ending {
        let there = self.length.saturating_sub(at).min(size);
        Ending::CutOff(format!("{there} of the {size} bytes of {what} are there"))
    }
}

fn be32(bytes: &[u8]) -> u64 {
    bytes[..4].iter().fold(0, |value, &byte| value << 8 | u64::from(byte))
}

fn le32(bytes: &[u8]) -> u64 {
    bytes[..4].iter().rev().fold(0, |value, &byte| value << 8 | u64::from(byte))
}

/// What lies side by side in MP4, MOV and 3GP.
const BOXES: [&[u8; 4]; 20] = [
    b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot", b"udta", b"uuid", b"meta", b"moof", b"mfra",
    b"sidx", b"styp", b"emsg", b"prft", b"ssix", b"pdin", b"pssh", b"imda",
];

/// MP4 and its kin: boxes, each with its size in front. What tells of the frames and what holds them
/// must be among them, in either order.
fn boxes(bytes: &mut Bytes<impl Read + Seek>) -> io::Result<Ending> {
    let (mut at, mut has_index, mut has_frames, mut is_fragment) = (0, false, false, false);
    while let Some(head) = bytes.get::<8>(at)? {
        let kind = &head[4..];
        // Something that was appended, or is not known here.
        if !BOXES.iter().any(|known| kind == *known) {
            break;
        }
        let size = match be32(&head) {
            // Up to the file's end.
            0 => return Ok(Ending::Unknown),
            1 => bytes.get::<8>(at + 8)?.map_or(16, u64::from_be_bytes),
            size => size,
        };
        if size < 8 {
            return Ok(Ending::Unknown);
        }
        let end = at.saturating_add(size);
        if end > bytes.length {
            return Ok(bytes.cut_in(&format!("its `{}`", String::from_utf8_lossy(kind)), at, size));
        }
        has_index |= kind == b"moov";
        has_frames |= kind == b"mdat";
        is_fragment = kind == b"moof" || is_fragment && kind != b"mdat";
        at = end;
    }
    // The index of a part of the clip is followed by what it tells of.
    if is_fragment {
        return Ok(Ending::CutOff("the frames that its last `moof` tells of are missing".into()));
    }
    Ok(if has_index && has_frames { Ending::Whole } else { Ending::Unknown })
}

/// Whether a chunk of an AVI may well be called so: those of streams are, and some others.
fn is_chunk(name: &[u8]) -> bool {
    match name {
        [b'0'..=b'9', b'0'..=b'9', b'a'..=b'z', b'a'..=b'z'] | [b'i', b'x', b'0'..=b'9', b'0'..=b'9'] => true,
        name => [b"RIFF", b"LIST", b"JUNK", b"idx1"].iter().any(|known| name == *known),
    }
}

/// AVI: lists of chunks, each with its size in front. The header says how many frames there are;
/// an empty chunk is a frame that repeats the one before.
fn riff(bytes: &mut Bytes<impl Read + Seek>) -> io::Result<Ending> {
    // How much too large the size of all may be, by a mistake in counting.
    const SLACK: u64 = 16;
    // Of the last `RIFF`; who was stopped while writing has left 0.
    let mut end = None;
    let (mut at, mut reached) = (0, 0);
    // Streams up to now, and of those the first of pictures: the start of its chunks' names and its
    // number of frames.
    let (mut streams, mut video) = (0, None);
    // Its frames, and those that are not empty.
    let (mut there, mut shown) = (0, 0);
    while let Some(head) = bytes.get::<8>(at)? {
        let (kind, size) = (&head[..4], le32(&head[4..]));
        let chunk_end = at + 8 + size;
        match kind {
            // Their parts follow.
            b"RIFF" => {
                end = (size != 0 && size != 0xffff_ffff).then_some(chunk_end);
                at += 12;
                continue;
            }
            // Something that was appended.
            _ if end.is_some_and(|end| at >= end) => break,
            b"LIST" => {
                at += 12;
                continue;
            }
            _ if !kind.iter().all(|byte| (b' '..=b'~').contains(byte)) => return Ok(Ending::Unknown),
            // No chunk, whatever it looks like.
            _ if end.map_or(chunk_end > bytes.length && !is_chunk(kind), |end| chunk_end > end) => {
                return Ok(Ending::Unknown);
            }
            b"strh" => {
                if let Some(stream) = bytes.get::<36>(at + 8)?
                    && stream.starts_with(b"vids")
                    && video.is_none()
                {
                    video = Some((format!("{streams:02}"), le32(&stream[32..])));
                }
                streams += 1;
            }
            _ => {
                let is_frame = |(name, _): &(String, u64)| kind.starts_with(name.as_bytes()) && kind[2..] != *b"pc";
                if chunk_end <= bytes.length && video.as_ref().is_some_and(is_frame) {
                    there += 1;
                    shown += u64::from(size > 0);
                }
            }
        }
        reached = chunk_end;
        // Sizes are made even, but not by every program.
        let is_even = size % 2 == 0 || bytes.get::<4>(chunk_end)?.is_some_and(|name| is_chunk(&name));
        at = chunk_end + u64::from(!is_even);
    }
    let end = end.unwrap_or(0).max(reached);
    let is_cut = reached > bytes.length || end > bytes.length + SLACK;
    Ok(match video {
        Some((_, promised @ 1..)) => {
            let enough = if is_cut { promised } else { (promised as f64 * KEPT) as u64 };
            match there < enough {
                true => Ending::CutOff(format!("{there} of the {promised} frames that it announces are there")),
                false if is_cut => Ending::IndexCutOff(shown),
                false => Ending::Whole,
            }
        }
        _ if is_cut => bytes.cut_in("its chunks", 0, end),
        _ => Ending::Unknown,
    })
}

/// A number of Matroska's with its own length in front, kept in it or not, and that length; none
/// where the file ends, or is something else.
fn ebml_number(bytes: &mut Bytes<impl Read + Seek>, at: u64, keep: bool) -> io::Result<Option<(u64, u64)>> {
    let Some([first]) = bytes.get::<1>(at)? else { return Ok(None) };
    let length = first.leading_zeros() as usize + 1;
    let mut number = [0; 8];
    if length > 8 || !bytes.fill(at, &mut number[8 - length..])? {
        return Ok(None);
    }
    if !keep {
        number[8 - length] &= (0xff_u16 >> length) as u8;
    }
    Ok(Some((u64::from_be_bytes(number), length as u64)))
}

/// Matroska and WebM: elements, each with its size in front. What was written to a pipe does not
/// know the size of what holds the others.
fn ebml(bytes: &mut Bytes<impl Read + Seek>) -> io::Result<Ending> {
    const SEGMENT: u64 = 0x1853_8067;
    const CLUSTER: u64 = 0x1f43_b675;
    // What lies in them, or in front.
    const OTHERS: [u64; 17] = [
        0x1a45_dfa3,
        0x114d_9b74,
        0x1549_a966,
        0x1654_ae6b,
        0x1c53_bb6b,
        0x1043_a770,
        0x1941_a469,
        0x1254_c367,
        0xec,
        0xbf,
        0xe7,
        0xa3,
        0xa0,
        0xab,
        0xa7,
        0xaf,
        0x5854,
    ];
    let mut at = 0;
    while at < bytes.length {
        let Some((id, id_length)) = ebml_number(bytes, at, true)? else { return Ok(Ending::Unknown) };
        if ![SEGMENT, CLUSTER].contains(&id) && !OTHERS.contains(&id) {
            return Ok(Ending::Unknown);
        }
        let Some((size, size_length)) = ebml_number(bytes, at + id_length, false)? else {
            return Ok(match at + id_length + 8 > bytes.length {
                true => Ending::CutOff("its last element is not whole".into()),
                false => Ending::Unknown,
            });
        };
        let start = at + id_length + size_length;
        let is_known = size != (1 << (7 * size_length)) - 1;
        let end = start.saturating_add(size);
        at = match (id, is_known) {
            (SEGMENT, true) if end > bytes.length => return Ok(bytes.cut_in("its segment", start, size)),
            (SEGMENT, true) => return Ok(Ending::Whole),
            (SEGMENT | CLUSTER, _) => start,
            (_, true) if end > bytes.length => return Ok(bytes.cut_in("its last element", start, size)),
            (_, true) => end,
            (_, false) => return Ok(Ending::Unknown),
        };
    }
    Ok(Ending::Unknown)
}

/// Ogg: pages. The first and the last of every stream are marked, the last not by every program.
fn ogg(bytes: &mut Bytes<impl Read + Seek>) -> io::Result<Ending> {
    let (mut at, mut open) = (0, BTreeSet::new());
    while at < bytes.length && bytes.is_start(at, b"OggS")? {
        let Some(head) = bytes.get::<27>(at)? else { return Ok(bytes.cut_in("its last page", at, 27)) };
        let mut sizes = vec![0; usize::from(head[26])];
        let is_there = bytes.fill(at + 27, &mut sizes)?;
        let size = 27 + sizes.len() as u64 + sizes.iter().map(|&size| u64::from(size)).sum::<u64>();
        if !is_there || at + size > bytes.length {
            return Ok(bytes.cut_in("its last page", at, size));
        }
        let stream = le32(&head[14..]);
        if head[5] & 2 != 0 {
            open.insert(stream);
        }
        if head[5] & 4 != 0 {
            open.remove(&stream);
        }
        at += size;
    }
    Ok(if open.is_empty() { Ending::Whole } else { Ending::Unknown })
}

/// GIF: blocks, and then a trailer of one byte.
fn gif(bytes: &mut Bytes<impl Read + Seek>) -> io::Result<Ending> {
    let colours = |flags: u8| if flags & 0x80 == 0 { 0 } else { 3 << ((flags & 7) + 1) };
    let Some(head) = bytes.get::<13>(0)? else { return Ok(Ending::Unknown) };
    let mut at = 13 + colours(head[10]);
    loop {
        at += match bytes.get::<1>(at)? {
            Some([0x3b]) => return Ok(Ending::Whole),
            // An extension, by its name; an image, by its place, its colours and the width of its codes.
            Some([0x21]) => 2,
            Some([0x2c]) => 11 + bytes.get::<1>(at + 9)?.map_or(0, |[flags]| colours(flags)),
            Some(_) => return Ok(Ending::Unknown),
            None => return Ok(Ending::CutOff("its trailer is missing".into())),
        };
        // Both end with pieces of up to 255 bytes, the last of none.
        while let Some([size @ 1..=255]) = bytes.get::<1>(at)? {
            at += 1 + u64::from(size);
        }
        at += 1;
    }
}

/// FLV: tags, each with its size in front and the whole size behind. The first may say how long the
/// clip is.
fn flv(bytes: &mut Bytes<impl Read + Seek>) -> io::Result<Ending> {
    const DURATION: &[u8] = b"\0\x08duration\0";
    let Some(head) = bytes.get::<9>(0)? else { return Ok(Ending::Unknown) };
    let mut at = be32(&head[5..]) + 4;
    let (mut seconds, mut promised) = (0.0_f64, 0.0);
    while let Some([kind]) = bytes.get::<1>(at)? {
        if !matches!(kind, 8 | 9 | 18) {
            return Ok(Ending::Unknown);
        }
        let Some(head) = bytes.get::<11>(at)? else { return Ok(bytes.cut_in("its last tag", at, 11)) };
        // The number of a stream that there never is.
        if head[8..] != [0; 3] {
            return Ok(Ending::Unknown);
        }
        let size = 11 + (be32(&head) & 0x00ff_ffff);
        if at + size > bytes.length {
            return Ok(bytes.cut_in("its last tag", at, size));
        }
        let [_, _, _, _, low @ .., high, _, _, _] = head;
        seconds = seconds.max(be32(&[high, low[0], low[1], low[2]]) as f64 / 1e3);
        let mut text = vec![0; if kind == 18 { size as usize - 11 } else { 0 }];
        bytes.fill(at + 11, &mut text)?;
        if let Some(place) = text.windows(DURATION.len()).position(|window| window == DURATION)
            && let Some(value) = text[place + DURATION.len()..].first_chunk()
        {
            promised = f64::from_be_bytes(*value);
        }
        at += size + 4;
    }
    Ok(match seconds < KEPT * promised {
        true => Ending::CutOff(format!("{seconds:.2} of the {promised:.2} seconds that it announces are there")),
        false => Ending::Whole,
    })
}

/// The header, the data and the index of ASF.
const ASF_OBJECTS: [[u8; 16]; 3] = [
    [0x30, 0x26, 0xb2, 0x75, 0x8e, 0x66, 0xcf, 0x11, 0xa6, 0xd9, 0, 0xaa, 0, 0x62, 0xce, 0x6c],
    [0x36, 0x26, 0xb2, 0x75, 0x8e, 0x66, 0xcf, 0x11, 0xa6, 0xd9, 0, 0xaa, 0, 0x62, 0xce, 0x6c],
    [0x90, 0x08, 0, 0x33, 0xb1, 0xe5, 0xcf, 0x11, 0x89, 0xf4, 0, 0xa0, 0xc9, 0x03, 0x49, 0xcb],
];

/// ASF, which `.wmv` is: objects, each with its size after its name.
fn asf(bytes: &mut Bytes<impl Read + Seek>) -> io::Result<Ending> {
    let mut at = 0;
    while let Some(head) = bytes.get::<24>(at)? {
        let (name, size) = head.split_at(16);
        if !ASF_OBJECTS.iter().any(|known| known == name) {
            break;
        }
        let size = le32(size) | le32(&size[4..]) << 32;
        // Data that was sent while it was made has none.
        if size < 24 {
            return Ok(Ending::Unknown);
        }
        let end = at.saturating_add(size);
        if end > bytes.length {
            return Ok(bytes.cut_in("its data", at, size));
        }
        at = end;
    }
    Ok(Ending::Whole)
}

/// MPEG's program stream: packets, most with their size in front. Nothing tells how many.
fn program_stream(bytes: &mut Bytes<impl Read + Seek>) -> io::Result<Ending> {
    let mut at = 0;
    while let Some(name) = bytes.get::<4>(at)? {
        // A packet that is too short for its size is cut off.
        let head = bytes.get::<6>(at)?;
        let size = match (name, head) {
            ([0, 0, 1, 0xb9], _) => 4,
            ([0, 0, 1, 0xba..=0xff], None) => 6,
            ([0, 0, 1, 0xba], Some([.., flags, _])) if flags >> 4 == 2 => 12,
            ([0, 0, 1, 0xba], _) => 14 + bytes.get::<1>(at + 13)?.map_or(0, |[stuffing]| u64::from(stuffing & 7)),
            ([0, 0, 1, 0xbb..=0xff], Some([.., high, low])) if (high, low) != (0, 0) => {
                6 + u64::from(u16::from_be_bytes([high, low]))
            }
            _ => return Ok(Ending::Unknown),
        };
        if at + size > bytes.length {
            return Ok(bytes.cut_in("its last packet", at, size));
        }
        at += size;
    }
    Ok(Ending::Unknown)
}

/// MPEG's transport stream: packets of one size, with four bytes of time in front on discs and in
/// cameras. Nothing tells how many.
fn transport_stream(bytes: &mut Bytes<impl Read + Seek>) -> io::Result<Ending> {
    for (size, sync) in [(188, 0), (192, 4), (204, 0)] {
        let length = bytes.length;
        let mut is_packet = |at: u64| Ok::<_, io::Error>(bytes.get(at + sync)? == Some([0x47]));
        if is_packet(0)? && is_packet(size)? && is_packet(2 * size)? {
            let rest = length - length % size;
            if !is_packet(rest - size)? {
                return Ok(Ending::Unknown);
            }
            if is_packet(rest)? {
                return Ok(bytes.cut_in("its last packet", rest, size));
            }
            // Else something was appended, or lost.
            return if rest == length { elementary_streams(bytes, size, sync) } else { Ok(Ending::Unknown) };
        }
    }
    Ok(Ending::Unknown)
}

/// What a transport stream's packets, of so many bytes with their sign there, carry: packets of each stream's own, of which
/// those of sound say how long they are, and seldom those of pictures. The last of each are looked at.
fn elementary_streams(bytes: &mut Bytes<impl Read + Seek>, size: u64, sync: u64) -> io::Result<Ending> {
    // Every stream has begun a packet in these.
    const LAST: u64 = 1 << 13;
    // Of each stream's last packet the bytes that are there; and the streams where that is known to its beginning.
    let (mut there, mut begun) = (BTreeMap::new(), BTreeSet::new());
    let count = bytes.length / size;
    for packet in (count.saturating_sub(LAST)..count).rev() {
        let at = packet * size + sync;
        let Some([0x47, high, low, flags]) = bytes.get(at)? else { return Ok(Ending::Unknown) };
        let stream = [high & 0x1f, low];
        // Without anything of the stream's in it.
        if flags & 0x10 == 0 || begun.contains(&stream) {
            continue;
        }
        let filling =
            if flags & 0x20 == 0 { 0 } else { bytes.get::<1>(at + 4)?.map_or(0, |[size]| 1 + u64::from(size)) };
        let there = there.entry(stream).or_insert(0);
        *there += 184_u64.saturating_sub(filling);
        if high & 0x40 != 0 {
            begun.insert(stream);
            if let Some([0, 0, 1, _, high, low]) = bytes.get(at + 4 + filling)? {
                let promised = u64::from(u16::from_be_bytes([high, low]));
                if promised > 0 && 6 + promised > *there {
                    let size = 6 + promised;
                    return Ok(Ending::CutOff(format!(
                        "{there} of the {size} bytes of a stream's last packet are there"
                    )));
                }
            }
        }
    }
    Ok(Ending::Unknown)
}
