//! What `cgroup` means on v1 to a container without a cgroup namespace: its own groups, bound from the host's hierarchies.

use super::resolve::Sort;
use super::tree::{self, Tree};
use crate::failure::errno;
use crate::{Extent, MountStep};
use rustix::io::Errno;
use std::os::fd::AsFd;
use sys::mount::attribute;

/// A hierarchy as the host shows it.
#[derive(Debug, PartialEq, Eq)]
struct Hierarchy {
    /// Its folder's name: `cpu,cpuacct`.
    name: String,
    /// The container's own group.
    path: String,
}

impl Tree<'_> {
    pub(super) fn place_own_cgroups(&mut self, step: &MountStep, attributes: u64) -> Result<(), Errno> {
        let read = |path| std::fs::read_to_string(path).map_err(errno);
        // The root of this process is the host's still.
        let found = hierarchies(&read("/proc/self/mountinfo")?, &read("/proc/self/cgroup")?);
        let options =
            [("source", "tmpfs"), ("mode", "755")].map(|(key, value)| (key.to_owned(), Some(value.to_owned())));
        let closed = attribute::NOSUID | attribute::NODEV | attribute::NOEXEC;
        let folder = tree::create("tmpfs", &options, closed)?;
        tree::attach(folder.as_fd(), self.target(&step.destination, Sort::Folder)?.as_fd())?;
        tree::spread(folder.as_fd(), &step.propagation)?;
        let base = step.destination.trim_end_matches('/');
        for hierarchy in found {
            let group = tree::host_tree(&hierarchy.path, attributes | closed, Extent::One)?;
            let destination = format!("{base}/{}", hierarchy.name);
            tree::attach(group.as_fd(), self.target(&destination, Sort::Folder)?.as_fd())?;
            self.link_controllers(&destination)?;
        }
        if attributes & attribute::RDONLY != 0 {
            self.close_later(folder);
        }
        Ok(())
    }
}

/// Lines of proc_pid_mountinfo(5): number, parent, device, root, mount point, options, tags, `-`, type, source, words.
fn hierarchies(mounts: &str, groups: &str) -> Vec<Hierarchy> {
    let mut found: Vec<Hierarchy> = Vec::new();
    for line in mounts.lines() {
        let Some((place, rest)) = line.split_once(" - ") else { continue };
        let (place, rest): (Vec<_>, Vec<_>) = (place.split(' ').collect(), rest.split(' ').collect());
        let ([_, _, _, root, point, ..], ["cgroup", _, words]) = (place.as_slice(), rest.as_slice()) else { continue };
        let Some(name) = point.rsplit('/').next().filter(|name| !name.is_empty()) else { continue };
        let words: Vec<_> = words.split(',').collect();
        let Some(own) = own_group(groups, &words) else { continue };
        // A mount that shows another part of the hierarchy is of no use.
        let Some(below) = own.strip_prefix(root.trim_end_matches('/')) else { continue };
        if !found.iter().any(|known| known.name == name) {
            found.push(Hierarchy { name: name.to_owned(), path: format!("{point}{}", below.trim_end_matches('/')) });
        }
    }
    found
}

/// Lines of cgroups(7): `number:controllers:path`; the words of the mount name the same controllers.
fn own_group<'a>(groups: &'a str, words: &[&str]) -> Option<&'a str> {
    groups.lines().find_map(|line| {
        let mut parts = line.splitn(3, ':').skip(1);
        let (controllers, path) = (parts.next()?, parts.next()?);
        let all = !controllers.is_empty() && controllers.split(',').all(|controller| words.contains(&controller));
        all.then_some(path)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_own_group_of_each_hierarchy_is_found() {
        let mounts = "30 25 0:26 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n\
            31 25 0:27 / /sys/fs/cgroup/cpu,cpuacct rw,nosuid shared:9 - cgroup cgroup rw,cpu,cpuacct\n\
            32 25 0:28 /outer /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n\
            33 25 0:29 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,name=systemd\n\
            34 25 0:28 /other /mnt/memory rw - cgroup cgroup rw,memory\n";
        let groups = "4:memory:/outer/box\n3:cpu,cpuacct:/box\n1:name=systemd:/\n0::/x\n";
        let expected = [
            ("cpu,cpuacct", "/sys/fs/cgroup/cpu,cpuacct/box"),
            ("memory", "/sys/fs/cgroup/memory/box"),
            ("systemd", "/sys/fs/cgroup/systemd"),
        ];
        let found = hierarchies(mounts, groups);
        let found: Vec<_> = found.iter().map(|one| (one.name.as_str(), one.path.as_str())).collect();
        assert_eq!(found, expected);
    }
}
