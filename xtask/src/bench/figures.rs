//! What is measured in time.

use super::floor;
use super::peers::{Deed, Peer, Peers};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Figures by name; `memory` is measured apart.
pub const NAMES: &[&str] = &["run-none", "run-bridge", "run-detached", "exec", "ps-100", "parallel-8", "memory"];

/// Rounds of the parallel figure, starts in each, and how many at once.
const PARALLEL_ROUNDS: usize = 3;
const PARALLEL_STARTS: usize = 64;
const AT_ONCE: usize = 8;

/// One figure of all peers.
pub struct Figure {
    pub name: &'static str,
    pub unit: &'static str,
    /// Whether less is better.
    pub less_is_better: bool,
    /// Samples by peer, in the order of peers.
    pub samples: Vec<(String, Vec<f64>)>,
}

/// Measures all figures wanted; a peer that fails is left out of that figure, with a word on stderr.
pub fn all(peers: &Peers, runs: usize, only: &[String]) -> Vec<Figure> {
    let wanted = |name: &str| only.is_empty() || only.iter().any(|o| o == name);
    let mut figures = Vec::new();
    for (name, deed) in
        [("run-none", Deed::RunNone), ("run-bridge", Deed::RunBridge), ("run-detached", Deed::RunDetached)]
    {
        if wanted(name) {
            figures.push(timed(name, peers, deed, runs));
        }
    }
    if wanted("exec") {
        figures.push(held(peers, 1, || timed("exec", peers, Deed::Exec, runs)));
    }
    if wanted("ps-100") {
        figures.push(held(peers, 100, || timed("ps-100", peers, Deed::List, runs)));
    }
    if wanted("parallel-8") {
        figures.push(parallel(peers));
    }
    figures
}

fn timed(name: &'static str, peers: &Peers, deed: Deed, runs: usize) -> Figure {
    eprintln!("== {name}");
    let mut samples: BTreeMap<usize, Vec<f64>> = BTreeMap::new();
    let mut out = vec![false; peers.all.len()];
    let with_floor = matches!(deed, Deed::RunNone | Deed::RunBridge);
    let mut floor_samples = Vec::new();
    for run in 0..=runs {
        for (index, peer) in peers.all.iter().enumerate().filter(|(_, peer)| peer.can(deed)) {
            if out[index] {
                continue;
            }
            match peer.do_once(deed, run) {
                // The first one warms up.
                Ok(_) if run == 0 => {}
                Ok(took) => samples.entry(index).or_default().push(milliseconds(took)),
                Err(e) => {
                    eprintln!("{e}");
                    out[index] = true;
                }
            }
        }
        if with_floor && run > 0 {
            floor_samples.extend(floor::sample().map_err(|e| eprintln!("{e}")).ok());
        }
    }
    let mut named: Vec<_> = samples.into_iter().map(|(index, s)| (peers.all[index].name.to_owned(), s)).collect();
    if !floor_samples.is_empty() {
        named.push(("kernel floor".to_owned(), floor_samples));
    }
    Figure { name, unit: "ms", less_is_better: true, samples: named }
}

/// With so many containers running in every engine, the first named `bench-target`.
fn held(peers: &Peers, count: usize, measure: impl FnOnce() -> Figure) -> Figure {
    let engines = || peers.all.iter().filter(|peer| peer.is_engine() && !peer.name.contains("docker CLI"));
    for peer in engines() {
        for index in 0..count {
            let name = if index == 0 { "bench-target".to_owned() } else { format!("bench-held-{index}") };
            if let Err(e) = peer.hold(&name) {
                eprintln!("{e}");
                break;
            }
        }
    }
    let figure = measure();
    engines().for_each(Peer::remove_all);
    figure
}

/// Starts a second, 8 at once.
fn parallel(peers: &Peers) -> Figure {
    eprintln!("== parallel-8");
    let able = || peers.all.iter().filter(|peer| peer.can(Deed::RunBridge));
    let mut samples: Vec<(String, Vec<f64>)> = able().map(|peer| (peer.name.to_owned(), Vec::new())).collect();
    for _ in 0..PARALLEL_ROUNDS {
        for (peer, (_, rates)) in able().zip(&mut samples) {
            rates.extend(rate(peer));
        }
    }
    samples.retain(|(_, rates)| rates.len() == PARALLEL_ROUNDS);
    Figure { name: "parallel-8", unit: "starts/s", less_is_better: false, samples }
}

fn rate(peer: &Peer) -> Option<f64> {
    let next = AtomicUsize::new(0);
    let failed = AtomicUsize::new(0);
    let begun = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while next.fetch_add(1, Ordering::Relaxed) < PARALLEL_STARTS {
                    if let Err(e) = peer.do_once(Deed::RunBridge, 0) {
                        eprintln!("{e}");
                        failed.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    let seconds = begun.elapsed().as_secs_f64();
    if failed.load(Ordering::Relaxed) > 0 {
        return None;
    }
    #[allow(clippy::cast_precision_loss)]
    Some(PARALLEL_STARTS as f64 / seconds)
}

pub fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}
