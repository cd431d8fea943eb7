//! What is told of a build: vertexes, their numbers, their output, warnings. Kept, so that who comes late is told all of it.

mod narrate;
mod stages;
mod transfers;

pub use narrate::{Narrator, range};
pub use transfers::transfers;

use base::Digest;
use bollard_buildkit_proto::google::protobuf::Timestamp;
use bollard_buildkit_proto::moby::buildkit::v1::{StatusResponse, Vertex, VertexLog, VertexStatus, VertexWarning};
use prost::Message;
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};
use tokio::sync::watch;

/// Bytes of output that are kept of one step, as BuildKit has it.
const MOST_OUTPUT: usize = 2 << 20;
/// Bytes of one piece of output.
const PIECE: usize = 32 << 10;
/// Bytes that one answer carries, if it is more than one thing; clients take 16 MiB.
const ANSWER: usize = 1 << 20;
/// Warnings that are told: a file of nothing but mistakes has one for each line.
const MOST_WARNINGS: i32 = 1000;
/// Bytes of source code that warnings carry, each the whole file.
const MOST_SOURCE: usize = 8 << 20;
/// Numbers of one thing are told this often.
const OFTEN: Duration = Duration::from_millis(100);

/// What is told of one build.
#[derive(Debug)]
pub struct Board {
    /// Names of vertexes are unique in a build only.
    build: String,
    inner: Mutex<Inner>,
    news: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Inner {
    entries: Vec<Entry>,
    vertexes: BTreeMap<String, Vertex>,
    /// By vertex and id.
    numbers: BTreeMap<(String, String), Number>,
    output: BTreeMap<String, usize>,
    /// How many activities had a name.
    names: BTreeMap<String, usize>,
    ended: bool,
    warnings: i32,
    /// Bytes of source code that they carry.
    source: usize,
}

/// A number as it was last told.
#[derive(Debug)]
struct Number {
    at: Instant,
    last: VertexStatus,
}

/// One thing that was told.
#[derive(Debug, Clone)]
enum Entry {
    Vertex(Vertex),
    Status(VertexStatus),
    Log(VertexLog),
    Warning(VertexWarning),
}

/// How many steps there were.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    pub total: i32,
    pub completed: i32,
    pub cached: i32,
    pub warnings: i32,
}

/// How one vertex ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    Done,
    Cached,
    Failed(String),
}

impl Board {
    pub fn new(build: &str) -> Arc<Board> {
        Arc::new(Board { build: build.to_owned(), inner: Mutex::default(), news: watch::Sender::new(0) })
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self) {
        self.news.send_modify(|count| *count += 1);
    }

    /// The digest of a vertex of this build.
    pub fn digest(&self, what: &str) -> String {
        let mut sum = Sha256::new();
        sum.update(self.build.as_bytes());
        sum.update([0]);
        sum.update(what.as_bytes());
        let sum: [u8; 32] = sum.finalize().into();
        Digest::from_bytes(sum).to_string()
    }

    /// Some work that is no step of the Dockerfile: `[internal] load build context`.
    pub fn activity(self: &Arc<Board>, name: &str) -> Activity {
        let mut inner = self.lock();
        let count = inner.names.entry(name.to_owned()).or_default();
        *count += 1;
        let digest = self.digest(&format!("{name}+{count}"));
        drop(inner);
        self.begin(&digest, name);
        Activity { board: self.clone(), digest, ended: false }
    }

    /// A vertex that will come.
    pub fn expect(&self, digest: &str, name: &str) {
        self.vertex(digest, |vertex| name.clone_into(&mut vertex.name));
    }

    /// A vertex begins, or has another name than was thought.
    pub fn begin(&self, digest: &str, name: &str) {
        self.vertex(digest, |vertex| {
            name.clone_into(&mut vertex.name);
            vertex.started.get_or_insert_with(now);
        });
    }

    /// A vertex ends.
    pub fn end(&self, digest: &str, ended: Ended) {
        self.close_numbers(digest);
        self.vertex(digest, |vertex| {
            let at = now();
            vertex.started.get_or_insert(at);
            vertex.completed = Some(at);
            match ended {
                Ended::Done => {}
                Ended::Cached => vertex.cached = true,
                Ended::Failed(why) => vertex.error = why,
            }
        });
    }

    fn vertex(&self, digest: &str, change: impl FnOnce(&mut Vertex)) {
        let mut inner = self.lock();
        if inner.ended {
            return;
        }
        let vertex = inner.vertexes.entry(digest.to_owned()).or_default();
        digest.clone_into(&mut vertex.digest);
        change(vertex);
        let told = vertex.clone();
        inner.entries.push(Entry::Vertex(told));
        drop(inner);
        self.tell();
    }

    /// A number of a vertex: what it is of, how much is done, and of how much (0: nobody knows). The last one counts.
    pub fn number(&self, vertex: &str, id: &str, (done, total): (u64, u64)) {
        let mut inner = self.lock();
        let key = (vertex.to_owned(), id.to_owned());
        let known = inner.numbers.get(&key);
        let too_soon = |number: &Number| number.at.elapsed() < OFTEN && (total == 0 || done < total);
        if inner.ended || known.is_some_and(|number| number.last.completed.is_some() || too_soon(number)) {
            return;
        }
        let started = known.and_then(|number| number.last.started).or_else(|| Some(now()));
        let status = VertexStatus {
            id: id.to_owned(),
            vertex: vertex.to_owned(),
            current: signed(done),
            total: signed(total),
            timestamp: Some(now()),
            started,
            ..VertexStatus::default()
        };
        inner.count(key, status);
        drop(inner);
        self.tell();
    }

    /// A part of a vertex is done, all of it.
    pub fn part(&self, vertex: &str, id: &str, bytes: u64) {
        let mut inner = self.lock();
        let key = (vertex.to_owned(), id.to_owned());
        let known = inner.numbers.get(&key);
        if inner.ended || known.is_some_and(|number| number.last.completed.is_some()) {
            return;
        }
        let at = Some(now());
        let status = VertexStatus {
            id: id.to_owned(),
            vertex: vertex.to_owned(),
            current: signed(bytes).max(known.map_or(0, |number| number.last.total)),
            total: known.map_or(0, |number| number.last.total),
            timestamp: at,
            started: known.and_then(|number| number.last.started).or(at),
            completed: at,
            ..VertexStatus::default()
        };
        inner.count(key, status);
        drop(inner);
        self.tell();
    }

    /// What a vertex has counted is done with it.
    fn close_numbers(&self, vertex: &str) {
        let mut inner = self.lock();
        let is_open = |number: &&Number| number.last.vertex == vertex && number.last.completed.is_none();
        let open: Vec<VertexStatus> =
            inner.numbers.values().filter(is_open).map(|number| number.last.clone()).collect();
        for last in open {
            let at = Some(now());
            let key = (last.vertex.clone(), last.id.clone());
            inner.count(key, VertexStatus { completed: at, timestamp: at, ..last });
        }
    }

    /// Output of a vertex; of one that never ends only the beginning is told.
    pub fn output(&self, vertex: &str, stream: i64, bytes: &[u8]) {
        let mut inner = self.lock();
        let told = inner.output.entry(vertex.to_owned()).or_default();
        let before = *told;
        *told = before.saturating_add(bytes.len());
        if inner.ended || before > MOST_OUTPUT {
            return;
        }
        let log = |msg: &[u8]| {
            let vertex = vertex.to_owned();
            Entry::Log(VertexLog { vertex, timestamp: Some(now()), stream, msg: msg.to_vec() })
        };
        let rest = MOST_OUTPUT - before;
        inner.entries.extend(bytes[..bytes.len().min(rest)].chunks(PIECE).map(log));
        if bytes.len() > rest {
            inner.entries.push(log(b"\n[output clipped, log limit 2MiB reached]\n"));
            inner.output.insert(vertex.to_owned(), MOST_OUTPUT + 1);
        }
        drop(inner);
        self.tell();
    }

    /// A warning. Its vertex is that of the Dockerfile unless it names another one.
    pub fn warn(&self, mut warning: VertexWarning) {
        let mut inner = self.lock();
        inner.warnings = inner.warnings.saturating_add(1);
        if inner.ended || inner.warnings > MOST_WARNINGS {
            return;
        }
        inner.source += warning.info.as_ref().map_or(0, |info| info.data.len());
        if inner.source > MOST_SOURCE {
            warning.info = None;
        }
        inner.entries.push(Entry::Warning(warning));
        drop(inner);
        self.tell();
    }

    /// Nothing more will be told; what was begun is as good as cancelled.
    pub fn close(&self) {
        let open: Vec<String> = {
            let inner = self.lock();
            let going = |vertex: &&Vertex| vertex.started.is_some() && vertex.completed.is_none();
            inner.vertexes.values().filter(going).map(|vertex| vertex.digest.clone()).collect()
        };
        for digest in open {
            self.end(&digest, Ended::Failed("context canceled".to_owned()));
        }
        self.lock().ended = true;
        self.tell();
    }

    pub fn counts(&self) -> Counts {
        let inner = self.lock();
        let count = |is: fn(&Vertex) -> bool| {
            i32::try_from(inner.vertexes.values().filter(|vertex| is(vertex)).count()).unwrap_or(i32::MAX)
        };
        Counts {
            total: count(|_| true),
            completed: count(|vertex| vertex.completed.is_some()),
            cached: count(|vertex| vertex.cached),
            warnings: inner.warnings,
        }
    }

    /// What was told from `from` on, as much as one answer carries, and where the next one goes on. `None`: that was all.
    pub fn since(&self, from: usize) -> Option<(StatusResponse, usize)> {
        let inner = self.lock();
        if from >= inner.entries.len() {
            return (!inner.ended).then(|| (StatusResponse::default(), from));
        }
        let mut answer = StatusResponse::default();
        let (mut next, mut bytes) = (from, 0);
        for entry in &inner.entries[from..] {
            bytes += entry.len();
            if bytes > ANSWER && next > from {
                break;
            }
            put(&mut answer, entry.clone());
            next += 1;
        }
        Some((answer, next))
    }

    /// Becomes ready whenever something was told.
    pub fn news(&self) -> watch::Receiver<u64> {
        self.news.subscribe()
    }
}

/// Some work that is no step. Dropped, it was cancelled.
#[derive(Debug)]
pub struct Activity {
    board: Arc<Board>,
    digest: String,
    ended: bool,
}

impl Activity {
    /// How many bytes of something are here: `transferring context:`.
    pub fn bytes(&self, what: &str, done: u64) {
        self.board.number(&self.digest, what, (done, 0));
    }

    /// The same of one of which all is known.
    pub fn counted(&self, what: &str, numbers: (u64, u64)) {
        self.board.number(&self.digest, what, numbers);
    }

    /// All of something is here.
    pub fn part(&self, what: &str, bytes: u64) {
        self.board.part(&self.digest, what, bytes);
    }

    pub fn digest(&self) -> &str {
        &self.digest
    }

    pub fn end(mut self, ended: Ended) {
        self.ended = true;
        self.board.end(&self.digest, ended);
    }

    /// Ends as `result` says.
    pub fn finish<T, E: std::error::Error>(self, result: Result<T, E>) -> Result<T, E> {
        match &result {
            Ok(_) => self.end(Ended::Done),
            Err(error) => self.end(Ended::Failed(base::chain(error))),
        }
        result
    }
}

impl Drop for Activity {
    fn drop(&mut self) {
        if !self.ended {
            self.board.end(&self.digest, Ended::Failed("context canceled".to_owned()));
        }
    }
}

impl Entry {
    /// Bytes.
    fn len(&self) -> usize {
        match self {
            Entry::Vertex(vertex) => vertex.encoded_len(),
            Entry::Status(status) => status.encoded_len(),
            Entry::Log(log) => log.encoded_len(),
            Entry::Warning(warning) => warning.encoded_len(),
        }
    }
}

impl Inner {
    fn count(&mut self, key: (String, String), status: VertexStatus) {
        self.numbers.insert(key, Number { at: Instant::now(), last: status.clone() });
        self.entries.push(Entry::Status(status));
    }
}

fn put(answer: &mut StatusResponse, entry: Entry) {
    match entry {
        Entry::Vertex(vertex) => answer.vertexes.push(vertex),
        Entry::Status(status) => answer.statuses.push(status),
        Entry::Log(log) => answer.logs.push(log),
        Entry::Warning(warning) => answer.warnings.push(warning),
    }
}

fn signed(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

/// The time, as messages have it.
pub fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Timestamp {
        seconds: i64::try_from(since.as_secs()).unwrap_or(i64::MAX),
        nanos: i32::try_from(since.subsec_nanos()).unwrap_or_default(),
    }
}

/// A time in milliseconds since 1970.
pub fn at(milliseconds: i64) -> Timestamp {
    let nanos = milliseconds.rem_euclid(1000) * 1_000_000;
    Timestamp { seconds: milliseconds.div_euclid(1000), nanos: i32::try_from(nanos).unwrap_or_default() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bollard_buildkit_proto::pb::SourceInfo;

    fn all(board: &Board) -> StatusResponse {
        let mut whole = StatusResponse::default();
        let mut from = 0;
        while let Some((answer, next)) = board.since(from) {
            if next == from {
                break;
            }
            whole.vertexes.extend(answer.vertexes);
            whole.statuses.extend(answer.statuses);
            whole.logs.extend(answer.logs);
            whole.warnings.extend(answer.warnings);
            from = next;
        }
        whole
    }

    #[test]
    fn who_comes_late_is_told_all_and_then_the_end() {
        let board = Board::new("x");
        let activity = board.activity("[internal] load build context");
        activity.part("transferring context:", 7);
        activity.end(Ended::Done);
        board.close();
        let (answer, next) = board.since(0).expect("something");
        assert_eq!(answer.vertexes.len(), 2);
        assert_eq!(answer.statuses[0].current, 7);
        assert!(board.since(next).is_none());
    }

    #[test]
    fn output_without_end_is_clipped() {
        let board = Board::new("x");
        for _ in 0..5 {
            board.output("v", 1, &[b'a'; 1 << 20]);
        }
        let whole = all(&board);
        let bytes: usize = whole.logs.iter().map(|log| log.msg.len()).sum();
        assert!(bytes < MOST_OUTPUT + 100);
        assert!(whole.logs.last().expect("a last one").msg.ends_with(b"reached]\n"));
    }

    #[test]
    fn many_numbers_are_few_entries() {
        let board = Board::new("x");
        board.begin("v", "v");
        for done in 0..10_000 {
            board.number("v", "layer", (done, 10_000));
        }
        board.end("v", Ended::Done);
        let whole = all(&board);
        assert!(whole.statuses.len() < 1000);
        assert!(whole.statuses.last().expect("one").completed.is_some());
    }

    #[test]
    fn a_file_of_nothing_but_mistakes_fills_neither_the_memory_nor_an_answer() {
        let board = Board::new("x");
        let source = SourceInfo { data: vec![b'x'; 1 << 20], ..SourceInfo::default() };
        for _ in 0..2000 {
            board.warn(VertexWarning { info: Some(source.clone()), ..VertexWarning::default() });
        }
        let (mut from, mut told, mut with_source) = (0, 0, 0);
        while let Some((answer, next)) = board.since(from).filter(|(_, next)| *next > from) {
            assert!(answer.encoded_len() < 16 << 20);
            told += answer.warnings.len();
            with_source += answer.warnings.iter().filter(|warning| warning.info.is_some()).count();
            from = next;
        }
        assert_eq!((told, with_source, board.counts().warnings), (1000, 8, 2000));
    }

    #[test]
    fn numbers_without_end_are_many_answers() {
        let board = Board::new("x");
        for number in 0..40_000 {
            board.part("v", &format!("layer {number}"), 1);
        }
        assert_eq!(all(&board).statuses.len(), 40_000);
        let (first, next) = board.since(0).expect("something");
        assert!(next < 40_000 && first.encoded_len() < 2 << 20);
    }

    #[test]
    fn what_was_begun_ends_with_the_build() {
        let board = Board::new("x");
        board.begin("v", "v");
        board.expect("w", "w");
        board.close();
        let whole = all(&board);
        let last = |digest: &str| whole.vertexes.iter().rev().find(|vertex| vertex.digest == digest).cloned();
        assert_eq!(last("v").expect("told").error, "context canceled");
        assert!(last("w").expect("told").completed.is_none());
        board.output("v", 1, b"late");
        assert!(all(&board).logs.is_empty());
    }

    #[test]
    fn two_activities_of_one_name_are_two() {
        let board = Board::new("x");
        let (one, two) = (board.activity("a"), board.activity("a"));
        assert_ne!(one.digest(), two.digest());
    }

    #[test]
    fn times_before_1970_are_times() {
        assert_eq!(at(-1), Timestamp { seconds: -1, nanos: 999_000_000 });
        assert_eq!(at(1500), Timestamp { seconds: 1, nanos: 500_000_000 });
    }
}
