//! Why a process did not start, in the words of runc that clients and people know from Docker.

use crate::Error;
use runtime::{Failure, Step};

/// Why an exec did not start, as written into its stream.
pub fn exec_not_started(failure: &Failure) -> String {
    format!("OCI runtime exec failed: exec failed: unable to start container process: {}: unknown", cause(failure))
}

/// The same of any failure of an exec.
pub(crate) fn of_exec(error: &Error) -> String {
    match error {
        Error::Start(failure) => exec_not_started(failure),
        other => base::chain(other),
    }
}

/// Why a process did not start: the words that runc's error has after everybody's prefixes.
pub fn cause(failure: &Failure) -> String {
    let subject = &failure.subject;
    let errno = errno_words(failure.errno);
    match failure.step {
        Step::LookPath if failure.errno == rustix::io::Errno::NOENT.raw_os_error() && !subject.contains('/') => {
            format!("exec: {}: executable file not found in $PATH", quoted(subject))
        }
        Step::LookPath | Step::Execve if failure.errno == rustix::io::Errno::NOENT.raw_os_error() => {
            format!("exec: {}: stat {subject}: {errno}", quoted(subject))
        }
        Step::LookPath | Step::Execve if failure.errno == rustix::io::Errno::ISDIR.raw_os_error() => {
            // Clients look for the second half (moby, daemon/errors.go: Go 1.20 changed the first).
            format!("exec: {}: is a directory: permission denied", quoted(subject))
        }
        Step::LookPath | Step::Execve => format!("exec: {}: {errno}", quoted(subject)),
        Step::WorkingDirectory => {
            format!("chdir to cwd ({}) set in config.json failed: {errno}", quoted(subject))
        }
        Step::Mount if failure.errno == rustix::io::Errno::NOTDIR.raw_os_error() => format!(
            "error mounting {subject}: {errno}: Are you trying to mount a directory onto a file (or vice-versa)? Check if the specified host path exists and is the expected type"
        ),
        Step::Mount => format!("error mounting {subject}: {errno}"),
        Step::Sysctl => format!("open /proc/sys/{}: {errno}", subject.replace('.', "/")),
        Step::Rlimit => format!("error setting rlimit {subject}: {errno}"),
        Step::User => format!("setup user {subject}: {errno}"),
        // The subject says it all.
        Step::Hook | Step::Prepare => subject.clone(),
        step => format!("{}: {subject}: {errno}", format!("{step:?}").to_lowercase()),
    }
}

/// Go's `%q` for the plain texts that programs and folders are named with.
fn quoted(text: &str) -> String {
    format!("{text:?}")
}

/// The words of errno(3) as Go writes them: lower case.
pub fn errno_words(errno: i32) -> String {
    let text = std::io::Error::from_raw_os_error(errno).to_string();
    let text = text.split(" (os error").next().unwrap_or(&text);
    let mut letters = text.chars();
    letters.next().map(|first| first.to_lowercase().chain(letters).collect()).unwrap_or_default()
}
