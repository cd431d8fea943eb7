//! Why a use case failed.

use base::{Kind, Kinded};

/// Why a use case failed. Doors map [`Kinded::kind`] to a status; texts of those that Docker has words for follow Docker's.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("No such container: {0}")]
    NoContainer(String),
    #[error("Could not find the file {path} in container {container}")]
    NoFile { path: String, container: String },
    #[error("network {0} not found")]
    NoNetwork(String),
    #[error("No such exec instance: {0}")]
    NoExec(String),
    #[error("multiple containers match the prefix {0}")]
    AmbiguousContainer(String),
    #[error(
        "Conflict. The container name \"/{name}\" is already in use by container \"{owner}\". You have to remove (or rename) that container to be able to reuse that name."
    )]
    NameTaken { name: String, owner: String },
    #[error("Invalid container name ({0}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed")]
    Name(String),
    #[error("container {0} is not running")]
    NotRunning(String),
    #[error("Container {0} is already paused")]
    AlreadyPaused(String),
    #[error("Container {0} is not paused")]
    NotPaused(String),
    #[error("cannot remove container {0:?}: container is running: stop the container before removing or force remove")]
    Running(String),
    #[error("container {0} is marked for removal and cannot be started")]
    Removing(String),
    #[error("{0}")]
    Invalid(String),
    #[error("{0}")]
    Conflict(String),
    #[error("{0}")]
    Denied(String),
    #[error("{0}")]
    NotFound(String),
    #[error("{0}")]
    Unsupported(String),
    /// Of a checkpoint, in Docker's words or CRIU's.
    #[error("{0}")]
    Checkpoint(String),
    #[error("configured logging driver does not support reading")]
    NoLog,
    /// The log driver cannot begin.
    #[error("failed to create task for container: failed to initialize logging driver: {0}")]
    Logging(String),
    /// In Docker's words; its cause comes after a colon.
    #[error("Cannot update container {id}")]
    Update { id: String, source: cgroup::Error },
    /// The container's process did not start; the door words it as Docker does.
    #[error(transparent)]
    Start(#[from] runtime::Failure),
    #[error(transparent)]
    Image(#[from] image::Error),
    #[error(transparent)]
    Registry(#[from] registry::Error),
    #[error(transparent)]
    Layer(#[from] layer::Error),
    #[error(transparent)]
    Volume(#[from] volume::Error),
    /// A volume's own file system, in Docker's words.
    #[error("{0}")]
    Mount(String),
    #[error(transparent)]
    Archive(#[from] archive::Error),
    /// Of a path inside of a container; as Go writes it.
    #[error("{call} {path}: {cause}")]
    Path { call: &'static str, path: String, cause: String },
    #[error(transparent)]
    Network(#[from] network::Error),
    #[error(transparent)]
    Cgroup(#[from] cgroup::Error),
    #[error(transparent)]
    Seccomp(#[from] seccomp::Error),
    #[error(transparent)]
    Store(#[from] container::StoreError),
    #[error(transparent)]
    Spec(#[from] container::spec::SpecError),
    /// As Docker, a failure of the engine: the request to start was no wrong one.
    #[error(transparent)]
    Devices(#[from] container::cdi::CdiError),
    #[error(transparent)]
    User(#[from] container::user::UserError),
    #[error(transparent)]
    Merge(#[from] container::MergeError),
    #[error(transparent)]
    Prepare(#[from] runtime::PrepareError),
    #[error(transparent)]
    Keeper(keeper::client::Error),
    #[error("cannot {action}")]
    Io { action: String, source: std::io::Error },
}

impl From<keeper::client::Error> for Error {
    fn from(error: keeper::client::Error) -> Error {
        match error {
            keeper::client::Error::Failed(failure) => Error::Start(failure),
            other => Error::Keeper(other),
        }
    }
}

impl Kinded for Error {
    fn kind(&self) -> Kind {
        match self {
            Error::NoContainer(_)
            | Error::NoNetwork(_)
            | Error::NotFound(_)
            | Error::NoFile { .. }
            | Error::NoExec(_) => Kind::NotFound,
            Error::NameTaken { .. }
            | Error::NotRunning(_)
            | Error::AlreadyPaused(_)
            | Error::Running(_)
            | Error::Removing(_)
            | Error::Conflict(_) => Kind::Conflict,
            Error::AmbiguousContainer(_)
            | Error::Name(_)
            | Error::Invalid(_)
            | Error::Start(_)
            | Error::Seccomp(_)
            | Error::Spec(_)
            | Error::User(_)
            | Error::Merge(_)
            | Error::Prepare(_) => Kind::Invalid,
            Error::Unsupported(_) | Error::NoLog => Kind::Unsupported,
            Error::Denied(_) => Kind::Denied,
            Error::Image(e) => e.kind(),
            Error::Registry(e) => e.kind(),
            Error::Layer(e) => e.kind(),
            Error::Volume(e) => e.kind(),
            // As Docker, whatever is wrong with an archive.
            Error::Archive(_) | Error::Path { .. } | Error::Mount(_) => Kind::Internal,
            Error::Network(e) => e.kind(),
            Error::Cgroup(e) => e.kind(),
            // As dockerd reckons.
            Error::NotPaused(_)
            | Error::Logging(_)
            | Error::Checkpoint(_)
            | Error::Update { .. }
            | Error::Devices(_)
            | Error::Store(_)
            | Error::Keeper(_)
            | Error::Io { .. } => Kind::Internal,
        }
    }
}
