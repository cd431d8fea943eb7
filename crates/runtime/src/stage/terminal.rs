//! A pseudo terminal of the container's own devpts.

use super::{resolve, tree};
use crate::failure::at;
use crate::{Failure, ProcessPlan, Step};
use rustix::fs::{Mode, OFlags, Uid};
use rustix::io::Errno;
use rustix::mount::OpenTreeFlags;
use rustix::pty::OpenptFlags;
use rustix::termios::{OptionalActions, OutputModes, Termios, Winsize};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// statfs(2): the magic number of devpts.
const DEVPTS_SUPER_MAGIC: i64 = 0x1cd1;
/// Major and minor number of ptmx, Documentation/admin-guide/devices.txt.
const PTMX: (u32, u32) = (5, 2);

/// Both ends of a terminal.
#[derive(Debug)]
pub(super) struct Pair {
    /// For the keeper.
    pub(super) master: OwnedFd,
    /// For the process.
    pub(super) peer: OwnedFd,
}

/// Opens a new terminal, of the size the plan wants and owned by its user: in `devpts` if that is known, else at /dev/pts
/// below `root`, where it must prove to be one.
pub(super) fn open(root: BorrowedFd<'_>, devpts: Option<BorrowedFd<'_>>, plan: &ProcessPlan) -> Result<Pair, Failure> {
    let pair = open_pair(root, devpts).map_err(at(Step::Console, "/dev/pts/ptmx"))?;
    if let Some((rows, columns)) = plan.console_size {
        let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        rustix::termios::tcsetwinsize(&pair.peer, size).map_err(at(Step::Console, "size"))?;
    }
    if plan.uid != 0 && plan.uid != u32::MAX {
        let owner = Some(Uid::from_raw(plan.uid));
        rustix::fs::fchown(&pair.peer, owner, None).map_err(at(Step::Console, "owner"))?;
    }
    Ok(pair)
}

/// New lines get no carriage return.
pub(super) fn plain_lines(peer: BorrowedFd<'_>) -> Result<(), Failure> {
    let set = |mut settings: Termios| {
        settings.output_modes -= OutputModes::ONLCR;
        rustix::termios::tcsetattr(peer, OptionalActions::Now, &settings)
    };
    rustix::termios::tcgetattr(peer).and_then(set).map_err(at(Step::Console, "line ends"))
}

fn open_pair(root: BorrowedFd<'_>, devpts: Option<BorrowedFd<'_>>) -> Result<Pair, Errno> {
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
    let master = match devpts {
        Some(devpts) => rustix::fs::openat(devpts, "ptmx", flags, Mode::empty())?,
        None => {
            resolve::in_root(root, "dev/pts/ptmx", OFlags::PATH).and_then(|node| open_checked(node.as_fd(), root))?
        }
    };
    rustix::pty::unlockpt(&master)?;
    let peer = rustix::pty::ioctl_tiocgptpeer(&master, OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
    Ok(Pair { master, peer })
}

/// Opening a device has effects, so what it is comes first; and what was opened is looked at again.
fn open_checked(node: BorrowedFd<'_>, root: BorrowedFd<'_>) -> Result<OwnedFd, Errno> {
    check(node)?;
    let master = resolve::in_root(root, "dev/pts/ptmx", OFlags::RDWR | OFlags::NOCTTY | OFlags::NONBLOCK)?;
    check(master.as_fd())?;
    rustix::fs::fcntl_setfl(&master, OFlags::empty())?;
    Ok(master)
}

fn check(node: BorrowedFd<'_>) -> Result<(), Errno> {
    let stat = rustix::fs::statat(node, "", rustix::fs::AtFlags::EMPTY_PATH)?;
    let number = (rustix::fs::major(stat.st_rdev), rustix::fs::minor(stat.st_rdev));
    let right = number == PTMX && rustix::fs::fstatfs(node)?.f_type == DEVPTS_SUPER_MAGIC;
    if right { Ok(()) } else { Err(Errno::NODEV) }
}

/// Binds the terminal's own file at the place that `console` gives.
pub(super) fn bind_console(
    peer: BorrowedFd<'_>,
    console: impl FnOnce() -> Result<OwnedFd, Errno>,
) -> Result<(), Errno> {
    let copy = tree::copy(peer, OpenTreeFlags::empty())?;
    tree::attach(copy.as_fd(), console()?.as_fd())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_lines_end_in_a_line_feed_alone() {
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let master = rustix::pty::openpt(flags).unwrap();
        rustix::pty::unlockpt(&master).unwrap();
        let peer = rustix::pty::ioctl_tiocgptpeer(&master, flags).unwrap();
        plain_lines(peer.as_fd()).unwrap();
        rustix::io::write(&peer, b"a\n").unwrap();
        let mut read = [0; 8];
        assert_eq!(rustix::io::read(&master, &mut read).unwrap(), 2);
    }
}
