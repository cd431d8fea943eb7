//! Id maps of user namespaces: writing them, and finding the host id of an id inside.

use oci::runtime::IdMapping;
use rustix::fs::{Mode, OFlags};
use std::fmt::Write;
use std::io;

/// Writes both maps of the process `pid`. Done by the host's root, so setgroups(2) stays allowed inside (user_namespaces(7)).
pub(crate) fn write(pid: i32, uid: &[IdMapping], gid: &[IdMapping]) -> io::Result<()> {
    for (kind, map) in [("gid_map", gid), ("uid_map", uid)] {
        let mut lines = String::new();
        for line in map {
            let _ = writeln!(lines, "{} {} {}", line.container_id, line.host_id, line.size);
        }
        let file = rustix::fs::open(format!("/proc/{pid}/{kind}"), OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())?;
        rustix::io::write(&file, lines.as_bytes())?;
    }
    Ok(())
}

/// Reads a map of the process `pid`: `uid_map` or `gid_map`.
pub(crate) fn read(pid: i32, kind: &str) -> io::Result<Vec<IdMapping>> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/{kind}"))?;
    Ok(text.lines().filter_map(parse_line).collect())
}

fn parse_line(line: &str) -> Option<IdMapping> {
    let mut numbers = line.split_ascii_whitespace().map(str::parse);
    let mut next = || numbers.next()?.ok();
    Some(IdMapping { container_id: next()?, host_id: next()?, size: next()? })
}

/// The host's id for `id` inside; `None` when it is not mapped.
pub(crate) fn host_id(map: &[IdMapping], id: u32) -> Option<u32> {
    let line = map.iter().find(|line| id >= line.container_id && id - line.container_id < line.size)?;
    line.host_id.checked_add(id - line.container_id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_found_only_inside_their_ranges() {
        let map = [parse_line("         0 1879048192      65536").unwrap(), parse_line("100000 5 1").unwrap()];
        assert_eq!(host_id(&map, 0), Some(1_879_048_192));
        assert_eq!(host_id(&map, 65_535), Some(1_879_113_727));
        assert_eq!(host_id(&map, 65_536), None);
        assert_eq!(host_id(&map, 100_000), Some(5));
        assert_eq!(host_id(&[IdMapping { container_id: 0, host_id: u32::MAX, size: 2 }], 1), None);
        assert!(parse_line("1 2").is_none());
    }
}
