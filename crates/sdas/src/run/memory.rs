//! Memory: what this process has had, and what it may have, where the system tells (Linux).

use super::{Room, RunError, Work};
use crate::network::Counts;
use burn::tensor::Device;
use sdas_kernels::Extent;
use std::path::Path;

/// The most bytes of memory that the process has had since its run's epoch began; outside of a run, since it started.
pub fn peak_memory() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

/// The most bytes of memory that this process can have.
pub(crate) fn memory_limit() -> Option<u64> {
    Bound::under(Path::new("/")).map(|bound| bound.bytes)
}

/// Begins anew to measure [`peak_memory`], from what is in use now; where the system cannot, the peak goes on to be that of
/// the whole process.
pub(crate) fn forget_peak_memory() {
    let _ = std::fs::write("/proc/self/clear_refs", "5");
}

/// The most memory that a process can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Bound {
    bytes: u64,
    /// What sets it.
    by: &'static str,
}

impl Bound {
    /// The tightest of those that the files of the system under `root` tell of.
    fn under(root: &Path) -> Option<Bound> {
        let read = |path: &str| std::fs::read_to_string(root.join(path)).ok();
        let (memory, swap) = read("proc/meminfo").map_or((None, 0), |text| {
            let entry = |name: &str| {
                let line = text.lines().find_map(|line| line.strip_prefix(name))?;
                line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
            };
            (entry("MemTotal:"), entry("SwapTotal:").unwrap_or(0))
        });
        let machine =
            memory.map(|bytes| Bound { bytes: bytes.saturating_add(swap), by: "memory and swap of this machine" });
        let group =
            read("proc/self/cgroup").and_then(|text| text.lines().filter_map(|line| of_group(root, line, swap)).min());
        let group = group.map(|bytes| Bound { bytes, by: "the limit of its control group (cgroup)" });
        let limits = read("proc/self/limits").unwrap_or_default();
        let limit = |name: &str, by| {
            let line = limits.lines().find_map(|line| line.strip_prefix(name))?;
            Some(Bound { bytes: line.split_whitespace().next()?.parse().ok()?, by })
        };
        let own = [
            limit("Max address space", "the limit of its address space (ulimit -v)"),
            limit("Max data size", "the limit of its data (ulimit -d)"),
        ];
        own.into_iter().chain([group, machine]).flatten().min()
    }
}

/// The bytes that a control group, as a line of `/proc/self/cgroup` names it, and those around it leave to their processes.
fn of_group(root: &Path, line: &str, swap: u64) -> Option<u64> {
    let mut parts = line.splitn(3, ':').skip(1);
    let (controllers, path) = (parts.next()?, parts.next()?);
    let is_first = controllers.split(',').any(|name| name == "memory");
    if !is_first && !controllers.is_empty() {
        return None;
    }
    let mount = root.join(if is_first { "sys/fs/cgroup/memory" } else { "sys/fs/cgroup" });
    let number = |path: &Path| std::fs::read_to_string(path).ok()?.trim().parse::<u64>().ok();
    let limit = |group: &Path| match is_first {
        // What is in memory, and that with what is swapped out.
        true => {
            let memory = number(&group.join("memory.limit_in_bytes")).map(|bytes| bytes.saturating_add(swap));
            memory.into_iter().chain(number(&group.join("memory.memsw.limit_in_bytes"))).min()
        }
        false => {
            let swap = number(&group.join("memory.swap.max")).map_or(swap, |own| own.min(swap));
            number(&group.join("memory.max")).map(|bytes| bytes.saturating_add(swap))
        }
    };
    // Within a container the path may be that of outside; then the mount itself is the group.
    let groups = Path::new(path.trim_start_matches('/')).ancestors().map(|group| mount.join(group));
    groups.filter_map(|group| limit(&group)).min()
}

/// The sizes of a step of training: channels, cells, samples of a batch, frames and side of a sample.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StepSize {
    /// How a graphics card goes about it.
    pub(crate) work: Work,
    /// What each is called in the recipe or on the command line.
    pub(crate) keys: [&'static str; 5],
    pub(crate) channels: usize,
    pub(crate) cells: usize,
    pub(crate) batch: usize,
    pub(crate) extent: Extent,
}

/// Sizes that nobody wonders at: the literature's.
const USUAL: [usize; 5] = [16, 8, 64, 16, 224];

impl StepSize {
    /// Says that a step of these sizes is not impossible on this machine, before anything is built for it, and what room it
    /// needs on a graphics card. `counts` are those of the network of so many channels and cells, for samples of such a size.
    ///
    /// # Errors
    ///
    /// [`RunError::TooLarge`] with the key that is furthest from the usual, [`RunError::NoRoom`] with the largest batch for
    /// which there would be room on the card.
    pub(crate) fn check(
        &self,
        device: &Device,
        counts: impl Fn(usize, usize, Extent) -> Counts,
    ) -> Result<Option<Room>, RunError> {
        let [_, height, width] = self.extent;
        self.check_within(Bound::under(Path::new("/")), |[channels, cells, batch, frames, side]| {
            step_bytes(counts(channels, cells, [frames, height.min(side), width.min(side)]), batch, device)
        })?;
        let Some(memory) = sdas_kernels::card_memory(device) else { return Ok(None) };
        let counts = counts(self.channels, self.cells, self.extent);
        // Steps on clips have been seen to take as much as if nothing were shared.
        let is_shared = sdas_kernels::recordings_share_memory(device) && self.extent[0] == 1;
        Room::find(self.work, &counts, (self.keys[2], self.batch), memory, is_shared).map(Some)
    }

    fn check_within(&self, bound: Option<Bound>, needs: impl Fn([usize; 5]) -> f64) -> Result<(), RunError> {
        let [frames, height, width] = self.extent;
        let values = [self.channels, self.cells, self.batch, frames, height.max(width)];
        let all = needs(values);
        let Some(Bound { bytes, by }) = bound.filter(|bound| all > bound.bytes as f64) else { return Ok(()) };
        let otherwise = |at: usize| {
            let mut values = values;
            values[at] = values[at].min(USUAL[at]);
            needs(values)
        };
        let at = (0..USUAL.len()).fold(0, |best, at| if otherwise(at) < otherwise(best) { at } else { best });
        let (key, value) = (self.keys[at], values[at]);
        Err(RunError::TooLarge { key, value, needs: bytes_text(all), has: bytes_text(bytes as f64), by })
    }
}

/// Bytes of this machine's memory that a step of training holds at once, at the least: on the processor the weights, their
/// gradients and their momentum, and what is kept of every sample for the way back; elsewhere the weights, which are made
/// here. There is more (batches, gradients of activations, what threads work on), which depends on how it is computed.
fn step_bytes(counts: Counts, batch: usize, device: &Device) -> f64 {
    let parameters = counts.parameters as f64 + counts.auxiliary_parameters as f64;
    match *device == Device::flex() {
        true => 4.0 * (3.0 * parameters + batch as f64 * counts.activations as f64),
        false => 4.0 * parameters,
    }
}

/// As people read it.
pub(super) fn bytes_text(bytes: f64) -> String {
    const UNITS: [&str; 6] = ["MiB", "GiB", "TiB", "PiB", "EiB", "ZiB"];
    let (mut value, mut unit) = (bytes / f64::from(1 << 20), 0);
    while value >= 1000.0 && unit + 1 < UNITS.len() {
        (value, unit) = (value / 1024.0, unit + 1);
    }
    format!("{value:.1} {}", UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    const GIB: u64 = 1 << 30;

    /// A system's files.
    fn system(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        root
    }

    fn bound(files: &[(&str, &str)]) -> Option<(u64, &'static str)> {
        Bound::under(system(files).path()).map(|bound| (bound.bytes, bound.by))
    }

    const MACHINE: (&str, &str) = ("proc/meminfo", "MemTotal: 8388608 kB\nMemFree: 1 kB\nSwapTotal:  2097152 kB\n");
    const UNLIMITED: &str = "Limit  Soft Limit  Hard Limit  Units\nMax data size             unlimited            unlimited            bytes\n\
                             Max address space         unlimited            unlimited            bytes\n";

    #[test]
    fn the_tightest_bound_counts() {
        assert_eq!(bound(&[]), None);
        let own = (10 * GIB, "memory and swap of this machine");
        assert_eq!(bound(&[MACHINE]), Some(own));
        assert_eq!(bound(&[MACHINE, ("proc/self/limits", UNLIMITED)]), Some(own));
        let limits = UNLIMITED.replacen("space         unlimited", "space         6442450944", 1);
        let (bytes, by) = bound(&[MACHINE, ("proc/self/limits", &limits)]).unwrap();
        assert_eq!(bytes, 6 * GIB);
        assert!(by.contains("ulimit -v"), "{by}");
        let limits = UNLIMITED.replacen("size             unlimited", "size             1073741824", 1);
        assert_eq!(bound(&[MACHINE, ("proc/self/limits", &limits)]).unwrap().0, GIB);
    }

    #[test]
    fn a_control_group_of_either_version_is_seen() {
        let second = |max: &str, swap: &str| {
            bound(&[
                MACHINE,
                ("proc/self/cgroup", "0::/jobs/one\n"),
                ("sys/fs/cgroup/jobs/one/memory.max", "max\n"),
                ("sys/fs/cgroup/jobs/memory.max", max),
                ("sys/fs/cgroup/jobs/memory.swap.max", swap),
            ])
            .unwrap()
            .0
        };
        assert_eq!(second("4294967296\n", "0\n"), 4 * GIB);
        assert_eq!(second("4294967296\n", "1073741824\n"), 5 * GIB);
        assert_eq!(second("4294967296\n", "max\n"), 6 * GIB);
        assert_eq!(second("max\n", "max\n"), 10 * GIB);
        let first = |group: &str, both: &str| {
            bound(&[
                MACHINE,
                ("proc/self/cgroup", "12:cpu,cpuacct:/\n4:memory:/docker/0123\n0::/\n"),
                (&format!("sys/fs/cgroup/memory{group}/memory.limit_in_bytes"), "3221225472\n"),
                (&format!("sys/fs/cgroup/memory{group}/memory.memsw.limit_in_bytes"), both),
            ])
            .unwrap()
        };
        // As it is seen from outside of a container, and from inside.
        for group in ["/docker/0123", "/docker", ""] {
            assert_eq!(first(group, "3221225472\n"), (3 * GIB, "the limit of its control group (cgroup)"));
            assert_eq!(first(group, "9223372036854771712\n").0, 5 * GIB);
        }
    }

    #[test]
    fn what_cannot_be_is_refused_by_the_key_that_is_furthest_from_the_usual() {
        let bound = Some(Bound { bytes: 6 * GIB, by: "the limit" });
        let check = |channels, cells, batch| {
            let keys = ["channels", "cells", "batch", "frames", "side"];
            let size = StepSize { work: Work::SEARCH, keys, channels, cells, batch, extent: [1, 8, 32] };
            let needs = |values: [usize; 5]| values.map(|value| value as f64).iter().product::<f64>() * 32768.0;
            size.check_within(bound, needs).map_err(|error| error.to_string())
        };
        assert_eq!(check(16, 8, 48), Ok(()));
        let message = "channels: is 512, but a step would hold at least 1.0 TiB at once, and this process can have 6.0 GiB \
                       (the limit)\n  remedy: make it smaller";
        assert_eq!(check(512, 8, 256).unwrap_err(), message);
        assert!(check(16, 100_000, 64).unwrap_err().starts_with("cells: is 100000, "));
        assert!(check(16, 9, 10_000).unwrap_err().starts_with("batch: is 10000, "));
    }
}
