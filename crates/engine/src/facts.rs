//! What this machine and this process are, as far as `info` tells it.

use std::path::Path;

/// What os-release(5) says under `key`; `None` when it does not.
pub(crate) fn os_release(key: &str) -> Option<String> {
    let text = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
    value_in(&text, key)
}

fn value_in(text: &str, key: &str) -> Option<String> {
    let value = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='))?;
    Some(value.trim_matches(['"', '\'']).to_owned())
}

/// The file system that `path` is on, in Docker's words (moby, graphdriver, `FsNames`).
pub(crate) fn file_system(path: &Path) -> &'static str {
    let Ok(data) = rustix::fs::statfs(path) else { return "<unknown>" };
    // linux/magic.h; some are negative in a wide field.
    match data.f_type & 0xffff_ffff {
        0x0000_ef53 => "extfs",
        0x5846_5342 => "xfs",
        0x9123_683e => "btrfs",
        0x2fc1_2fc1 => "zfs",
        0xf2f5_2010 => "f2fs",
        0x0102_1994 => "tmpfs",
        0x8584_58f6 => "ramfs",
        0x794c_7630 => "overlayfs",
        0x0000_6969 => "nfs",
        0xff53_4d42 => "cifs",
        0x6573_5546 => "fuse",
        0x5265_4973 => "reiserfs",
        0x3153_464a => "jfs",
        0x7371_7368 => "squashfs",
        0xca45_1a4e => "bcachefs",
        _ => "<unknown>",
    }
}

/// Threads of this process.
pub(crate) fn threads() -> usize {
    std::fs::read_dir("/proc/self/task").map_or(0, Iterator::count)
}

/// Whether packets on bridges go through iptables, of IPv4 and IPv6.
pub(crate) fn bridge_filters() -> (bool, bool) {
    let is_on = |name: &str| {
        let text = std::fs::read_to_string(format!("/proc/sys/net/bridge/bridge-nf-call-{name}"));
        text.is_ok_and(|text| text.trim() == "1")
    };
    (is_on("iptables"), is_on("ip6tables"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_os_release_lose_their_quotes() {
        let text = "PRETTY_NAME=\"Debian GNU/Linux 12\"\nNAME=x\nVERSION_ID='12'\n";
        assert_eq!(value_in(text, "PRETTY_NAME").as_deref(), Some("Debian GNU/Linux 12"));
        assert_eq!(value_in(text, "VERSION_ID").as_deref(), Some("12"));
        assert_eq!(value_in(text, "ID"), None);
    }

    #[test]
    fn a_file_system_has_a_name() {
        assert_ne!(file_system(Path::new("/proc/self")), "extfs");
        assert_eq!(file_system(Path::new("/nowhere")), "<unknown>");
        assert!(threads() >= 1);
    }
}
