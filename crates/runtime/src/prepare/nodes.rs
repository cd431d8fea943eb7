//! Devices of a bundle that are not in a /dev made beforehand: nodes and links that the init makes in the container's root.

use super::devices::{self, DEFAULT_MODE, DEFAULT_NODES, LINKS, PTMX};
use super::{Making, PrepareError, Result, mounts, options};
use crate::{MountSource, MountStep, Node};
use oci::runtime::{Device, Mount, NamespaceKind};
use rustix::fs::FileType;

/// Adds them behind the mounts. A container that has the /dev of somebody else by a bind needs none, and gets none.
pub(super) fn add(
    mounts: &[Mount],
    dev_is_ours: bool,
    steps: &mut Vec<MountStep>,
    making: &mut Making<'_>,
) -> Result<()> {
    let is_dev = |mount: &&Mount| mount.destination.trim_end_matches('/') == "/dev";
    if mounts.iter().filter(is_dev).any(options::is_bind) {
        return Ok(());
    }
    let covered = |path: &str| {
        let inside = |mount: &Mount| {
            let folder = mount.destination.trim_end_matches('/');
            folder != "/dev" && path.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'))
        };
        mounts.iter().any(inside)
    };
    for device in making.linux.devices.iter().filter(|device| device.path != PTMX && !device.path.is_empty()) {
        if devices::below_dev(device).is_none() || !dev_is_ours || covered(&device.path) {
            let step = device_step(device, making)?;
            steps.push(step);
        }
    }
    if !dev_is_ours {
        add_standard(steps, making)?;
    }
    Ok(())
}

/// What every container has in its /dev (runtime-spec, config-linux.md), where that is a folder of its root.
fn add_standard(steps: &mut Vec<MountStep>, making: &mut Making<'_>) -> Result<()> {
    for (name, major, minor) in DEFAULT_NODES {
        let path = format!("/dev/{name}");
        if !making.linux.devices.iter().any(|device| device.path == path) {
            let (major, minor) = (i64::from(major), i64::from(minor));
            steps.push(device_step(&Device { kind: "c".into(), path, major, minor, ..Device::default() }, making)?);
        }
    }
    for (name, target) in LINKS {
        let source = MountSource::Link { target: target.to_owned() };
        steps.push(MountStep {
            destination: format!("/dev/{name}"),
            source,
            propagation: Vec::new(),
            origin: String::new(),
        });
    }
    Ok(())
}

fn device_step(device: &Device, making: &mut Making<'_>) -> Result<MountStep> {
    let destination = mounts::place(&device.path, making);
    mounts::check_destination(&destination)?;
    let invalid = || PrepareError::Invalid(format!("device {}", device.path));
    let (sort, number) = devices::identity(device).ok_or_else(invalid)?;
    let mode = sort.as_raw_mode() | device.file_mode.unwrap_or(DEFAULT_MODE) & 0o7777;
    let node = Node { mode, number, uid: device.uid.unwrap_or(0), gid: device.gid.unwrap_or(0) };
    let host = match in_own_users(making) && sort != FileType::Fifo {
        false => None,
        true => {
            let clone = devices::checked_clone(&device.path, sort, number);
            Some(making.fds.add(clone.map_err(devices::device_error(&device.path))?)?)
        }
    };
    Ok(MountStep {
        destination,
        source: MountSource::Device { node, host },
        propagation: Vec::new(),
        origin: String::new(),
    })
}

/// Nodes that are made in a user namespace of its own are refused, or dead (mknod(2), user_namespaces(7)).
pub(super) fn in_own_users(making: &Making<'_>) -> bool {
    making.linux.namespace(NamespaceKind::User).is_some()
}

#[cfg(test)]
mod tests {
    use super::super::Fds;
    use super::*;
    use crate::Rules;
    use oci::runtime::Linux;

    fn steps(mounts: &[Mount], linux: &Linux, dev_is_ours: bool) -> Vec<String> {
        let rules = Rules::Bundle("/bundle".into());
        let (owners, fds) = (Default::default(), Fds::default());
        let mut making = Making { linux, rules: &rules, root: None, user: None, owners, fds };
        let mut steps = Vec::new();
        add(mounts, dev_is_ours, &mut steps, &mut making).unwrap();
        steps.into_iter().map(|step| step.destination).collect()
    }

    fn device(path: &str) -> Device {
        Device { kind: "c".into(), path: path.into(), major: 1, minor: 3, ..Device::default() }
    }

    fn mount(kind: &str, destination: &str) -> Mount {
        Mount { destination: destination.into(), kind: Some(kind.into()), ..Mount::default() }
    }

    #[test]
    fn a_root_without_a_mounted_dev_gets_nodes_and_links() {
        let all = steps(&[], &Linux { devices: vec![device("/dev/null"), device("/x")], ..Linux::default() }, false);
        assert_eq!(all[..2], ["/dev/null", "/x"]);
        assert_eq!(all.iter().filter(|path| *path == "/dev/null").count(), 1);
        assert!(["/dev/urandom", "/dev/stdin", "/dev/ptmx"].iter().all(|path| all.iter().any(|made| made == path)));
    }

    #[test]
    fn a_bound_dev_is_left_alone() {
        let linux = Linux { devices: vec![device("/dev/x")], ..Linux::default() };
        assert_eq!(steps(&[mount("bind", "/dev/")], &linux, false), [""; 0]);
    }

    #[test]
    fn only_what_the_prepared_dev_cannot_hold_is_made_later() {
        let devices = ["/dev/x", "/dev/net/tun", "/y", "/dev/ptmx"].map(device).to_vec();
        let mounts = [mount("tmpfs", "/dev"), mount("tmpfs", "/dev/net")];
        assert_eq!(steps(&mounts, &Linux { devices, ..Linux::default() }, true), ["/dev/net/tun", "/y"]);
    }
}
