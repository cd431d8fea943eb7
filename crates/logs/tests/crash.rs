//! A pump killed by SIGKILL at random moments, again and again: its log holds every line exactly once, in order.

use base::Id;
use logs::pump::{Journal, NullSink, Pump, Stream};
use logs::read::{Range, Reader};
use logs::{Driver, Target};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::pipe::{PipeFlags, pipe_with};
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

const KILLS: usize = 200;
const JOB: &str = "LOGS_CRASH_TEST";

#[test]
fn a_pump_killed_at_any_moment_loses_and_repeats_nothing() {
    if let Ok(job) = std::env::var(JOB) {
        return be_killed(&job);
    }
    crash("plain", 0);
}

#[test]
fn a_pump_killed_while_it_rotates_loses_and_repeats_nothing() {
    if let Ok(job) = std::env::var(JOB) {
        return be_killed(&job);
    }
    crash("rotating", 200_000);
}

/// What both processes know: where the log is, and the open files of the parent.
struct Bench {
    key: Id,
    target: Target,
    journal: Journal,
    out: OwnedFd,
    err: OwnedFd,
}

fn crash(name: &str, max_size: u64) {
    let folder = tempfile::tempdir().unwrap();
    let target = Target {
        driver: Driver::JsonFile,
        path: folder.path().join("log"),
        max_size,
        max_file: 100_000,
        ..Target::default()
    };
    let stop = Arc::new(AtomicBool::new(false));
    let started = Arc::new(Barrier::new(3));
    let (out, out_end) = pipe_with(PipeFlags::CLOEXEC).unwrap();
    let (err, err_end) = pipe_with(PipeFlags::CLOEXEC).unwrap();
    let writers = [(out_end, 1), (err_end, 2)].map(|(end, seed)| {
        let (stop, started) = (stop.clone(), started.clone());
        std::thread::spawn(move || {
            started.wait();
            write_lines(end.into(), seed, &stop)
        })
    });
    started.wait();
    let bench = Bench { key: Id::random(), target, journal: Journal::create().unwrap(), out, err };
    let mut random = Random(7);
    for _ in 0..KILLS {
        let mut child = start(&bench, name);
        let moment = Instant::now() + Duration::from_micros(random.below(3000));
        while Instant::now() < moment {
            std::hint::spin_loop();
        }
        child.kill().unwrap();
        child.wait().unwrap();
    }
    let (key, target) = (bench.key, bench.target.clone());
    let mut pump = pump(bench);
    stop.store(true, Ordering::Relaxed);
    pump_until_both_end(&mut pump, key);
    let counts = writers.map(|writer| writer.join().unwrap());
    check(&target, counts);
}

/// A process that pumps until it is killed; it is pumping when this returns.
fn start(bench: &Bench, name: &str) -> Child {
    let test = match name {
        "plain" => "a_pump_killed_at_any_moment_loses_and_repeats_nothing",
        _ => "a_pump_killed_while_it_rotates_loses_and_repeats_nothing",
    };
    let number = |fd: BorrowedFd<'_>| fd.as_raw_fd().to_string();
    let [memory, hold_read, hold_write] = bench.journal.fds().map(number);
    let fds = [memory, hold_read, hold_write, number(bench.out.as_fd()), number(bench.err.as_fd())].join(" ");
    let Target { path, max_size, .. } = &bench.target;
    let job = format!("{} {} {fds} {max_size} {}", std::process::id(), bench.key, path.display());
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(JOB, job)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    while lines.next().unwrap().unwrap() != "pumping" {}
    child
}

fn be_killed(job: &str) {
    let words: Vec<&str> = job.split(' ').collect();
    let open = |index: usize, read: bool, write: bool| -> OwnedFd {
        let path = format!("/proc/{}/fd/{}", words[0], words[index]);
        OpenOptions::new().read(read).write(write).open(path).unwrap().into()
    };
    let journal = Journal::from_fds(open(2, true, true), open(3, true, false), open(4, false, true)).unwrap();
    let target = Target {
        driver: Driver::JsonFile,
        path: Path::new(words[8]).to_owned(),
        max_size: words[7].parse().unwrap(),
        max_file: 100_000,
        ..Target::default()
    };
    let (out, err) = (open(5, true, false), open(6, true, false));
    let mut pump = pump(Bench { key: words[1].parse().unwrap(), target, journal, out, err });
    println!("pumping");
    std::io::stdout().flush().unwrap();
    loop {
        turn(&mut pump);
    }
}

fn pump(bench: Bench) -> Pump {
    let mut pump = Pump::new(bench.journal).unwrap();
    pump.add(bench.key, Stream::Stdout, bench.out, false, &bench.target).unwrap();
    pump.add(bench.key, Stream::Stderr, bench.err, false, &bench.target).unwrap();
    pump
}

fn turn(pump: &mut Pump) {
    rustix::io::retry_on_intr(|| poll(&mut [PollFd::new(&pump.epoll(), PollFlags::IN)], None)).unwrap();
    pump.turn(&mut NullSink).unwrap();
}

fn pump_until_both_end(pump: &mut Pump, key: Id) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while pump.has(key) {
        assert!(Instant::now() < deadline, "the streams do not end");
        turn(pump);
    }
}

/// Writes numbered lines in pieces of any size until told to stop; says how many.
fn write_lines(mut end: File, seed: u64, stop: &AtomicBool) -> u64 {
    let mut random = Random(seed);
    let mut text = Vec::new();
    let mut number = 0;
    while !stop.load(Ordering::Relaxed) {
        while text.len() < 10_000 {
            let length = usize::try_from(random.below(200)).unwrap();
            writeln!(text, "{number} {}", "x".repeat(length)).unwrap();
            number += 1;
        }
        let piece = usize::try_from(random.below(9_000)).unwrap() + 1;
        end.write_all(&text[..piece]).unwrap();
        text.drain(..piece);
    }
    end.write_all(&text).unwrap();
    number
}

fn check(target: &Target, counts: [u64; 2]) {
    let mut reader = Reader::open(target, Range::default()).unwrap();
    let mut next = [0_u64; 2];
    while let Some(entry) = reader.next().unwrap() {
        let next = &mut next[usize::from(entry.stream == Stream::Stderr)];
        let line = String::from_utf8(entry.line).unwrap();
        let number: u64 = line.split(' ').next().unwrap().parse().unwrap();
        assert_eq!(number, *next, "{:?} {line:?}", entry.stream);
        assert!(line.ends_with('\n'));
        *next += 1;
    }
    assert_eq!(next, counts);
    assert!(counts.iter().all(|count| *count > 1000), "too little was written: {counts:?}");
}

/// xorshift: repeatable.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}
