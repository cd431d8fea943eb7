//! What engines weigh: the proportional set size (proc_pid_smaps(5)) of all their processes but the containers' own.
//!
//! The bench has a process namespace of its own: every engine that is seen here belongs to it.

use super::peers::{Peer, Peers};
use std::fs;
use std::time::{Duration, Instant};

/// Containers that idle.
const CONTAINERS: u64 = 100;

/// Names of processes that belong to engines, as /proc/PID/comm shows them. Parked processes of dhow bear its name as well.
const HELPERS: &[(&str, &[&str])] = &[
    ("dhow", &["dhow"]),
    ("docker", &["dockerd", "containerd", "containerd-shim", "docker-proxy"]),
    ("podman", &["podman", "conmon", "slirp4netns", "netavark"]),
];

/// How long a size must stay the same to be believed, and how long it is waited for.
const STILL: Duration = Duration::from_millis(500);
const PATIENCE: Duration = Duration::from_secs(10);

/// Memory of one engine, in KiB.
pub struct Memory {
    pub peer: String,
    /// Just started, with one image.
    pub idle: u64,
    pub per_container: f64,
    /// Without containers, after all that was measured.
    pub afterwards: u64,
}

/// Idle, then with 100 containers.
pub fn measure(peers: &Peers) -> Vec<Memory> {
    eprintln!("== memory");
    let known = |peer: &&Peer| HELPERS.iter().any(|(name, _)| *name == peer.name);
    peers.all.iter().filter(known).filter_map(|peer| of(peer).map_err(|e| eprintln!("{e}")).ok()).collect()
}

/// Once more, at the end.
pub fn again(peers: &Peers, memory: &mut [Memory]) {
    for row in memory {
        if peers.all.iter().any(|peer| peer.name == row.peer) {
            row.afterwards = settled(&row.peer);
        }
    }
}

/// Processes of engines that are still there although all should have ended, as `NAME[PID]`.
pub fn settled_processes() -> Vec<String> {
    let names: Vec<&str> = HELPERS.iter().flat_map(|(_, names)| names.iter().copied()).collect();
    let deadline = Instant::now() + PATIENCE;
    loop {
        let left = processes(&names);
        if left.is_empty() || Instant::now() > deadline {
            return left.into_iter().map(|pid| format!("{}[{pid}]", comm(pid))).collect();
        }
        std::thread::park_timeout(STILL / 10);
    }
}

fn of(peer: &Peer) -> Result<Memory, String> {
    let idle = settled(peer.name);
    let begun: Result<(), String> = (0..CONTAINERS).try_for_each(|index| peer.hold(&format!("bench-idle-{index}")));
    let loaded = settled(peer.name);
    peer.remove_all();
    begun?;
    #[allow(clippy::cast_precision_loss)]
    let per_container = loaded.saturating_sub(idle) as f64 / CONTAINERS as f64;
    Ok(Memory { peer: peer.name.to_owned(), idle, per_container, afterwards: idle })
}

/// The size once it has come to rest: pools fill and workers end a little after the command that caused it.
fn settled(peer: &str) -> u64 {
    let deadline = Instant::now() + PATIENCE;
    let mut size = helpers_kib(peer);
    let mut since = Instant::now();
    while since.elapsed() < STILL && Instant::now() < deadline {
        std::thread::park_timeout(STILL / 10);
        let now = helpers_kib(peer);
        if now.abs_diff(size) > size / 100 {
            since = Instant::now();
            size = now;
        }
    }
    helpers_kib(peer)
}

fn helpers_kib(peer: &str) -> u64 {
    let names = HELPERS.iter().find(|(name, _)| *name == peer).map_or(&[][..], |(_, names)| names);
    processes(names).into_iter().map(pss_kib).sum()
}

/// Processes of these names that live; zombies have no size, and no status but `Z`.
fn processes(names: &[&str]) -> Vec<u32> {
    let Ok(processes) = fs::read_dir("/proc") else { return Vec::new() };
    let pids = processes.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.filter(|pid| is_one_of(*pid, names) && fs::read_link(format!("/proc/{pid}/exe")).is_ok()).collect()
}

fn comm(pid: u32) -> String {
    fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default().trim().to_owned()
}

fn is_one_of(pid: u32, names: &[&str]) -> bool {
    let comm = comm(pid);
    names.iter().any(|name| comm == *name || (comm.starts_with(name) && comm.len() >= name.len().min(15)))
}

fn pss_kib(pid: u32) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:"));
    line.and_then(|rest| rest.trim().strip_suffix("kB")?.trim().parse().ok()).unwrap_or(0)
}
