//! Whether a number is still the process it was: by its start time, and for good by a pidfd.

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags};
use std::io;
use std::os::fd::OwnedFd;

/// More than 52 numbers and a name of 15 letters, in bytes.
const LINE: usize = 2048;

/// What became of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Life {
    Running,
    /// It has ended, its parent has not asked how.
    Zombie,
    /// No such process, or another one with its number.
    Gone,
}

/// When a process started, in clock ticks since boot. `None`: there is no such process.
pub fn start_time(pid: i32) -> io::Result<Option<u64>> {
    Ok(look(pid)?.map(|(_, start)| start))
}

/// What became of the process `pid` that started at `start`.
pub fn life(pid: i32, start: u64) -> Life {
    match look(pid) {
        Ok(Some((_, other))) if other != start => Life::Gone,
        Ok(Some((b'Z' | b'X' | b'x', _))) => Life::Zombie,
        Ok(Some(_)) => Life::Running,
        Ok(None) | Err(_) => Life::Gone,
    }
}

/// A pidfd of the process `pid` that started at `start`. `None`: it has ended.
pub fn open(pid: i32, start: u64) -> io::Result<Option<OwnedFd>> {
    let Some(number) = Pid::from_raw(pid).filter(|_| pid > 0) else { return Ok(None) };
    let pidfd = match rustix::process::pidfd_open(number, PidfdFlags::empty()) {
        Err(Errno::SRCH | Errno::INVAL) => return Ok(None),
        opened => opened?,
    };
    // Looked at after it was opened: if the number is still the process we know, so is the descriptor.
    Ok((life(pid, start) == Life::Running).then_some(pidfd))
}

/// State letter and start time, from proc_pid_stat(5).
fn look(pid: i32) -> io::Result<Option<(u8, u64)>> {
    if pid <= 0 {
        return Ok(None);
    }
    let mut line = [0; LINE];
    let length = match read(pid, &mut line) {
        // ESRCH: the process ended between open and read.
        Err(Errno::NOENT | Errno::SRCH) => return Ok(None),
        length => length?,
    };
    parse(&line[..length]).map(Some).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// The kernel gives the whole line at once.
fn read(pid: i32, line: &mut [u8; LINE]) -> rustix::io::Result<usize> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let file = rustix::fs::open(format!("/proc/{pid}/stat"), flags, Mode::empty())?;
    rustix::io::retry_on_intr(|| rustix::io::read(&file, &mut *line))
}

/// The name of the program, in parentheses, may contain anything, so the fields are counted from the last one.
fn parse(line: &[u8]) -> Option<(u8, u64)> {
    let end = line.iter().rposition(|&byte| byte == b')')?;
    let rest = std::str::from_utf8(&line[end + 1..]).ok()?;
    let mut fields = rest.split_ascii_whitespace();
    let state = *fields.next()?.as_bytes().first()?;
    Some((state, fields.nth(18)?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_program_does_not_disturb_the_fields() {
        let line = b"7 (a) R 1) S 1 7 7 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 4242 1 1 18446744073709551615";
        assert_eq!(parse(line), Some((b'S', 4242)));
        assert_eq!(parse(b"7 (a"), None);
    }

    #[test]
    fn a_process_is_known_by_number_and_start_time() {
        let me = i32::try_from(std::process::id()).unwrap();
        let start = start_time(me).unwrap().unwrap();
        assert_eq!(life(me, start), Life::Running);
        assert_eq!(life(me, start + 1), Life::Gone);
        assert!(open(me, start).unwrap().is_some());
        assert!(open(me, start + 1).unwrap().is_none());
        assert!(open(0, start).unwrap().is_none());
    }

    #[test]
    fn an_ended_child_is_a_zombie_until_it_is_waited_for() {
        let mut child = std::process::Command::new("/bin/cat").stdin(std::process::Stdio::piped()).spawn().unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        let start = start_time(pid).unwrap().unwrap();
        let pidfd = open(pid, start).unwrap().unwrap();
        drop(child.stdin.take());
        let mut ended = [rustix::event::PollFd::new(&pidfd, rustix::event::PollFlags::IN)];
        rustix::event::poll(&mut ended, None).unwrap();
        assert_eq!(life(pid, start), Life::Zombie);
        child.wait().unwrap();
        assert_eq!(life(pid, start), Life::Gone);
    }
}
