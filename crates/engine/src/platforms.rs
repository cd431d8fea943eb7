//! Which platforms' programs run on this machine: its own, those that its kernel runs as well, and those that an emulator is
//! registered for (Linux, Documentation/admin-guide/binfmt-misc.rst).

use crate::{Engine, Error};
use image::{machine_platform, normal_platform, parse_platform, platform_words};
use oci::image::Platform;
use rustix::fs::{CWD, Dir, Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags};
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};

/// Where most systems have it mounted.
const MOUNTED: &str = "/proc/sys/fs/binfmt_misc";
/// statfs(2) of it (Linux, include/uapi/linux/magic.h).
const BINFMTFS_MAGIC: rustix::fs::FsWord = 0x4249_4e4d;
/// Bytes of an entry that are read.
const MOST: u64 = 4096;

/// `e_machine` with class (1: 32 bits, 2: 64 bits) and order (1: little, 2: big), as images call it.
const MACHINES: [((u16, u8, u8), &str); 12] = [
    ((3, 1, 1), "linux/386"),
    ((8, 1, 2), "linux/mips"),
    ((8, 1, 1), "linux/mipsle"),
    ((8, 2, 2), "linux/mips64"),
    ((8, 2, 1), "linux/mips64le"),
    ((21, 2, 1), "linux/ppc64le"),
    ((22, 2, 2), "linux/s390x"),
    ((40, 1, 1), "linux/arm/v7"),
    ((62, 2, 1), "linux/amd64"),
    ((183, 2, 1), "linux/arm64"),
    ((243, 2, 1), "linux/riscv64"),
    ((258, 2, 1), "linux/loong64"),
];

impl Engine {
    /// The platforms whose programs run here, this machine's first.
    pub fn platforms(&self) -> Vec<Platform> {
        let mut found = vec![machine_platform()];
        let mut add = |text: &str| {
            if let Ok(platform) = parse_platform(text).map(|platform| normal_platform(&platform))
                && !found.contains(&platform)
            {
                found.push(platform);
            }
        };
        natives().iter().copied().for_each(&mut add);
        for emulated in self.emulated() {
            add(emulated);
            // Who runs an architecture's newest programs runs its older ones.
            if emulated == "linux/arm/v7" {
                add("linux/arm/v6");
            }
        }
        found
    }

    /// Why a program of an image did not start, and what to do, if that is because it is for another platform.
    pub fn why_foreign(&self, error: &Error, image: &oci::image::Image) -> Option<String> {
        let Error::Start(failure) = error else { return None };
        if failure.errno != Errno::NOEXEC.raw_os_error() {
            return None;
        }
        let wanted = normal_platform(&image::platform_of(image));
        let same = |own: &Platform| own.os == wanted.os && own.architecture == wanted.architecture;
        if self.platforms().iter().any(same) {
            return None;
        }
        Some(format!(
            "{}: no emulator for {} is registered on this machine ({}): install one, as Debian's packages qemu-user-static \
             and binfmt-support do",
            crate::words::cause(failure),
            platform_words(&wanted),
            platform_words(&machine_platform())
        ))
    }

    /// The error of a start, which tells of a missing emulator if that is the reason.
    pub(crate) fn explained(&self, image: &base::Digest, error: Error) -> Error {
        let why = || self.why_foreign(&error, &self.house.images.get(&image.to_string()).ok()?.config);
        let errno = Errno::NOEXEC.raw_os_error();
        let said = |subject| Error::Start(runtime::Failure { step: runtime::Step::Prepare, errno, subject });
        why().map_or(error, said)
    }

    fn emulated(&self) -> Vec<&'static str> {
        let rootless = self.house.settings.rootless.is_some();
        match entries(rootless) {
            Ok(entries) => entries.iter().filter_map(|entry| platform_of(entry)).collect(),
            Err(error) => {
                tracing::debug!("cannot read which emulators are registered: {error}");
                Vec::new()
            }
        }
    }
}

/// What this machine's kernel runs beside its own.
fn natives() -> &'static [&'static str] {
    match std::env::consts::ARCH {
        "x86_64" => &["linux/386"],
        "aarch64" => &["linux/arm/v7", "linux/arm/v6"],
        _ => &[],
    }
}

/// The texts of all entries. Where nothing is mounted the engine looks by a mount of its own that nobody else sees. In a user
/// namespace it does not: that would make a registry of its own there, with nothing in it (Linux 6.7).
fn entries(rootless: bool) -> std::io::Result<Vec<String>> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let mounted = rustix::fs::openat(CWD, MOUNTED, flags, Mode::empty())
        .ok()
        .filter(|folder| rustix::fs::fstatfs(folder).is_ok_and(|stat| stat.f_type == BINFMTFS_MAGIC));
    let folder = match mounted {
        Some(folder) => folder,
        None if rootless || !is_first_namespace() => return Ok(Vec::new()),
        None => rustix::fs::openat(own_mount()?, ".", flags, Mode::empty())?,
    };
    let mut found = Vec::new();
    for entry in Dir::read_from(&folder)? {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if matches!(name, b"." | b".." | b"register" | b"status") {
            continue;
        }
        let file = rustix::fs::openat(folder.as_fd(), name, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty());
        // One that is taken away meanwhile is none.
        let Ok(file) = file else { continue };
        let mut text = String::new();
        if std::fs::File::from(file).take(MOST).read_to_string(&mut text).is_ok() {
            found.push(text);
        }
    }
    Ok(found)
}

fn own_mount() -> Result<OwnedFd, Errno> {
    let context = rustix::mount::fsopen("binfmt_misc", FsOpenFlags::FSOPEN_CLOEXEC)?;
    rustix::mount::fsconfig_create(&context)?;
    rustix::mount::fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty())
}

/// All ids of the machine are those of this process.
fn is_first_namespace() -> bool {
    let map = std::fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    map.split_whitespace().eq(["0", "0", "4294967295"])
}

/// What an entry runs: its magic is the beginning of an ELF file. An interpreter that is looked for in the container (without the
/// flag F) is not there.
fn platform_of(entry: &str) -> Option<&'static str> {
    let line = |key: &str| entry.lines().find_map(|line| line.strip_prefix(key)).map(str::trim);
    if entry.lines().next() != Some("enabled") || !line("flags:")?.contains('F') {
        return None;
    }
    let magic = line("magic ")?;
    let byte = |at: usize| u8::from_str_radix(magic.get(2 * at..2 * at + 2)?, 16).ok();
    if magic.get(..8)? != "7f454c46" || line("offset ").is_some_and(|offset| offset != "0") {
        return None;
    }
    let (class, order) = (byte(4)?, byte(5)?);
    let machine = [byte(18)?, byte(19)?];
    let machine = if order == 1 { u16::from_le_bytes(machine) } else { u16::from_be_bytes(machine) };
    MACHINES.iter().find(|(of, _)| *of == (machine, class, order)).map(|(_, name)| *name)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ARM64: &str = "enabled\ninterpreter /usr/libexec/qemu-binfmt/aarch64-binfmt-P\nflags: POF\noffset 0\n\
        magic 7f454c460201010000000000000000000200b700\nmask ffffffffffffff00fffffffffffffffffeffffff\n";

    #[test]
    fn an_entry_tells_its_platform() {
        assert_eq!(platform_of(ARM64), Some("linux/arm64"));
        let s390x =
            ARM64.replace("7f454c460201010000000000000000000200b700", "7f454c4602020100000000000000000000020016");
        assert_eq!(platform_of(&s390x), Some("linux/s390x"));
        let mips =
            ARM64.replace("7f454c460201010000000000000000000200b700", "7f454c4601020100000000000000000000020008");
        assert_eq!(platform_of(&mips), Some("linux/mips"));
    }

    #[test]
    fn what_cannot_help_a_container_does_not_count() {
        for other in [
            ARM64.replace("enabled", "disabled"),
            ARM64.replace("POF", "PO"),
            ARM64.replace("7f454c46", "cafebabe"),
            ARM64.replace("offset 0", "offset 4"),
            "enabled\ninterpreter /usr/bin/python3\nflags: F\nextension .py\n".to_owned(),
            String::new(),
            "enabled\nflags: F\nmagic 7f45".to_owned(),
        ] {
            assert_eq!(platform_of(&other), None, "{other}");
        }
    }
}
