//! An engine as small as can be: it starts containers from busybox, pumps their output, and hears of their ends.

use crate::bench::{Bench, DEADLINE};
use base::Id;
use keeper::client::{Error, Found, Keeper, Parked, Started, Streams};
use keeper::message::{Event, Exit, Stdio};
use logs::pump::{Flow, Pump, Sink, Stream};
use logs::read::{Range, Reader};
use logs::{Driver, Target};
use runtime::{Capabilities, MountSource, MountStep, NetworkNamespace, ParkPlan, Plan, ProcessPlan, Seed};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::mount::{OpenTreeFlags, open_tree};
use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::mpsc::Receiver;
use std::time::Instant;

pub struct Engine {
    pub keeper: Keeper,
    pub pump: Pump,
    pub found: Vec<Found>,
    pub exits: HashMap<Id, (Exit, i64)>,
    pub seen: Seen,
    events: Receiver<Event>,
}

/// Output as an attached client would get it.
#[derive(Default)]
pub struct Seen(pub HashMap<(Id, Stream), Vec<u8>>);

impl Sink for Seen {
    fn output(&mut self, key: Id, stream: Stream, bytes: &[u8]) -> Flow {
        self.0.entry((key, stream)).or_default().extend_from_slice(bytes);
        Flow::Go
    }

    fn end(&mut self, _key: Id, _stream: Stream) {}
}

impl Engine {
    /// Connects, and goes on with all that is found.
    pub fn start(bench: &Bench) -> Engine {
        let (keeper, mut found, events) = bench.connect();
        let mut pump = Pump::new(keeper.journal().unwrap()).unwrap();
        let mut exits = HashMap::new();
        for one in &mut found {
            exits.extend(one.process.exited.map(|exit| (one.process.key, exit)));
            if let Some(started) = &mut one.started {
                let streams = std::mem::replace(&mut started.streams, Streams::Gone);
                add(&mut pump, one.process.key, streams, &one.process.log);
            }
        }
        Engine { keeper, pump, found, exits, seen: Seen::default(), events }
    }

    pub fn park(&self) -> Parked {
        park(&self.keeper)
    }

    pub fn launch(&self, bench: &Bench, key: Id, script: &str, stdio: Stdio) -> Result<Started, Error> {
        launch(&self.keeper, bench, key, script, stdio)
    }

    /// Launches and pumps.
    pub fn run(&mut self, bench: &Bench, key: Id, script: &str, stdio: Stdio) -> Started {
        let mut started =
            self.launch(bench, key, script, stdio).unwrap_or_else(|error| panic!("{}", base::chain(&error)));
        let streams = std::mem::replace(&mut started.streams, Streams::Gone);
        let streams = match streams {
            Streams::Pipes { stdin, stdout, stderr } => {
                started.streams = Streams::Pipes { stdin, stdout: dup(&stdout), stderr: dup(&stderr) };
                Streams::Pipes { stdin: None, stdout, stderr }
            }
            Streams::Terminal(master) => {
                started.streams = Streams::Terminal(dup(&master));
                Streams::Terminal(master)
            }
            Streams::Gone => Streams::Gone,
        };
        add(&mut self.pump, key, streams, &target(bench, key));
        started
    }

    /// Pumps and listens until `is`, or fails after a while.
    pub fn until(&mut self, what: &str, mut is: impl FnMut(&Engine) -> bool) {
        let deadline = Instant::now() + DEADLINE;
        while !is(self) {
            assert!(Instant::now() < deadline, "it did not happen: {what}");
            self.turn();
        }
    }

    /// Until a container has ended and all its output is logged.
    pub fn wait(&mut self, key: Id) -> Exit {
        self.until("the container ends", |engine| engine.exits.contains_key(&key) && !engine.pump.has(key));
        self.exits[&key].0
    }

    pub fn turn(&mut self) {
        let short = Timespec { tv_sec: 0, tv_nsec: 1_000_000 };
        let epoll = self.pump.epoll();
        rustix::io::retry_on_intr(|| poll(&mut [PollFd::new(&epoll, PollFlags::IN)], Some(&short))).unwrap();
        self.pump.turn(&mut self.seen).unwrap();
        while let Ok(Event::Exited { key, exit, at }) = self.events.try_recv() {
            assert!(self.exits.insert(key, (exit, at)).is_none(), "an exit was told twice");
        }
    }
}

fn park(keeper: &Keeper) -> Parked {
    let plan = ParkPlan { network: NetworkNamespace::New, ..ParkPlan::default() };
    keeper.park(plan, &[]).unwrap_or_else(|error| panic!("{}", base::chain(&error)))
}

/// Starts a shell in a container; what it writes is left to others.
pub fn launch(keeper: &Keeper, bench: &Bench, key: Id, script: &str, stdio: Stdio) -> Result<Started, Error> {
    let plan = Plan { mounts: mounts(), process: process(script, stdio), ..Plan::default() };
    keeper.launch(key, park(keeper).pid, plan, &[root(bench)], stdio, target(bench, key))
}

fn dup(fd: &OwnedFd) -> OwnedFd {
    fd.try_clone().unwrap()
}

fn add(pump: &mut Pump, key: Id, streams: Streams, log: &Target) {
    match streams {
        Streams::Pipes { stdout, stderr, .. } => {
            pump.add(key, Stream::Stdout, stdout, false, log).unwrap();
            pump.add(key, Stream::Stderr, stderr, false, log).unwrap();
        }
        Streams::Terminal(master) => pump.add(key, Stream::Stdout, master, true, log).unwrap(),
        Streams::Gone => {}
    }
}

pub fn target(bench: &Bench, key: Id) -> Target {
    Target {
        driver: Driver::JsonFile,
        path: bench.path(&key.to_string()),
        max_size: 0,
        max_file: 1,
        ..Target::default()
    }
}

/// The log's lines of one stream.
pub fn lines(bench: &Bench, key: Id, stream: Stream) -> Vec<String> {
    let mut reader = Reader::open(&target(bench, key), Range::default()).unwrap();
    let entries = std::iter::from_fn(|| reader.next().unwrap()).filter(|entry| entry.stream == stream);
    entries.map(|entry| String::from_utf8(entry.line).unwrap()).collect()
}

/// A folder with nothing but busybox, as a detached mount.
pub fn root(bench: &Bench) -> OwnedFd {
    let root: PathBuf = bench.path("root");
    if !root.exists() {
        let new = bench.path("root.new");
        for folder in ["bin", "proc", "dev/pts", "tmp"] {
            std::fs::create_dir_all(new.join(folder)).unwrap();
        }
        std::fs::copy("/bin/busybox", new.join("bin/busybox")).unwrap();
        std::os::unix::fs::symlink("busybox", new.join("bin/sh")).unwrap();
        std::fs::rename(new, &root).unwrap();
    }
    open_tree(rustix::fs::CWD, &root, OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC).unwrap()
}

fn mounts() -> Vec<MountStep> {
    let new = |destination: &str, kind: &str, options: &[(&str, &str)]| MountStep {
        destination: destination.into(),
        source: MountSource::New {
            kind: kind.into(),
            options: options.iter().map(|(key, value)| ((*key).into(), Some((*value).into()))).collect(),
            attributes: 0,
            seed: Seed::Nothing,
        },
        propagation: Vec::new(),
        origin: String::new(),
    };
    vec![
        new("/proc", "proc", &[]),
        new("/dev", "tmpfs", &[]),
        new("/dev/pts", "devpts", &[("ptmxmode", "0666"), ("mode", "0620")]),
    ]
}

pub fn process(script: &str, stdio: Stdio) -> ProcessPlan {
    // Docker's default set.
    let all = 0xa804_25fb;
    ProcessPlan {
        args: ["/bin/busybox", "sh", "-c", script].map(|word| word.as_bytes().to_vec()).into(),
        env: vec![b"PATH=/bin".to_vec()],
        cwd: "/".into(),
        capabilities: Capabilities { bounding: all, effective: all, inheritable: 0, permitted: all, ambient: 0 },
        terminal: stdio.terminal,
        ..ProcessPlan::default()
    }
}
