//! Inputs that declare another size than they have: every number in them, in digits or in bytes, is one extreme after another.

use std::ops::Range;

/// In the place of digits, if they are as many as these or more.
const DIGITS: [&str; 9] = [
    "0",
    "1",
    "-1",
    "65535",
    "1073741824",
    "4294967296",
    "9223372036854775807",
    "18446744073709551615",
    "99999999999999999999",
];
/// The longest input in which every place is taken for a number in bytes.
const LONGEST: usize = 1 << 10;

/// All of `bytes`' kind, with what says that it is whole put right.
pub fn sized(bytes: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    let in_digits = numbers(bytes).into_iter().flat_map(move |place| {
        // As long as it was, for fields of one length, in octal numbers, too.
        let same = [b'0', b'7'].map(|digit| vec![digit; place.len()]);
        let others = DIGITS.iter().map(|digits| digits.as_bytes().to_vec());
        others.chain(same).map(move |digits| replaced(bytes, place.clone(), &digits)).collect::<Vec<_>>()
    });
    let places = if std::str::from_utf8(bytes).is_err() && bytes.len() <= LONGEST { bytes.len() } else { 0 };
    let in_bytes = (0..places).flat_map(move |at| {
        let fits = move |value: &Vec<u8>| at + value.len() <= bytes.len();
        extremes().into_iter().filter(fits).map(move |value| replaced(bytes, at..at + value.len(), &value))
    });
    in_digits.chain(in_bytes)
}

/// Where there are digits; not those of a name or a checksum.
fn numbers(bytes: &[u8]) -> Vec<Range<usize>> {
    let mut places: Vec<Range<usize>> = Vec::new();
    for at in (0..bytes.len()).filter(|&at| bytes[at].is_ascii_digit()) {
        match places.last_mut() {
            Some(place) if place.end == at => place.end += 1,
            _ => places.push(at..at + 1),
        }
    }
    let is_word = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_alphabetic);
    places.retain(|place| !is_word(place.start.wrapping_sub(1)) && !is_word(place.end));
    places
}

/// Of two, four and eight bytes: nothing, one, a power that is just too large, the largest with a sign and without, from
/// either end.
fn extremes() -> Vec<Vec<u8>> {
    let of_length = |length: usize| {
        let most = u64::MAX >> (64 - 8 * length);
        let values = [0, 1, 1 << (4 * length), most >> 1, (most >> 1) + 1, most];
        values
            .into_iter()
            .flat_map(move |value| [value.to_le_bytes()[..length].to_vec(), value.to_be_bytes()[8 - length..].to_vec()])
    };
    let mut all: Vec<_> = [2, 4, 8].into_iter().flat_map(of_length).collect();
    all.dedup();
    all
}

fn replaced(bytes: &[u8], place: Range<usize>, value: &[u8]) -> Vec<u8> {
    let mut other = bytes.to_vec();
    other.splice(place.clone(), value.iter().copied());
    // The header of safetensors has its length in front.
    if let Some((length, [b'{', ..])) = bytes.split_first_chunk() {
        let end = 8 + u64::from_le_bytes(*length);
        if (8..end).contains(&(place.start as u64)) && end <= bytes.len() as u64 {
            let header = end - 8 + value.len() as u64 - place.len() as u64;
            other[..8].copy_from_slice(&header.to_le_bytes());
        }
    }
    put_right_png(&mut other);
    put_right_tar(&mut other);
    other
}

/// Gives every chunk of a PNG its checksum.
fn put_right_png(bytes: &mut [u8]) {
    let mut at = 8;
    while bytes.starts_with(b"\x89PNG")
        && let Some(length) = bytes.get(at..).and_then(|rest| rest.first_chunk())
        && let Some(end) = (at + 8).checked_add(u32::from_be_bytes(*length) as usize)
        && end + 4 <= bytes.len()
    {
        let sum = crc32fast::hash(&bytes[at + 4..end]).to_be_bytes();
        bytes[end..end + 4].copy_from_slice(&sum);
        at = end + 4;
    }
}

/// Gives every header of a tar file its checksum.
fn put_right_tar(bytes: &mut [u8]) {
    for header in bytes.chunks_exact_mut(512).filter(|block| block[257..].starts_with(b"ustar")) {
        header[148..156].fill(b' ');
        let sum: u32 = header.iter().map(|&byte| u32::from(byte)).sum();
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    }
}
