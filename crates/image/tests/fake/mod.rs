//! A registry in this process: just enough of the OCI distribution protocol, with faults on demand.
#![allow(dead_code)]

use base::Digest;
use serde_json::{Value, json};
use sha2::Digest as _;
use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub const INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
pub const TAR: &str = "application/vnd.oci.image.layer.v1.tar";
pub const TAR_GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

pub fn sha(bytes: &[u8]) -> Digest {
    Digest::from_bytes(sha2::Sha256::digest(bytes).into())
}

pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

pub fn config_of(layers: &[&[u8]]) -> Vec<u8> {
    let diff_ids: Vec<String> = layers.iter().map(|layer| sha(layer).to_string()).collect();
    let config = json!({
        "architecture": image::machine_platform().architecture, "os": "linux", "created": "2024-05-06T07:08:09Z",
        "config": { "Cmd": ["sh"] },
        "rootfs": { "type": "layers", "diff_ids": diff_ids },
    });
    serde_json::to_vec(&config).unwrap()
}

pub fn descriptor(media: &str, bytes: &[u8]) -> Value {
    json!({ "mediaType": media, "digest": sha(bytes).to_string(), "size": bytes.len() })
}

/// Waits for a condition, not for ever.
pub fn until(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !done() {
        assert!(Instant::now() < deadline, "{what}: not within a minute");
        std::thread::yield_now();
    }
}

/// What happens to the download of a blob.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The second half comes only after [`Fake::release`].
    Held,
    /// The registry says that it has no such blob.
    Missing,
}

#[derive(Default)]
pub struct State {
    /// By `repository@digest`.
    pub blobs: HashMap<String, Vec<u8>>,
    /// By `repository@digest` and `repository:tag`: type and bytes.
    pub manifests: HashMap<String, (String, Vec<u8>)>,
    pub faults: HashMap<Digest, Fault>,
    /// `GET /v2/...`
    pub log: Vec<String>,
    uploads: HashMap<String, Vec<u8>>,
}

struct Shared {
    state: Mutex<State>,
    released: Condvar,
    ended: AtomicBool,
}

/// Ends with its last connection.
pub struct Fake {
    pub host: String,
    shared: Arc<Shared>,
    accepting: Option<std::thread::JoinHandle<()>>,
}

impl Fake {
    pub fn new() -> Fake {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let host = listener.local_addr().unwrap().to_string();
        let shared =
            Arc::new(Shared { state: Mutex::default(), released: Condvar::new(), ended: AtomicBool::new(false) });
        let accepting = std::thread::spawn({
            let shared = Arc::clone(&shared);
            move || {
                for stream in listener.incoming() {
                    if shared.ended.load(Ordering::SeqCst) {
                        return;
                    }
                    let shared = Arc::clone(&shared);
                    std::thread::spawn(move || drop(serve(&shared, &stream.unwrap())));
                }
            }
        });
        Fake { host, shared, accepting: Some(accepting) }
    }

    pub fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.shared.state.lock().unwrap()
    }

    pub fn put_blob(&self, repository: &str, bytes: &[u8]) {
        self.state().blobs.insert(format!("{repository}@{}", sha(bytes)), bytes.to_vec());
    }

    pub fn put_manifest(&self, repository: &str, tag: &str, media: &str, bytes: &[u8]) -> Digest {
        let mut state = self.state();
        let digest = sha(bytes);
        for key in [format!("{repository}:{tag}"), format!("{repository}@{digest}")] {
            state.manifests.insert(key, (media.to_owned(), bytes.to_vec()));
        }
        digest
    }

    /// An image of layers (type, blob); returns the digest of its manifest.
    pub fn put_image(&self, name: (&str, &str), config: &[u8], layers: &[(&str, &[u8])]) -> Digest {
        self.put_blob(name.0, config);
        layers.iter().for_each(|(_, bytes)| self.put_blob(name.0, bytes));
        let layers: Vec<Value> = layers.iter().map(|(media, bytes)| descriptor(media, bytes)).collect();
        let manifest = json!({
            "schemaVersion": 2, "mediaType": MANIFEST, "config": descriptor(CONFIG, config), "layers": layers,
            "annotations": { "kept": "byte for byte" },
        });
        self.put_manifest(name.0, name.1, MANIFEST, &serde_json::to_vec_pretty(&manifest).unwrap())
    }

    pub fn fault(&self, blob: &[u8], fault: Fault) {
        self.state().faults.insert(sha(blob), fault);
    }

    /// Lets go what is held.
    pub fn release(&self) {
        self.state().faults.clear();
        self.shared.released.notify_all();
    }

    /// How often something was asked for.
    pub fn asked(&self, method: &str, part: &str) -> usize {
        let begin = format!("{method} ");
        self.state().log.iter().filter(|line| line.starts_with(&begin) && line.contains(part)).count()
    }

    pub fn gets(&self, blob: &[u8]) -> usize {
        self.asked("GET", &sha(blob).to_string())
    }

    pub fn forget(&self) {
        self.state().log.clear();
    }

    pub fn blob(&self, repository: &str, digest: &str) -> Option<Vec<u8>> {
        self.state().blobs.get(&format!("{repository}@{digest}")).cloned()
    }

    pub fn manifest(&self, name: &str) -> Option<(String, Vec<u8>)> {
        self.state().manifests.get(name).cloned()
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::SeqCst);
        self.release();
        drop(TcpStream::connect(&self.host));
        if let Some(accepting) = self.accepting.take() {
            accepting.join().unwrap();
        }
    }
}

struct Request {
    method: String,
    path: String,
    query: String,
    headers: HashMap<String, String>,
    body: Vec<u8>,
}

fn read(reader: &mut impl BufRead) -> Option<Request> {
    let mut line = String::new();
    if reader.read_line(&mut line).ok()? == 0 {
        return None;
    }
    let mut words = line.split_whitespace();
    let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    let mut headers = HashMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((key, value)) = line.trim_end().split_once(':') else { break };
        headers.insert(key.to_lowercase(), value.trim().to_owned());
    }
    let mut body = Vec::new();
    if headers.get("transfer-encoding").is_some_and(|how| how == "chunked") {
        loop {
            let mut size = String::new();
            reader.read_line(&mut size).ok()?;
            let size = u64::from_str_radix(size.trim(), 16).ok()?;
            reader.by_ref().take(size).read_to_end(&mut body).ok()?;
            reader.read_line(&mut String::new()).ok()?;
            if size == 0 {
                break;
            }
        }
    } else if let Some(length) = headers.get("content-length") {
        reader.take(length.parse().ok()?).read_to_end(&mut body).ok()?;
    }
    Some(Request { method, path: path.to_owned(), query: query.to_owned(), headers, body })
}

struct Answer {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
    held: Option<Digest>,
}

fn answer(status: u16, headers: Vec<(&'static str, String)>, body: Vec<u8>) -> Answer {
    Answer { status, headers, body, held: None }
}

fn missing(code: &str) -> Answer {
    let body = json!({ "errors": [{ "code": code, "message": "unknown here" }] });
    answer(404, vec![("Content-Type", "application/json".to_owned())], serde_json::to_vec(&body).unwrap())
}

fn serve(shared: &Shared, stream: &TcpStream) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut writer = stream;
    while let Some(request) = read(&mut reader) {
        let answer = {
            let mut state = shared.state.lock().unwrap();
            let question = if request.query.is_empty() { "" } else { "?" };
            state.log.push(format!("{} {}{question}{}", request.method, request.path, request.query));
            handle(&mut state, &request)
        };
        let mut head = format!("HTTP/1.1 {} Said\r\nContent-Length: {}\r\n", answer.status, answer.body.len());
        for (key, value) in &answer.headers {
            head.push_str(&format!("{key}: {value}\r\n"));
        }
        writer.write_all(format!("{head}\r\n").as_bytes())?;
        if request.method == "HEAD" {
            continue;
        }
        let half = answer.body.len() / 2;
        writer.write_all(&answer.body[..half])?;
        if let Some(held) = answer.held {
            let mut state = shared.state.lock().unwrap();
            while state.faults.contains_key(&held) && !shared.ended.load(Ordering::SeqCst) {
                state = shared.released.wait(state).unwrap();
            }
        }
        writer.write_all(&answer.body[half..])?;
    }
    Ok(())
}

fn handle(state: &mut State, request: &Request) -> Answer {
    let Some(rest) = request.path.strip_prefix("/v2/") else { return missing("UNKNOWN") };
    if rest.is_empty() {
        return answer(200, vec![], vec![]);
    }
    if let Some((repository, name)) = rest.split_once("/manifests/") {
        let key = if name.contains(':') { format!("{repository}@{name}") } else { format!("{repository}:{name}") };
        return manifests(state, request, repository, &key);
    }
    if let Some((repository, upload)) = rest.split_once("/blobs/uploads/") {
        return uploads(state, request, repository, upload);
    }
    let Some((repository, digest)) = rest.split_once("/blobs/") else { return missing("UNKNOWN") };
    let fault = digest.parse().ok().and_then(|digest: Digest| Some((digest, *state.faults.get(&digest)?)));
    match (state.blobs.get(&format!("{repository}@{digest}")), fault) {
        (None, _) | (_, Some((_, Fault::Missing))) => missing("BLOB_UNKNOWN"),
        (Some(bytes), fault) => {
            let headers = vec![("Docker-Content-Digest", digest.to_owned())];
            let held = fault.filter(|_| request.method == "GET").map(|(digest, _)| digest);
            match request.headers.get("range").and_then(|range| range.strip_prefix("bytes=")?.split_once('-')) {
                Some((from, _)) => {
                    let from: usize = from.parse().unwrap();
                    let range = format!("bytes {from}-{}/{}", bytes.len() - 1, bytes.len());
                    let headers = vec![("Content-Range", range)];
                    Answer { held, ..answer(206, headers, bytes[from..].to_vec()) }
                }
                None => Answer { held, ..answer(200, headers, bytes.clone()) },
            }
        }
    }
}

fn manifests(state: &mut State, request: &Request, repository: &str, key: &str) -> Answer {
    if request.method == "PUT" {
        let media = request.headers.get("content-type").cloned().unwrap_or_default();
        let digest = sha(&request.body);
        for key in [key.to_owned(), format!("{repository}@{digest}")] {
            state.manifests.insert(key, (media.clone(), request.body.clone()));
        }
        return answer(201, vec![("Docker-Content-Digest", digest.to_string())], vec![]);
    }
    let Some((media, bytes)) = state.manifests.get(key) else { return missing("MANIFEST_UNKNOWN") };
    let headers = vec![("Content-Type", media.clone()), ("Docker-Content-Digest", sha(bytes).to_string())];
    answer(200, headers, bytes.clone())
}

fn uploads(state: &mut State, request: &Request, repository: &str, upload: &str) -> Answer {
    let query = request.query.replace("%3A", ":").replace("%2F", "/");
    let words: HashMap<&str, &str> = query.split('&').filter_map(|pair| pair.split_once('=')).collect();
    if request.method == "POST" {
        if let (Some(digest), Some(from)) = (words.get("mount"), words.get("from"))
            && let Some(bytes) = state.blobs.get(&format!("{from}@{digest}")).cloned()
        {
            state.blobs.insert(format!("{repository}@{digest}"), bytes);
            return answer(201, vec![("Location", format!("/v2/{repository}/blobs/{digest}"))], vec![]);
        }
        let id = format!("u{}", state.uploads.len());
        state.uploads.insert(id.clone(), Vec::new());
        return answer(202, vec![("Location", format!("/v2/{repository}/blobs/uploads/{id}"))], vec![]);
    }
    let Some(bytes) = state.uploads.get_mut(upload) else { return missing("BLOB_UPLOAD_UNKNOWN") };
    bytes.extend_from_slice(&request.body);
    let range = format!("0-{}", bytes.len().saturating_sub(1));
    match (request.method.as_str(), words.get("digest")) {
        ("PUT", Some(digest)) if sha(bytes).to_string() == **digest => {
            let bytes = std::mem::take(bytes);
            state.blobs.insert(format!("{repository}@{digest}"), bytes);
            answer(201, vec![("Docker-Content-Digest", (*digest).to_owned())], vec![])
        }
        ("PUT", _) => answer(400, vec![], br#"{"errors":[{"code":"DIGEST_INVALID"}]}"#.to_vec()),
        _ => {
            let location = format!("/v2/{repository}/blobs/uploads/{upload}");
            answer(202, vec![("Location", location), ("Range", range)], vec![])
        }
    }
}
