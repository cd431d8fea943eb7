//! Runs tests one after another in this process of one thread, and looks that each leaves nothing.

use super::world::reap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;

/// A test: its name, and what it does with what all share.
pub type Case<T> = (&'static str, fn(&T));

/// Runs those whose name has one of the words of the command line in it, or all; `make` makes what they share. Needs root.
pub fn run<T>(tests: &[Case<T>], make: impl FnOnce() -> T) -> ExitCode {
    if !rustix::process::geteuid().is_root() {
        println!("containers need root: not run");
        return ExitCode::SUCCESS;
    }
    let wanted: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let shared = make();
    let mut failed = Vec::new();
    for (name, test) in tests {
        if !wanted.is_empty() && !wanted.iter().any(|word| name.contains(word.as_str())) {
            continue;
        }
        let passed = catch_unwind(AssertUnwindSafe(|| test(&shared))).is_ok() & nothing_is_left(name);
        println!("test {name} ... {}", if passed { "ok" } else { "FAILED" });
        if !passed {
            failed.push(*name);
        }
    }
    println!("{} failed: {failed:?}", failed.len());
    if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// No child of ours is left, running or dead.
fn nothing_is_left(name: &str) -> bool {
    let left = std::fs::read_to_string(format!("/proc/self/task/{}/children", std::process::id())).unwrap_or_default();
    let pids: Vec<i32> = left.split_ascii_whitespace().filter_map(|pid| pid.parse().ok()).collect();
    for pid in &pids {
        println!("{name}: process {pid} was left");
        let _ = sys::signal::send(*pid, 9);
    }
    // The first of a pid namespace ends after all others in it, so those are reaped first.
    for pid in pids.into_iter().rev() {
        reap(pid);
    }
    left.trim().is_empty()
}
