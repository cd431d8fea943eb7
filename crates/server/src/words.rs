//! Docker's exact words for failures whose own words differ.
//!
//! Clients read these texts: the docker CLI takes its exit code from "executable file not found" and "no such file or directory"
//! (127), "permission denied" and "is a directory" (126) (docker/cli, cli/command/container/run.go).

use crate::status::Refusal;
use container::spec::SpecError;
use http::StatusCode;
use runtime::{Failure, Step};

/// What Docker says before the reason why a port cannot be published.
const NO_CONNECTIVITY: &str = "failed to set up container networking: driver failed programming external connectivity";

/// The refusal of a start. A port that is taken is told with the endpoint it was for, as Docker does.
pub fn of_start(error: engine::Error, name: &str, endpoint: &str) -> Refusal {
    let mut refusal = Refusal::from(error);
    let with_endpoint = format!("{NO_CONNECTIVITY} on endpoint {name} ({endpoint})");
    refusal.message = refusal.message.replacen(NO_CONNECTIVITY, &with_endpoint, 1);
    refusal
}

/// The refusal of `error`, when Docker has words of its own for it.
pub fn of(error: &engine::Error) -> Option<Refusal> {
    match error {
        engine::Error::Start(failure) => Some(not_started(failure)),
        engine::Error::Image(error) => of_image(error),
        engine::Error::Network(error) => of_network(error),
        engine::Error::Spec(SpecError::Device { path, source }) => Some(of_device(path, source)),
        _ => None,
    }
}

fn of_device(path: &str, source: &std::io::Error) -> Refusal {
    let cause = source.raw_os_error().map_or_else(|| source.to_string(), errno_words);
    Refusal::invalid(format!("error gathering device information while adding custom device {path:?}: {cause}"))
}

fn of_image(error: &image::Error) -> Option<Refusal> {
    match error {
        image::Error::NotFound(name) => Some(Refusal::not_found(format!("No such image: {}", familiar(name)))),
        image::Error::ManyNames { id, .. } => Some(Refusal::conflict(format!(
            "conflict: unable to delete {} (must be forced) - image is referenced in multiple repositories",
            short(id)
        ))),
        _ => None,
    }
}

fn of_network(error: &network::Error) -> Option<Refusal> {
    match error {
        network::Error::PortTaken { ip, port, owner, .. } => {
            let owner = owner.as_deref().map(|o| format!(" (by {o})")).unwrap_or_default();
            Some(Refusal::internal(format!(
                "{NO_CONNECTIVITY}: Bind for {ip}:{port} failed: port is already allocated{owner}"
            )))
        }
        _ => None,
    }
}

/// The first 12 digits of an image's id.
pub fn short(id: &str) -> &str {
    let digits = id.strip_prefix("sha256:").unwrap_or(id);
    digits.get(..12).unwrap_or(digits)
}

/// The name of an image as people type it, with its tag: `docker.io/library/busybox` is `busybox:latest`.
pub fn familiar(name: &str) -> String {
    let name = name.strip_prefix("docker.io/").or_else(|| name.strip_prefix("index.docker.io/")).unwrap_or(name);
    let name = name.strip_prefix("library/").unwrap_or(name);
    let is_id = name.starts_with("sha256:") || (name.len() == 64 && name.bytes().all(|b| b.is_ascii_hexdigit()));
    let last = name.rsplit('/').next().unwrap_or(name);
    if is_id || last.contains(':') || name.contains('@') { name.to_owned() } else { format!("{name}:latest") }
}

/// Why a container's process did not start: the words that runc's error has after everybody's prefixes.
fn not_started(failure: &Failure) -> Refusal {
    let cause = cause(failure);
    // Docker makes the working folder itself, before its runtime starts.
    if failure.step == Step::WorkingDirectory && failure.errno == rustix::io::Errno::NOTDIR.raw_os_error() {
        return Refusal::invalid(format!("Cannot mkdir: {} is not a directory", failure.subject));
    }
    let message = format!(
        "OCI runtime create failed: unable to start container process: error during container init: {cause}: unknown"
    );
    if decided(&message) { Refusal::invalid(message) } else { Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, message) }
}

/// Why an exec did not start, as written into its stream.
pub fn exec_not_started(failure: &Failure) -> String {
    format!("OCI runtime exec failed: exec failed: unable to start container process: {}: unknown", cause(failure))
}

/// Whether the fault is in what was asked (moby, daemon/errors.go).
fn decided(message: &str) -> bool {
    ["permission denied", "is a directory", "not a directory", "executable file not found", "no such file or directory"]
        .iter()
        .any(|words| message.contains(words))
}

fn cause(failure: &Failure) -> String {
    let subject = &failure.subject;
    let errno = errno_words(failure.errno);
    match failure.step {
        Step::LookPath if failure.errno == rustix::io::Errno::NOENT.raw_os_error() => {
            format!("exec: {}: executable file not found in $PATH", quoted(subject))
        }
        Step::Execve if failure.errno == rustix::io::Errno::NOENT.raw_os_error() => {
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
        step => format!("{}: {subject}: {errno}", format!("{step:?}").to_lowercase()),
    }
}

/// Go's `%q` for the plain texts that programs and folders are named with.
fn quoted(text: &str) -> String {
    format!("{text:?}")
}

/// The words of errno(3) as Go writes them: lower case.
fn errno_words(errno: i32) -> String {
    let text = std::io::Error::from_raw_os_error(errno).to_string();
    let text = text.split(" (os error").next().unwrap_or(&text);
    let mut letters = text.chars();
    letters.next().map(|first| first.to_lowercase().chain(letters).collect()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(step: Step, errno: i32, subject: &str) -> Refusal {
        not_started(&Failure { step, errno, subject: subject.into() })
    }

    #[test]
    fn a_program_that_is_not_there_is_told_as_runc_does() {
        assert_eq!(
            failed(Step::LookPath, 2, "nope"),
            Refusal::invalid(
                "OCI runtime create failed: unable to start container process: error during container init: exec: \"nope\": executable file not found in $PATH: unknown"
            )
        );
        let missing = failed(Step::Execve, 2, "/nope");
        assert!(
            missing.message.contains("exec: \"/nope\": stat /nope: no such file or directory: unknown"),
            "{}",
            missing.message
        );
    }

    #[test]
    fn what_may_not_be_run_has_the_words_for_126() {
        for (errno, words) in [(13, "permission denied"), (21, "is a directory: permission denied")] {
            let refusal = failed(Step::Execve, errno, "/etc");
            assert!(refusal.message.contains(words), "{}", refusal.message);
            assert_eq!(refusal.status, StatusCode::BAD_REQUEST);
        }
    }

    #[test]
    fn other_faults_are_the_engines() {
        assert_eq!(failed(Step::Clone, 11, "init").status, StatusCode::INTERNAL_SERVER_ERROR);
    }

    #[test]
    fn an_exec_has_its_own_prefix() {
        let failure = Failure { step: Step::LookPath, errno: 2, subject: "nope".into() };
        assert_eq!(
            exec_not_started(&failure),
            "OCI runtime exec failed: exec failed: unable to start container process: exec: \"nope\": executable file not found in $PATH: unknown"
        );
    }

    #[test]
    fn a_taken_port_is_told_with_its_endpoint() {
        let taken = || network::Error::PortTaken {
            ip: [0, 0, 0, 0].into(),
            port: 80,
            protocol: network::Protocol::Tcp,
            owner: Some("nginx (pid 812)".into()),
        };
        let refusal = of_start(engine::Error::Network(taken()), "web", "abc");
        assert_eq!(
            refusal,
            Refusal::internal(
                "failed to set up container networking: driver failed programming external connectivity on endpoint web (abc): Bind for 0.0.0.0:80 failed: port is already allocated (by nginx (pid 812))"
            )
        );
    }

    #[test]
    fn names_are_told_as_people_type_them() {
        assert_eq!(familiar("busybox"), "busybox:latest");
        assert_eq!(familiar("docker.io/library/busybox:1.36"), "busybox:1.36");
        assert_eq!(familiar("host:5000/a/b"), "host:5000/a/b:latest");
        assert_eq!(familiar("docker.io/me/app"), "me/app:latest");
        let id = format!("sha256:{}", "ab".repeat(32));
        assert_eq!(familiar(&id), id);
    }
}
