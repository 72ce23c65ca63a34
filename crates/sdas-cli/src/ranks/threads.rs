//! How many threads are a rank's share, where several run on one machine.

use std::num::NonZeroUsize;
use std::thread::available_parallelism;

/// Cores that are told apart.
const CORES: usize = 1024;

/// The cores that this process may run on, a bit each; none where the system does not say.
pub(super) fn allowed() -> Vec<u8> {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:")).unwrap_or_default();
    bits(list.trim())
}

/// The bits of a list such as `0-3,8`.
fn bits(list: &str) -> Vec<u8> {
    let mut bits = vec![0; CORES / 8];
    for part in list.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (Ok(first), Ok(last)) = (first.parse::<usize>(), last.parse::<usize>()) else { continue };
        (first..=last.min(CORES - 1)).for_each(|core| bits[core / 8] |= 1 << (core % 8));
    }
    bits
}

/// How many threads are the share of the process with the cores `own` among those of a machine, `all` one after another: of
/// every core that several may run on, each has a part.
pub(super) fn share(own: &[u8], all: &[u8]) -> usize {
    let has = |bits: &[u8], core: usize| bits[core / 8] >> (core % 8) & 1 == 1;
    let cores = || (0..CORES).filter(|&core| has(own, core));
    let takers = |core: usize| all.chunks_exact(own.len()).filter(|bits| has(bits, core)).count().max(1);
    let part: f64 = cores().map(|core| 1.0 / takers(core) as f64).sum();
    let most = available_parallelism().map_or(1, NonZeroUsize::get);
    // Where the system allows less time than it has cores, or does not say which.
    let bound = match cores().count() {
        0 => most as f64 / (all.len() / own.len()).max(1) as f64,
        count => part * (most as f64 / count as f64).min(1.0),
    };
    // A third of three cores is one, whatever rounding makes of it.
    (bound + 1e-6).floor().max(1.0) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cores_are_shared_with_whom_may_run_on_them() {
        let share =
            |own: &str, all: &[&str]| share(&bits(own), &all.iter().flat_map(|list| bits(list)).collect::<Vec<_>>());
        let most = available_parallelism().map_or(1, NonZeroUsize::get);
        let first = format!("0-{}", most - 1);
        // Bound to a core each; not bound at all; two that share a core, and one that has its own.
        assert_eq!(share("0", &["0", "1"]), 1);
        assert_eq!(share(&first, &[&first]), most);
        assert_eq!(share(&first, &[&first, &first]), (most / 2).max(1));
        assert_eq!(share("7", &["7", "7", "8"]), 1);
        // Where it is not known.
        assert_eq!(share("", &["", ""]), (most / 2).max(1));
        assert_eq!(bits("0-3,8\n")[..2], [15, 0]);
        assert_eq!(bits("0-3,8")[..2], [15, 1]);
    }
}
