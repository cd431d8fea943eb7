//! Looks at argv0 and the first word, calls one crate, maps the result to an exit code.
//!
//! One binary, many faces. Nothing is set up before the face is known: the command line and the keeper start fast.
#![forbid(unsafe_code)]

use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut args = std::env::args_os();
    let name = args.next().unwrap_or_default();
    let args: Vec<OsString> = args.collect();
    match Path::new(&name).file_name().and_then(OsStr::to_str) {
        Some("docker-init") => return runtime::init_main(args),
        Some(runtime::ZYGOTE) => return runtime::zygote_main(),
        Some("dockerd") => return server::main(args),
        Some(name @ ("dhow-runtime" | "runc" | "crun")) => return runtime_cli::main(name, args),
        _ => {}
    }
    match args.first().and_then(|word| word.to_str()) {
        Some("engine") => server::main(args[1..].to_vec()),
        Some("keeper") => keeper(&args[1..]),
        Some("runtime") => runtime_cli::main("dhow-runtime", args[1..].to_vec()),
        Some("registry") => registry_server::main(args[1..].to_vec()),
        Some("__complete") => cli::complete(&args[1..], server::command),
        Some("manual") => cli::manual(&args[1..], server::command, &server::settings()),
        Some("daemonize") => cli::daemonize(args[1..].to_vec()),
        _ => cli::main(args),
    }
}

/// `dhow keeper EXEC_ROOT`: started by the engine, never typed.
fn keeper(args: &[OsString]) -> ExitCode {
    match args {
        [exec_root] => keeper::serve::main(Path::new(exec_root)),
        _ => {
            eprintln!("Usage:  dhow keeper EXEC_ROOT\n\nThe engine starts its keeper itself.");
            ExitCode::from(2)
        }
    }
}
