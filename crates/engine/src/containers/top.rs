//! The processes of a container, read from /proc.

use crate::streams::lock;
use crate::{Engine, Error, Result, exec};
use std::collections::HashMap;
use std::fs;
use std::os::fd::AsFd;

/// A table of processes.
#[derive(Debug, Clone, Default)]
pub struct Processes {
    pub rows: Vec<Process>,
    /// What the container calls its users.
    pub names: HashMap<u32, String>,
}

/// A process as /proc shows it (proc_pid_stat(5)).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Process {
    /// The user's id in the container; on the host, of a process that is of no user there.
    pub uid: u32,
    pub pid: i32,
    pub ppid: i32,
    /// Its process group, session, and the foreground group of its terminal.
    pub pgid: i32,
    pub sid: i32,
    pub tpgid: i32,
    /// `S`, `R`, ...
    pub state: String,
    /// The kernel's PF_ flags.
    pub flags: u64,
    /// Hundredths of a second of processor time.
    pub cpu_ticks: u64,
    pub priority: i64,
    pub nice: i64,
    pub threads: u64,
    /// Nanoseconds since the epoch.
    pub started_at: i64,
    /// Bytes of address space, and pages of it in memory.
    pub virtual_bytes: u64,
    pub resident_pages: u64,
    /// The processor it ran on last.
    pub processor: u64,
    /// `?` or `pts/0`.
    pub tty: String,
    pub command: String,
    /// Its program's name, as the kernel keeps it.
    pub name: String,
    /// The kernel function it sleeps in; empty when that is not shown.
    pub waits_in: String,
}

impl Engine {
    /// All processes of the container's group.
    pub fn top(&self, name: &str) -> Result<Processes> {
        let cell = self.house.shelf.find(name)?;
        let (pids, users) = {
            let live = lock(&cell.live);
            let live = live.as_ref().ok_or_else(|| Error::NotRunning(cell.id.to_string()))?;
            (live.group.pids()?.unwrap_or_else(|| of_namespace(live.pid)), Users::of(live.pid))
        };
        let clock = Clock::read();
        let rows = pids.into_iter().filter_map(|pid| clock.process(pid));
        let rows = rows.map(|process| Process { uid: users.inside(process.uid), ..process }).collect();
        self.house.tell(&cell, "top", &[]);
        let names = exec::root(&cell).map(|root| container::user::names(root.as_fd())).unwrap_or_default();
        Ok(Processes { rows, names })
    }
}

/// Which users of the host are which of a container (user_namespaces(7)).
#[derive(Debug)]
struct Users(Vec<Range>);

/// `count` ids from `inside` on are those from `outside` on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Range {
    inside: u32,
    outside: u32,
    count: u32,
}

impl Users {
    /// Of a process' user namespace. Nothing is mapped when it has ended.
    fn of(pid: i32) -> Users {
        Users::parse(&fs::read_to_string(format!("/proc/{pid}/uid_map")).unwrap_or_default())
    }

    fn parse(map: &str) -> Users {
        let range = |line: &str| {
            let mut numbers = line.split_whitespace().map(|number| number.parse().ok());
            Some(Range { inside: numbers.next()??, outside: numbers.next()??, count: numbers.next()?? })
        };
        Users(map.lines().filter_map(range).collect())
    }

    fn inside(&self, uid: u32) -> u32 {
        let found = self.0.iter().find_map(|range| {
            let offset = uid.checked_sub(range.outside).filter(|offset| *offset < range.count)?;
            range.inside.checked_add(offset)
        });
        found.unwrap_or(uid)
    }
}

/// The processes in the pid namespace of `pid`, for a container without a group.
fn of_namespace(pid: i32) -> Vec<i32> {
    let namespace = |pid: i32| std::fs::read_link(format!("/proc/{pid}/ns/pid")).ok();
    let Some(wanted) = namespace(pid) else { return Vec::new() };
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    pids.filter(|pid| namespace(*pid).as_ref() == Some(&wanted)).collect()
}

/// USER_HZ: what the kernel shows in /proc on every architecture we build for.
const TICKS_PER_SECOND: u64 = 100;

/// What turns the kernel's ticks into time.
struct Clock {
    /// Nanoseconds since the epoch.
    boot: i64,
}

impl Clock {
    fn read() -> Clock {
        let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
        let boot = stat.lines().find_map(|line| line.strip_prefix("btime ")?.trim().parse::<i64>().ok());
        Clock { boot: boot.unwrap_or_default().saturating_mul(1_000_000_000) }
    }

    /// `None` when it has ended meanwhile.
    fn process(&self, pid: i32) -> Option<Process> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let uid = status.lines().find_map(|line| line.strip_prefix("Uid:")?.split_whitespace().next()?.parse().ok())?;
        let (before, after) = stat.rsplit_once(')')?;
        let fields: Vec<&str> = after.split_whitespace().collect();
        let number = |index: usize| fields.get(index).and_then(|text| text.parse::<u64>().ok());
        let signed = |index: usize| fields.get(index).and_then(|text| text.parse::<i64>().ok()).unwrap_or_default();
        let id = |index: usize| i32::try_from(signed(index)).unwrap_or_default();
        let started = number(19)?;
        let name = before.split_once('(').map_or("", |(_, name)| name);
        let waits_in = fs::read_to_string(format!("/proc/{pid}/wchan")).unwrap_or_default();
        Some(Process {
            uid,
            pid,
            ppid: id(1),
            pgid: id(2),
            sid: id(3),
            tpgid: id(5),
            state: (*fields.first()?).to_owned(),
            flags: number(6)?,
            cpu_ticks: number(11)? + number(12)?,
            priority: signed(15),
            nice: signed(16),
            threads: number(17)?,
            started_at: self.boot
                + i64::try_from(u128::from(started) * 1_000_000_000 / u128::from(TICKS_PER_SECOND)).ok()?,
            virtual_bytes: number(20)?,
            resident_pages: number(21)?,
            processor: number(36).unwrap_or_default(),
            tty: tty(number(4)?),
            command: command(pid, name),
            name: name.to_owned(),
            waits_in: Some(waits_in).filter(|name| name != "0").unwrap_or_default(),
        })
    }
}

/// `tty_nr`: minor in bits 31-20 and 7-0, major in bits 15-8; 136-143 are pseudo terminals.
fn tty(number: u64) -> String {
    let major = (number >> 8) & 0xff;
    let minor = (number & 0xff) | ((number >> 12) & 0xf_ff00);
    match major {
        136..=143 => format!("pts/{}", (major - 136) * 256 + minor),
        4 => format!("tty{minor}"),
        _ => "?".to_owned(),
    }
}

fn command(pid: i32, name: &str) -> String {
    let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let words = String::from_utf8_lossy(&line).trim_end_matches('\0').replace('\0', " ");
    if words.is_empty() { format!("[{name}]") } else { words }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_very_process_is_found_in_proc() {
        let pid = i32::try_from(std::process::id()).unwrap();
        let process = Clock::read().process(pid).unwrap();
        assert_eq!(process.pid, pid);
        assert!(process.started_at > 0);
        assert!(process.command.contains("engine"));
    }

    #[test]
    fn users_are_told_by_their_ids_in_the_container() {
        let users = Users::parse("         0 1879048192      65536\n     70000       5000          1\n");
        for (outside, inside) in [(1_879_048_192, 0), (1_879_049_192, 1000), (5000, 70_000), (5001, 5001), (0, 0)] {
            assert_eq!(users.inside(outside), inside);
        }
        assert_eq!(Users::parse("0 0 4294967295").inside(33), 33);
        assert_eq!(Users::parse("").inside(33), 33);
    }

    #[test]
    fn terminals_have_their_names() {
        assert_eq!(tty(0x8803), "pts/3");
        assert_eq!(tty(0), "?");
    }
}
