//! Memory of this process, where the system tells (Linux).

/// Bytes of memory in use now.
pub fn memory_in_use() -> Option<u64> {
    status("VmRSS:")
}

/// The most bytes of memory that the process has had.
pub fn peak_memory() -> Option<u64> {
    status("VmHWM:")
}

/// Begins anew to measure [`peak_memory`], from what is in use now; where the system cannot, the peak goes on to be that of
/// the whole process.
pub(crate) fn forget_peak_memory() {
    let _ = std::fs::write("/proc/self/clear_refs", "5");
}

fn status(key: &str) -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(key))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}
