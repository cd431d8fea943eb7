//! What engines weigh: the proportional set size (proc_pid_smaps(5)) of all their processes but the containers' own.

use super::peers::{Peer, Peers};
use std::fs;

/// Containers that idle.
const CONTAINERS: u64 = 100;

/// Names of processes that belong to engines, as /proc/PID/comm shows them.
const HELPERS: &[(&str, &[&str])] = &[
    ("dhow", &["dhow"]),
    ("docker", &["dockerd", "containerd", "containerd-shim", "docker-proxy"]),
    ("podman", &["podman", "conmon", "slirp4netns", "netavark"]),
];

/// Memory of one engine, in KiB.
pub struct Memory {
    pub peer: String,
    pub idle: u64,
    pub per_container: f64,
}

/// Idle, then with 100 containers.
pub fn measure(peers: &Peers) -> Vec<Memory> {
    eprintln!("== memory");
    let known = |peer: &&Peer| HELPERS.iter().any(|(name, _)| *name == peer.name);
    peers.all.iter().filter(known).filter_map(|peer| of(peer).map_err(|e| eprintln!("{e}")).ok()).collect()
}

fn of(peer: &Peer) -> Result<Memory, String> {
    let idle = helpers_kib(peer.name);
    let begun: Result<(), String> = (0..CONTAINERS).try_for_each(|index| peer.hold(&format!("bench-idle-{index}")));
    let loaded = helpers_kib(peer.name);
    peer.remove_all();
    begun?;
    #[allow(clippy::cast_precision_loss)]
    let per_container = loaded.saturating_sub(idle) as f64 / CONTAINERS as f64;
    Ok(Memory { peer: peer.name.to_owned(), idle, per_container })
}

fn helpers_kib(peer: &str) -> u64 {
    let names = HELPERS.iter().find(|(name, _)| *name == peer).map_or(&[][..], |(_, names)| names);
    let Ok(processes) = fs::read_dir("/proc") else { return 0 };
    let pids = processes.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.filter(|pid| is_one_of(*pid, names)).map(pss_kib).sum()
}

fn is_one_of(pid: u32, names: &[&str]) -> bool {
    let comm = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    let comm = comm.trim();
    names.iter().any(|name| comm == *name || (comm.starts_with(name) && comm.len() >= name.len().min(15)))
}

fn pss_kib(pid: u32) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:"));
    line.and_then(|rest| rest.trim().strip_suffix("kB")?.trim().parse().ok()).unwrap_or(0)
}
