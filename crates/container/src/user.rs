//! `USER` texts, looked up in the container's own /etc/passwd and /etc/group.

use std::os::fd::BorrowedFd;

/// Looks `text` (`user[:group]`) up below `root` (a folder fd); `extra` are `--group-add` texts.
///
/// Files are opened inside the root only, must be regular, and at most 10 MiB are read. A number beyond 2^31-1 is refused, never wrapped.
pub fn lookup(root: BorrowedFd<'_>, text: &str, extra: &[String]) -> Result<Found, UserError> {
    let _ = (root, text, extra);
    todo!()
}

/// Who that is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    pub uid: u32,
    pub gid: u32,
    pub groups: Vec<u32>,
    /// The home folder from passwd, `/` when unknown.
    pub home: String,
}

/// Why a user was not found. Texts as Docker's.
#[derive(Debug, thiserror::Error)]
pub enum UserError {
    #[error("unable to find user {0}: no matching entries in passwd file")]
    NoUser(String),
    #[error("unable to find group {0}: no matching entries in group file")]
    NoGroup(String),
    #[error("invalid user {0:?}: uids and gids must be in range 0-2147483647")]
    Range(String),
    #[error("cannot read {path} of the container")]
    Read { path: &'static str, source: std::io::Error },
}
