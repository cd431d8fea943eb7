//! User namespaces that exist only for their maps: what an id-mapped mount is told (mount_setattr(2)).

use super::{PrepareError, Result};
use crate::{ids, wire};
use oci::runtime::IdMapping;
use rustix::fs::{Mode, OFlags};
use rustix::process::{WaitId, WaitIdOptions};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use sys::process::{Birth, Fork, Namespaces, SingleThread};

/// The namespaces made so far, by their maps.
#[derive(Debug, Default)]
pub(super) struct Owners(Vec<(Maps, OwnedFd)>);

/// Lines for users and for groups.
type Maps = (Vec<IdMapping>, Vec<IdMapping>);

impl Owners {
    /// A user namespace with these maps. Only for a process of one thread, because it forks.
    pub(super) fn with(&mut self, uid: &[IdMapping], gid: &[IdMapping]) -> Result<BorrowedFd<'_>> {
        let position = match self.0.iter().position(|((users, groups), _)| users == uid && groups == gid) {
            Some(position) => position,
            None => {
                let made = make(uid, gid).map_err(|source| PrepareError::IdMap { source })?;
                self.0.push(((uid.to_vec(), gid.to_vec()), made));
                self.0.len() - 1
            }
        };
        Ok(self.0[position].1.as_fd())
    }
}

/// A child is born in a new user namespace and waits there until it was looked at.
fn make(uid: &[IdMapping], gid: &[IdMapping]) -> io::Result<OwnedFd> {
    let thread = SingleThread::prove()?;
    let (ours, theirs) = wire::pair()?;
    let birth = Birth { namespaces: Namespaces::NEWUSER, ..Birth::default() };
    match sys::fork(&thread, &birth)? {
        Fork::Child(child) => {
            let _ = child.close_all_but(&mut [theirs.as_raw_fd()]);
            // Nothing is ever written: this ends with the parent's descriptor.
            let _ = rustix::io::retry_on_intr(|| rustix::io::read(&theirs, &mut [0_u8; 1]));
            sys::process::exit(0)
        }
        Fork::Parent { pid, pidfd } => {
            drop(theirs);
            let opened = ids::write(pid, uid, gid).and_then(|()| {
                let flags = OFlags::RDONLY | OFlags::CLOEXEC;
                Ok(rustix::fs::open(format!("/proc/{pid}/ns/user"), flags, Mode::empty())?)
            });
            drop(ours);
            rustix::io::retry_on_intr(|| rustix::process::waitid(WaitId::PidFd(pidfd.as_fd()), WaitIdOptions::EXITED))?;
            opened
        }
    }
}
