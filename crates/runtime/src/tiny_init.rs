//! The first process of a container that has no init of its own: starts the program, passes signals on, reaps orphans.

use crate::stage::program;
use crate::{Failure, ProcessPlan, Step};
use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitOptions, WaitStatus};
use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::process::ExitCode;
use sys::process::{Birth, Fork, SingleThread};

/// Runs `arguments` (the program first, looked for in PATH) and ends as it ends: its code, or 128 + the signal.
///
/// A leading `--` is left out, as `docker-init -- PROGRAM` is called. 127 when the program is not there, 126 when it cannot
/// be executed. To be called from a process that does nothing else; needs /proc.
pub fn init_main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments = arguments.into_iter().skip_while(|argument| argument == "--");
    let plan =
        ProcessPlan { args: arguments.map(OsString::into_vec).collect(), env: environment(), ..ProcessPlan::default() };
    let code = match start(&plan) {
        Ok(child) => serve(child),
        Err(e) => {
            eprintln!("docker-init: cannot start: {e}");
            126
        }
    };
    ExitCode::from(code)
}

fn environment() -> Vec<Vec<u8>> {
    let line = |(name, value): (OsString, OsString)| [name.into_vec(), value.into_vec()].join(&b'=');
    std::env::vars_os().map(line).collect()
}

/// Signals are blocked before the program starts, so that none is lost.
fn start(plan: &ProcessPlan) -> io::Result<Pid> {
    sys::signal::block_all()?;
    match sys::fork(&SingleThread::prove()?, &Birth::default())? {
        Fork::Parent { pid, .. } => Pid::from_raw(pid).ok_or_else(|| io::ErrorKind::Other.into()),
        Fork::Child(_) => {
            let failure = become_program(plan);
            eprintln!("docker-init: {failure}");
            let missing = failure.errno == Errno::NOENT.raw_os_error();
            sys::process::exit(if missing { 127 } else { 126 })
        }
    }
}

/// In a group of its own, in the foreground: the terminal's signals then reach the program once, and not also through us.
fn become_program(plan: &ProcessPlan) -> Failure {
    let _ = rustix::process::setpgid(None, None);
    // Fails without a terminal, which is as good. The signal this would stop us with is blocked still.
    let _ = rustix::termios::tcsetpgrp(rustix::stdio::stdin(), rustix::process::getpid());
    if let Err(e) = sys::signal::reset_all() {
        return crate::failure::at(Step::Execve, "signals")(e);
    }
    match program::find(plan) {
        Ok(program) => program.run(),
        Err(failure) => failure,
    }
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
