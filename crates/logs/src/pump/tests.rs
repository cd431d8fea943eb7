//! A pump on real pipes, terminals and files, with its process "killed" between any two steps.

use super::*;
use crate::read::{Range, Reader};
use rustix::pipe::{PipeFlags, fcntl_setpipe_size, pipe_with};
use std::fs::File;
use std::io::Write;
use tempfile::TempDir;

#[derive(Default)]
struct Seen {
    bytes: Vec<u8>,
    ended: usize,
    hold: bool,
}

impl Sink for Seen {
    fn output(&mut self, _key: Id, _stream: Stream, bytes: &[u8]) -> Flow {
        self.bytes.extend_from_slice(bytes);
        if self.hold { Flow::Hold } else { Flow::Go }
    }

    fn end(&mut self, _key: Id, _stream: Stream) {
        self.ended += 1;
    }
}

struct Setup {
    _folder: TempDir,
    target: Target,
    journal: Journal,
    pump: Pump,
    key: Id,
    read: OwnedFd,
    write: File,
}

fn setup(driver: Driver) -> Setup {
    let folder = tempfile::tempdir().unwrap();
    let target = Target { driver, path: folder.path().join("log"), max_size: 0, max_file: 1, ..Target::default() };
    let journal = Journal::create().unwrap();
    let mut pump = Pump::new(journal.try_clone().unwrap()).unwrap();
    let (read, write) = pipe_with(PipeFlags::CLOEXEC).unwrap();
    let key = Id::random();
    pump.add(key, Stream::Stdout, read.try_clone().unwrap(), false, &target).unwrap();
    Setup { _folder: folder, target, journal, pump, key, read, write: write.into() }
}

impl Setup {
    fn lines(&self) -> Vec<String> {
        let mut reader = Reader::open(&self.target, Range::default()).unwrap();
        let entries = std::iter::from_fn(|| reader.next().unwrap());
        entries.map(|entry| String::from_utf8(entry.line).unwrap()).collect()
    }

    fn in_pipe(&self) -> u64 {
        rustix::io::ioctl_fionread(&self.read).unwrap()
    }

    /// Another pump takes over, as after a kill.
    fn take_over(&mut self) {
        self.pump = Pump::new(self.journal.try_clone().unwrap()).unwrap();
        self.pump.add(self.key, Stream::Stdout, self.read.try_clone().unwrap(), false, &self.target).unwrap();
    }
}

#[test]
fn complete_lines_are_logged_and_an_incomplete_one_stays_in_the_pipe() {
    let mut t = setup(Driver::JsonFile);
    let mut sink = Seen::default();
    t.write.write_all(b"one\ntwo\nthr").unwrap();
    t.pump.turn(&mut sink).unwrap();
    assert_eq!((t.lines(), t.in_pipe()), (vec!["one\n".into(), "two\n".into()], 3));
    assert_eq!(sink.bytes, b"one\ntwo\nthr");
    t.write.write_all(b"ee\n").unwrap();
    t.pump.turn(&mut sink).unwrap();
    assert_eq!((t.lines(), t.in_pipe()), (vec!["one\n".into(), "two\n".into(), "three\n".into()], 0));
    assert_eq!(sink.bytes, b"one\ntwo\nthree\n");
}

#[test]
fn at_its_end_a_stream_is_logged_wholly() {
    let mut t = setup(Driver::JsonFile);
    let mut sink = Seen::default();
    t.write.write_all(b"one\ntwo").unwrap();
    t.write = File::open("/dev/null").unwrap();
    t.pump.turn(&mut sink).unwrap();
    assert_eq!((t.lines(), sink.ended), (vec!["one\n".into(), "two".into()], 1));
    assert!(!t.pump.has(t.key));
}

#[test]
fn a_last_look_takes_all_that_is_there_although_somebody_could_still_write() {
    let mut t = setup(Driver::JsonFile);
    let mut sink = Seen::default();
    t.write.write_all(b"one\ntwo").unwrap();
    t.pump.last_look(Id::random(), &mut sink).unwrap();
    assert!(t.lines().is_empty());
    t.pump.last_look(t.key, &mut sink).unwrap();
    assert_eq!((t.lines(), sink.bytes, sink.ended), (vec!["one\n".into(), "two".into()], b"one\ntwo".to_vec(), 0));
    assert_eq!(t.in_pipe(), 0);
}

#[test]
fn a_long_line_becomes_several_entries() {
    let mut t = setup(Driver::JsonFile);
    t.write.write_all(&[b'x'; 40_000]).unwrap();
    t.pump.turn(&mut NullSink).unwrap();
    t.write.write_all(b"\n").unwrap();
    t.pump.turn(&mut NullSink).unwrap();
    let lengths: Vec<_> = t.lines().iter().map(String::len).collect();
    assert_eq!(lengths, [16_384, 16_384, 40_000 - 32_768 + 1]);
}

#[test]
fn a_pipe_full_of_a_short_line_is_not_stuck() {
    let mut t = setup(Driver::JsonFile);
    fcntl_setpipe_size(&t.write, 4096).unwrap();
    t.write.write_all(&[b'x'; 4096]).unwrap();
    t.pump.turn(&mut NullSink).unwrap();
    assert_eq!((t.lines(), t.in_pipe()), (vec!["x".repeat(4096)], 0));
    // One byte that nothing can be appended to fills the only slot.
    let (spare_read, spare_write) = pipe_with(PipeFlags::CLOEXEC).unwrap();
    rustix::io::write(&spare_write, b"y").unwrap();
    rustix::pipe::splice(&spare_read, None, &t.write, None, 1, rustix::pipe::SpliceFlags::empty()).unwrap();
    t.pump.turn(&mut NullSink).unwrap();
    assert_eq!((t.lines().last().unwrap().as_str(), t.in_pipe()), ("y", 0));
}

#[test]
fn a_sink_that_holds_is_given_no_more_until_it_resumes() {
    let mut t = setup(Driver::JsonFile);
    let mut sink = Seen { hold: true, ..Seen::default() };
    t.write.write_all(b"one\n").unwrap();
    t.pump.turn(&mut sink).unwrap();
    t.write.write_all(b"two\n").unwrap();
    t.pump.turn(&mut sink).unwrap();
    assert_eq!((sink.bytes.as_slice(), t.in_pipe()), (b"one\n".as_slice(), 4));
    sink.hold = false;
    t.pump.resume(t.key).unwrap();
    t.pump.turn(&mut sink).unwrap();
    assert_eq!((sink.bytes.as_slice(), t.in_pipe(), t.lines().len()), (b"one\ntwo\n".as_slice(), 0, 2));
}

#[test]
fn an_endless_stream_does_not_keep_a_turn_from_ending() {
    let mut t = setup(Driver::JsonFile);
    let mut end = t.write.try_clone().unwrap();
    let writer = std::thread::spawn(move || while end.write_all(&[b'\n'; 4096]).is_ok() {});
    for _ in 0..10 {
        t.pump.turn(&mut NullSink).unwrap();
    }
    let Setup { pump, read, write, .. } = t;
    drop((pump, read, write));
    writer.join().unwrap();
}

#[test]
fn without_a_log_output_is_consumed() {
    let mut t = setup(Driver::None);
    let mut sink = Seen::default();
    t.write.write_all(b"one\ntwo").unwrap();
    t.pump.turn(&mut sink).unwrap();
    assert_eq!((t.in_pipe(), sink.bytes.as_slice(), t.target.path.exists()), (0, b"one\ntwo".as_slice(), false));
}

#[test]
fn a_log_that_cannot_be_written_does_not_stop_the_container() {
    let mut t = setup(Driver::JsonFile);
    t.pump.remove(t.key);
    t.target.path = "/dev/full".into();
    t.pump.add(t.key, Stream::Stdout, t.read.try_clone().unwrap(), false, &t.target).unwrap();
    t.write.write_all(b"one\n").unwrap();
    t.pump.turn(&mut NullSink).unwrap();
    assert_eq!(t.in_pipe(), 0);
    assert_eq!(t.pump.log_error(t.key).unwrap().kind(), io::ErrorKind::StorageFull);
    t.pump.remove(t.key);
    t.target.path = "/nowhere/at/all".into();
    t.pump.add(t.key, Stream::Stdout, t.read.try_clone().unwrap(), false, &t.target).unwrap();
    t.write.write_all(b"two\n").unwrap();
    t.pump.turn(&mut NullSink).unwrap();
    assert_eq!((t.in_pipe(), t.pump.log_error(t.key).unwrap().kind()), (0, io::ErrorKind::NotFound));
}

#[test]
fn a_terminal_is_logged_by_lines_and_wholly_at_its_end() {
    let mut t = setup(Driver::JsonFile);
    let mut sink = Seen::default();
    let (near, far) = rustix::net::socketpair(
        rustix::net::AddressFamily::UNIX,
        rustix::net::SocketType::STREAM,
        rustix::net::SocketFlags::CLOEXEC,
        None,
    )
    .unwrap();
    let key = Id::random();
    t.pump.add(key, Stream::Stdout, near, true, &t.target).unwrap();
    rustix::io::write(&far, b"one\r\n$ ").unwrap();
    t.pump.turn(&mut sink).unwrap();
    assert_eq!((t.lines(), sink.bytes.as_slice()), (vec!["one\r\n".into()], b"one\r\n$ ".as_slice()));
    drop(far);
    t.pump.turn(&mut sink).unwrap();
    assert_eq!((t.lines().last().unwrap().as_str(), sink.ended), ("$ ", 1));
}

#[test]
fn a_full_log_is_rotated_within_one_chunk() {
    let mut t = setup(Driver::JsonFile);
    t.pump.remove(t.key);
    t.target.max_size = 1000;
    t.target.max_file = 3;
    t.pump.add(t.key, Stream::Stdout, t.read.try_clone().unwrap(), false, &t.target).unwrap();
    let text: String = (0..100).map(|n| format!("line {n}\n")).collect();
    t.write.write_all(text.as_bytes()).unwrap();
    t.pump.turn(&mut NullSink).unwrap();
    let lines = t.lines();
    assert_eq!((lines.last().unwrap().as_str(), lines.len() > 20, lines.len() < 50), ("line 99\n", true, true));
    assert!(std::fs::metadata(&t.target.path).unwrap().len() < 1100);
}

#[test]
fn killed_while_writing_a_pump_leaves_no_half_entry() {
    let mut t = setup(Driver::JsonFile);
    t.write.write_all(b"zero\n").unwrap();
    t.pump.turn(&mut NullSink).unwrap();
    let before = std::fs::metadata(&t.target.path).unwrap().len();
    t.write.write_all(b"one\ntwo").unwrap();
    t.journal.writing(&key_of(t.key), Stream::Stdout, 4, before);
    File::options().append(true).open(&t.target.path).unwrap().write_all(b"{\"log\":\"on").unwrap();
    t.take_over();
    t.pump.turn(&mut NullSink).unwrap();
    assert_eq!((t.lines(), t.in_pipe()), (vec!["zero\n".into(), "one\n".into()], 3));
}

#[test]
fn killed_while_moving_logged_bytes_a_pump_repeats_none() {
    for moved in [0, 2, 4] {
        let mut t = setup(Driver::JsonFile);
        t.write.write_all(b"one\ntwo\n").unwrap();
        t.journal.writing(&key_of(t.key), Stream::Stdout, 4, 0);
        t.journal.logged();
        let hold = t.journal.fds()[2];
        if moved > 0 {
            rustix::pipe::splice(&t.read, None, hold, None, moved, rustix::pipe::SpliceFlags::empty()).unwrap();
        }
        t.take_over();
        assert_eq!(t.in_pipe(), 4);
        t.pump.turn(&mut NullSink).unwrap();
        assert_eq!((t.lines(), t.in_pipe()), (vec!["two\n".to_owned()], 0));
        assert_eq!(rustix::io::ioctl_fionread(t.journal.fds()[1]), Ok(0));
    }
}

#[test]
fn another_containers_unfinished_step_is_left_to_it() {
    let mut t = setup(Driver::JsonFile);
    t.write.write_all(b"one\n").unwrap();
    t.journal.writing(&key_of(Id::random()), Stream::Stdout, 4, 0);
    t.journal.logged();
    t.take_over();
    assert_eq!(t.in_pipe(), 4);
    t.pump.turn(&mut NullSink).unwrap();
    assert_eq!(t.lines(), ["one\n"]);
}
