//! What fuzzers have found, and what is made by chance of inputs that are taken. `FUZZ_RUNS` says how many of each target.

use sdas_fuzz::{Chance, TARGETS, Target, changed};
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
        let mut chance = Chance(1);
        for _ in 0..runs {
            let [one, other] = [0; 2].map(|_| &seeds[chance.below(seeds.len())]);
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
