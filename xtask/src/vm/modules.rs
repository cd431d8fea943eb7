//! Which modules of a kernel go into the machine: those we want and those they need.

use super::kernel::{Kernel, entries, output};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Folders taken whole.
const FOLDERS: &[&str] = &[
    "kernel/fs/overlayfs",
    "kernel/net/netfilter",
    "kernel/net/ipv4/netfilter",
    "kernel/net/ipv6/netfilter",
    "kernel/net/bridge",
];
/// Single modules; one that is missing is built in.
const SINGLE: &[&str] = &["veth", "dummy", "loop", "ext4", "macvlan", "ipvlan", "vxlan", "tun", "fuse"];

/// Copies them, uncompressed, below `root/lib/modules/VERSION`, with the index that modprobe(8) needs.
pub fn copy(kernel: &Kernel, root: &Path, busybox: &Path) -> Result<(), String> {
    let all = all(&kernel.modules.join("kernel"))?;
    let target = root.join("lib/modules").join(&kernel.version);
    let mut todo: Vec<String> = all
        .iter()
        .filter(|(name, path)| {
            SINGLE.contains(&name.as_str()) || FOLDERS.iter().any(|f| path.starts_with(kernel.modules.join(f)))
        })
        .map(|(name, _)| name.clone())
        .collect();
    let mut taken = BTreeSet::new();
    while let Some(name) = todo.pop() {
        let Some(path) = all.get(&name) else { continue };
        if !taken.insert(name) {
            continue;
        }
        let bytes = read(path)?;
        todo.extend(needs(&bytes));
        let inside = path.strip_prefix(&kernel.modules).map_err(|e| e.to_string())?;
        let copy = target.join(inside).with_extension("").with_extension("ko");
        fs::create_dir_all(copy.parent().unwrap_or(&target))
            .and_then(|()| fs::write(&copy, bytes))
            .map_err(|e| format!("cannot write {}: {e}", copy.display()))?;
    }
    output(Command::new(busybox).arg("depmod").arg("-b").arg(root).arg(&kernel.version)).map(drop)
}

/// Every module by its name, in which `-` is `_`.
fn all(folder: &Path) -> Result<BTreeMap<String, PathBuf>, String> {
    let mut found = BTreeMap::new();
    for path in entries(folder)? {
        if path.is_dir() {
            found.extend(all(&path)?);
        } else if let Some((name, _)) = path.file_name().unwrap_or_default().to_string_lossy().split_once(".ko") {
            found.insert(name.replace('-', "_"), path);
        }
    }
    Ok(found)
}

/// A module's bytes, unpacked if it is packed.
fn read(path: &Path) -> Result<Vec<u8>, String> {
    let packer = match path.extension().and_then(|e| e.to_str()) {
        Some("xz") => "xz",
        Some("zst") => "zstd",
        _ => return fs::read(path).map_err(|e| format!("cannot read {}: {e}", path.display())),
    };
    let output = Command::new(packer).arg("-dc").arg(path).output().map_err(|e| format!("cannot run {packer}: {e}"))?;
    if output.status.success() { Ok(output.stdout) } else { Err(format!("{packer} cannot read {}", path.display())) }
}

/// `depends=a,b` in the module's .modinfo section, which is a list of strings that end in NUL.
fn needs(module: &[u8]) -> Vec<String> {
    const KEY: &[u8] = b"\0depends=";
    let Some(at) = module.windows(KEY.len()).position(|window| window == KEY) else { return Vec::new() };
    let text = module[at + KEY.len()..].split(|byte| *byte == 0).next().unwrap_or_default();
    let names = String::from_utf8_lossy(text).replace('-', "_");
    names.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_names_what_it_needs() {
        assert_eq!(needs(b"..\0license=GPL\0depends=nf-nat,nf_tables\0name=x\0"), ["nf_nat", "nf_tables"]);
        assert!(needs(b"\0depends=\0").is_empty());
        assert!(needs(b"").is_empty());
    }
}
