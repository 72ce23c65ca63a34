//! Inputs from inputs, by chance: for runs without libFuzzer.

/// Numbers by chance, the same for the same seed (SplitMix64).
#[derive(Debug, Clone)]
pub struct Chance(pub u64);

impl Chance {
    /// The next number below `end`, which is 0 if that is.
    pub fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % end.max(1) as u64) as usize
    }
}

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
pub fn changed(bytes: &[u8], other: &[u8], chance: &mut Chance) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for _ in 0..=chance.below(4) {
        let at = chance.below(bytes.len() + 1);
        let most = 1 + (8 << chance.below(8));
        let end = at + chance.below((bytes.len() - at + 1).min(most));
        match chance.below(8) {
            0 if at < bytes.len() => bytes[at] ^= 1 << chance.below(8),
            1 => bytes.truncate(at),
            2 => drop(bytes.drain(at..end)),
            3 => drop(bytes.splice(at..end, WORDS[chance.below(WORDS.len())].iter().copied())),
            4 => bytes = [&bytes[..end], &bytes[at..]].concat(),
            5 => {
                let from = chance.below(other.len() + 1);
                let to = from + chance.below(other.len() - from + 1);
                drop(bytes.splice(at..end, other[from..to].iter().copied()));
            }
            6 => change_number(&mut bytes, at, chance),
            _ if at < bytes.len() => bytes[at] = chance.below(256) as u8,
            _ => {}
        }
    }
    bytes
}

/// Another number in the place of the next one in digits.
fn change_number(bytes: &mut Vec<u8>, from: usize, chance: &mut Chance) {
    let Some(at) = bytes[from..].iter().position(u8::is_ascii_digit).map(|at| from + at) else { return };
    let end = bytes[at..].iter().position(|byte| !byte.is_ascii_digit()).map_or(bytes.len(), |length| at + length);
    let number = match chance.below(3) {
        0 => chance.below(10),
        1 => chance.below(usize::MAX),
        _ => 1 << chance.below(64),
    };
    bytes.splice(at..end, number.to_string().into_bytes());
}
