//! The project's own tools: `cargo xtask tidy | test | fuzz | bench | vm | conformance | dist`.
#![forbid(unsafe_code)]

mod bench;
mod conformance;
mod dist;
mod fuzz;
mod suite;
mod tidy;
mod vm;

use std::process::ExitCode;

const USAGE: &str = "\
usage: cargo xtask COMMAND

  tidy                 the house rules that a program can check
  test [--vm]          everything: tidy, format, lints, unit tests, black-box tests (as root); then in machines, see vm
  fuzz [OPTIONS] [TARGET...]
                       mutated input for every parser of foreign bytes; findings stay in target/fuzz/found
      --seconds N      for each target (default 20)
  bench [OPTIONS]      side by side with docker, podman, crun and runc, as far as installed
      --runs N         samples of each figure (default 20)
      --only NAME,...  these figures only; --list names them
      --json FILE      raw numbers (default target/bench.json)
  vm [OPTIONS]         checks in a QEMU machine with cgroup v2, on other kernels
      --machine NAME   smoke (the engine; the default), alone (the OCI runtime in a Debian without systemd), systemd (with);
                       repeatable
      --kernel NAME    a suite of Debian (bookworm, sid), PACKAGE/SUITE, or an unpacked package; repeatable
      --runtime PATH   a runtime of the Debian, instead of ours, to check the checks (/usr/sbin/runc)
      --bats DIR       runc's own suite, too (DIR is a checkout of runc, its tests' programs built)
      --only NAME,...  these checks only
      --profile NAME   which build of dhow (default dev)
      --binary PATH    a dhow that is built already
      --cpus N, --memory MIB
  dist [OPTIONS]       what is given away, in target/dist: binary, manual, completions, systemd units, sample settings, sums, archive
      --binary PATH    a dhow that is built already
  conformance SUITE DIR [OPTIONS]
                       another project's suite (runc-bats, contest, runtime-tools; docker-py for the engine; DIR is its
                       checkout) on peers and on ours; testcontainers (DIR keeps a Debian it makes);
                       compose PROGRAM (our tests of docker-compose with another one)
      --runtime PATH   ours (default: the dev build of dhow)
      --peer PATH      compared with; repeatable (default: the runc, or dockerd, that is installed)
      --only PART,...  these files, programs or groups only
      --cached         peers' results of an earlier run, where there are any
      --rootless       runc-bats as the user `rootless`
";

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let done = match words.split_first().map(|(first, rest)| (first.as_str(), rest)) {
        Some(("tidy", [])) => tidy::run(),
        Some(("test", [])) => suite::run(),
        Some(("test", [option])) if option == "--vm" => suite::run_in_machines(),
        Some(("fuzz", options)) => fuzz::run(options),
        Some(("bench", options)) => bench::run(options),
        Some(("vm", options)) => vm::run(options),
        Some(("dist", options)) => dist::run(options),
        Some(("conformance", words)) => conformance::run(words),
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
