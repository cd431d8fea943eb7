//! Containers on the real kernel, as root, from a keeper of one thread. Every test leaves nothing behind.

mod attacks;
mod basics;
mod bundles;
mod failures;
mod joins;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use world::World;

type Test = (&'static str, fn(&World));

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1).peekable();
    if arguments.next_if(|argument| argument == "--tiny-init").is_some() {
        return runtime::init_main(arguments);
    }
    if !rustix::process::geteuid().is_root() {
        println!("containers need root: not run");
        return ExitCode::SUCCESS;
    }
    let wanted: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let world = World::new();
    let mut failed = Vec::new();
    for (name, test) in [basics::TESTS, failures::TESTS, attacks::TESTS, joins::TESTS, bundles::TESTS].concat() {
        if !wanted.is_empty() && !wanted.iter().any(|word| name.contains(word.as_str())) {
            continue;
        }
        let passed = catch_unwind(AssertUnwindSafe(|| test(&world))).is_ok() & nothing_is_left(name);
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
    let pids: Vec<i32> = left.split_ascii_whitespace().filter_map(|pid| pid.parse().ok()).collect();
    for pid in &pids {
        println!("{name}: process {pid} was left");
        let _ = sys::signal::send(*pid, 9);
    }
    // The first of a pid namespace ends after all others in it, so those are reaped first.
    for pid in pids.into_iter().rev() {
        world::reap(pid);
    }
    left.trim().is_empty()
}
