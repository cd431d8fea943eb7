//! What stays of the host below a root that was moved instead of pivoted: nothing that would allow a bare procfs or sysfs.

use crate::failure::errno;
use rustix::io::Errno;
use rustix::mount::{MountFlags, UnmountFlags};

/// Takes the host's procfs and sysfs out of this mount namespace. With them reachable, the kernel lets a user namespace inside the
/// container mount new ones, which no masked path covers (mount_too_revealing in fs/namespace.c).
///
/// Paths begin at the host's root: the mount over it is not crossed. `own` is where the container's root lies in it.
pub(super) fn drop_revealing(own: Option<&str>) -> Result<(), Errno> {
    let table = std::fs::read_to_string("/proc/self/mountinfo").map_err(errno)?;
    for point in revealing(&table, own) {
        match rustix::mount::unmount(point.as_str(), UnmountFlags::DETACH) {
            Ok(()) | Err(Errno::NOENT | Errno::NOTDIR) => {}
            // Locked, in a user namespace: covered, it shows nothing either.
            Err(Errno::INVAL | Errno::PERM) => {
                let flags = MountFlags::RDONLY | MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
                rustix::mount::mount("tmpfs", point.as_str(), "tmpfs", flags, None)?;
            }
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

/// Mount points of whole file systems of these two types, the latest first.
fn revealing(table: &str, own: Option<&str>) -> Vec<String> {
    let inside = |point: &str| own.is_some_and(|own| point.strip_prefix(own).is_some_and(|rest| rest.starts_with('/')));
    let point = |line: &str| {
        let (mount, kind) = line.split_once(" - ")?;
        let mut fields = mount.split(' ').skip(3);
        let (root, point) = (fields.next()?, fields.next()?);
        let full = root == "/" && ["proc", "sysfs"].contains(&kind.split(' ').next()?);
        let point = point.replace("\\040", " ");
        (full && !inside(&point)).then_some(point)
    };
    table.lines().rev().filter_map(point).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_procfs_and_sysfs_outside_the_container_are_found() {
        let table = "20 1 0:21 / /proc rw - proc proc rw\n21 1 0:22 / /sys rw - sysfs sysfs rw\n\
                     22 1 0:21 / /b/rootfs/proc rw - proc proc rw\n23 20 0:21 /sys /proc/sys ro - proc proc rw\n";
        assert_eq!(revealing(table, Some("/b/rootfs")), ["/sys", "/proc"]);
        let spaced = "22 1 0:21 / /b\\040c/rootfs/proc rw - proc proc rw\n23 1 0:21 / /d\\040e rw - proc proc rw\n";
        assert_eq!(revealing(spaced, Some("/b c/rootfs")), ["/d e"]);
    }
}
