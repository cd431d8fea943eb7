//! Suites in a virtual machine of their own: another kernel than this machine's, and cgroup v2 alone.
//!
//! ```text
//! Debian's kernel package --unpack--> target/vm/kernels/NAME --+
//! dhow, busybox, an image, init.sh, smoke.sh -------------------+--> target/vm/NAME.cpio --QEMU--> console --> ok / FAILED
//!
//! Debian's packages --debootstrap--> target/vm/userland-HASH.ext4 --+   systemd, or guest.sh alone, is the first process
//! dhow, test programs, modules, suites.sh, runtime.sh --> payload.ext4 --+--QEMU--> console --> ok / FAILED
//! ```
//!
//! - *smoke*: the engine, in a machine that is little more than a kernel.
//! - *alone*, *systemd*: the OCI runtime, in a Debian without and with systemd: `runtime.sh` with each cgroup driver, the test
//!   programs of `cgroup` and `tests/oci`, and runc's own suite when asked for. Alone `checkpoints.sh` as well: the engine's
//!   checkpoints. With systemd `engine.sh` as well: the engine with
//!   systemd's driver, and what needs a whole userland.
//!
//! Nothing is installed: kernels and userlands are unpacked below `target/vm`. Needs qemu-system-x86_64, apt and dpkg-deb,
//! busybox (static); for a userland also debootstrap, kmod and mke2fs.

mod cpio;
mod initramfs;
mod kernel;
mod machine;
mod modules;
mod payload;
mod userland;

use crate::suite;
use kernel::Kernel;
use machine::{Guest, Start};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Below the build folder, so that `cargo clean` takes it along.
fn folder() -> PathBuf {
    suite::root().join("target/vm")
}

/// What is run, and in what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Machine {
    Smoke,
    Alone,
    Systemd,
}

impl Machine {
    fn named(name: &str) -> Result<Machine, String> {
        match name {
            "smoke" => Ok(Machine::Smoke),
            "alone" => Ok(Machine::Alone),
            "systemd" => Ok(Machine::Systemd),
            _ => Err(format!("unknown machine {name}: smoke, alone and systemd are known")),
        }
    }

    /// The suite of Debian whose kernel fits: a userland wants that of its own release, and criu no newer one.
    fn kernel(self) -> &'static str {
        if self == Machine::Smoke { "sid" } else { "bookworm" }
    }
}

/// What was asked.
struct Options {
    machines: Vec<Machine>,
    /// Empty is the one that fits the machine.
    kernels: Vec<String>,
    /// Names of checks; empty is all.
    only: Vec<String>,
    profile: String,
    /// Instead of building one.
    binary: Option<PathBuf>,
    processors: u32,
    memory_mib: u32,
    /// A runtime of the userland instead of ours, to check the checks: `/usr/sbin/runc`.
    runtime: Option<String>,
    /// A checkout of runc whose suite is run, too.
    bats: Option<PathBuf>,
}

/// Boots each machine with each kernel in turn; `Err` when a check failed on any.
pub fn run(words: &[String]) -> Result<(), String> {
    let options = parse(words)?;
    let binary = match &options.binary {
        Some(binary) => binary.clone(),
        None => {
            suite::cargo(&["build", "--bin", "dhow", "--profile", &options.profile])?;
            suite::binary(&options.profile)?
        }
    };
    let mut failed = Vec::new();
    for machine in &options.machines {
        let fitting = [machine.kernel().to_owned()];
        let kernels = if options.kernels.is_empty() { &fitting[..] } else { &options.kernels };
        failed.extend(kernels.iter().filter_map(|kernel| boot(*machine, kernel, &options, &binary).err()));
    }
    if options.machines.contains(&Machine::Smoke) {
        let _ = it::busybox_archive().parent().map(std::fs::remove_dir_all);
    }
    if failed.is_empty() { Ok(()) } else { Err(failed.join("\n")) }
}

fn boot(machine: Machine, kernel: &str, options: &Options, binary: &Path) -> Result<(), String> {
    let kernel = Kernel::get(kernel)?;
    let name = format!("Linux {} ({machine:?})", kernel.version);
    eprintln!("== {name}");
    let guest = |start, patience| Guest {
        kernel: &kernel.image,
        start,
        patience,
        console: folder().join(format!("{}-{machine:?}.console", kernel.version).to_lowercase()),
        only: &options.only,
        processors: options.processors,
        memory_mib: options.memory_mib,
    };
    let done = match machine {
        Machine::Smoke => {
            let archive = initramfs::make(&kernel, binary, it::busybox_archive())?;
            guest(Start::Initramfs(&archive), Duration::from_secs(420)).run()
        }
        Machine::Alone | Machine::Systemd => {
            let disks = [userland::disk()?, payload::disk(&kernel, binary, options.bats.as_deref())?];
            let words = words(machine, options);
            let minutes = if options.bats.is_some() { 240 } else { 40 };
            guest(Start::Disks(&disks, &words), Duration::from_secs(60 * minutes)).run()
        }
    };
    done.map_err(|why| format!("{name}: {why}"))
}

/// For the command line of a kernel with a userland.
fn words(machine: Machine, options: &Options) -> String {
    let first = match machine {
        Machine::Systemd => "systemd.unit=suite.target systemd.show_status=0 systemd.unified_cgroup_hierarchy=1",
        _ => "init=/sbin/guest",
    };
    let runtime = options.runtime.as_ref().map(|path| format!(" runtime={path}")).unwrap_or_default();
    format!("{first}{runtime}")
}

fn parse(words: &[String]) -> Result<Options, String> {
    let mut options = Options {
        machines: Vec::new(),
        kernels: Vec::new(),
        only: Vec::new(),
        profile: "dev".to_owned(),
        binary: None,
        processors: 2,
        memory_mib: 1536,
        runtime: None,
        bats: None,
    };
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or_else(|| format!("{word} needs a value"));
        match word.as_str() {
            "--machine" => options.machines.push(Machine::named(value()?)?),
            "--runtime" => options.runtime = Some(value()?.clone()),
            "--bats" => options.bats = Some(PathBuf::from(value()?)),
            "--kernel" => options.kernels.push(value()?.clone()),
            "--only" => options.only = value()?.split(',').map(str::to_owned).collect(),
            "--profile" => options.profile.clone_from(value()?),
            "--binary" => options.binary = Some(PathBuf::from(value()?)),
            "--cpus" => options.processors = value()?.parse().map_err(|e| format!("--cpus: {e}"))?,
            "--memory" => options.memory_mib = value()?.parse().map_err(|e| format!("--memory: {e}"))?,
            other => {
                const KNOWN: &str =
                    "--machine, --kernel, --only, --profile, --binary, --cpus, --memory, --runtime, --bats";
                return Err(format!("unknown option {other}: {KNOWN} are known"));
            }
        }
    }
    if options.machines.is_empty() {
        options.machines.push(Machine::Smoke);
    }
    Ok(options)
}
