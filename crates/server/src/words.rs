//! Docker's exact words for failures whose own words differ.
//!
//! Clients read these texts: the docker CLI takes its exit code from "executable file not found" and "no such file or directory"
//! (127), "permission denied" and "is a directory" (126) (docker/cli, cli/command/container/run.go).

use crate::status::Refusal;
use container::spec::SpecError;
use engine::words::{cause, errno_words};
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

/// The refusal of a pull (moby, distribution/errors.go, translatePullError): what a registry does not have, or does not
/// show to this asker, is not found.
pub fn of_pull(error: engine::Error, asked: &image::Reference) -> Refusal {
    match of_registry(&error) {
        Some(registry::Error::NotFound(cause)) if has_code(cause, "name unknown") => {
            Refusal::not_found(format!("repository {} not found: {cause}", asked.familiar_name()))
        }
        Some(registry::Error::NotFound(cause)) if has_code(cause, "manifest unknown") => {
            Refusal::not_found(format!("manifest for {} not found: {cause}", asked.familiar()))
        }
        Some(registry::Error::NotFound(cause)) => Refusal::not_found(cause.clone()),
        Some(registry::Error::Denied(cause)) if has_code(cause, "pull access denied") => {
            Refusal::not_found(cause.clone())
        }
        Some(registry::Error::Denied(cause)) => Refusal::not_found(format!(
            "pull access denied for {}, repository does not exist or may require 'docker login': {cause}",
            asked.familiar_name()
        )),
        Some(error) => Refusal::internal(base::chain(error)),
        None => Refusal::from(error),
    }
}

/// The refusal of a push: the registry's own words.
pub fn of_push(error: engine::Error, asked: &image::Reference) -> Refusal {
    match &error {
        engine::Error::Image(image::Error::NotLocal(_)) => {
            Refusal::internal(format!("An image does not exist locally with the tag: {}", asked.familiar_name()))
        }
        _ => of_registry(&error).map(|error| Refusal::internal(base::chain(error))).unwrap_or_else(|| error.into()),
    }
}

/// The refusal of a login.
pub fn of_login(error: engine::Error) -> Refusal {
    match of_registry(&error) {
        Some(registry::Error::Denied(cause)) => Refusal::new(StatusCode::UNAUTHORIZED, cause.clone()),
        Some(error) => Refusal::internal(base::chain(error)),
        None => Refusal::from(error),
    }
}

/// The refusal of a look into a registry.
pub fn of_distribution(error: engine::Error) -> Refusal {
    match of_registry(&error) {
        Some(registry::Error::NotFound(cause)) if !has_code(cause, "pull access denied") => {
            Refusal::not_found(bare(cause))
        }
        Some(registry::Error::NotFound(cause) | registry::Error::Denied(cause))
            if bare(cause).starts_with("denied") =>
        {
            Refusal::new(StatusCode::FORBIDDEN, bare(cause))
        }
        Some(registry::Error::NotFound(cause) | registry::Error::Denied(cause)) => {
            Refusal::new(StatusCode::UNAUTHORIZED, bare(cause))
        }
        Some(error) => Refusal::internal(base::chain(error)),
        None => Refusal::from(error),
    }
}

/// A registry's own words, without what a pull says before them.
fn bare(cause: &str) -> String {
    let after = [" not found: ", "may require 'docker login': "].iter().find_map(|said| cause.split_once(said));
    after.map_or(cause, |(_, own)| own).to_owned()
}

fn of_registry(error: &engine::Error) -> Option<&registry::Error> {
    match error {
        engine::Error::Registry(error) | engine::Error::Image(image::Error::Registry(error)) => Some(error),
        _ => None,
    }
}

/// Whether a registry's words begin with an error code of distribution-spec, as distribution's client writes it.
fn has_code(cause: &str, code: &str) -> bool {
    cause.to_ascii_lowercase().starts_with(code)
}

/// The words that a container whose start failed keeps.
pub fn told(error: &engine::Error) -> String {
    of(error).map_or_else(|| base::chain(error), |refusal| refusal.message)
}

/// The refusal of `error`, when Docker has words of its own for it.
pub fn of(error: &engine::Error) -> Option<Refusal> {
    match error {
        engine::Error::Start(failure) => Some(not_started(failure)),
        engine::Error::Image(error) => of_image(error),
        // A registry that cannot be reached is told as dockerd does: not as this engine being away.
        engine::Error::Registry(error) => of_registry_alone(error),
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
        image::Error::Change(change) => Some(of_change(change)),
        image::Error::Registry(error) => of_registry_alone(error),
        _ => None,
    }
}

/// Of a word that is none of those that may change an image; of others what is wrong.
fn of_change(change: &str) -> Refusal {
    const WORDS: [&str; 10] =
        ["cmd", "entrypoint", "env", "expose", "healthcheck", "label", "onbuild", "user", "volume", "workdir"];
    let word = change.split_whitespace().next().unwrap_or_default();
    let lower = word.to_lowercase();
    match WORDS.contains(&lower.as_str()) || lower == "stopsignal" {
        true => Refusal::invalid(format!("invalid change {change:?}")),
        false => Refusal::invalid(format!("{word} is not a valid change command")),
    }
}

fn of_registry_alone(error: &registry::Error) -> Option<Refusal> {
    match error {
        registry::Error::Unavailable(_) | registry::Error::Cancelled => Some(Refusal::internal(base::chain(error))),
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

/// Whether the fault is in what was asked (moby, daemon/errors.go).
fn decided(message: &str) -> bool {
    ["permission denied", "is a directory", "not a directory", "executable file not found", "no such file or directory"]
        .iter()
        .any(|words| message.contains(words))
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
            engine::words::exec_not_started(&failure),
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
    fn a_pull_that_fails_is_told_as_dockerd_does() {
        let asked = image::Reference::parse("x.example/a:1").expect("a name");
        let told = |error: registry::Error| of_pull(engine::Error::Image(image::Error::Registry(error)), &asked);
        assert_eq!(
            told(registry::Error::NotFound("manifest unknown: manifest unknown".into())),
            Refusal::not_found("manifest for x.example/a:1 not found: manifest unknown: manifest unknown")
        );
        assert_eq!(
            told(registry::Error::NotFound("name unknown: repository name not known to registry".into())),
            Refusal::not_found("repository x.example/a not found: name unknown: repository name not known to registry")
        );
        assert_eq!(
            told(registry::Error::Denied("denied: requested access to the resource is denied".into())),
            Refusal::not_found(
                "pull access denied for x.example/a, repository does not exist or may require 'docker login': denied: requested access to the resource is denied"
            )
        );
        assert_eq!(told(registry::Error::Unavailable("no route".into())), Refusal::internal("no route"));
    }

    #[test]
    fn a_look_into_a_registry_is_told_in_its_own_words() {
        let told = |error: registry::Error| of_distribution(engine::Error::Registry(error));
        for cause in
            ["manifest unknown: manifest unknown", "manifest for a:1 not found: manifest unknown: manifest unknown"]
        {
            assert_eq!(
                told(registry::Error::NotFound(cause.into())),
                Refusal::not_found("manifest unknown: manifest unknown")
            );
        }
        let denied = "pull access denied for a, repository does not exist or may require 'docker login': denied: no";
        assert_eq!(told(registry::Error::Denied(denied.into())), Refusal::new(StatusCode::FORBIDDEN, "denied: no"));
        let nobody = "unauthorized: authentication required";
        assert_eq!(told(registry::Error::Denied(nobody.into())), Refusal::new(StatusCode::UNAUTHORIZED, nobody));
    }

    #[test]
    fn a_refused_login_is_401() {
        let refused = of_login(engine::Error::Registry(registry::Error::Denied("unauthorized: no".into())));
        assert_eq!(refused, Refusal::new(StatusCode::UNAUTHORIZED, "unauthorized: no"));
    }

    #[test]
    fn a_word_that_changes_nothing_is_refused_as_dockerd_does() {
        assert_eq!(of_change("NOPE x"), Refusal::invalid("NOPE is not a valid change command"));
        assert_eq!(of_change("ENV =x"), Refusal::invalid("invalid change \"ENV =x\""));
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
