//! What is measured of packets: between two containers, from the host to a published port, and of names.
//!
//! Containers see this machine's `/usr`, so that they have iperf3, and this program.

use super::figures::Figure;
use super::fixture::shell;
use super::installed;
use super::peers::{Peer, Peers, succeed};
use std::process::Command;

/// Figures by name.
pub const NAMES: &[&str] =
    &["throughput-containers", "throughput-published", "latency-containers", "latency-published", "names"];

const ROUNDS: usize = 4;
/// Of one stream.
const SECONDS: &str = "2";
const MESSAGES: &str = "5000";
/// For both ends of a conversation: where the scheduler puts them otherwise tells an 8 us answer from one of 70 us, for every engine.
const ONE_PROCESSOR: &str = "taskset -c 0";
const NAME_SECONDS: &str = "5";
const ASKERS: usize = 2;
/// Where the host has itself: what goes to 127.0.0.0/8 docker gives to a process of its own.
const HERE: &str = "10.99.99.1";
const SERVER: &str = "bench-server";
const NETWORK: &str = "bench-net";
const IPERF_PORT: u16 = 5201;
const ECHO_PORT: u16 = 5202;

/// An engine with servers in it.
struct Side<'a> {
    peer: &'a Peer,
    /// Of the container.
    address: String,
    /// The host's ports of both servers.
    ports: (u16, u16),
    /// This program.
    program: String,
}

/// Measures all figures wanted.
pub fn all(peers: &Peers, only: &[String]) -> Vec<Figure> {
    let wanted: Vec<&'static str> =
        NAMES.iter().copied().filter(|name| only.is_empty() || only.iter().any(|o| o == name)).collect();
    if wanted.is_empty() {
        return Vec::new();
    }
    if let Err(e) = shell(&format!("ip address replace {HERE}/32 dev lo")) {
        eprintln!("{e}");
        return Vec::new();
    }
    let engines = peers.all.iter().filter(|peer| peer.socket.is_some() && !peer.name.contains("docker CLI"));
    let sides: Vec<Side<'_>> = engines
        .enumerate()
        .filter_map(|(number, peer)| Side::raise(peer, number).map_err(|e| eprintln!("{}: {e}", peer.name)).ok())
        .collect();
    let figures = wanted.into_iter().map(|name| figure(name, &sides)).collect();
    sides.iter().for_each(Side::lower);
    figures
}

fn figure(name: &'static str, sides: &[Side<'_>]) -> Figure {
    eprintln!("== {name}");
    let measure: fn(&Side<'_>) -> Result<Vec<f64>, String> = match name {
        "throughput-containers" => |side| side.stream(&side.address, IPERF_PORT, Where::Container),
        "throughput-published" => |side| side.stream(HERE, side.ports.0, Where::Host),
        "latency-containers" => |side| side.messages(&side.address, ECHO_PORT, Where::Container),
        "latency-published" => |side| side.messages(HERE, side.ports.1, Where::Host),
        _ => |side| side.names(),
    };
    let mut samples: Vec<(String, Vec<f64>)> =
        sides.iter().map(|side| (side.peer.name.to_owned(), Vec::new())).collect();
    for _ in 0..ROUNDS {
        for (side, (_, all)) in sides.iter().zip(&mut samples) {
            match measure(side) {
                Ok(some) => all.extend(some),
                Err(e) => eprintln!("{}: {e}", side.peer.name),
            }
        }
    }
    samples.retain(|(_, all)| !all.is_empty());
    let (unit, less_is_better) = match name {
        "names" => ("questions/s", false),
        "latency-containers" | "latency-published" => ("us", true),
        _ => ("Gbit/s", false),
    };
    Figure { name, unit, less_is_better, samples }
}

/// Where a client runs.
#[derive(Clone, Copy)]
enum Where {
    Container,
    Host,
}

impl Side<'_> {
    fn raise(peer: &Peer, number: usize) -> Result<Side<'_>, String> {
        installed("iperf3").ok_or("iperf3 is not installed: apt-get install iperf3")?;
        let program = std::env::current_exe().map_err(|e| format!("cannot find this program: {e}"))?;
        let ports = if number == 0 { (15_201, 15_202) } else { (25_201, 25_202) };
        let mut side = Side { peer, address: String::new(), ports, program: program.display().to_string() };
        let (iperf, echo) = (format!("{}:{IPERF_PORT}", ports.0), format!("{}:{ECHO_PORT}", ports.1));
        let serve = format!("iperf3 -s >/dev/null & exec {ONE_PROCESSOR} /bench bench inside echo {ECHO_PORT}");
        let words = ["run", "-d", "--name", SERVER, "-p", &iperf, "-p", &echo];
        succeed(side.with_tools(&words, &["sh", "-c", &serve]), "the servers")?;
        let inspect = ["inspect", SERVER];
        let told = peer.command(&inspect).output().map_err(|e| format!("inspect: {e}"))?;
        let told: serde_json::Value = serde_json::from_slice(&told.stdout).map_err(|e| format!("inspect: {e}"))?;
        let address = told[0]["NetworkSettings"]["Networks"]["bridge"]["IPAddress"].as_str();
        side.address = address.ok_or("the server has no address")?.to_owned();
        succeed(peer.command(&["network", "create", NETWORK]), "network create")?;
        let words = ["run", "-d", "--name", "bench-named", "--network", NETWORK, "bench-busybox", "sleep", "100000"];
        succeed(peer.command(&words), "the container with a name")?;
        Ok(side)
    }

    fn lower(&self) {
        self.peer.remove_all();
        if let Err(e) = succeed(self.peer.command(&["network", "rm", NETWORK]), "network rm") {
            eprintln!("{e}");
        }
    }

    /// A container with this machine's programs.
    fn with_tools(&self, words: &[&str], line: &[&str]) -> Command {
        let program = format!("{}:/bench:ro", self.program);
        let mounts = ["-v", "/usr:/usr:ro", "-v", "/lib:/lib:ro", "-v", "/lib64:/lib64:ro", "-v", &program];
        let path = ["-e", "PATH=/bin:/usr/bin", "bench-busybox"];
        self.peer.command(&[words, &mounts, &path, line].concat())
    }

    /// What a client says.
    fn client(&self, from: Where, container: &[&str], host: &[&str]) -> Result<String, String> {
        let mut command = match from {
            Where::Container => self.with_tools(&["run", "--rm"], container),
            Where::Host => {
                let mut command = Command::new(host[0]);
                command.args(&host[1..]);
                command
            }
        };
        let output = command.output().map_err(|e| format!("cannot run a client: {e}"))?;
        if !output.status.success() {
            return Err(format!("a client failed: {}", String::from_utf8_lossy(&output.stderr).trim()));
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    fn stream(&self, address: &str, port: u16, from: Where) -> Result<Vec<f64>, String> {
        let port = port.to_string();
        let line = ["iperf3", "-c", address, "-p", &port, "-t", SECONDS, "-J"];
        let told = self.client(from, &line, &line)?;
        let told: serde_json::Value = serde_json::from_str(&told).map_err(|e| format!("iperf3: {e}"))?;
        let bits = told["end"]["sum_received"]["bits_per_second"].as_f64().ok_or("iperf3 tells no rate")?;
        Ok(vec![bits / 1e9])
    }

    fn messages(&self, address: &str, port: u16, from: Where) -> Result<Vec<f64>, String> {
        let at = format!("{address}:{port}");
        let asks = |program: &str| format!("{ONE_PROCESSOR} {program} bench inside ask {at} {MESSAGES}");
        let (inside, outside) = (asks("/bench"), asks(&self.program));
        let told = self.client(from, &["sh", "-c", &inside], &["sh", "-c", &outside])?;
        Ok(told.lines().filter_map(|line| line.parse().ok()).collect())
    }

    /// Questions that containers have answered, all on one processor with the engine, while others come and go.
    fn names(&self) -> Result<Vec<f64>, String> {
        let engine = self.peer.pid.ok_or("the engine has no process")?;
        let processors = shell(&format!("taskset -p {engine} | sed 's/.*: //'"))?;
        shell(&format!("taskset -a -p 1 {engine}"))?;
        let asked = self.ask_names();
        shell(&format!("taskset -a -p {} {engine}", processors.trim()))?;
        asked.map(|rate| vec![rate])
    }

    fn ask_names(&self) -> Result<f64, String> {
        let words = ["run", "--rm", "--network", NETWORK, "--cpuset-cpus", "0"];
        let line = ["/bench", "bench", "inside", "names", "bench-named", NAME_SECONDS];
        let clients: Vec<_> = (0..ASKERS)
            .map(|_| {
                let mut client = self.with_tools(&words, &line);
                client.stdout(std::process::Stdio::piped()).spawn().map_err(|e| format!("cannot run a client: {e}"))
            })
            .collect::<Result<_, _>>()?;
        for number in 0..5 {
            let name = format!("bench-guest-{number}");
            let guest = ["run", "--rm", "--name", &name, "--network", NETWORK, "bench-busybox", "true"];
            succeed(self.peer.command(&guest), "a guest")?;
        }
        let mut answered = 0.0;
        for client in clients {
            let output = client.wait_with_output().map_err(|e| format!("a client: {e}"))?;
            let told = String::from_utf8_lossy(&output.stdout).into_owned();
            let mut numbers = told.split_whitespace().filter_map(|word| word.parse::<f64>().ok());
            let (Some(good), Some(bad)) = (numbers.next(), numbers.next()) else {
                return Err(format!("a client of names said {told:?}"));
            };
            if bad > 0.0 {
                return Err(format!("{bad} of {} questions failed", good + bad));
            }
            answered += good;
        }
        Ok(answered / NAME_SECONDS.parse::<f64>().unwrap_or(1.0))
    }
}
