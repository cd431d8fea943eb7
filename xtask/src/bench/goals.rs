//! What the numbers should be, next to what they are.

use super::builds::{BUILDKIT, COMMANDS};
use super::figures::Figure;
use super::memory::Memory;
use super::table::{median, percentile};

/// One goal.
pub struct Goal {
    pub what: &'static str,
    pub unit: &'static str,
    pub bound: Bound,
    /// As measured; NaN is never reached.
    pub is: f64,
}

/// Which side of a number is good.
pub enum Bound {
    AtLeast(f64),
    AtMost(f64),
}

impl Goal {
    /// Whether it is reached.
    pub fn reached(&self) -> bool {
        match self.bound {
            Bound::AtLeast(least) => self.is >= least,
            Bound::AtMost(most) => self.is <= most,
        }
    }
}

/// Of the time of another engine.
const FIFTH: f64 = 0.2;

/// The goals whose both sides were measured.
pub fn of(figures: &[Figure], memory: &[Memory]) -> Vec<Goal> {
    use Bound::{AtLeast, AtMost};
    let value = |figure: &str, peer: &str| {
        let figure = figures.iter().find(|f| f.name == figure)?;
        figure.samples.iter().find(|(name, _)| name == peer).map(|(_, samples)| median(samples))
    };
    let ratio = |figure, over, under| Some(value(figure, over)? / value(figure, under)?);
    let ten_to_one = value("pull-ten", "dhow").zip(value("pull-200mb", "dhow")).map(|(ten, one)| ten / one);
    let late = |figure: &str| {
        let figure = figures.iter().find(|f| f.name == figure)?;
        let (_, samples) = figure.samples.iter().find(|(name, _)| name == "dhow")?;
        Some(percentile(samples, 99) / median(samples))
    };
    let own_ratio = |over, under| Some(value(over, "dhow")? / value(under, "dhow")?);
    let own = memory.iter().find(|row| row.peer == "dhow");
    #[allow(clippy::cast_precision_loss)]
    let idle = own.map(|row| row.idle as f64 / 1024.0);
    [
        ("run-bridge: times as fast as docker", "x", AtLeast(20.0), ratio("run-bridge", "docker", "dhow")),
        ("run-bridge: times the kernel's floor", "x", AtMost(4.0), ratio("run-bridge", "dhow", "kernel floor")),
        ("parallel-8: times the rate of docker", "x", AtLeast(10.0), ratio("parallel-8", "dhow", "docker")),
        ("exec: times as fast as docker", "x", AtLeast(15.0), ratio("exec", "docker", "dhow")),
        ("ps -a of 1,000: of the time of docker", "x", AtMost(FIFTH), ratio("ps-1000", "dhow", "docker")),
        ("list of 1,000: of the time of docker", "x", AtMost(FIFTH), ratio("list-1000", "dhow", "docker")),
        ("inspect, one of 1,000: of the time of docker", "x", AtMost(FIFTH), ratio("inspect-1000", "dhow", "docker")),
        ("inspect of 1,000: of the time of docker", "x", AtMost(FIFTH), ratio("inspect-all", "dhow", "docker")),
        (
            "`inspect`, one of 1,000: of the time of docker",
            "x",
            AtMost(FIFTH),
            ratio("inspect-1000-cli", "dhow", "docker"),
        ),
        ("`inspect` of 1,000: of the time of docker", "x", AtMost(FIFTH), ratio("inspect-all-cli", "dhow", "docker")),
        ("`stats --no-stream`: of the time of docker", "x", AtMost(FIFTH), ratio("stats-all-cli", "dhow", "docker")),
        ("stats, one-shot: of the time of docker", "x", AtMost(FIFTH), ratio("stats-one-shot", "dhow", "docker")),
        ("stats of all: of the time of docker", "x", AtMost(FIFTH), ratio("stats-all", "dhow", "docker")),
        ("start on a bridge: of the time on none, p50", "x", AtMost(1.5), own_ratio("start-bridge", "start-none")),
        ("start on a bridge: p99, of its p50", "x", AtMost(3.0), late("start-bridge")),
        ("networks: the last of 300, of the first", "x", AtMost(1.5), own_ratio("networks-last", "networks-first")),
        ("throughput, containers: of docker's", "x", AtLeast(0.95), ratio("throughput-containers", "dhow", "docker")),
        ("throughput, published: of docker's", "x", AtLeast(0.95), ratio("throughput-published", "dhow", "docker")),
        ("latency, containers: of docker's", "x", AtMost(1.0), ratio("latency-containers", "dhow", "docker")),
        ("latency, published: of docker's", "x", AtMost(1.0), ratio("latency-published", "dhow", "docker")),
        ("names: questions on one processor", "/s", AtLeast(5000.0), value("names", "dhow")),
        ("load: of the time of docker", "x", AtMost(1.0 / 3.0), ratio("load-200mb", "dhow", "docker")),
        ("pull: of the time of docker", "x", AtMost(1.0 / 3.0), ratio("pull-200mb", "dhow", "docker")),
        ("pull: of the time of tar -xzf", "x", AtMost(1.0), ratio("pull-200mb", "dhow", "tar -xzf")),
        ("pull: ten layers, of the time of one", "x", AtMost(0.7), ten_to_one),
        ("build, all cached: of the time of docker", "x", AtMost(FIFTH), ratio("build-cached", "dhow", "docker")),
        ("build, all cached: of the time of buildx", "x", AtMost(FIFTH), ratio("build-cached", "dhow", BUILDKIT)),
        ("build, RUN true: of the time of docker", "x", AtMost(0.1), ratio("build-noop", "dhow", "docker")),
        ("build, RUN true: of the time of buildx", "x", AtMost(0.1), ratio("build-noop", "dhow", BUILDKIT)),
        ("build, 1 GB: of the time of docker", "x", AtMost(1.0 / 3.0), ratio("build-context", "dhow", "docker")),
        ("build, 1 GB: of the time of buildx", "x", AtMost(1.0 / 3.0), ratio("build-context", "dhow", BUILDKIT)),
        ("build of a program: of its commands alone", "x", AtMost(1.1), ratio("build-app", "dhow", COMMANDS)),
        ("oci-warm: times as fast as crun", "x", AtLeast(2.0), ratio("oci-warm", "crun", "dhow")),
        ("oci-warm: times as fast as runc", "x", AtLeast(4.0), ratio("oci-warm", "runc", "dhow")),
        ("oci-cold: times as fast as crun", "x", AtLeast(2.0), ratio("oci-cold", "crun", "dhow")),
        ("oci-cold: times as fast as runc", "x", AtLeast(4.0), ratio("oci-cold", "runc", "dhow")),
        ("an idle container, in engine and keeper", "KiB", AtMost(200.0), own.map(|row| row.per_container)),
        ("the idle engine and keeper", "MiB", AtMost(25.0), idle),
    ]
    .into_iter()
    .filter_map(|(what, unit, bound, is)| Some(Goal { what, unit, bound, is: is? }))
    .collect()
}
