//! What fuzzers have found, and what is made by chance of inputs that are taken. `FUZZ_RUNS` says how many of each target.

use sdas_data::random::{below, stream};
use sdas_fuzz::{TARGETS, Target, changed, sized};
use std::fs;
use std::path::Path;

/// Inputs that were once read wrongly.
fn found(target: &Target) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target.name);
    let mut files: Vec<_> = fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files.iter().map(|path| fs::read(path).unwrap()).collect()
}

/// One after another, or the one that `FUZZ_TARGET` names: what is counted is the whole process's memory.
#[test]
fn whatever_the_bytes_are_they_are_read_or_refused() {
    let runs = std::env::var("FUZZ_RUNS").map_or(200, |text| text.parse().expect("a number"));
    let named = std::env::var("FUZZ_TARGET").ok();
    for target in TARGETS.into_iter().filter(|target| named.as_deref().is_none_or(|name| name == target.name)) {
        let seeds: Vec<Vec<u8>> = (target.seeds)().into_iter().chain(found(&target)).collect();
        seeds.iter().for_each(|seed| target.check(seed));
        // Any place where a file may be cut off.
        for seed in seeds.iter().filter(|seed| seed.len() < 1 << 12) {
            (0..seed.len()).step_by(1 + seed.len() / 200).for_each(|length| target.check(&seed[..length]));
        }
        // Any size that it declares.
        for seed in seeds.iter().filter(|_| target.sizes > 0) {
            let step = sized(seed).count().div_ceil(target.sizes.max(runs));
            sized(seed).step_by(step.max(1)).for_each(|bytes| target.check(&bytes));
        }
        let mut chance = stream(1, target.name, [0; 2]);
        for _ in 0..runs {
            let [one, other] = [0; 2].map(|_| &seeds[below(&mut chance, seeds.len())]);
            let bytes = changed(one, other, &mut chance);
            let outcome = std::panic::catch_unwind(|| target.check(&bytes));
            if let Err(panic) = outcome {
                let kept = std::env::temp_dir().join(format!("{}-found", target.name));
                fs::write(&kept, bytes).unwrap();
                eprintln!("the input is in {}", kept.display());
                std::panic::resume_unwind(panic);
            }
        }
    }
}

#[test]
fn every_number_becomes_every_extreme() {
    let of = |bytes: &[u8]| sized(bytes).collect::<Vec<_>>();
    let text = of(b"12 {3}");
    assert_eq!(text.len(), 2 * 11);
    assert!(text.contains(&b"18446744073709551615 {3}".to_vec()) && text.contains(&b"12 {-1}".to_vec()));
    let binary = of(&[0xff; 4]);
    assert!(binary.contains(&vec![0xff, 0, 1, 0xff]) && binary.contains(&vec![0, 0, 0, 1]));
    // With its length, and with its checksum.
    let safetensors = [&[4, 0, 0, 0, 0, 0, 0, 0][..], b"{12}data"].concat();
    assert!(of(&safetensors).contains(&[&[7, 0, 0, 0, 0, 0, 0, 0][..], b"{65535}data"].concat()));
    let png = b"\x89PNG\r\n\x1a\n\0\0\0\0abcd\0\0\0\0";
    let changed = b"\x89PNG\r\n\x1a\n\0\0\0\0\xff\xffcd";
    let changed = [&changed[..], &crc32fast::hash(&changed[12..]).to_be_bytes()].concat();
    assert!(of(png).contains(&changed));
}
