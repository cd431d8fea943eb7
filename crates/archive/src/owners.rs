//! Whose files become when they are unpacked: their entry's owner, unless this process's user namespace has but one id.
//!
//! A user without sub ids has only himself. Refused, hardly any image could be unpacked; so all is his, as with other engines.

use crate::Entry;
use std::fs;
use std::sync::OnceLock;

/// User and group of what `entry` becomes on disk.
pub fn of(entry: &Entry) -> (u32, u32) {
    static ONE: OnceLock<bool> = OnceLock::new();
    let one = *ONE.get_or_init(|| {
        let map = |kind| fs::read_to_string(format!("/proc/self/{kind}_map")).unwrap_or_default();
        has_one(&map("uid")) || has_one(&map("gid"))
    });
    if one { (0, 0) } else { (entry.uid, entry.gid) }
}

/// Whether a map (user_namespaces(7)) has the single id 0.
fn has_one(map: &str) -> bool {
    let mut numbers = map.split_whitespace();
    (numbers.next(), numbers.nth(1), numbers.next()) == (Some("0"), Some("1"), None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_namespace_with_one_id_is_known_by_its_map() {
        assert!(has_one("         0       1000          1\n"));
        assert!(!has_one("0 1000 1\n1 100000 65536\n"));
        assert!(!has_one("0 0 4294967295\n"));
        assert!(!has_one(""));
    }
}
