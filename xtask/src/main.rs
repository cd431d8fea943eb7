//! The project's own tools: `cargo xtask tidy | test | fuzz | bench | vm`.
#![forbid(unsafe_code)]

mod bench;
mod fuzz;
mod suite;
mod tidy;
mod vm;

use std::process::ExitCode;

const USAGE: &str = "\
usage: cargo xtask COMMAND

  tidy                 the house rules that a program can check
  test                 everything: tidy, format, lints, unit tests, black-box tests (as root)
  fuzz [OPTIONS] [TARGET...]
                       mutated input for every parser of foreign bytes; findings stay in target/fuzz/found
      --seconds N      for each target (default 20)
  bench [OPTIONS]      side by side with docker, podman, crun and runc, as far as installed
      --runs N         samples of each figure (default 20)
      --only NAME,...  these figures only; --list names them
      --json FILE      raw numbers (default target/bench.json)
  vm [OPTIONS]         checks in a QEMU machine with cgroup v2, on other kernels
      --kernel NAME    a suite of Debian (bookworm, sid: the default), PACKAGE/SUITE, or an unpacked package; repeatable
      --only NAME,...  these checks only
      --profile NAME   which build of dhow (default dev)
      --binary PATH    a dhow that is built already
      --cpus N, --memory MIB
";

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let done = match words.split_first().map(|(first, rest)| (first.as_str(), rest)) {
        Some(("tidy", [])) => tidy::run(),
        Some(("test", [])) => suite::run(),
        Some(("fuzz", options)) => fuzz::run(options),
        Some(("bench", options)) => bench::run(options),
        Some(("vm", options)) => vm::run(options),
        _ => Err(USAGE.to_owned()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("{}", message.trim_end());
            ExitCode::FAILURE
        }
    }
}
