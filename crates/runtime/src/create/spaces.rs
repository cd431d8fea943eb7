//! The namespaces that a process is born in, or joins before all else: user, network and pid.

use crate::failure::at;
use crate::stage::Place;
use crate::{Failure, Step};
use oci::runtime::{NamespaceKind, Spec};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use sys::process::Namespaces;

/// The namespaces that a process is born in, or goes to before all else.
#[derive(Debug)]
pub(super) struct Spaces {
    pub(super) new: Namespaces,
    user: Option<OwnedFd>,
    network: Option<OwnedFd>,
    pub(super) pid: Option<OwnedFd>,
}

impl Spaces {
    pub(super) fn open(spec: &Spec) -> Result<Self, Failure> {
        let mut spaces = Self { new: Namespaces::empty(), user: None, network: None, pid: None };
        for space in spec.linux.iter().flat_map(|linux| &linux.namespaces) {
            let (flag, place) = match space.kind {
                NamespaceKind::User => (Namespaces::NEWUSER, &mut spaces.user),
                NamespaceKind::Network => (Namespaces::NEWNET, &mut spaces.network),
                NamespaceKind::Pid => (Namespaces::NEWPID, &mut spaces.pid),
                _ => continue,
            };
            match space.existing() {
                None => spaces.new |= flag,
                Some(path) => *place = Some(open_namespace(path, flag)?),
            }
        }
        Ok(spaces)
    }

    /// Where a process of these namespaces goes; `cgroup_procs` are the groups it enters.
    pub(super) fn place<'a>(&'a self, cgroup_procs: Vec<BorrowedFd<'a>>) -> Place<'a> {
        Place::of(self.new, [self.user.as_ref(), self.network.as_ref()].map(|fd| fd.map(AsFd::as_fd)), cgroup_procs)
    }
}

fn open_namespace(path: &str, kind: Namespaces) -> Result<OwnedFd, Failure> {
    let opened = rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK, Mode::empty());
    let opened = opened.map_err(at(Step::JoinNamespace, path))?;
    // Any other file would be refused as well, but not before a process was forked.
    let kind_of = rustix::fs::statfs(path).map_err(at(Step::JoinNamespace, path))?.f_type;
    match kind_of == NSFS_MAGIC && !kind.is_empty() {
        true => Ok(opened),
        false => Err(Failure::new(Step::JoinNamespace, Errno::INVAL, path)),
    }
}

/// statfs(2): the magic number of the files that stand for namespaces.
const NSFS_MAGIC: i64 = 0x6e73_6673;
