//! Builds that were: what was asked, what came of it, what was told. Each is a file, its longer parts are blobs.

use crate::builds::{Attested, Job};
use crate::progress::now;
use crate::{Error, Result};
use base::Digest;
use base::atomic::{self, Durability};
use bollard_buildkit_proto::google::rpc;
use bollard_buildkit_proto::moby::buildkit::v1::{
    BuildHistoryEvent, BuildHistoryEventType, BuildHistoryRecord, BuildHistoryRequest, BuildResultInfo, Descriptor,
    StatusResponse, UpdateBuildHistoryRequest,
};
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use prost::Message;
use sha2::{Digest as _, Sha256};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use tokio::sync::broadcast;
use tokio_stream::wrappers::BroadcastStream;
use tonic::Status;

/// Builds that are remembered besides those that somebody pinned, as BuildKit has it.
const MOST: usize = 50;
/// Bytes of one blob.
const LARGEST: u64 = 64 << 20;
/// Events that a listener may be behind.
const BEHIND: usize = 256;
/// Arguments of builds are nobody else's business.
const PRIVATE: u32 = 0o600;
const LOGS: &str = "application/vnd.buildkit.status.v0";
const STATEMENT: &str = "application/vnd.in-toto+json";
const PREDICATE_TYPE: &str = "in-toto.io/predicate-type";
const FAILURE: &str = "application/vnd.googeapis.google.rpc.status+proto";

/// Blobs of the history. Clones share them.
#[derive(Debug, Clone)]
pub struct Blobs {
    folder: PathBuf,
}

impl Blobs {
    pub fn new(folder: &Path) -> Blobs {
        Blobs { folder: folder.join("blobs") }
    }

    fn path(&self, digest: &Digest) -> PathBuf {
        self.folder.join(digest.hex())
    }

    pub fn open(&self, digest: &Digest) -> Option<File> {
        File::open(self.path(digest)).ok()
    }

    pub fn put(&self, bytes: &[u8]) -> std::io::Result<Digest> {
        std::fs::create_dir_all(&self.folder)?;
        let sum: [u8; 32] = Sha256::digest(bytes).into();
        let digest = Digest::from_bytes(sum);
        atomic::write(&self.path(&digest), bytes, PRIVATE, Durability::Process)?;
        Ok(digest)
    }

    fn read(&self, digest: &str) -> Option<Vec<u8>> {
        let file = self.open(&digest.parse().ok()?)?;
        let mut bytes = Vec::new();
        file.take(LARGEST).read_to_end(&mut bytes).ok()?;
        Some(bytes)
    }

    /// Takes away what `used` does not name.
    fn sweep(&self, used: &BTreeSet<String>) {
        for entry in std::fs::read_dir(&self.folder).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if !used.contains(&format!("sha256:{name}")) {
                let _ = std::fs::remove_file(entry.path());
            }
        }
    }
}

/// All builds that are remembered.
#[derive(Debug)]
pub struct History {
    folder: PathBuf,
    blobs: Blobs,
    /// Read when it is first asked for.
    records: OnceLock<Mutex<Records>>,
    /// Held while blobs are written that no record names yet, and while those are taken away that none names.
    blobs_change: Mutex<()>,
    news: broadcast::Sender<BuildHistoryEvent>,
}

#[derive(Debug, Default)]
struct Records {
    done: BTreeMap<String, BuildHistoryRecord>,
    going: BTreeMap<String, BuildHistoryRecord>,
}

impl History {
    pub fn open(folder: &Path) -> History {
        let folder = folder.join("history");
        History {
            blobs: Blobs::new(&folder),
            folder,
            records: OnceLock::new(),
            blobs_change: Mutex::default(),
            news: broadcast::Sender::new(BEHIND),
        }
    }

    pub fn blobs(&self) -> Blobs {
        self.blobs.clone()
    }

    fn lock(&self) -> MutexGuard<'_, Records> {
        let records = self.records.get_or_init(|| {
            let done = read(&self.folder);
            Mutex::new(Records { done, ..Records::default() })
        });
        records.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change_blobs(&self) -> MutexGuard<'_, ()> {
        self.blobs_change.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a build of this name is over and remembered.
    pub fn knows(&self, name: &str) -> bool {
        self.lock().done.contains_key(name)
    }

    pub fn begun(&self, job: &Job) {
        if job.request.internal {
            return;
        }
        let record = BuildHistoryRecord {
            r#ref: job.name.clone(),
            frontend: "dockerfile.v0".to_owned(),
            frontend_attrs: job.request.frontend_attrs.clone(),
            exporters: job.request.exporters.clone(),
            created_at: Some(now()),
            ..BuildHistoryRecord::default()
        };
        self.lock().going.insert(job.name.clone(), record.clone());
        self.tell(BuildHistoryEventType::Started, record);
    }

    pub fn ended(&self, job: &Job, outcome: std::result::Result<HashMap<String, String>, rpc::Status>) {
        let Some(mut record) = self.lock().going.remove(&job.name) else { return };
        let counts = job.board.counts();
        record.frontend_attrs = shown(job.asked());
        record.completed_at = Some(now());
        record.num_total_steps = counts.total;
        record.num_completed_steps = counts.completed;
        record.num_cached_steps = counts.cached;
        record.num_warnings = counts.warnings;
        let changing = self.change_blobs();
        record.logs = self.keep(LOGS, &logs(job));
        match outcome {
            Ok(response) => {
                self.results(&mut record, job, &response);
                record.exporter_response = response;
            }
            Err(failure) => {
                record.external_error = self.keep(FAILURE, &failure.encode_to_vec());
                record.error = Some(rpc::Status { details: Vec::new(), ..failure });
            }
        }
        self.save(&record);
        self.lock().done.insert(record.r#ref.clone(), record.clone());
        self.forget_old();
        drop(changing);
        self.tell(BuildHistoryEventType::Complete, record);
    }

    /// What came of it: the image that an output was, and how each result was made.
    fn results(&self, record: &mut BuildHistoryRecord, job: &Job, response: &HashMap<String, String>) {
        let mut attested = job.attested();
        let own = |one: &Attested| {
            let annotations = HashMap::from([(PREDICATE_TYPE.to_owned(), one.kind.to_owned())]);
            self.keep(STATEMENT, &one.predicate).map(|kept| Descriptor { annotations, ..kept })
        };
        // Clients look at the results of platforms only where there is no other.
        if attested.len() > 1 {
            for one in &attested {
                let attestations = own(one).into_iter().collect();
                let info = BuildResultInfo { attestations, ..BuildResultInfo::default() };
                record.results.insert(one.platform.clone(), info);
            }
            return;
        }
        let attestations = attested.pop().and_then(|one| own(&one)).into_iter().collect();
        record.result = Some(BuildResultInfo { attestations, ..image(response) });
    }

    fn tell(&self, kind: BuildHistoryEventType, record: BuildHistoryRecord) {
        let _ = self.news.send(event(kind, record));
    }

    fn keep(&self, media_type: &str, bytes: &[u8]) -> Option<Descriptor> {
        let kept = self.blobs.put(bytes);
        let kept = kept.inspect_err(|error| tracing::warn!("cannot keep the history of a build: {error}")).ok()?;
        Some(Descriptor {
            media_type: media_type.to_owned(),
            digest: kept.to_string(),
            size: i64::try_from(bytes.len()).unwrap_or(i64::MAX),
            ..Descriptor::default()
        })
    }

    fn save(&self, record: &BuildHistoryRecord) {
        let done = std::fs::create_dir_all(&self.folder).and_then(|()| {
            atomic::write(&self.file(&record.r#ref), &record.encode_to_vec(), PRIVATE, Durability::Process)
        });
        if let Err(error) = done {
            tracing::warn!("cannot keep the history of a build: {error}");
        }
    }

    /// Names are clients' words: their digest is the file's name.
    fn file(&self, name: &str) -> PathBuf {
        let sum: [u8; 32] = Sha256::digest(name.as_bytes()).into();
        self.folder.join(format!("{}.record", Digest::from_bytes(sum).hex()))
    }

    fn forget_old(&self) {
        let mut records = self.lock();
        let mut all: Vec<((i64, i32), String)> = records
            .done
            .values()
            .filter(|record| !record.pinned)
            .map(|record| {
                let ended = record.completed_at.unwrap_or_default();
                ((ended.seconds, ended.nanos), record.r#ref.clone())
            })
            .collect();
        all.sort();
        let too_many = all.len().saturating_sub(MOST);
        for (_, name) in &all[..too_many] {
            records.done.remove(name);
            let _ = std::fs::remove_file(self.file(name));
        }
        if too_many > 0 {
            self.sweep(&records);
        }
    }

    fn sweep(&self, records: &Records) {
        let used = records.done.values().flat_map(|record| {
            let results = record.result.iter().chain(record.results.values()).flat_map(|one| &one.attestations);
            let blobs = [&record.logs, &record.external_error].into_iter().flatten().chain(results);
            blobs.map(|blob| blob.digest.clone()).collect::<Vec<_>>()
        });
        self.blobs.sweep(&used.collect());
    }

    /// What was told of a build that is over.
    pub fn told(&self, name: &str) -> Option<Vec<StatusResponse>> {
        let logs = self.lock().done.get(name)?.logs.clone()?;
        Some(parsed(&self.blobs.read(&logs.digest)?))
    }

    /// Pins, or forgets.
    pub fn update(&self, asked: &UpdateBuildHistoryRequest) -> Result<()> {
        if asked.finalize && !asked.delete {
            return Ok(());
        }
        let missing = || Error::NotFound(format!("failed to retrieve ref {}: file does not exist", asked.r#ref));
        if asked.delete {
            let _changing = self.change_blobs();
            let mut records = self.lock();
            records.done.remove(&asked.r#ref).ok_or_else(missing)?;
            // One that could not be kept has no file.
            match std::fs::remove_file(self.file(&asked.r#ref)) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(Error::io("delete the record of a build")(error));
                }
                _ => {}
            }
            self.sweep(&records);
            drop(records);
            let record = BuildHistoryRecord { r#ref: asked.r#ref.clone(), ..BuildHistoryRecord::default() };
            self.tell(BuildHistoryEventType::Deleted, record);
            return Ok(());
        }
        let mut records = self.lock();
        let record = records.done.get_mut(&asked.r#ref).ok_or_else(missing)?;
        record.pinned = asked.pinned;
        record.generation = record.generation.saturating_add(1);
        let record = record.clone();
        drop(records);
        self.save(&record);
        self.tell(BuildHistoryEventType::Complete, record);
        Ok(())
    }

    /// What is known, and then what comes unless it is not waited for.
    pub fn listen(
        &self,
        asked: BuildHistoryRequest,
    ) -> BoxStream<'static, std::result::Result<BuildHistoryEvent, Status>> {
        // Before what is known is looked at, so that nothing is missed in between.
        let news = self.news.subscribe();
        let known = self.known(&asked);
        let known = tokio_stream::iter(known.into_iter().map(Ok));
        if asked.early_exit {
            return Box::pin(known);
        }
        let later = BroadcastStream::new(news).filter_map(move |event| {
            let wanted = event.ok().filter(|event| fits(&asked, event));
            std::future::ready(wanted.map(Ok))
        });
        Box::pin(known.chain(later))
    }

    fn known(&self, asked: &BuildHistoryRequest) -> Vec<BuildHistoryEvent> {
        let records = self.lock();
        let going = records.going.values().map(|record| event(BuildHistoryEventType::Started, record.clone()));
        let mut events: Vec<BuildHistoryEvent> = going.collect();
        if !asked.active_only {
            let done = records.done.values().map(|record| event(BuildHistoryEventType::Complete, record.clone()));
            events.extend(done);
        }
        events.retain(|event| fits(asked, event));
        let begun = |event: &BuildHistoryEvent| {
            let at = event.record.as_ref().and_then(|record| record.created_at).unwrap_or_default();
            std::cmp::Reverse((at.seconds, at.nanos))
        };
        events.sort_by_key(begun);
        // Clients apply their filter to what they get, too: nothing that might fit is cut off before.
        if let Some(limit) = usize::try_from(asked.limit).ok().filter(|limit| *limit > 0 && asked.filter.is_empty()) {
            events.truncate(limit);
        }
        events
    }
}

fn event(kind: BuildHistoryEventType, record: BuildHistoryRecord) -> BuildHistoryEvent {
    BuildHistoryEvent { r#type: kind as i32, record: Some(record) }
}

fn fits(asked: &BuildHistoryRequest, event: &BuildHistoryEvent) -> bool {
    let name = event.record.as_ref().map(|record| record.r#ref.as_str()).unwrap_or_default();
    let is_going = event.r#type == BuildHistoryEventType::Started as i32;
    (asked.r#ref.is_empty() || asked.r#ref == name) && (!asked.active_only || is_going)
}

/// What was asked, without what is only for the build itself.
fn shown(mut attributes: HashMap<String, String>) -> HashMap<String, String> {
    attributes.retain(|name, _| !name.starts_with("input-metadata:") && !name.starts_with("local-sessionid:"));
    attributes
}

/// The image that an output was.
fn image(response: &HashMap<String, String>) -> BuildResultInfo {
    use base64::Engine as _;
    let text = response.get("containerimage.descriptor");
    let bytes = text.and_then(|text| base64::engine::general_purpose::STANDARD.decode(text).ok());
    let parsed = bytes.and_then(|bytes| serde_json::from_slice::<oci::image::Descriptor>(&bytes).ok());
    let Some(descriptor) = parsed else { return BuildResultInfo::default() };
    let wire = Descriptor {
        media_type: descriptor.media_type,
        digest: descriptor.digest.to_string(),
        size: i64::try_from(descriptor.size).unwrap_or(i64::MAX),
        ..Descriptor::default()
    };
    BuildResultInfo { result_deprecated: Some(wire.clone()), results: HashMap::from([(0, wire)]), ..Default::default() }
}

/// All that was told: messages, each after its length in four bytes.
fn logs(job: &Job) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut from = 0;
    while let Some((answer, next)) = job.board.since(from) {
        if next == from {
            break;
        }
        let length = u32::try_from(answer.encoded_len()).unwrap_or(u32::MAX);
        bytes.extend_from_slice(&length.to_le_bytes());
        bytes.extend_from_slice(&answer.encode_to_vec());
        from = next;
    }
    bytes
}

fn parsed(bytes: &[u8]) -> Vec<StatusResponse> {
    let mut answers = Vec::new();
    let mut rest = bytes;
    while let Some((length, after)) = rest.split_first_chunk::<4>() {
        let length = u32::from_le_bytes(*length) as usize;
        let Some((message, after)) = after.split_at_checked(length) else { break };
        answers.extend(StatusResponse::decode(message));
        rest = after;
    }
    answers
}

/// The records of a folder. What cannot be read is as good as not there.
fn read(folder: &Path) -> BTreeMap<String, BuildHistoryRecord> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let files = entries.map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|end| end == "record"));
    let records = files.filter_map(|path| BuildHistoryRecord::decode(std::fs::read(path).ok()?.as_slice()).ok());
    records.map(|record| (record.r#ref.clone(), record)).collect()
}

/// A history in a folder of its own, for other tests.
#[cfg(test)]
pub(crate) fn of_test() -> (tempfile::TempDir, History) {
    let place = tempfile::tempdir().expect("a folder");
    let history = History::open(place.path());
    (place, history)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::progress::Ended;
    use bollard_buildkit_proto::moby::buildkit::v1::SolveRequest;

    fn built(history: &History, name: &str) {
        let job = Job::new(SolveRequest { r#ref: name.to_owned(), ..SolveRequest::default() });
        history.begun(&job);
        job.board.activity("[internal] x").end(Ended::Done);
        job.board.close();
        history.ended(&job, Ok(HashMap::new()));
    }

    #[test]
    fn builds_are_remembered_by_the_next_engine() {
        let (place, history) = of_test();
        built(&history, "a");
        let next = History::open(place.path());
        assert!(next.knows("a"));
        let told = next.told("a").expect("told");
        assert_eq!(told[0].vertexes[0].name, "[internal] x");
        assert_eq!(next.known(&BuildHistoryRequest::default()).len(), 1);
    }

    #[test]
    fn only_the_last_builds_are_remembered_and_those_that_were_pinned() {
        let (place, history) = of_test();
        built(&history, "first");
        let pin = UpdateBuildHistoryRequest { r#ref: "first".to_owned(), pinned: true, ..Default::default() };
        history.update(&pin).expect("pinned");
        (0..MOST + 5).for_each(|number| built(&history, &format!("b{number}")));
        assert_eq!(history.lock().done.len(), MOST + 1);
        assert!(history.knows("first"));
        let files = std::fs::read_dir(place.path().join("history")).expect("listed");
        assert_eq!(files.filter(|file| file.as_ref().is_ok_and(|file| file.path().is_file())).count(), MOST + 1);
    }

    #[test]
    fn what_is_forgotten_is_gone() {
        let (place, history) = of_test();
        built(&history, "a");
        let delete = UpdateBuildHistoryRequest { r#ref: "a".to_owned(), delete: true, ..Default::default() };
        history.update(&delete).expect("deleted");
        assert!(!history.knows("a"));
        assert!(history.update(&delete).is_err());
        assert_eq!(std::fs::read_dir(place.path().join("history/blobs")).expect("listed").count(), 0);
    }

    #[test]
    fn what_a_build_tells_stays_though_others_are_forgotten_at_the_same_time() {
        let (_place, history) = of_test();
        (0..MOST).for_each(|number| built(&history, &format!("old{number}")));
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let history = &history;
                scope.spawn(move || (0..10).for_each(|number| built(history, &format!("new{thread}-{number}"))));
            }
        });
        let known: Vec<String> = history.lock().done.keys().cloned().collect();
        assert_eq!(known.len(), MOST);
        assert!(known.iter().all(|name| history.told(name).is_some_and(|told| !told.is_empty())));
    }

    proptest::proptest! {
        #[test]
        fn no_logs_whatever_their_bytes_panic(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..200)) {
            let _ = parsed(&bytes);
        }
    }

    #[test]
    fn broken_logs_end_where_they_break() {
        assert!(parsed(&[]).is_empty());
        assert!(parsed(&[1, 2]).is_empty());
        assert!(parsed(&[255, 255, 255, 255, 1]).is_empty());
        assert!(parsed(&[2, 0, 0, 0, 255, 255]).is_empty());
    }
}
