//! What the tests of groups have in common: entering one, and waiting.

use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

/// Puts another process in, by the files a process would enter with itself.
pub fn enter(entry: &sys::CgroupEntry, pid: u32) {
    let (files, folder) = entry.ways();
    assert!(!files.is_empty() || folder.is_some(), "a group has an entry");
    for file in files {
        rustix::io::write(file, pid.to_string().as_bytes()).unwrap();
    }
    if let Some(folder) = folder {
        let path = format!("/proc/self/fd/{}/cgroup.procs", folder.as_raw_fd());
        std::fs::write(path, pid.to_string()).unwrap();
    }
}

/// Whether a condition comes to hold within half a minute.
#[expect(clippy::disallowed_methods, reason = "a step of waiting for a condition with a deadline")]
pub fn eventually(mut condition: impl FnMut() -> bool) -> bool {
    let until = Instant::now() + Duration::from_secs(30);
    while Instant::now() < until {
        if condition() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    false
}
