//! Options of the `local` driver: `type`, `device` and `o` name a file system that is mounted while a container uses the volume.
//!
//! Which options there are, and what is said of wrong ones, are Docker's (moby, daemon/volume/local/local_unix.go).

use crate::{Error, Volume};
use rustix::mount::{MountFlags, MountPropagationFlags, UnmountFlags};
use std::collections::BTreeMap;
use std::ffi::CString;
use std::io;
use std::path::Path;

/// What is mounted for a volume.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Mounting {
    kind: String,
    device: String,
    flags: MountFlags,
    propagation: Option<MountPropagationFlags>,
    data: String,
}

/// Refuses options that mean nothing, in the order that Docker looks at them.
pub(crate) fn check(name: &str, options: &BTreeMap<String, String>) -> Result<(), Error> {
    let refuse = |why: String| Err(Error::Options { name: name.to_owned(), why });
    for option in options.keys() {
        if !["type", "o", "device", "size"].contains(&option.as_str()) {
            return refuse(format!("invalid option: {option:?}"));
        }
    }
    if let Some(size) = options.get("size") {
        match base::size::bytes(size) {
            None => return refuse(format!("invalid size: '{size}'")),
            Some(0) => {}
            Some(_) => return refuse("quota size requested but no quota support".to_owned()),
        }
    }
    for (option, needs) in [("device", &["type"][..]), ("type", &["device"]), ("o", &["device", "type"])] {
        if let Some(missing) = needs.iter().find(|need| options.contains_key(option) && !options.contains_key(**need)) {
            return refuse(format!("missing required option: {missing:?}"));
        }
    }
    Ok(())
}

impl Volume {
    /// Whether its files are somewhere else, mounted only while they are used.
    pub fn needs_mount(&self) -> bool {
        ["type", "device"].iter().any(|option| self.options.get(*option).is_some_and(|value| !value.is_empty()))
    }

    /// What of its options a name service must be asked for: the host of `addr=`, when that is no number.
    pub fn host(&self) -> Option<&str> {
        let network = self.options.get("type").is_some_and(|kind| kind == "nfs" || kind == "cifs");
        let words = self.options.get("o").filter(|_| network)?;
        let host = words.split(',').find_map(|word| word.strip_prefix("addr="))?;
        host.parse::<std::net::IpAddr>().is_err().then_some(host)
    }

    /// Mounts what its options name at its mount point, unless that is done.
    pub fn mount(&self) -> io::Result<()> {
        match self.needs_mount() && !self.is_mounted()? {
            true => Mounting::of(&self.options).mount(&self.mountpoint),
            false => Ok(()),
        }
    }

    /// Takes what is mounted there away again. What still uses it elsewhere is not disturbed.
    pub fn unmount(&self) -> io::Result<()> {
        match self.needs_mount() && self.is_mounted()? {
            true => take_off(&self.mountpoint),
            false => Ok(()),
        }
    }

    /// Its options as mount(2) takes them: flags, and what is the file system's own.
    pub fn mount_words(&self) -> (u32, String) {
        let Mounting { flags, data, .. } = Mounting::of(&self.options);
        (flags.bits(), data)
    }

    pub fn is_mounted(&self) -> io::Result<bool> {
        use rustix::fs::{AtFlags, CWD, StatxAttributes, StatxFlags};
        let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT;
        let stat = rustix::fs::statx(CWD, &self.mountpoint, flags, StatxFlags::TYPE)?;
        Ok(stat.stx_attributes.contains(StatxAttributes::MOUNT_ROOT))
    }
}

impl Mounting {
    fn of(options: &BTreeMap<String, String>) -> Mounting {
        let text = |key: &str| options.get(key).cloned().unwrap_or_default();
        let (mut flags, mut propagation, mut data) = (MountFlags::empty(), None, Vec::new());
        let words = text("o");
        for word in words.split(',').filter(|word| !word.is_empty()) {
            if let Some((flag, on)) = flag(word) {
                flags.set(flag, on);
            } else if let Some(kind) = spread(word) {
                propagation = Some(kind);
            } else {
                data.push(word);
            }
        }
        Mounting { kind: text("type"), device: text("device"), flags, propagation, data: data.join(",") }
    }

    fn mount(&self, at: &Path) -> io::Result<()> {
        let data = CString::new(self.data.as_str())?;
        let data = (!self.data.is_empty()).then_some(data.as_c_str());
        rustix::mount::mount(self.device.as_str(), at, self.kind.as_str(), self.flags, data)?;
        let rest = self.restrict(at);
        if rest.is_err() {
            let _ = take_off(at);
        }
        rest
    }

    /// What mount(2) does only in a second call.
    fn restrict(&self, at: &Path) -> io::Result<()> {
        if let Some(propagation) = self.propagation {
            rustix::mount::mount_change(at, propagation)?;
        }
        if self.flags.contains(MountFlags::BIND | MountFlags::RDONLY) {
            rustix::mount::mount_remount(at, self.flags, c"")?;
        }
        Ok(())
    }
}

/// Of a recursive bind of shared mounts the host would lose what is mounted below it as well, were it not made private first.
fn take_off(at: &Path) -> io::Result<()> {
    rustix::mount::mount_change(at, MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)?;
    Ok(rustix::mount::unmount(at, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW)?)
}

/// The flag that a word sets or clears, as mount(8) has them.
fn flag(word: &str) -> Option<(MountFlags, bool)> {
    Some(match word {
        "defaults" => (MountFlags::empty(), true),
        "ro" => (MountFlags::RDONLY, true),
        "rw" => (MountFlags::RDONLY, false),
        "nosuid" => (MountFlags::NOSUID, true),
        "suid" => (MountFlags::NOSUID, false),
        "nodev" => (MountFlags::NODEV, true),
        "dev" => (MountFlags::NODEV, false),
        "noexec" => (MountFlags::NOEXEC, true),
        "exec" => (MountFlags::NOEXEC, false),
        "sync" => (MountFlags::SYNCHRONOUS, true),
        "async" => (MountFlags::SYNCHRONOUS, false),
        "dirsync" => (MountFlags::DIRSYNC, true),
        "mand" => (MountFlags::PERMIT_MANDATORY_FILE_LOCKING, true),
        "nomand" => (MountFlags::PERMIT_MANDATORY_FILE_LOCKING, false),
        "noatime" => (MountFlags::NOATIME, true),
        "atime" => (MountFlags::NOATIME, false),
        "nodiratime" => (MountFlags::NODIRATIME, true),
        "diratime" => (MountFlags::NODIRATIME, false),
        "relatime" => (MountFlags::RELATIME, true),
        "norelatime" => (MountFlags::RELATIME, false),
        "strictatime" => (MountFlags::STRICTATIME, true),
        "nostrictatime" => (MountFlags::STRICTATIME, false),
        "bind" => (MountFlags::BIND, true),
        "rbind" => (MountFlags::BIND | MountFlags::REC, true),
        _ => return None,
    })
}

fn spread(word: &str) -> Option<MountPropagationFlags> {
    let (kind, recursive) = match word.strip_prefix('r') {
        Some(kind @ ("private" | "shared" | "slave" | "unbindable")) => (kind, MountPropagationFlags::REC),
        _ => (word, MountPropagationFlags::empty()),
    };
    let kind = match kind {
        "private" => MountPropagationFlags::PRIVATE,
        "shared" => MountPropagationFlags::SHARED,
        "slave" => MountPropagationFlags::DOWNSTREAM,
        "unbindable" => MountPropagationFlags::UNBINDABLE,
        _ => return None,
    };
    Some(kind | recursive)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn wrong_options_are_refused_in_dockers_words() {
        for (pairs, why) in [
            (&[("x", "y")][..], "create v: invalid option: \"x\""),
            (&[("type", "tmpfs")], "create v: missing required option: \"device\""),
            (&[("device", "tmpfs")], "create v: missing required option: \"type\""),
            (&[("o", "bind")], "create v: missing required option: \"device\""),
            (&[("size", "10m")], "create v: quota size requested but no quota support"),
            (&[("size", "zz")], "create v: invalid size: 'zz'"),
        ] {
            assert_eq!(check("v", &options(pairs)).unwrap_err().to_string(), why);
        }
        assert!(check("v", &options(&[("type", "none"), ("device", "/x"), ("o", "bind")])).is_ok());
        assert!(check("v", &options(&[])).is_ok());
    }

    #[test]
    fn words_become_flags_or_go_to_the_file_system() {
        let of = |words: &str| Mounting::of(&options(&[("type", "nfs"), ("device", ":/x"), ("o", words)]));
        let mounting = of("addr=10.0.0.1,ro,nosuid,vers=4,rw");
        assert_eq!((mounting.flags, mounting.data.as_str()), (MountFlags::NOSUID, "addr=10.0.0.1,vers=4"));
        let mounting = of("rbind,rslave,ro");
        assert_eq!(mounting.flags, MountFlags::BIND | MountFlags::REC | MountFlags::RDONLY);
        assert_eq!(mounting.propagation, Some(MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC));
    }
}
