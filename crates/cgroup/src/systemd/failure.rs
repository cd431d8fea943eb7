//! Why systemd did not do what it was asked for, in runc's words where its tests and users look for them.

use super::bus::Silence;
use base::Kind;

#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error("expected cgroupsPath to be of format \"slice:prefix:name\" for systemd cgroups, got \"{0}\" instead")]
    Path(String),
    #[error("invalid slice name: {0}")]
    Slice(String),
    #[error("annotation {0} name incorrect: {1}")]
    Name(String, &'static str),
    #[error("annotation {0}={1} value parse error: {2}")]
    Value(String, String, String),
    #[error("cannot turn {key}={value:?} into a property of systemd: {why}")]
    Limit { key: String, value: String, why: &'static str },
    #[error("cannot use the systemd cgroup driver: systemd does not run here (no /run/systemd/system)")]
    NotBooted,
    #[error("cannot use rootless systemd cgroups manager on cgroup v1")]
    RootlessV1,
    #[error("failed to connect to dbus")]
    Connect(#[source] Silence),
    #[error("unable to start unit \"{unit}\" (properties [{properties}])")]
    Start { unit: String, properties: String, source: Box<Failure> },
    #[error("{0} was refused")]
    Call(&'static str, #[source] Silence),
    #[error("error creating systemd unit `{unit}`: got `{result}`")]
    Job { unit: String, result: String },
    #[error("Timeout waiting for systemd to create {0}")]
    CreateTimeout(String),
    #[error("Timed out while waiting for systemd to remove {0}")]
    RemoveTimeout(String),
    #[error("unable to set unit properties")]
    Set(#[source] Silence),
}

impl Failure {
    /// Whether what was asked for is wrong, and not how it went.
    fn is_invalid(&self) -> bool {
        matches!(
            self,
            Failure::Path(_) | Failure::Slice(_) | Failure::Name(..) | Failure::Value(..) | Failure::Limit { .. }
        )
    }
}

impl From<Failure> for crate::Error {
    fn from(failure: Failure) -> crate::Error {
        crate::Error::Systemd(Box::new(failure))
    }
}

/// What sort of failure [`crate::Error::Systemd`] carries.
pub(crate) fn kind(error: &(dyn std::error::Error + 'static)) -> Kind {
    match error.downcast_ref::<Failure>() {
        Some(failure) if failure.is_invalid() => Kind::Invalid,
        Some(Failure::NotBooted | Failure::RootlessV1) => Kind::Unsupported,
        Some(Failure::Connect(_)) => Kind::Unavailable,
        _ => Kind::Internal,
    }
}
