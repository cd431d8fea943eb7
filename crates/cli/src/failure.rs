//! Why a command ended badly: what people read, and the exit code.

use api::client::Error as ApiError;
use base::{Kind, Kinded};

/// Why a command ended early or badly.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// Help was asked for; it goes to stdout and the exit code is 0.
    #[error("{0}")]
    Shown(String),
    /// A flag that cannot be parsed: exit code 125.
    #[error("{0}")]
    Flags(String),
    /// A wrong number of words: exit code 1.
    #[error("{0}")]
    Operands(String),
    /// A new container cannot be described or made: exit code 125, 126 or 127, and a pointer to the help.
    #[error("dhow: {cause}\n\nRun 'dhow {verb} --help' for more information")]
    Container { verb: &'static str, cause: String, code: u8 },
    /// The engine said no, or does not answer.
    #[error(transparent)]
    Engine(#[from] Engine),
    /// Anything else that is said in one sentence: exit code 1.
    #[error("{0}")]
    Said(String),
    /// A template that cannot be parsed, where docker's exit code is 64.
    #[error("{0}")]
    Template(String),
    /// Everything has been said already.
    #[error("exit code {0}")]
    Code(u8),
    /// The reader of the output went away.
    #[error("the output is closed")]
    OutputClosed,
}

/// An [`ApiError`] as people read it.
#[derive(Debug, thiserror::Error)]
#[error("{}", words(.0))]
pub struct Engine(#[source] pub ApiError);

impl From<ApiError> for Failure {
    fn from(cause: ApiError) -> Failure {
        Failure::Engine(Engine(cause))
    }
}

impl From<std::io::Error> for Failure {
    fn from(cause: std::io::Error) -> Failure {
        match cause.kind() {
            std::io::ErrorKind::BrokenPipe => Failure::OutputClosed,
            _ => Failure::Said(cause.to_string()),
        }
    }
}

impl Failure {
    /// A sentence, exit code 1.
    pub fn said(text: impl Into<String>) -> Failure {
        Failure::Said(text.into())
    }

    /// Gives a failure of `run` or `start` docker's exit code, which it derives from the words.
    pub fn of_container(self, verb: &'static str) -> Failure {
        let cause = match self {
            Failure::Engine(engine) => engine.to_string(),
            Failure::Said(text) => text,
            other => return other,
        };
        let code = exit_code(&cause);
        Failure::Container { verb, cause, code }
    }

    /// The exit code of the program.
    pub fn code(&self) -> u8 {
        match self {
            Failure::Shown(_) => 0,
            Failure::Flags(_) => 125,
            Failure::Template(_) => 64,
            Failure::Container { code, .. } | Failure::Code(code) => *code,
            // What a shell reports of a program that SIGPIPE ended.
            Failure::OutputClosed => 141,
            Failure::Operands(_) | Failure::Engine(_) | Failure::Said(_) => 1,
        }
    }

    /// The HTTP status, if the engine answered with one.
    pub fn status(&self) -> Option<u16> {
        match self {
            Failure::Engine(Engine(cause)) => cause.status(),
            _ => None,
        }
    }
}

impl Kinded for Failure {
    fn kind(&self) -> Kind {
        match self {
            Failure::Engine(Engine(cause)) => cause.kind(),
            Failure::Flags(_) | Failure::Operands(_) => Kind::Invalid,
            _ => Kind::Internal,
        }
    }
}

fn words(cause: &ApiError) -> String {
    match cause {
        ApiError::Refused { message, .. } => format!("Error response from engine: {message}"),
        ApiError::Connect { source, .. } => format!("{}{}", base::chain(cause), hint(source)),
        other => base::chain(other),
    }
}

fn hint(source: &std::io::Error) -> &'static str {
    match source.kind() {
        std::io::ErrorKind::PermissionDenied => {
            "\nhint: the socket belongs to root and its group; use sudo, or ask to be added to that group"
        }
        std::io::ErrorKind::NotFound | std::io::ErrorKind::ConnectionRefused => {
            "\nhint: is the engine running? 'dhow engine' starts one"
        }
        _ => "",
    }
}

/// 127 for a command that is not there, 126 for one that cannot be run, else 125.
fn exit_code(text: &str) -> u8 {
    let lower = text.to_lowercase();
    let says = |words: &[&str]| words.iter().any(|word| lower.contains(word));
    if says(&["executable file not found", "no such file or directory", "system cannot find the file specified"]) {
        127
    } else if says(&["permission denied", "is a directory"]) {
        126
    } else {
        125
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(message: &str) -> Failure {
        ApiError::Refused { status: 400, message: message.to_owned() }.into()
    }

    #[test]
    fn the_exit_code_comes_from_the_engines_words() {
        for (message, code) in [
            ("exec: \"x\": executable file not found in $PATH: unknown", 127),
            ("exec: \"/x\": stat /x: no such file or directory", 127),
            ("exec: \"/etc\": permission denied", 126),
            ("exec: \"/etc\": Is a directory", 126),
            ("No such image: x:latest", 125),
        ] {
            assert_eq!(refused(message).of_container("run").code(), code, "{message}");
            assert_eq!(refused(message).code(), 1, "{message}");
        }
    }

    #[test]
    fn a_failed_run_points_to_the_help() {
        assert_eq!(
            refused("no").of_container("run").to_string(),
            "dhow: Error response from engine: no\n\nRun 'dhow run --help' for more information"
        );
    }
}
