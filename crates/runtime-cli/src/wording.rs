//! What a failed start is called: runc's texts, which docker, containerd and podman look into to tell a program that is not there
//! from one that may not be run.

use crate::error::Error;
use runtime::create::CreateError;
use runtime::{Failure, Step};
use std::io;

/// The exit code of a process whose program the kernel refused, when it had the container's streams already. The message is then
/// the process's own, and nothing stands before it.
pub const REFUSED: u8 = 255;

/// Who failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Who {
    Init,
    Exec,
}

/// Of a process that did not come up.
pub fn create(error: &CreateError, who: Who) -> Error {
    match error {
        CreateError::Failed(failure) => failed(failure, who),
        CreateError::Prepare(error) if who == Who::Init => Error::of(error).within(INIT),
        CreateError::Prepare(error) => Error::of(error),
    }
}

/// Of a process that failed on its way.
pub fn failed(failure: &Failure, who: Who) -> Error {
    let text = step(failure);
    match (failure.step, who) {
        (Step::Execve, _) => Error { message: text, code: REFUSED },
        (_, Who::Init) => Error::new(text).within(INIT),
        (_, Who::Exec) => Error::new(text).within("unable to start container process"),
    }
}

/// What stands before all that happened to the first process.
pub const INIT: &str = "unable to start container process: error during container init";

fn step(failure: &Failure) -> String {
    let Failure { step, errno, subject } = failure;
    let cause = plain(*errno);
    let missing = *errno == rustix::io::Errno::NOENT.raw_os_error();
    match step {
        Step::Hook | Step::Prepare => subject.clone(),
        Step::LookPath if missing && subject.contains('/') => format!("exec: {subject:?}: stat {subject}: {cause}"),
        Step::LookPath if missing => format!("exec: {subject:?}: executable file not found in $PATH"),
        Step::LookPath => format!("exec: {subject:?}: {cause}"),
        Step::Execve => format!("exec {subject}: {cause}"),
        Step::WorkingDirectory => format!("chdir to cwd ({subject:?}) set in config.json failed: {cause}"),
        // With its source the subject says where, too.
        Step::Mount if subject.starts_with('"') => format!("error mounting {subject}: {cause}"),
        Step::Mount => format!("error mounting {subject:?} to rootfs: {cause}"),
        Step::Root => format!("error preparing rootfs {subject:?}: {cause}"),
        Step::Device => format!("error creating device nodes: {subject}: {cause}"),
        Step::Console => format!("error setting up the console: {subject}: {cause}"),
        Step::User => format!("unable to setup user {subject}: {cause}"),
        Step::Capabilities => format!("unable to apply caps ({subject}): {cause}"),
        Step::Sysctl => format!("can't write sysctl {subject}: {cause}"),
        Step::Rlimit => format!("error setting rlimit {subject}: {cause}"),
        Step::Label => format!("unable to apply apparmor profile {subject}: {cause}"),
        Step::Seccomp => format!("unable to init seccomp ({subject}): {cause}"),
        Step::Cgroup => format!("unable to apply cgroup configuration: {subject}: {cause}"),
        Step::JoinNamespace => format!("cannot join the {subject} namespace: {cause}"),
        other => format!("{other:?} {subject}: {cause}"),
    }
}

/// The C library's words with a small first letter, as Go prints them and tools expect them.
pub fn plain(errno: i32) -> String {
    io_text(&io::Error::from_raw_os_error(errno))
}

/// The same of any error.
pub fn io_text(error: &io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error ").next().unwrap_or(&text);
    let mut letters = text.chars();
    match (letters.next(), letters.as_str()) {
        // "RPC struct is bad", "CPU ..." keep their letters.
        (Some(first), rest) if !rest.starts_with(|c: char| c.is_uppercase()) => {
            first.to_lowercase().chain(rest.chars()).collect()
        }
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(step: Step, errno: i32, subject: &str) -> String {
        failed(&Failure { step, errno, subject: subject.to_owned() }, Who::Init).message
    }

    #[test]
    fn tools_find_the_words_they_look_for() {
        let (missing, denied) = (2, 13);
        let wrapped = |text: &str| format!("unable to start container process: error during container init: {text}");
        assert_eq!(text(Step::LookPath, missing, "x"), wrapped("exec: \"x\": executable file not found in $PATH"));
        assert_eq!(text(Step::LookPath, missing, "/x"), wrapped("exec: \"/x\": stat /x: no such file or directory"));
        assert_eq!(text(Step::LookPath, denied, "/x"), wrapped("exec: \"/x\": permission denied"));
        assert_eq!(text(Step::Execve, missing, "/run.sh"), "exec /run.sh: no such file or directory");
        assert_eq!(
            text(Step::Hook, 5, "error running prestart hook #1: x"),
            wrapped("error running prestart hook #1: x")
        );
    }

    #[test]
    fn an_error_of_the_kernel_begins_small_and_has_no_number() {
        assert_eq!(plain(2), "no such file or directory");
        assert_eq!(io_text(&io::Error::other("as it is")), "as it is");
    }
}
