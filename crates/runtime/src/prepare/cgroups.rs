//! The one mount whose meaning depends on the machine: `cgroup` at /sys/fs/cgroup (runtime-spec, config-linux.md).

use super::{PrepareError, Result, options};
use crate::{MountSource, MountStep};
use oci::runtime::{Linux, Mount, NamespaceKind};
use std::borrow::Cow;

/// statfs(2): the magic number of cgroup2.
const CGROUP2_SUPER_MAGIC: i64 = 0x6367_7270;

/// Replaces a mount of type `cgroup` that names no controller: by the v2 hierarchy where that is the machine's, else by a
/// tmpfs with every v1 hierarchy in it. Mounts that name controllers stay as they are.
pub(super) fn expand(mounts: &[Mount]) -> Result<Cow<'_, [Mount]>> {
    if !mounts.iter().any(is_general) {
        return Ok(Cow::Borrowed(mounts));
    }
    let mut all = Vec::with_capacity(mounts.len());
    for mount in mounts {
        match is_general(mount) {
            false => all.push(mount.clone()),
            true if unified() => all.push(Mount { kind: Some("cgroup2".into()), ..mount.clone() }),
            true => {
                let read = std::fs::read_to_string("/proc/self/cgroup");
                let text = read.map_err(|e| PrepareError::Unsupported(format!("a machine without cgroups: {e}")))?;
                hierarchies(mount, &text, &mut all);
            }
        }
    }
    Ok(Cow::Owned(all))
}

/// What is no option of mounts at all names a controller.
pub(super) fn is_general(mount: &Mount) -> bool {
    mount.kind.as_deref() == Some("cgroup") && options::parse(mount).data.is_empty()
}

pub(super) fn has_namespace(linux: &Linux) -> bool {
    linux.namespace(NamespaceKind::Cgroup).is_some()
}

/// On v1 a new mount shows a hierarchy from its root down, or from that of the cgroup namespace. Without such a namespace a
/// container sees its own group alone, as with runc.
pub(super) fn own(mount: &Mount) -> MountStep {
    let options = options::parse(mount);
    let source = MountSource::OwnCgroups { attributes: options.attributes.set | options.recursive.set };
    MountStep {
        destination: mount.destination.clone(),
        source,
        propagation: options.propagation,
        origin: "cgroup".to_owned(),
    }
}

pub(super) fn unified() -> bool {
    rustix::fs::statfs("/sys/fs/cgroup").is_ok_and(|stat| stat.f_type == CGROUP2_SUPER_MAGIC)
}

/// Lines are `number:controllers:path`, cgroups(7); no controllers is the v2 hierarchy.
fn hierarchies(mount: &Mount, text: &str, all: &mut Vec<Mount>) {
    let mut parent = Mount { kind: Some("tmpfs".into()), source: Some("tmpfs".into()), ..mount.clone() };
    parent.options.push("mode=755".into());
    all.push(parent);
    for controllers in text.lines().filter_map(|line| line.split(':').nth(1)).filter(|names| !names.is_empty()) {
        let mut one = mount.clone();
        one.destination =
            format!("{}/{}", mount.destination.trim_end_matches('/'), controllers.trim_start_matches("name="));
        one.options.extend(controllers.split(',').map(str::to_owned));
        all.push(one);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_v1_hierarchy_gets_a_folder() {
        let mount = Mount {
            destination: "/sys/fs/cgroup".into(),
            kind: Some("cgroup".into()),
            options: vec!["ro".into(), "nosuid".into()],
            ..Mount::default()
        };
        let mut all = Vec::new();
        hierarchies(&mount, "4:cpu,cpuacct:/x\n1:name=systemd:/\n0::/y\n", &mut all);
        let destinations: Vec<_> = all.iter().map(|mount| mount.destination.as_str()).collect();
        assert_eq!(destinations, ["/sys/fs/cgroup", "/sys/fs/cgroup/cpu,cpuacct", "/sys/fs/cgroup/systemd"]);
        assert_eq!(all[0].options, ["ro", "nosuid", "mode=755"]);
        assert_eq!(all[1].options, ["ro", "nosuid", "cpu", "cpuacct"]);
        assert_eq!(all[2].options, ["ro", "nosuid", "name=systemd"]);
    }

    #[test]
    fn a_mount_that_names_controllers_stays() {
        let options = vec!["ro".into(), "memory".into()];
        let mount = Mount { kind: Some("cgroup".into()), options, ..Mount::default() };
        let all = [mount];
        assert_eq!(expand(&all).unwrap().as_ref(), all);
    }
}
