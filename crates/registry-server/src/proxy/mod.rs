//! A cache of another registry: what is asked for is fetched once and kept.
//!
//! A tag is compared with the upstream registry each time and served from the cache when that does not answer. What
//! has a digest never changes and is asked for once. The cache is a [`Folder`], so that it can be served without its
//! upstream later.

mod evict;
pub mod growing;
pub mod upstream;

use crate::blobs::digest_of;
use crate::document::Document;
use crate::fault::{Code, Fault};
use crate::folder::Folder;
use crate::folder::uploads::Session;
use crate::name::{Reference, Repository, Tag};
use crate::storage::{Content, Manifest, Push, Storage, Writing, unknown_blob, unknown_manifest, unknown_name};
use base::Digest;
use growing::Growing;
use http::StatusCode;
use oci::image::Descriptor;
use registry::Error;
use serde_json::Value;
use std::collections::HashMap;
use std::io::Read;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;
use upstream::{Address, Upstream};

/// Bytes fetched at once.
const PIECE: usize = 256 * 1024;
/// Descriptors remembered before they are looked up in the cache's manifests again.
const MAX_KNOWN: usize = 100_000;

/// A cache of one registry. Clones share it.
#[derive(Clone)]
pub struct Proxy {
    address: Address,
    upstream: Arc<dyn Upstream>,
    cache: Arc<Folder>,
    /// Bytes of blobs to keep.
    max_size: Option<u64>,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    /// What is being fetched: asked for again, it is not fetched again.
    arriving: Mutex<HashMap<Digest, Arc<Growing>>>,
    /// What the manifests of a repository name.
    known: Mutex<HashMap<(String, Digest), Descriptor>>,
}

impl Proxy {
    pub fn new(address: Address, upstream: Arc<dyn Upstream>, cache: Folder, max_size: Option<u64>) -> Proxy {
        Proxy { address, upstream, cache: Arc::new(cache), max_size, shared: Arc::default() }
    }

    /// The repository under its name upstream, or a refusal of what is another registry's.
    fn canonical(&self, repository: &Repository) -> Result<Repository, Fault> {
        if repository.namespace().is_some_and(|namespace| namespace != self.address.domain) {
            return Err(unknown_name(repository));
        }
        Repository::parse(&self.address.path(repository))
    }

    fn by_tag(&self, repository: &Repository, tag: &Tag) -> Result<Manifest, Fault> {
        let reference = Reference::Tag(tag.clone());
        let cached = self.cached(repository, &reference)?;
        let unknown = || unknown_manifest(repository, &reference);
        match (self.upstream.find_manifest(repository.as_str(), tag.as_str()), cached) {
            (Ok(Some(found)), Some(cached)) if found.digest == cached.digest => Ok(cached),
            (Ok(Some(_)), _) => self.fetch(repository, &reference),
            (Ok(None) | Err(Error::NotFound(_)), _) => {
                self.cache.place(repository).remove_tag(tag).map_err(Fault::io("forget a tag"))?;
                Err(unknown())
            }
            (Err(error), Some(cached)) if is_away(&error) => {
                tracing::warn!(%repository, %tag, error = base::chain(&error), "upstream is away: served from the cache");
                Ok(cached)
            }
            (Err(error), _) => Err(refused(&error, unknown)),
        }
    }

    fn cached(&self, repository: &Repository, reference: &Reference) -> Result<Option<Manifest>, Fault> {
        match self.cache.manifest(repository, reference) {
            Ok(manifest) => Ok(Some(manifest)),
            Err(fault) if fault.is_unknown() => Ok(None),
            Err(fault) => Err(fault),
        }
    }

    fn fetch(&self, repository: &Repository, reference: &Reference) -> Result<Manifest, Fault> {
        let fetched = self.upstream.manifest(repository.as_str(), &reference.to_string());
        let fetched = fetched.map_err(|error| refused(&error, || unknown_manifest(repository, reference)))?;
        let digest = digest_of(&fetched.bytes);
        if let Reference::Digest(expected) = reference
            && *expected != digest
        {
            let text = format!("the upstream registry sent {digest} for {expected}");
            return Err(Fault::new(Code::Unknown, text).with_status(StatusCode::BAD_GATEWAY));
        }
        // What this registry would not take from a client is passed on and not kept.
        if let Ok(document) = Document::parse(fetched.bytes.clone(), Some(&fetched.media_type)) {
            self.remember(repository, &document);
            let tags = if let Reference::Tag(tag) = reference { vec![tag.clone()] } else { Vec::new() };
            self.cache.keep_manifest(repository, &Push { document, tags })?;
        }
        Ok(Manifest { bytes: fetched.bytes, media_type: fetched.media_type, digest })
    }

    fn remember(&self, repository: &Repository, document: &Document) {
        let mut known = lock(&self.shared.known);
        if known.len() > MAX_KNOWN {
            known.clear();
        }
        for part in document.parts() {
            let descriptor = Descriptor {
                media_type: part.media_type.clone(),
                digest: part.digest,
                size: part.size,
                annotations: Default::default(),
                platform: None,
            };
            known.insert((repository.to_string(), part.digest), descriptor);
        }
    }

    /// What the manifests that were served say of a blob; when none names it, what the cache or the upstream registry has.
    fn descriptor(&self, repository: &Repository, digest: &Digest) -> Result<Descriptor, Fault> {
        let key = (repository.to_string(), *digest);
        if let Some(found) = lock(&self.shared.known).get(&key) {
            return Ok(found.clone());
        }
        let manifests = self.cache.place(repository).manifests().map_err(Fault::io("look for a blob"))?;
        for manifest in manifests {
            if let Some(manifest) = self.cached(repository, &Reference::Digest(manifest))?
                && let Ok(document) = Document::parse(manifest.bytes, Some(&manifest.media_type))
            {
                self.remember(repository, &document);
            }
        }
        if let Some(found) = lock(&self.shared.known).get(&key) {
            return Ok(found.clone());
        }
        let size = match self.cache.size_in(repository, digest)? {
            Some(size) => size,
            None => self.size_upstream(repository, digest)?,
        };
        let media_type = "application/octet-stream".to_owned();
        Ok(Descriptor { media_type, digest: *digest, size, annotations: Default::default(), platform: None })
    }

    fn size_upstream(&self, repository: &Repository, digest: &Digest) -> Result<u64, Fault> {
        let unknown = || unknown_blob(repository, digest);
        let found = self.upstream.find_blob(repository.as_str(), digest);
        found.map_err(|error| refused(&error, unknown))?.ok_or_else(unknown)
    }

    /// The blob that is being fetched; fetches it if nobody does yet.
    fn arrive(&self, repository: &Repository, blob: &Descriptor) -> Result<Content, Fault> {
        let mut arriving = lock(&self.shared.arriving);
        if let Some(growing) = arriving.get(&blob.digest) {
            return Ok(Content::Arriving(Arc::clone(growing)));
        }
        // It may have come between the look into the cache and here.
        if let Some((file, size)) = self.cache.blobs().open(&blob.digest).map_err(Fault::io("open a blob"))? {
            return Ok(Content::Whole { file, size });
        }
        let session = self.cache.uploads().begin(repository)?;
        let file = session.reader().map_err(Fault::io("read a blob that arrives"))?;
        let growing = Arc::new(Growing::new(file, blob.size));
        let (proxy, repository, digest) = (self.clone(), repository.clone(), blob.digest);
        let fetching = Fetching { proxy, repository, digest, growing: Arc::clone(&growing) };
        arriving.insert(digest, Arc::clone(&growing));
        // What fails from here on takes it out again.
        drop(arriving);
        let (blob, thread) = (blob.clone(), std::thread::Builder::new().name("fetch".to_owned()));
        thread.spawn(move || fetching.run(session, &blob)).map_err(Fault::io("start a thread"))?;
        Ok(Content::Arriving(growing))
    }
}

/// One blob on its way from the upstream registry into the cache.
struct Fetching {
    proxy: Proxy,
    repository: Repository,
    digest: Digest,
    growing: Arc<Growing>,
}

/// Whatever happens to the thread, nobody waits for it for ever, and the next one who asks fetches again.
impl Drop for Fetching {
    fn drop(&mut self) {
        self.growing.end(&Err(Fault::new(Code::Unknown, "the fetch of the blob ended too early".to_owned())));
        let mut arriving = lock(&self.proxy.shared.arriving);
        if arriving.get(&self.digest).is_some_and(|growing| Arc::ptr_eq(growing, &self.growing)) {
            arriving.remove(&self.digest);
        }
    }
}

impl Fetching {
    fn run(self, session: Session, blob: &Descriptor) {
        let outcome = self.copy(session, blob);
        self.growing.end(&outcome);
        if let Err(fault) = &outcome {
            tracing::warn!(digest = %blob.digest, error = base::chain(fault), "cannot fetch a blob");
        }
        let proxy = self.proxy.clone();
        drop(self);
        if let Err(error) = proxy.evict() {
            tracing::warn!(%error, "cannot make room in the cache");
        }
    }

    fn copy(&self, mut session: Session, blob: &Descriptor) -> Result<(), Fault> {
        let source = self.proxy.upstream.blob(self.repository.as_str(), blob);
        let source = source.map_err(|error| refused(&error, || unknown_blob(&self.repository, &blob.digest)));
        match source.and_then(|mut source| self.fill(&mut source, &mut session)) {
            Ok(()) => self.proxy.cache.keep(&self.repository, session, &blob.digest),
            Err(fault) => {
                session.discard();
                Err(fault)
            }
        }
    }

    fn fill(&self, source: &mut dyn Read, session: &mut Session) -> Result<(), Fault> {
        let mut piece = vec![0; PIECE];
        self.growing.advance(0);
        loop {
            let count = match source.read(&mut piece) {
                Ok(0) => return Ok(()),
                Ok(count) => count,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(Fault::io("read from the upstream registry")(error)),
            };
            if session.size() + count as u64 > self.growing.size {
                return Err(Fault::new(Code::SizeInvalid, "the upstream registry sent too much".to_owned()));
            }
            session.write(&piece[..count]).map_err(Fault::io("keep a blob"))?;
            self.growing.advance(session.size());
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether an upstream registry only does not answer now.
fn is_away(error: &Error) -> bool {
    matches!(error, Error::Unavailable(_) | Error::Io { .. })
}

fn refused(error: &Error, unknown: impl FnOnce() -> Fault) -> Fault {
    let text = format!("the upstream registry: {}", base::chain(error));
    match error {
        Error::NotFound(_) => unknown(),
        Error::Denied(_) => Fault::new(Code::Denied, text),
        _ => Fault::new(Code::Unknown, text).with_status(StatusCode::BAD_GATEWAY),
    }
}

impl Storage for Proxy {
    fn manifest(&self, repository: &Repository, reference: &Reference) -> Result<Manifest, Fault> {
        let repository = self.canonical(repository)?;
        match reference {
            Reference::Tag(tag) => self.by_tag(&repository, tag),
            Reference::Digest(_) => match self.cached(&repository, reference)? {
                Some(manifest) => Ok(manifest),
                None => self.fetch(&repository, reference),
            },
        }
    }

    fn blob(&self, repository: &Repository, digest: &Digest) -> Result<Content, Fault> {
        let repository = self.canonical(repository)?;
        let blob = self.descriptor(&repository, digest)?;
        let found = self.cache.blobs().open(digest).map_err(Fault::io("open a blob"))?;
        if let Some((file, size)) = found {
            // Eviction goes by this time.
            file.set_modified(SystemTime::now()).map_err(Fault::io("mark a blob as used"))?;
            if self.cache.size_in(&repository, digest)?.is_none() {
                self.cache.mark(&repository, digest)?;
            }
            return Ok(Content::Whole { file, size });
        }
        self.arrive(&repository, &blob)
    }

    fn blob_size(&self, repository: &Repository, digest: &Digest) -> Result<u64, Fault> {
        let repository = self.canonical(repository)?;
        self.descriptor(&repository, digest).map(|blob| blob.size)
    }

    fn tags(&self, repository: &Repository) -> Result<Vec<String>, Fault> {
        let repository = self.canonical(repository)?;
        match self.upstream.tags(repository.as_str()) {
            Ok(mut tags) => {
                tags.sort();
                Ok(tags)
            }
            Err(error) if is_away(&error) => self.cache.tags(&repository),
            Err(error) => Err(refused(&error, || unknown_name(&repository))),
        }
    }

    fn repositories(&self) -> Result<Vec<String>, Fault> {
        self.cache.repositories()
    }

    fn referrers(&self, repository: &Repository, subject: &Digest) -> Result<Vec<Value>, Fault> {
        let repository = self.canonical(repository)?;
        let digests = match self.upstream.referrers(repository.as_str(), subject) {
            Ok(digests) => digests,
            Err(Error::NotFound(_)) => return Ok(Vec::new()),
            Err(error) if is_away(&error) => return self.cache.referrers(&repository, subject),
            Err(error) => return Err(refused(&error, || unknown_name(&repository))),
        };
        let mut shown = Vec::new();
        for digest in digests {
            let manifest = self.manifest(&repository, &Reference::Digest(digest))?;
            shown.push(Document::parse(manifest.bytes, Some(&manifest.media_type))?.referrer());
        }
        Ok(shown)
    }

    fn writing(&self) -> Result<&dyn Writing, Fault> {
        let text = format!("this registry is a cache: push to {} itself", self.address.domain);
        Err(Fault::new(Code::Unsupported, text))
    }

    fn sweep(&self) -> Result<(), Fault> {
        self.cache.sweep()?;
        self.evict().map_err(Fault::io("make room in the cache"))
    }
}
