//! Logs whose full files are compressed, in both forms, read while that happens.

use base::Id;
use logs::pump::{Journal, NullSink, Pump, Stream};
use logs::read::{Mark, Range, Reader};
use logs::{Driver, Target, compress};
use rustix::pipe::{PipeFlags, pipe_with};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;
use std::os::fd::OwnedFd;
use std::path::Path;

struct Bench {
    folder: tempfile::TempDir,
    target: Target,
    pump: Pump,
    write: File,
    _read: OwnedFd,
    written: u32,
}

fn bench(driver: Driver) -> Bench {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    let attributes = BTreeMap::from([("tag".to_owned(), "t".to_owned())]);
    let target = Target { driver, path, max_size: 4000, max_file: 40, compress: true, attributes };
    let mut pump = Pump::new(Journal::create().unwrap()).unwrap();
    let (read, write) = pipe_with(PipeFlags::CLOEXEC).unwrap();
    pump.add(Id::random(), Stream::Stdout, read.try_clone().unwrap(), false, &target).unwrap();
    Bench { folder, target, pump, write: write.into(), _read: read, written: 0 }
}

impl Bench {
    fn write(&mut self, lines: u32) {
        for _ in 0..lines {
            writeln!(self.write, "{}", self.written).unwrap();
            self.written += 1;
            self.pump.turn(&mut NullSink).unwrap();
        }
    }

    fn compress(&mut self) {
        let rotated = self.pump.take_rotated();
        rotated.iter().for_each(|target| compress(target).unwrap());
    }

    fn names(&self) -> Vec<String> {
        names(self.folder.path())
    }

    fn read(&self, range: Range) -> Vec<u32> {
        rest(&mut Reader::open(&self.target, range).unwrap())
    }
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn rest(reader: &mut Reader) -> Vec<u32> {
    let entries = std::iter::from_fn(|| reader.next().unwrap());
    entries
        .map(|entry| {
            assert_eq!(entry.attributes, [("tag".to_owned(), "t".to_owned())]);
            String::from_utf8(entry.line).unwrap().trim_end().parse().unwrap()
        })
        .collect()
}

#[test]
fn full_files_are_compressed_and_read_back_in_order() {
    for driver in [Driver::JsonFile, Driver::Local] {
        let mut bench = bench(driver);
        while !bench.target.path.with_extension("9.gz").exists() {
            bench.write(20);
            bench.compress();
        }
        let compressed = (1..10).map(|index| format!("log.{index}.gz"));
        assert_eq!(bench.names(), ["log".to_owned()].into_iter().chain(compressed).collect::<Vec<_>>());
        let all = bench.read(Range::default());
        assert!(all.len() > 200, "{driver:?}: {}", all.len());
        assert_eq!(all, (all[0]..bench.written).collect::<Vec<_>>());
        for tail in [0, 1, 100, 200, 350, 10_000] {
            let expected = &all[all.len().saturating_sub(tail)..];
            assert_eq!(bench.read(Range { tail: Some(tail as u64), ..Range::default() }), expected, "tail {tail}");
        }
    }
}

#[test]
fn a_reader_follows_through_rotation_and_compression_without_loss_or_repeats() {
    for driver in [Driver::JsonFile, Driver::Local] {
        let mut bench = bench(driver);
        let mut often = Reader::open(&bench.target, Range::default()).unwrap();
        let mut seldom = Reader::open(&bench.target, Range::default()).unwrap();
        let (mut seen_often, mut seen_seldom) = (Vec::new(), Vec::new());
        for round in 0..60 {
            bench.write(17);
            if round % 3 != 0 {
                bench.compress();
            }
            seen_often.extend(rest(&mut often));
            if round % 10 == 9 {
                seen_seldom.extend(rest(&mut seldom));
            }
        }
        let all: Vec<u32> = (0..bench.written).collect();
        assert!(seen_often == all && seen_seldom == all, "{driver:?}: {} {}", seen_often.len(), seen_seldom.len());
    }
}

#[test]
fn a_reader_stops_where_the_log_ended_even_when_it_goes_on_elsewhere() {
    let mut bench = bench(Driver::Local);
    bench.write(10);
    let mark = Mark::end_of(&bench.target).unwrap().unwrap();
    let mut reader = Reader::up_to(&bench.target, Range::default(), mark).unwrap();
    bench.write(400);
    bench.compress();
    assert_eq!(rest(&mut reader), (0..10).collect::<Vec<_>>());
    let mut late = Reader::up_to(&bench.target, Range { tail: None, ..Range::default() }, mark).unwrap();
    assert_eq!(rest(&mut late), (0..10).collect::<Vec<_>>());
}

#[test]
fn a_broken_compressed_file_is_read_as_far_as_it_goes() {
    let mut bench = bench(Driver::Local);
    bench.write(250);
    bench.compress();
    let path = bench.folder.path().join("log.1.gz");
    let bytes = fs::read(&path).unwrap();
    fs::write(&path, &bytes[..bytes.len() - 20]).unwrap();
    let read = bench.read(Range::default());
    assert_eq!((read[0], read.last()), (0, Some(&249)));
    fs::write(&path, b"no gzip at all").unwrap();
    assert_eq!(bench.read(Range::default()).last(), Some(&249));
}

#[test]
fn an_interrupted_compression_leaves_nothing_behind() {
    let mut bench = bench(Driver::Local);
    bench.write(250);
    fs::write(bench.folder.path().join("log.gz.tmp"), "half").unwrap();
    bench.compress();
    assert_eq!(bench.names(), ["log", "log.1.gz"]);
}
