//! The names of overlayfs' own attributes.
//!
//! The kernel keeps `trusted.*` for root of the machine. An overlay that root of another user namespace mounts has the mount
//! option `userxattr` and its marks in `user.overlay.*` (Linux 5.11, overlayfs.rst).

use std::fs;
use std::sync::OnceLock;

/// Where overlayfs looks for its marks when this process mounts it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Marks {
    Trusted,
    User,
}

impl Marks {
    /// Those of this process: its user namespace decides, once.
    pub fn of_this_process() -> Marks {
        static FOUND: OnceLock<Marks> = OnceLock::new();
        *FOUND.get_or_init(|| of_map(&fs::read_to_string("/proc/self/uid_map").unwrap_or_default()))
    }

    /// `y` on a folder hides what lower folders have there.
    pub fn opaque(self) -> &'static str {
        match self {
            Marks::Trusted => "trusted.overlay.opaque",
            Marks::User => "user.overlay.opaque",
        }
    }

    /// On what was copied from a lower folder.
    pub fn origin(self) -> &'static str {
        match self {
            Marks::Trusted => "trusted.overlay.origin",
            Marks::User => "user.overlay.origin",
        }
    }
}

/// All ids mapped to themselves is the initial user namespace (user_namespaces(7)).
fn of_map(uid_map: &str) -> Marks {
    let numbers: Vec<&str> = uid_map.split_whitespace().collect();
    if matches!(numbers[..], [] | ["0", "0", "4294967295"]) { Marks::Trusted } else { Marks::User }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_root_of_the_machine_has_trusted_marks() {
        assert_eq!(of_map("         0          0 4294967295\n"), Marks::Trusted);
        assert_eq!(of_map("0 1000 1\n1 100000 65536\n"), Marks::User);
    }
}
