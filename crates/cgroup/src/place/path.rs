//! The rules of `linux.cgroupsPath` with cgroupfs (runtime-spec, config-linux.md, "Cgroups Path"), as runc reads them.

use crate::Error;
use crate::detect::{Mount, Mounts};
use crate::v1::Site;
use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

/// Takes `.` and `..` out; the latter do not lead above the beginning. A relative path stays relative.
pub(super) fn clean(path: &str) -> Result<PathBuf, Error> {
    if path.contains(['\0', '\n']) {
        return Err(Error::Refused(format!("{path:?} cannot be a cgroup path")));
    }
    let root = if path.starts_with('/') { "/" } else { "" };
    let mut clean = PathBuf::new();
    for component in Path::new(path).components() {
        match component {
            Component::Normal(name) => clean.push(name),
            Component::ParentDir => drop(clean.pop()),
            _ => {}
        }
    }
    match root.is_empty() && clean.as_os_str().is_empty() {
        true => Err(Error::Refused(format!("{path:?} cannot be a cgroup path"))),
        false => Ok(Path::new(root).join(clean)),
    }
}

/// A path below a group; `..` out of it is refused.
pub(super) fn sub_path(path: &str) -> Result<String, Error> {
    let mut names: Vec<&str> = Vec::new();
    for name in path.split('/').filter(|name| !matches!(*name, "" | ".")) {
        match name {
            ".." if names.pop().is_none() => return Err(Error::Refused(format!("bad sub cgroup path: {path}"))),
            ".." => {}
            name => names.push(name),
        }
    }
    match names.is_empty() {
        true => Ok(crate::folder::SELF.to_owned()),
        false => Ok(names.join("/")),
    }
}

/// Which groups a process is in: by controller, `name=...`, and `""` for v2.
#[derive(Debug, Default)]
pub(super) struct Own(BTreeMap<String, PathBuf>);

impl Own {
    /// Ours.
    pub(super) fn read() -> Result<Own, Error> {
        Own::of("self")
    }

    /// Those of a process, by its number.
    pub(super) fn of(process: &str) -> Result<Own, Error> {
        let path = PathBuf::from(format!("/proc/{process}/cgroup"));
        match std::fs::read_to_string(&path) {
            Ok(text) => Ok(Own::parse(&text)),
            Err(source) => Err(Error::Io { action: "read the cgroups of a process in", path, source }),
        }
    }

    /// Lines are `number:controllers:path` (cgroups(7)).
    fn parse(text: &str) -> Own {
        let mut own = BTreeMap::new();
        for line in text.lines() {
            let mut fields = line.splitn(3, ':').skip(1);
            let (Some(controllers), Some(path)) = (fields.next(), fields.next()) else { continue };
            own.extend(controllers.split(',').map(|controller| (controller.to_owned(), PathBuf::from(path))));
        }
        Own(own)
    }

    /// The group below a mount; the mount itself where that shows another part of the tree.
    pub(super) fn below(&self, mount: &Mount) -> PathBuf {
        let own = mount.label.split(',').find_map(|controller| self.0.get(controller));
        // A group outside our cgroup namespace stands as `/../x` (cgroup_namespaces(7)).
        let seen = own.filter(|own| !own.components().any(|part| part == Component::ParentDir));
        let below = seen.and_then(|own| own.strip_prefix(&mount.root).ok()).unwrap_or(Path::new(""));
        // Joining an empty path would leave a slash behind.
        mount.path.components().chain(below.components()).collect()
    }
}

/// Where the groups are on v1: in every hierarchy, that of v2 included.
pub(super) fn sites(mounts: &Mounts, own: &Own, path: &Path) -> Vec<Site> {
    let site = |mount: &Mount| {
        let from = if path.is_absolute() { mount.path.clone() } else { own.below(mount) };
        Site { label: mount.label.clone(), mount: mount.path.clone(), path: inside(&from, path) }
    };
    mounts.v1.iter().chain(&mounts.v2).map(site).collect()
}

/// Where the group is on v2. A relative path begins beside our own group, not in it: that one has a process, us, and
/// cannot hand controllers on (cgroup-v2.rst, "No Internal Process Constraint").
pub(super) fn in_v2(mount: &Mount, own: &Own, path: &Path) -> PathBuf {
    if path.is_absolute() {
        return inside(&mount.path, path);
    }
    let own = own.below(mount);
    let beside = own.parent().filter(|parent| parent.starts_with(&mount.path)).unwrap_or(&mount.path);
    inside(beside, path)
}

/// A path taken as relative, below another.
pub(super) fn inside(from: &Path, path: &Path) -> PathBuf {
    from.components().chain(path.components().filter(|part| *part != Component::RootDir)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mount(label: &str, root: &str, path: &str) -> Mount {
        Mount { label: label.to_owned(), root: root.into(), path: path.into() }
    }

    #[test]
    fn paths_are_cleaned_and_lead_nowhere_above() {
        for (path, wanted) in [
            ("/a/b", "/a/b"),
            ("a/b/", "a/b"),
            ("/../../a", "/a"),
            ("../../../a/./b/../c", "a/c"),
            ("/", "/"),
            ("a", "a"),
        ] {
            assert_eq!(clean(path).unwrap(), PathBuf::from(wanted), "{path}");
        }
        for path in ["", ".", "..", "a/..", "a\0b"] {
            assert!(clean(path).is_err(), "{path:?}");
        }
    }

    #[test]
    fn a_path_below_a_group_does_not_lead_out_of_it() {
        for (path, wanted) in [("a/b", "a/b"), ("/a/../b/", "b"), ("", "."), ("/", ".")] {
            assert_eq!(sub_path(path).unwrap(), wanted, "{path}");
        }
        for path in ["..", "../a", "a/../../b", "/.."] {
            assert!(sub_path(path).unwrap_err().to_string().starts_with("bad sub cgroup path"), "{path}");
        }
    }

    #[test]
    fn an_absolute_path_begins_at_the_mount_and_a_relative_one_at_our_own_group() {
        let own = Own::parse("4:cpu,cpuacct:/system/x\n2:memory:/docker/abc/deep\n1:name=systemd:/../y\n0::/u\n");
        let mounts = Mounts {
            v1: vec![
                mount("cpuacct,cpu", "/", "/sys/fs/cgroup/cpu"),
                mount("memory", "/docker/abc", "/sys/fs/cgroup/memory"),
                mount("name=systemd", "/", "/sys/fs/cgroup/systemd"),
                mount("pids", "/", "/sys/fs/cgroup/pids"),
            ],
            v2: Some(mount("", "/", "/sys/fs/cgroup/unified")),
        };
        let paths = |path: &str| -> Vec<_> {
            let sites = sites(&mounts, &own, &clean(path).unwrap());
            sites.into_iter().map(|site| site.path.strip_prefix("/sys/fs/cgroup").unwrap().to_owned()).collect()
        };
        let wanted = ["cpu/a", "memory/a", "systemd/a", "pids/a", "unified/a"].map(PathBuf::from);
        assert_eq!(paths("/a"), wanted);
        let wanted = ["cpu/system/x/a", "memory/deep/a", "systemd/a", "pids/a", "unified/u/a"].map(PathBuf::from);
        assert_eq!(paths("a"), wanted);
    }

    #[test]
    fn on_v2_a_relative_path_begins_beside_our_own_group() {
        let path = |own: &str, path: &str| {
            let mount = mount("", "/", "/sys/fs/cgroup");
            in_v2(&mount, &Own::parse(&format!("0::{own}\n")), &clean(path).unwrap()).display().to_string()
        };
        assert_eq!(path("/user.slice/session-1.scope", "abc"), "/sys/fs/cgroup/user.slice/abc");
        assert_eq!(path("/", "abc"), "/sys/fs/cgroup/abc");
        assert_eq!(path("/top", "a/b"), "/sys/fs/cgroup/a/b");
        assert_eq!(path("/user.slice", "/a"), "/sys/fs/cgroup/a");
    }
}
