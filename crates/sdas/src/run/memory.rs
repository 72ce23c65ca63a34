//! Memory of this process, where the system tells (Linux).

/// The most bytes of memory that the process has had since its run's epoch began; outside of a run, since it started.
pub fn peak_memory() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

/// Begins anew to measure [`peak_memory`], from what is in use now; where the system cannot, the peak goes on to be that of
/// the whole process.
pub(crate) fn forget_peak_memory() {
    let _ = std::fs::write("/proc/self/clear_refs", "5");
}
