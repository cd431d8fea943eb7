//! A real keeper with real containers, and engines that die. Needs root.
//!
//! This program is three: the tests, the keeper they start (`keeper EXEC_ROOT`) and an engine to be killed (`engine ...`).

mod bench;
mod connecting;
mod engine;
mod restoring;
mod running;

use std::panic::catch_unwind;
use std::path::Path;
use std::process::ExitCode;

type Test = (&'static str, fn());

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["keeper", exec_root] => keeper::serve::main(Path::new(exec_root)),
        ["engine", exec_root, work] => running::be_an_engine(&bench::Bench::at(Path::new(exec_root)), work),
        ["--list", ..] => ExitCode::SUCCESS,
        words => run(words.iter().copied().find(|word| !word.starts_with('-')).unwrap_or("")),
    }
}

/// Runs the tests whose names contain `filter`.
fn run(filter: &str) -> ExitCode {
    assert!(rustix::process::geteuid().is_root(), "these tests need root");
    let mut failed = Vec::new();
    let all = connecting::TESTS.iter().chain(running::TESTS).chain(restoring::TESTS);
    for (name, test) in all.copied().filter(|(name, _)| name.contains(filter)) {
        let (name, test): Test = (name, test);
        let passed = catch_unwind(test).is_ok();
        println!("test {name} ... {}", if passed { "ok" } else { "FAILED" });
        if !passed {
            failed.push(name);
        }
    }
    if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
