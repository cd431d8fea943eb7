//! One probe of a container's health: an exec whose output is read here and whose time is limited.

use crate::exec::{Exec, ExecCreate, ExecStart};
use crate::shelf::Cell;
use crate::streams::Output;
use crate::{Engine, Error, Result};
use base::Id;
use container::Status;
use container::health::ProbeOutput;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use std::collections::HashSet;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

/// How long a killed probe may take to end.
const KILL_TIMEOUT: Duration = Duration::from_secs(10);

/// A probe that runs.
pub(super) struct Probe {
    exec: Arc<Exec>,
    output: Output,
}

impl Engine {
    /// Starts a probe in a container that runs.
    pub(super) fn begin_probe(&self, cell: &Arc<Cell>, args: Vec<String>) -> Result<Probe> {
        if cell.status() != Status::Running {
            return Err(Error::NotRunning(cell.id.to_string()));
        }
        if args.is_empty() {
            return Err(Error::Invalid(format!("healthcheck for container {} has no command", cell.id)));
        }
        let create = ExecCreate { args, attach_stdout: true, attach_stderr: true, ..ExecCreate::default() };
        let id = self.next_probe(cell);
        let exec = self.add_exec(Exec::probe(id, cell, create, &self.house.plumbing));
        match self.start_exec(&exec, ExecStart::default()) {
            Ok(Some(attachment)) => Ok(Probe { exec, output: attachment.output }),
            Ok(None) => Err(Error::NotRunning(cell.id.to_string())),
            Err(e) => {
                self.forget_exec(&exec);
                Err(e)
            }
        }
    }
}

impl Engine {
    /// The id that the next engine would know the probe by. Of one that was killed with its watch, which may not have ended yet,
    /// the id is not used again.
    fn next_probe(&self, cell: &Cell) -> Id {
        let next = cell.state().health.and_then(|health| health.next);
        if let Some(id) = next.filter(|id| !self.has_exec(*id)) {
            return id;
        }
        let id = Id::random();
        cell.change_silently(|state| state.health.iter_mut().for_each(|health| health.next = Some(id)));
        self.house.save(cell);
        id
    }
}

impl Probe {
    /// Its exit code and output, or -1 and why there is none after `timeout`.
    pub(super) async fn answer(&mut self, timeout: Duration) -> (i32, String) {
        let mut said = ProbeOutput::default();
        let in_time = tokio::time::timeout(timeout, listen(&mut self.output, &mut said)).await.is_ok();
        if in_time {
            return match self.exec.exit_code() {
                Some(code) => (code, said.into_text()),
                None => (-1, "the health check has no exit code".to_owned()),
            };
        }
        self.exec.kill_tree();
        // Dying probes must not pile up.
        let _ = tokio::time::timeout(KILL_TIMEOUT, listen(&mut self.output, &mut said)).await;
        let exceeded = format!("Health check exceeded timeout ({})", duration_text(timeout));
        let said = said.into_text();
        (-1, if said.is_empty() { exceeded } else { format!("{exceeded}: {said}") })
    }

    /// Nobody wants its answer any more.
    pub(super) async fn kill(mut self) {
        self.exec.kill_tree();
        let _ = tokio::time::timeout(KILL_TIMEOUT, listen(&mut self.output, &mut ProbeOutput::default())).await;
    }
}

async fn listen(output: &mut Output, said: &mut ProbeOutput) {
    while let Some(chunk) = output.recv().await {
        said.push(&chunk.bytes);
    }
}

/// Kills a process with all its descendants, of which its own end would make orphans of the container's first process. Each is
/// stopped before its children are read, so that it makes no more.
pub(crate) fn kill_tree(root: i32, process: &OwnedFd) {
    if pidfd_send_signal(process, Signal::STOP).is_err() {
        return;
    }
    let mut waiting = children(root);
    let mut seen = HashSet::from([root]);
    let mut held: Vec<OwnedFd> = Vec::new();
    while let Some(raw) = waiting.pop() {
        let Some(pid) = Pid::from_raw(raw).filter(|_| seen.insert(raw)) else { continue };
        let Ok(process) = pidfd_open(pid, PidfdFlags::empty()) else { continue };
        // The number may be another's by now.
        if !parent(raw).is_some_and(|parent| seen.contains(&parent)) {
            continue;
        }
        let _ = pidfd_send_signal(&process, Signal::STOP);
        waiting.extend(children(raw));
        held.push(process);
    }
    for process in held.iter().chain([process]) {
        let _ = pidfd_send_signal(process, Signal::KILL);
    }
}

/// The children of all threads of a process (proc_pid_task_children(5)).
fn children(pid: i32) -> Vec<i32> {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let lists = tasks.filter_map(|task| std::fs::read_to_string(task.path().join("children")).ok());
    lists.flat_map(|list| list.split_whitespace().filter_map(|word| word.parse().ok()).collect::<Vec<i32>>()).collect()
}

fn parent(pid: i32) -> Option<i32> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}

/// As Go writes a duration: `1m30s`, `1.5s`, `200ms`.
fn duration_text(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
    if seconds == 0 {
        let (nanoseconds, unit, per) = match duration.as_nanos() {
            0 => return "0s".to_owned(),
            n @ 1..1_000 => (n, "ns", 1),
            n @ 1_000..1_000_000 => (n, "µs", 1_000),
            n => (n, "ms", 1_000_000),
        };
        return format!("{}{unit}", fraction(nanoseconds / per, nanoseconds % per, per));
    }
    let rest = fraction(u128::from(seconds % 60), u128::from(duration.subsec_nanos()), 1_000_000_000);
    match (hours, minutes) {
        (0, 0) => format!("{rest}s"),
        (0, _) => format!("{minutes}m{rest}s"),
        _ => format!("{hours}h{minutes}m{rest}s"),
    }
}

fn fraction(whole: u128, part: u128, per: u128) -> String {
    if part == 0 {
        return whole.to_string();
    }
    let width = per.ilog10() as usize;
    format!("{whole}.{part:0width$}").trim_end_matches('0').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    #[test]
    fn durations_are_written_as_go_does() {
        for (duration, text) in [
            (Duration::from_secs(30), "30s"),
            (Duration::from_millis(1500), "1.5s"),
            (Duration::from_secs(90), "1m30s"),
            (Duration::from_secs(3600), "1h0m0s"),
            (Duration::from_millis(200), "200ms"),
            (Duration::from_micros(1500), "1.5ms"),
            (Duration::from_nanos(7), "7ns"),
        ] {
            assert_eq!(duration_text(duration), text);
        }
    }

    #[test]
    fn a_tree_of_processes_is_killed_with_its_root() {
        let mut shell =
            Command::new("sh").args(["-c", "(sleep 1000 & echo; wait) & wait"]).stdout(Stdio::piped()).spawn().unwrap();
        std::io::Read::read_exact(shell.stdout.as_mut().unwrap(), &mut [0]).unwrap();
        let root = i32::try_from(shell.id()).unwrap();
        let below: Vec<i32> = children(root).into_iter().flat_map(children).collect();
        assert_eq!(below.len(), 1);
        let sleeper = pidfd_open(Pid::from_raw(below[0]).unwrap(), PidfdFlags::empty()).unwrap();
        let own = pidfd_open(Pid::from_raw(root).unwrap(), PidfdFlags::empty()).unwrap();
        kill_tree(root, &own);
        shell.wait().unwrap();
        let mut ended = [rustix::event::PollFd::new(&sleeper, rustix::event::PollFlags::IN)];
        let patience = rustix::event::Timespec { tv_sec: 30, tv_nsec: 0 };
        let polled = rustix::io::retry_on_intr(|| rustix::event::poll(&mut ended, Some(&patience)));
        assert_eq!(polled.unwrap(), 1);
    }
}
