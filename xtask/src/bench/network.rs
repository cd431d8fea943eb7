//! What is measured of networks: starts on them, many ends, many networks.

use super::asking::Asking;
use super::figures::{Figure, milliseconds};
use super::peers::{Peer, Peers};
use std::path::Path;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// Figures by name.
pub const NAMES: &[&str] =
    &["start-none", "start-bridge", "start-user", "ends-1000", "networks-first", "networks-last"];

const STARTS: usize = 2000;
/// Starts of one sort before those of the next: a machine whose speed drifts drifts for all.
const IN_A_ROW: usize = 100;
const AT_ONCE: usize = 8;
const ENDS: usize = 1000;
const NETWORKS: usize = 300;
/// The first and the last of them that are compared.
const COMPARED: usize = 50;
/// For one figure of one peer.
const MOST: Duration = Duration::from_secs(60);
const USER: &str = "bench-user";

/// Measures all figures wanted.
pub fn all(peers: &Peers, only: &[String]) -> Vec<Figure> {
    let wanted = |name: &str| only.is_empty() || only.iter().any(|o| o == name);
    let engines: Vec<(&Peer, &Path)> = peers
        .all
        .iter()
        .filter(|peer| !peer.name.contains("docker CLI"))
        .filter_map(|peer| Some((peer, peer.socket.as_deref()?)))
        .collect();
    let mut figures = Vec::new();
    if ["start-none", "start-bridge", "start-user"].iter().any(|name| wanted(name)) {
        figures.extend(starts(&engines));
    }
    if wanted("ends-1000") {
        figures.push(figure("ends-1000", &engines, ends));
    }
    if wanted("networks-first") || wanted("networks-last") {
        figures.extend(networks(&engines));
    }
    figures
}

fn figure(
    name: &'static str,
    engines: &[(&Peer, &Path)],
    measure: impl Fn(&Path) -> Result<Vec<f64>, String>,
) -> Figure {
    eprintln!("== {name}");
    let mut samples = Vec::new();
    for (peer, socket) in engines {
        match measure(socket) {
            Ok(times) => samples.push((peer.name.to_owned(), times)),
            Err(e) => eprintln!("{}: {e}", peer.name),
        }
    }
    Figure { name, unit: "ms", less_is_better: true, samples }
}

/// Starts of a program that ends at once, without a network, on the engine's bridge, and on a network of one's own.
fn starts(engines: &[(&Peer, &Path)]) -> Vec<Figure> {
    eprintln!("== start-none, start-bridge, start-user");
    let sorts = [("start-none", "none"), ("start-bridge", "bridge"), ("start-user", USER)];
    let mut figures: Vec<Figure> =
        sorts.iter().map(|(name, _)| Figure { name, unit: "ms", less_is_better: true, samples: Vec::new() }).collect();
    for (peer, socket) in engines {
        let mut times = [Vec::new(), Vec::new(), Vec::new()];
        let begun = Instant::now();
        let measured = with_network(socket, || {
            while times[0].len() < STARTS && begun.elapsed() < MOST * 3 {
                for ((_, network), times) in sorts.iter().zip(&mut times) {
                    times.extend(at_once(socket, IN_A_ROW, &|asking, _| start(asking, network))?);
                }
            }
            Ok(())
        });
        match measured {
            Ok(()) => figures.iter_mut().zip(times).for_each(|(figure, times)| {
                figure.samples.push((peer.name.to_owned(), times));
            }),
            Err(e) => eprintln!("{}: {e}", peer.name),
        }
    }
    figures
}

fn with_network(socket: &Path, measure: impl FnOnce() -> Result<(), String>) -> Result<(), String> {
    Asking::connect(socket)?.ask("POST", "/networks/create", &format!(r#"{{"Name":"{USER}"}}"#))?;
    let measured = measure();
    let removed = Asking::connect(socket)?.ask("DELETE", &format!("/networks/{USER}"), "");
    measured.and(removed.map(drop))
}

/// How long the request to start took; returns when the container is gone.
fn start(asking: &mut Asking, network: &str) -> Result<Duration, String> {
    let config = format!(r#"{{"Image":"bench-busybox","Cmd":["true"],"HostConfig":{{"NetworkMode":"{network}"}}}}"#);
    let id = created(asking, "/containers/create", &config)?;
    let begun = Instant::now();
    asking.ask("POST", &format!("/containers/{id}/start"), "")?;
    let took = begun.elapsed();
    asking.ask("POST", &format!("/containers/{id}/wait"), "")?;
    asking.ask("DELETE", &format!("/containers/{id}?v=1"), "")?;
    Ok(took)
}

fn created(asking: &mut Asking, path: &str, body: &str) -> Result<String, String> {
    let answer = asking.ask("POST", path, body)?;
    let answer: serde_json::Value = serde_json::from_slice(&answer).map_err(|e| format!("{path}: {e}"))?;
    answer["Id"].as_str().map(str::to_owned).ok_or_else(|| format!("{path}: no id"))
}

/// Does a deed so often, a few at once; milliseconds of each.
fn at_once(
    socket: &Path,
    count: usize,
    deed: &(impl Fn(&mut Asking, usize) -> Result<Duration, String> + Sync),
) -> Result<Vec<f64>, String> {
    let numbers = Mutex::new(0..count);
    let next = || numbers.lock().ok()?.next();
    let walk = || {
        let mut asking = Asking::connect(socket)?;
        let mut times = Vec::new();
        while let Some(number) = next() {
            times.push(milliseconds(deed(&mut asking, number)?));
        }
        Ok(times)
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..AT_ONCE).map(|_| scope.spawn(walk)).collect();
        let mut all = Vec::new();
        for thread in threads {
            all.extend(thread.join().unwrap_or(Err("a thread failed".to_owned()))?);
        }
        Ok(all)
    })
}

/// A thousand containers that stay, on one network: as many as come about in time.
fn ends(socket: &Path) -> Result<Vec<f64>, String> {
    let begun = Instant::now();
    let made = Mutex::new(Vec::new());
    let config =
        format!(r#"{{"Image":"bench-busybox","Cmd":["sleep","100000"],"HostConfig":{{"NetworkMode":"{USER}"}}}}"#);
    let mut times = Vec::new();
    with_network(socket, || {
        let mut come = || {
            while times.len() < ENDS && begun.elapsed() < MOST {
                times.extend(at_once(socket, IN_A_ROW, &|asking, _| {
                    let id = created(asking, "/containers/create", &config)?;
                    made.lock().map_err(|e| e.to_string())?.push(id.clone());
                    let begun = Instant::now();
                    asking.ask("POST", &format!("/containers/{id}/start"), "")?;
                    Ok(begun.elapsed())
                })?);
            }
            Ok(())
        };
        let come = come();
        let ids = made.lock().map_err(|e| e.to_string())?.clone();
        let gone = at_once(socket, ids.len(), &|asking, number| {
            let begun = Instant::now();
            asking.ask("DELETE", &format!("/containers/{}?force=1&v=1", ids[number]), "")?;
            Ok(begun.elapsed())
        });
        Result::and(come, gone.map(drop))
    })?;
    Ok(times)
}

/// One network after the other; the first of them and the last.
fn networks(engines: &[(&Peer, &Path)]) -> Vec<Figure> {
    let all = figure("networks-first", engines, |socket| {
        let (mut asking, begun) = (Asking::connect(socket)?, Instant::now());
        let (mut ids, mut times) = (Vec::new(), Vec::new());
        while ids.len() < NETWORKS && begun.elapsed() < MOST {
            let number = ids.len();
            let (high, low) = (100 + number / 256, number % 256);
            let config =
                format!(r#"{{"Name":"bench-{number}","IPAM":{{"Config":[{{"Subnet":"10.{high}.{low}.0/24"}}]}}}}"#);
            let begun = Instant::now();
            ids.push(created(&mut asking, "/networks/create", &config)?);
            times.push(milliseconds(begun.elapsed()));
        }
        for id in ids {
            asking.ask("DELETE", &format!("/networks/{id}"), "")?;
        }
        Ok(times)
    });
    let part = |name, choose: fn(&[f64]) -> &[f64]| {
        let samples = all.samples.iter().filter(|(_, times)| times.len() == NETWORKS);
        let samples = samples.map(|(peer, times)| (peer.clone(), choose(times).to_vec())).collect();
        Figure { name, unit: "ms", less_is_better: true, samples }
    };
    vec![part("networks-first", |all| &all[..COMPARED]), part("networks-last", |all| &all[NETWORKS - COMPARED..])]
}
