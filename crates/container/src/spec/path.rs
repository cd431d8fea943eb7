//! Paths of /proc and /sys that a container sees empty or read-only.

use crate::Config;
use std::sync::OnceLock;

/// Docker's, with what its advisories GHSA-6fw5-f8r9-fgfm (interrupts, thermal_throttle) and GHSA-jq35-85cj-fj4p (powercap) added.
const MASKED: [&str; 12] = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
];

const READONLY: [&str; 5] = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/// What to mask; the user's own list stands in place of the defaults.
pub(super) fn masked(config: &Config) -> Vec<String> {
    match &config.masked_paths {
        Some(paths) => paths.clone(),
        None if is_open(config) => Vec::new(),
        None => MASKED.iter().map(|path| (*path).to_owned()).chain(throttle_folders().iter().cloned()).collect(),
    }
}

/// What to make read-only.
pub(super) fn readonly(config: &Config) -> Vec<String> {
    match &config.readonly_paths {
        Some(paths) => paths.clone(),
        None if is_open(config) => Vec::new(),
        None => READONLY.iter().map(|path| (*path).to_owned()).collect(),
    }
}

fn is_open(config: &Config) -> bool {
    config.privileged || config.system_paths_unconfined
}

/// The thermal_throttle folder of each processor that has one; looked for once, they do not change while the machine runs.
fn throttle_folders() -> &'static [String] {
    static FOUND: OnceLock<Vec<String>> = OnceLock::new();
    FOUND.get_or_init(|| {
        let possible = std::fs::read_to_string("/sys/devices/system/cpu/possible").unwrap_or_default();
        let folder = |number: u32| format!("/sys/devices/system/cpu/cpu{number}/thermal_throttle");
        processors(&possible).into_iter().map(folder).filter(|path| std::path::Path::new(path).exists()).collect()
    })
}

/// `0-3,5` (cpu list format, kernel admin-guide/cputopology.rst); at most 8192 of them, the kernel's own limit.
fn processors(text: &str) -> Vec<u32> {
    let range = |part: &str| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        Some(first.parse::<u32>().ok()?..=last.parse::<u32>().ok()?)
    };
    text.trim().split(',').filter_map(range).flatten().take(8192).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_processors_is_read_as_the_kernel_writes_it() {
        assert_eq!(processors("0-2,5\n"), [0, 1, 2, 5]);
        assert_eq!(processors("0\n"), [0]);
        assert!(processors("").is_empty());
        assert_eq!(processors("0-4294967295").len(), 8192);
    }
}
