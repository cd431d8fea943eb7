//! The smoke suite in a virtual machine of its own: another kernel than this machine's, and cgroup v2 alone.
//!
//! ```text
//! Debian's kernel package --unpack--> target/vm/kernels/NAME --+
//! dhow, busybox, an image, init.sh, smoke.sh -------------------+--> target/vm/NAME.cpio --QEMU--> console --> ok / FAILED
//! ```
//!
//! Nothing is installed: kernels are unpacked below `target/vm`. Needs qemu-system-x86_64, apt and dpkg-deb, busybox (static).

mod cpio;
mod initramfs;
mod kernel;
mod machine;
mod modules;

use crate::suite;
use kernel::Kernel;
use std::path::{Path, PathBuf};

/// Below the build folder, so that `cargo clean` takes it along.
fn folder() -> PathBuf {
    suite::root().join("target/vm")
}

/// What was asked.
struct Options {
    kernels: Vec<String>,
    /// Names of checks; empty is all.
    only: Vec<String>,
    profile: String,
    /// Instead of building one.
    binary: Option<PathBuf>,
    processors: u32,
    memory_mib: u32,
}

/// Boots each kernel in turn; `Err` when a check failed on any.
pub fn run(words: &[String]) -> Result<(), String> {
    let options = parse(words)?;
    let binary = match &options.binary {
        Some(binary) => binary.clone(),
        None => {
            suite::cargo(&["build", "--bin", "dhow", "--profile", &options.profile])?;
            suite::binary(&options.profile)?
        }
    };
    let image = it::busybox_archive();
    let failed: Vec<String> =
        options.kernels.iter().filter_map(|name| boot(name, &options, &binary, image).err()).collect();
    let _ = image.parent().map(std::fs::remove_dir_all);
    if failed.is_empty() { Ok(()) } else { Err(failed.join("\n")) }
}

fn boot(name: &str, options: &Options, binary: &Path, image: &Path) -> Result<(), String> {
    let kernel = Kernel::get(name)?;
    eprintln!("== Linux {}", kernel.version);
    let archive = initramfs::make(&kernel, binary, image)?;
    let guest = machine::Guest {
        kernel: &kernel.image,
        initramfs: &archive,
        console: folder().join(format!("{}.console", kernel.version)),
        only: &options.only,
        processors: options.processors,
        memory_mib: options.memory_mib,
    };
    guest.run().map_err(|why| format!("Linux {}: {why}", kernel.version))
}

fn parse(words: &[String]) -> Result<Options, String> {
    let mut options = Options {
        kernels: Vec::new(),
        only: Vec::new(),
        profile: "dev".to_owned(),
        binary: None,
        processors: 2,
        memory_mib: 1536,
    };
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or_else(|| format!("{word} needs a value"));
        match word.as_str() {
            "--kernel" => options.kernels.push(value()?.clone()),
            "--only" => options.only = value()?.split(',').map(str::to_owned).collect(),
            "--profile" => options.profile.clone_from(value()?),
            "--binary" => options.binary = Some(PathBuf::from(value()?)),
            "--cpus" => options.processors = value()?.parse().map_err(|e| format!("--cpus: {e}"))?,
            "--memory" => options.memory_mib = value()?.parse().map_err(|e| format!("--memory: {e}"))?,
            other => {
                const KNOWN: &str = "--kernel, --only, --profile, --binary, --cpus, --memory";
                return Err(format!("unknown option {other}: {KNOWN} are known"));
            }
        }
    }
    if options.kernels.is_empty() {
        options.kernels.push("sid".to_owned());
    }
    Ok(options)
}
