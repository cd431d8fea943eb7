//! Why an engine cannot run as an ordinary user.

use std::io;
use std::path::PathBuf;

/// Why an engine cannot run as an ordinary user.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot {action}")]
    Io { action: &'static str, source: io::Error },
    #[error("cannot use {path}")]
    Folder { path: PathBuf, source: io::Error },
    #[error("cannot use {path}: it belongs to another user, or others may write to it; set XDG_RUNTIME_DIR")]
    Stranger { path: PathBuf },
    #[error("cannot choose a folder for data: neither XDG_DATA_HOME nor HOME is set; use --data-root")]
    Homeless,
    #[error("another engine already runs on {0}: give this one other roots")]
    Taken(PathBuf),
    #[error(
        "cannot make a user namespace: allow it with `sysctl -w user.max_user_namespaces=10000` and, where they exist, kernel.unprivileged_userns_clone=1 and kernel.apparmor_restrict_unprivileged_userns=0"
    )]
    Forbidden { source: io::Error },
    #[error("cannot map user ids: {0}")]
    Map(String),
    #[error("the other half of the engine has ended")]
    Alone,
}

pub(crate) fn io(action: &'static str) -> impl Fn(io::Error) -> Error {
    move |source| Error::Io { action, source }
}
