//! The first process of a container that has no init of its own: starts the program, passes signals on, reaps orphans.

use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitOptions, WaitStatus};
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

/// Runs `arguments` (the program first, looked for in PATH) and ends as it ends: its code, or 128 + the signal.
///
/// A leading `--` is left out, as `docker-init -- PROGRAM` is called. 127 when the program is not there, 126 when it cannot
/// be executed. To be called from a process that does nothing else.
pub fn init_main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let mut arguments = arguments.into_iter().skip_while(|argument| argument == "--");
    let Some(program) = arguments.next() else {
        eprintln!("docker-init: no program");
        return ExitCode::from(127);
    };
    // Blocked before the program starts, so that no signal is lost. `Command` unblocks them in the child.
    if let Err(e) = sys::signal::block_all() {
        eprintln!("docker-init: cannot block signals: {e}");
        return ExitCode::FAILURE;
    }
    let mut command = Command::new(&program);
    // A group of its own: the terminal's signals then reach the program once, and not also through us.
    let child = match command.args(arguments).process_group(0).spawn() {
        Ok(child) => child,
        Err(e) => return not_started(program, &e),
    };
    let Some(child) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) else { return ExitCode::FAILURE };
    // Fails without a terminal, which is as good.
    let _ = rustix::termios::tcsetpgrp(rustix::stdio::stdin(), child);
    ExitCode::from(serve(child))
}

fn not_started(program: OsString, error: &std::io::Error) -> ExitCode {
    let program = String::from_utf8_lossy(&program.into_vec()).into_owned();
    eprintln!("docker-init: cannot execute {program}: {error}");
    ExitCode::from(if error.kind() == std::io::ErrorKind::NotFound { 127 } else { 126 })
}

/// Waits for signals until the child has ended.
fn serve(child: Pid) -> u8 {
    loop {
        if let Some(code) = reap(child) {
            return code;
        }
        match sys::signal::wait() {
            Ok(signal) if signal == Signal::CHILD.as_raw() => {}
            // Stopping on terminal access is for the program, which has its own group, to do.
            Ok(signal) if signal == Signal::TTIN.as_raw() || signal == Signal::TTOU.as_raw() => {}
            Ok(signal) => drop(sys::signal::send(child.as_raw_pid(), signal)),
            // Interrupted, by a stop and its end for one.
            Err(_) => {}
        }
    }
}

/// Reaps whoever has ended; the code once the child has.
fn reap(child: Pid) -> Option<u8> {
    let mut code = None;
    loop {
        match rustix::process::wait(WaitOptions::NOHANG) {
            Ok(Some((pid, status))) if pid == child => code = Some(code_of(status)),
            Ok(Some(_)) => {}
            Ok(None) | Err(Errno::CHILD) => return code,
            Err(_) => return code,
        }
    }
}

fn code_of(status: WaitStatus) -> u8 {
    let code = status.exit_status().or_else(|| status.terminating_signal().map(|signal| 128 + signal));
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(u8::MAX)
}
