//! Id maps of user namespaces: writing them, and finding the host id of an id inside.

use crate::failure::at;
use crate::{Failure, Step};
use oci::runtime::IdMapping;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use std::fmt::Write;
use std::io;
use std::process::Command;

/// Writes both maps of the process `pid`. Done by the host's root, so setgroups(2) stays allowed inside (user_namespaces(7)).
pub(crate) fn write(pid: i32, uid: &[IdMapping], gid: &[IdMapping]) -> io::Result<()> {
    for (kind, map) in [("gid_map", gid), ("uid_map", uid)] {
        write_file(pid, kind, map)?;
    }
    Ok(())
}

fn write_file(pid: i32, kind: &str, map: &[IdMapping]) -> io::Result<()> {
    let mut lines = String::new();
    for line in map {
        let _ = writeln!(lines, "{} {} {}", line.container_id, line.host_id, line.size);
    }
    let file = rustix::fs::open(format!("/proc/{pid}/{kind}"), OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())?;
    rustix::io::write(&file, lines.as_bytes())?;
    Ok(())
}

/// Writes both maps without the host root's rights: one line of our own id directly, more by newuidmap(1) and newgidmap(1),
/// which look into /etc/subuid and /etc/subgid.
pub(crate) fn write_rootless(pid: i32, uid: &[IdMapping], gid: &[IdMapping]) -> Result<(), Failure> {
    let (own_uid, own_gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    match is_only(gid, own_gid) {
        true => deny_groups(pid).and_then(|()| write_file(pid, "gid_map", gid)).map_err(at(Step::Park, "gid map"))?,
        false => by_program("newgidmap", pid, gid)?,
    }
    match is_only(uid, own_uid) {
        true => write_file(pid, "uid_map", uid).map_err(at(Step::Park, "uid map")),
        false => by_program("newuidmap", pid, uid),
    }
}

fn is_only(map: &[IdMapping], own: u32) -> bool {
    matches!(map, [line] if line.host_id == own && line.size == 1)
}

/// Since Linux 3.19 a gid map may be written without CAP_SETGID only after this: a group can also take rights away.
fn deny_groups(pid: i32) -> io::Result<()> {
    let file = rustix::fs::open(format!("/proc/{pid}/setgroups"), OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())?;
    rustix::io::write(&file, b"deny")?;
    Ok(())
}

fn by_program(program: &str, pid: i32, map: &[IdMapping]) -> Result<(), Failure> {
    let numbers = map.iter().flat_map(|line| [line.container_id, line.host_id, line.size]);
    let run = Command::new(program).arg(pid.to_string()).args(numbers.map(|number| number.to_string())).output();
    let output = run.map_err(at(Step::Park, program))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(Failure::new(Step::Prepare, Errno::PERM, format!("cannot map ids: {program}: {}", said.trim())))
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
        let map_of_two =
            ["         0     100000         10", "        10       5 1"].map(|line| parse_line(line).unwrap());
        assert_eq!([0, 9, 10, 11].map(|id| host_id(&map_of_two, id)), [Some(100_000), Some(100_009), Some(5), None]);
        assert_eq!(host_id(&map, 100_000), Some(5));
        assert_eq!(host_id(&[IdMapping { container_id: 0, host_id: u32::MAX, size: 2 }], 1), None);
        assert!(parse_line("1 2").is_none());
    }
}
