//! Tells the linker where the parts of the released binary stand in the file.
//!
//! What every container's start runs through stands together at the end: the kernel reads ahead in files (by 8 MiB on many disks), and so a
//! start from a cold disk reads this part, 4 MB, and nothing of the engine, 20 MB. The start's read-only data follows it for the same reason:
//! what is around a page that is missing is read with it. A crate that is not in the list is only slower to find. Is anything missing?
//! `perf record -e filemap:mm_filemap_add_to_page_cache` after `echo 3 >/proc/sys/vm/drop_caches` tells which parts of the file were read.

mod libc_start;

use std::path::PathBuf;
use std::{env, fs};

/// Objects and archives that a container's start runs through, as the linker names them.
const START: &[&str] = &[
    "*/deps/dhow-*.rcgu.o",
    "*/rustlib/*",
    "*/libdhow_start.a*",
    "*/libc.a*",
    "*/libm.a*",
    "*/libm-2*",
    "*/libgcc*",
    "*/crt*.o",
];

/// And crates.
const START_CRATES: &[&str] = &[
    "base",
    "bitflags",
    "cgroup",
    "cobs",
    "core_detect",
    "hashbrown",
    "ipnet",
    "itoa",
    "jiff",
    "jiff_core",
    "libc",
    "linux_raw_sys",
    "memchr",
    "netlink",
    "oci",
    "once_cell",
    "postcard",
    "prost",
    "runtime",
    "runtime_cli",
    "rustix",
    "seccomp",
    "serde",
    "serde_core",
    "serde_json",
    "smallvec",
    "sys",
    "syscalls",
    "tabwriter",
    "thiserror",
    "tracing_core",
    "zmij",
];

/// glibc's start code hands these the unwind tables, which would be read from the disk at each start. Who unwinds finds them through the
/// program headers as well (`PT_GNU_EH_FRAME`).
const REGISTER: [&str; 2] = ["__register_frame_info", "__deregister_frame_info"];

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=libc_start.rs");
    // Tried with the linker of this target alone; others keep their own layout.
    if env::var("PROFILE").as_deref() != Ok("release") || env::var("CARGO_CFG_TARGET_ARCH").as_deref() != Ok("x86_64") {
        return;
    }
    let folder = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default());
    let is_static = env::var("CARGO_CFG_TARGET_FEATURE").is_ok_and(|all| all.split(',').any(|one| one == "crt-static"));
    if is_static && env::var("CARGO_CFG_TARGET_ENV").as_deref() == Ok("gnu") && env::var("HOST") == env::var("TARGET") {
        libc_start::link(&folder);
    }
    let script = folder.join("layout.ld");
    if let Err(e) = fs::write(&script, layout()) {
        println!("cargo::error=cannot write {}: {e}", script.display());
        return;
    }
    println!("cargo::rustc-link-arg-bins=-Wl,-T,{}", script.display());
    for name in REGISTER {
        println!("cargo::rustc-link-arg-bins=-Wl,--wrap={name},--defsym=__wrap_{name}=0");
    }
}

/// An INSERT script adds to the linker's own layout (lld and GNU ld).
fn layout() -> String {
    let crates = START_CRATES.iter().map(|name| format!("*/deps/lib{name}-*"));
    let start = START.iter().map(|&object| object.to_owned()).chain(crates).collect::<Vec<_>>().join(" ");
    format!(
        "SECTIONS {{\n  .text.engine : {{ *(EXCLUDE_FILE({start}) .text .text.*) }}\n  \
         .rodata.engine : {{ *(EXCLUDE_FILE({start}) .rodata .rodata.*) }}\n}} INSERT BEFORE .text;\n\
         SECTIONS {{ .rodata : {{ *(.rodata .rodata.*) }} }} INSERT AFTER .bss;\n"
    )
}
