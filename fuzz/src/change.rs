//! Inputs from inputs, by chance: for runs without libFuzzer.

use sdas_data::random::{Stream, below};

/// What is worth trying in the place of something else.
const WORDS: [&[u8]; 16] = [
    b"",
    b"-1",
    b"0",
    b"18446744073709551615",
    b"9223372036854775808",
    b"4294967296",
    b"1e999",
    b"nan",
    b"../../../etc/passwd",
    b"/etc/passwd",
    b"\0",
    b"\xff\xff\xff\xff\xff\xff\xff\xff",
    b"\xff\xff\xff\x7f",
    b"\xef\xbb\xbf",
    b"[[[[[[[[",
    b"\xf0\x9f\x98\x80",
];

/// `bytes` with a few changes, or with a part of `other`.
pub fn changed(bytes: &[u8], other: &[u8], chance: &mut Stream) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for _ in 0..=below(chance, 4) {
        let at = below(chance, bytes.len() + 1);
        let most = 1 + (8 << below(chance, 8));
        let end = at + below(chance, (bytes.len() - at + 1).min(most));
        match below(chance, 8) {
            0 if at < bytes.len() => bytes[at] ^= 1 << below(chance, 8),
            1 => bytes.truncate(at),
            2 => drop(bytes.drain(at..end)),
            3 => drop(bytes.splice(at..end, WORDS[below(chance, WORDS.len())].iter().copied())),
            4 => bytes = [&bytes[..end], &bytes[at..]].concat(),
            5 => {
                let from = below(chance, other.len() + 1);
                let to = from + below(chance, other.len() - from + 1);
                drop(bytes.splice(at..end, other[from..to].iter().copied()));
            }
            6 => change_number(&mut bytes, at, chance),
            _ if at < bytes.len() => bytes[at] = below(chance, 256) as u8,
            _ => {}
        }
    }
    bytes
}

/// Another number in the place of the next one in digits.
fn change_number(bytes: &mut Vec<u8>, from: usize, chance: &mut Stream) {
    let Some(at) = bytes[from..].iter().position(u8::is_ascii_digit).map(|at| from + at) else { return };
    let end = bytes[at..].iter().position(|byte| !byte.is_ascii_digit()).map_or(bytes.len(), |length| at + length);
    let number = match below(chance, 3) {
        0 => below(chance, 10),
        1 => below(chance, usize::MAX),
        _ => 1 << below(chance, 64),
    };
    bytes.splice(at..end, number.to_string().into_bytes());
}
