//! What is measured of images: from an archive and from a registry on loopback, beside tar(1) on the same bytes and disk.

use super::figures::{Figure, milliseconds};
use super::fixture::{Fixture, shell};
use super::installed;
use super::peers::{Peer, Peers};
use crate::suite;
use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

pub const NAMES: &[&str] = &["load-200mb", "pull-200mb", "pull-ten"];

const ROUNDS: usize = 5;
/// The bench has a network namespace of its own.
const REGISTRY: &str = "127.0.0.1:5000";
const TAR: &str = "tar -xzf";

/// Measures all figures wanted.
pub fn all(peers: &Peers, fixture: &Fixture, folder: &Path, only: &[String]) -> Vec<Figure> {
    let wanted = |name: &str| only.is_empty() || only.iter().any(|o| o == name);
    let mut figures = Vec::new();
    if wanted("load-200mb") {
        let load = |peer: &Peer| {
            let took = peer.load(&fixture.large);
            peer.forget("bench-large");
            took
        };
        figures.push(each("load-200mb", peers, load, None));
    }
    if !wanted("pull-200mb") && !wanted("pull-ten") {
        return figures;
    }
    let registry = match Registry::filled(peers, fixture, folder) {
        Ok(registry) => registry,
        Err(error) => {
            eprintln!("{error}");
            return figures;
        }
    };
    let spread = spread(&folder.join("spread"));
    let number = Cell::new(0);
    let tar = || {
        number.set(number.get() + 1);
        unpack(&fixture.layer, &spread.join(format!("unpacked-{}", number.get())))
    };
    for (name, image) in [("pull-200mb", "large"), ("pull-ten", "ten")] {
        if wanted(name) {
            let image = format!("{REGISTRY}/{image}:1");
            let pull = |peer: &Peer| {
                let took = peer.pull(&image);
                peer.forget(&image);
                took
            };
            figures.push(each(name, peers, pull, Some((TAR, &tar))));
        }
    }
    drop(registry);
    figures
}

type Beside<'a> = (&'a str, &'a dyn Fn() -> Result<Duration, String>);

/// Measures a deed of every engine, and what stands beside it, in turn. Each deed removes what it made at once: ext4 is slow to
/// make files for five seconds after many were deleted.
fn each(
    name: &'static str,
    peers: &Peers,
    deed: impl Fn(&Peer) -> Result<Duration, String>,
    beside: Option<Beside<'_>>,
) -> Figure {
    eprintln!("== {name}");
    let able = || peers.all.iter().filter(|peer| peer.is_engine());
    let mut samples: Vec<(String, Vec<f64>)> = able().map(|peer| (peer.name.to_owned(), Vec::new())).collect();
    samples.extend(beside.map(|(name, _)| (name.to_owned(), Vec::new())));
    for _ in 0..ROUNDS {
        let took = able().map(&deed).chain(beside.map(|(_, deed)| deed()));
        for (took, (_, times)) in took.zip(&mut samples) {
            times.extend(took.map(milliseconds).map_err(|e| eprintln!("{e}")));
        }
    }
    samples.retain(|(_, times)| times.len() == ROUNDS);
    Figure { name, unit: "ms", less_is_better: true, samples }
}

/// A folder whose folders ext4 places far from each other: tar(1), too, shall not pay for what was deleted before.
fn spread(folder: &Path) -> PathBuf {
    if let Err(error) = shell(&format!("mkdir '{0}' && chattr +T '{0}'", folder.display())) {
        eprintln!("{error}");
    }
    folder.to_owned()
}

fn unpack(layer: &Path, folder: &Path) -> Result<Duration, String> {
    let folder = folder.display();
    shell(&format!("mkdir '{folder}'"))?;
    let begun = Instant::now();
    shell(&format!("tar -C '{folder}' -xzf '{}'", layer.display()))?;
    let took = begun.elapsed();
    shell(&format!("rm -rf '{folder}'"))?;
    Ok(took)
}

/// A registry on loopback: Debian's docker-registry, or ours where that is not installed.
struct Registry(Child);

impl Registry {
    /// Starts it; dhow pushes the large image to it, in one layer and in ten.
    fn filled(peers: &Peers, fixture: &Fixture, folder: &Path) -> Result<Registry, String> {
        let own = peers.all.iter().find(|peer| peer.name == "dhow").ok_or("no dhow")?;
        let registry = Registry::start(folder)?;
        for (archive, loaded, name) in [(&fixture.large, "bench-large", "large"), (&fixture.ten, "bench-ten", "ten")] {
            own.load(archive)?;
            let target = format!("{REGISTRY}/{name}:1");
            own.push(loaded, &target)?;
            own.forget(&target);
            own.forget(loaded);
        }
        Ok(registry)
    }

    fn start(folder: &Path) -> Result<Registry, String> {
        let root = folder.join("registry");
        let mut command = match installed("docker-registry") {
            Some(program) => {
                let file = folder.join("registry.yml");
                let text = format!(
                    "version: 0.1\nlog: {{level: error}}\nhttp: {{addr: \"{REGISTRY}\"}}\n\
                     storage: {{filesystem: {{rootdirectory: \"{}\"}}}}\n",
                    root.display()
                );
                std::fs::write(&file, text).map_err(|e| format!("cannot write {}: {e}", file.display()))?;
                let mut command = Command::new(program);
                command.arg("serve").arg(file);
                command
            }
            None => {
                let mut command = Command::new(suite::binary("release")?);
                command.args(["registry", "serve", "--address", REGISTRY, "--root"]).arg(root);
                command
            }
        };
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let registry = Registry(command.spawn().map_err(|e| format!("cannot start a registry: {e}"))?);
        let deadline = Instant::now() + Duration::from_secs(20);
        while std::net::TcpStream::connect(REGISTRY).is_err() {
            if Instant::now() > deadline {
                return Err("the registry does not answer".to_owned());
            }
            std::thread::park_timeout(Duration::from_millis(20));
        }
        Ok(registry)
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
