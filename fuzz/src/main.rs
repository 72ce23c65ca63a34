//! libFuzzer on the target that `FUZZ_TARGET` names, whose seeds are put into the folder `FUZZ_SEEDS`.
#![no_main]
#![allow(missing_docs)]

use libfuzzer_sys::fuzz_target;
use sdas_fuzz::Target;
use std::sync::LazyLock;

static TARGET: LazyLock<Target> = LazyLock::new(|| {
    let name = std::env::var("FUZZ_TARGET").expect("FUZZ_TARGET names a target");
    Target::named(&name).expect("there is a target of this name")
});

fn put_seeds() {
    let folder = std::path::PathBuf::from(std::env::var_os("FUZZ_SEEDS").expect("FUZZ_SEEDS is a folder"));
    for (number, seed) in (TARGET.seeds)().into_iter().enumerate() {
        std::fs::write(folder.join(format!("seed-{number}")), seed).expect("seeds can be written");
    }
}

fuzz_target!(init: put_seeds(), |bytes: &[u8]| TARGET.check(bytes));
