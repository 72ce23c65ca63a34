//! Everything that reads a file of a stranger's, as functions of bytes that a fuzzer may choose.
//!
//! Of whatever bytes there are: no panic, no abort, no more than a second, and no more memory than [`most`] allows. What a
//! fuzzer has found lies in `corpus/TARGET/`, and is tried by `tests/short.rs` in every test run, with what is made of seeds
//! by chance; `fuzz/run` lets libFuzzer choose, for as long as one likes.

pub mod allocator;
mod cells;
mod change;
mod clips;
mod data;
mod runs;
mod sizes;

pub use change::changed;
pub use sizes::sized;

use std::time::{Duration, Instant};

#[global_allocator]
static ALLOCATOR: allocator::Counting = allocator::Counting;

/// Something that reads bytes.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// Its name, which is also that of its corpus's folder.
    pub name: &'static str,
    /// Inputs that it takes.
    pub seeds: fn() -> Vec<Vec<u8>>,
    /// Reads these bytes.
    pub read: fn(&[u8]),
    /// Of a seed that says how large something is that is then made room for, how many that say something else are tried in
    /// a short run: all, unless each takes long.
    pub sizes: usize,
}

const ALL: usize = usize::MAX;

/// All of them.
pub const TARGETS: [Target; 19] = [
    Target { name: "genotype_json", seeds: cells::json_seeds, read: cells::json, sizes: 0 },
    Target { name: "genotype_text", seeds: cells::text_seeds, read: cells::text, sizes: 0 },
    Target { name: "benchmark_text", seeds: cells::benchmark_seeds, read: cells::benchmark, sizes: 0 },
    Target { name: "table", seeds: cells::table_seeds, read: cells::table, sizes: 0 },
    Target { name: "recipe", seeds: runs::recipe_seeds, read: runs::recipe, sizes: 0 },
    Target { name: "override", seeds: runs::override_seeds, read: runs::overrides, sizes: 0 },
    Target { name: "checkpoint", seeds: runs::checkpoint_seeds, read: runs::checkpoint, sizes: ALL },
    Target { name: "run_folder", seeds: runs::folder_seeds, read: runs::folder_of_run, sizes: 0 },
    Target { name: "comparison", seeds: runs::comparison_seeds, read: runs::comparison, sizes: 0 },
    Target { name: "safetensors", seeds: runs::safetensors_seeds, read: runs::safetensors, sizes: ALL },
    Target { name: "pth", seeds: runs::pth_seeds, read: runs::pth, sizes: ALL },
    Target { name: "cifar", seeds: data::cifar_seeds, read: data::cifar, sizes: 0 },
    Target { name: "picture", seeds: data::picture_seeds, read: data::picture, sizes: ALL },
    Target { name: "lists", seeds: data::list_seeds, read: data::lists, sizes: 0 },
    Target { name: "metadata", seeds: data::metadata_seeds, read: data::metadata, sizes: 0 },
    Target { name: "shard", seeds: data::shard_seeds, read: data::shard, sizes: ALL },
    Target { name: "cache", seeds: data::cache_seeds, read: data::cache, sizes: 200 },
    Target { name: "packs", seeds: data::packs_seeds, read: data::packs, sizes: ALL },
    Target { name: "container", seeds: clips::container_seeds, read: clips::container, sizes: ALL },
];

/// How long reading may take.
const LONG: Duration = Duration::from_secs(1);

/// The most memory that an input of so many bytes may take: what is read of a file is held a few times over, as bytes, as
/// text and as what it means; a table has a number for each of its space's 15,625 cells in every column; decoders of pictures
/// have tables of their own, and pictures here may have a million pixels.
pub fn most(bytes: usize) -> usize {
    (48 << 20) + 256 * bytes
}

impl Target {
    /// The target of this name.
    pub fn named(name: &str) -> Option<Target> {
        TARGETS.into_iter().find(|target| target.name == name)
    }

    /// Reads these bytes and sees that it took neither too long nor too much.
    ///
    /// # Panics
    /// If it did, or reading panics.
    pub fn check(&self, bytes: &[u8]) {
        let read = || {
            let peak = allocator::peak(|| (self.read)(bytes));
            assert!(peak <= most(bytes.len()), "{} takes {peak} bytes of memory for {}", self.name, bytes.len());
        };
        let begun = Instant::now();
        read();
        if begun.elapsed() < LONG {
            return;
        }
        // Another process may have had the processor meanwhile: what this one had of it counts.
        let before = processor_time();
        read();
        let took = processor_time().saturating_sub(before);
        assert!(took < LONG, "{} takes {took:?} for {} bytes", self.name, bytes.len());
    }
}

/// How long this process has had a processor, where the system tells; elsewhere no time is too long.
fn processor_time() -> Duration {
    let ticks = || {
        let text = std::fs::read_to_string("/proc/self/stat").ok()?;
        // After the name, which may hold blanks: what it computed itself, and what the system did for it.
        let mut numbers = text.rsplit_once(')')?.1.split_whitespace().skip(11);
        Some(numbers.next()?.parse::<u64>().ok()? + numbers.next()?.parse::<u64>().ok()?)
    };
    // A tick is a hundredth of a second for whoever reads it there.
    Duration::from_millis(10 * ticks().unwrap_or(0))
}
