//! Containers made without a keeper, on the real kernel and as root. Every test leaves nothing behind.

mod bundle;
mod execs;
mod gates;
mod hooks;
mod listeners;
mod rootless;
mod seals;
#[path = "../containers/world.rs"]
mod world;

use bundle::Bundle;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;

type Test = (&'static str, fn(&Bundle));

fn main() -> ExitCode {
    if let Some(code) = seals::other_face() {
        return code;
    }
    if !rustix::process::geteuid().is_root() {
        println!("containers need root: not run");
        return ExitCode::SUCCESS;
    }
    let wanted: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let bundle = Bundle::new();
    let mut failed = Vec::new();
    let all = [gates::TESTS, hooks::TESTS, execs::TESTS, listeners::TESTS, rootless::TESTS, seals::TESTS].concat();
    for (name, test) in all {
        if !wanted.is_empty() && !wanted.iter().any(|word| name.contains(word.as_str())) {
            continue;
        }
        let passed = catch_unwind(AssertUnwindSafe(|| test(&bundle))).is_ok() & nothing_is_left(name);
        println!("test {name} ... {}", if passed { "ok" } else { "FAILED" });
        if !passed {
            failed.push(name);
        }
    }
    println!("{} failed: {failed:?}", failed.len());
    if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// No child of ours is left, running or dead.
fn nothing_is_left(name: &str) -> bool {
    let left = std::fs::read_to_string(format!("/proc/self/task/{}/children", std::process::id())).unwrap_or_default();
    for pid in left.split_ascii_whitespace().filter_map(|pid| pid.parse().ok()) {
        println!("{name}: process {pid} was left");
        let _ = sys::signal::send(pid, 9);
        world::reap(pid);
    }
    left.trim().is_empty()
}
