//! Docker's words for what goes wrong in a build.

use crate::status::{Refusal, of};
use base::Kinded;
use build::Error;

/// A failure as an answer, or as the last line of a stream.
pub fn refused(error: Error) -> Refusal {
    let kind = error.kind();
    let message = match error.cause() {
        Error::Exit { command, code } => format!("The command '{command}' returned a non-zero code: {code}"),
        Error::NoTarget(name) => format!("failed to reach build target {name} in Dockerfile"),
        Error::Dockerfile(error) => error.to_string(),
        Error::Cancelled => "context canceled".to_owned(),
        Error::NoSource { path } => {
            format!(
                "COPY failed: file not found in build context or excluded by .dockerignore: stat {}: file does not exist",
                path.trim_start_matches('/')
            )
        }
        Error::Engine(error) => match crate::words::of(error) {
            Some(refusal) => return refusal,
            None => base::chain(error),
        },
        cause => base::chain(cause),
    };
    Refusal::new(of(kind), message)
}

/// The exit code that a failed command has given.
pub fn exit_code(error: &Error) -> Option<i64> {
    match error.cause() {
        Error::Exit { code, .. } => Some(i64::from(*code)),
        _ => None,
    }
}
