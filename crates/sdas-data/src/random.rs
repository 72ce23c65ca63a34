//! Named random streams: chance as a pure function of (seed, name, position).
//!
//! Nothing here is carried from one step to the next, so nothing has to be saved: a resumed run, or
//! one with another number of threads, asks for the same stream again and gets the same numbers.
//! Names keep uses apart: drawing once more for one purpose shifts nothing for another.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

/// A generator of random numbers; the same on every platform.
pub type Stream = ChaCha8Rng;

/// The stream called `name` of a run with this `seed`, at a position `at`, such as `[epoch,
/// picture]`.
///
/// The four are the generator's 256-bit key, the name by its FNV-1a hash, so streams that differ in
/// any of them are independent of each other.
pub fn stream(seed: u64, name: &str, at: [u64; 2]) -> Stream {
    let mut key = [0; 32];
    let words = [seed, fnv1a(name.as_bytes()), at[0], at[1]];
    for (bytes, word) in key.chunks_exact_mut(8).zip(words) {
        bytes.copy_from_slice(&word.to_le_bytes());
    }
    Stream::from_seed(key)
}

/// The 64-bit FNV-1a hash: stable over releases and platforms, which the standard library's hasher
/// is not.
pub(crate) fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3))
}

/// A uniform number in `0..bound`. Multiply and shift: always one draw, with a bias below `bound` /
/// 2⁶⁴.
pub fn below(rng: &mut Stream, bound: usize) -> usize {
    ((u128::from(rng.next_u64()) * bound as u128) >> 64) as usize
}

/// A uniform number in [0, 1) with 24 bits.
pub(crate) fn unit(rng: &mut Stream) -> f32 {
    (rng.next_u32() >> 8) as f32 / (1 << 24) as f32
}

/// A uniform number in [`low`, `high`).
pub(crate) fn between(rng: &mut Stream, low: f32, high: f32) -> f32 {
    low + (high - low) * unit(rng)
}

/// A uniform unit vector: a point in the unit disc, not too near its centre, brought to the circle.
pub(crate) fn direction(rng: &mut Stream) -> [f32; 2] {
    loop {
        let [x, y] = [(); 2].map(|()| between(rng, -1.0, 1.0));
        let square = x * x + y * y;
        if (0.01..=1.0).contains(&square) {
            return [x / square.sqrt(), y / square.sqrt()];
        }
    }
}

/// Nearly normal with mean 0 and variance 1: the sum of four uniform bytes, for one draw.
pub(crate) fn bell(rng: &mut Stream) -> f32 {
    let sum: u32 = rng.next_u32().to_le_bytes().into_iter().map(u32::from).sum();
    // Mean 4 · 127.5, variance 4 · (256² − 1) / 12.
    (sum as f32 - 510.0) / 147.8
}

/// Fisher–Yates. Written out, as is [`below`], so that no release of another crate can change an
/// order that a run was started with.
pub(crate) fn shuffle<T>(items: &mut [T], rng: &mut Stream) {
    for end in (1..items.len()).rev() {
        items.swap(end, below(rng, end + 1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_fnv1a() {
        // Test vectors of the FNV authors: http://www.isthe.com/chongo/tech/comp/fnv/
        assert_eq!(fnv1a(b""), 0xcbf29ce484222325);
        assert_eq!(fnv1a(b"a"), 0xaf63dc4c8601ec8c);
        assert_eq!(fnv1a(b"foobar"), 0x85944171f73967e8);
    }

    #[test]
    fn a_stream_is_its_seed_name_and_position() {
        let first = |seed, name, at| stream(seed, name, at).next_u64();
        let one = first(1, "crop", [2, 3]);
        assert_eq!(one, first(1, "crop", [2, 3]));
        for other in
            [first(2, "crop", [2, 3]), first(1, "flip", [2, 3]), first(1, "crop", [3, 3]), first(1, "crop", [2, 2])]
        {
            assert_ne!(one, other);
        }
    }

    #[test]
    fn below_and_unit_stay_in_range_and_reach_it() {
        let mut rng = stream(0, "range", [0, 0]);
        let mut seen = [0; 5];
        for _ in 0..5000 {
            seen[below(&mut rng, 5)] += 1;
            assert!((0.0..1.0).contains(&unit(&mut rng)));
        }
        assert!(seen.iter().all(|count| (900..1100).contains(count)), "{seen:?}");
    }

    #[test]
    fn shuffle_permutes() {
        let mut items: Vec<_> = (0..100).collect();
        shuffle(&mut items, &mut stream(0, "shuffle", [0, 0]));
        assert!(!items.is_sorted());
        items.sort();
        assert!(items.iter().copied().eq(0..100));
    }
}
