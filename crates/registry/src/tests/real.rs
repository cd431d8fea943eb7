//! The same against Debian's docker-registry, where it is installed.

use super::*;
use std::io::Write;
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

const PROGRAM: &str = "/usr/bin/docker-registry";

struct Registry {
    child: Child,
    domain: String,
    _folder: tempfile::TempDir,
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Its port is chosen before it starts, so another program may be quicker: then it is started again.
fn start() -> Option<Registry> {
    if !Path::new(PROGRAM).exists() {
        eprintln!("skipped: {PROGRAM} is not installed");
        return None;
    }
    Some((0..5).find_map(|_| try_start()).expect("docker-registry does not start"))
}

fn try_start() -> Option<Registry> {
    let folder = tempfile::tempdir().unwrap();
    let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let config = format!(
        "version: 0.1\nlog: {{level: error}}\nstorage:\n  filesystem: {{rootdirectory: {}}}\n  delete: {{enabled: true}}\nhttp:\n  addr: {address}\n",
        folder.path().join("storage").display()
    );
    let path = folder.path().join("config.yml");
    std::fs::write(&path, config).unwrap();
    let mut command = Command::new(PROGRAM);
    command.arg("serve").arg(&path).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut registry = Registry { child: command.spawn().unwrap(), domain: address.to_string(), _folder: folder };
    let deadline = Instant::now() + Duration::from_secs(60);
    while Instant::now() < deadline {
        if TcpStream::connect(address).is_ok() {
            return Some(registry);
        }
        if registry.child.try_wait().unwrap().is_some() {
            return None;
        }
        std::thread::yield_now();
    }
    None
}

#[test]
fn what_is_pushed_to_a_real_registry_is_pulled_from_it() {
    let Some(registry) = start() else { return };
    let client = Client::new(Settings::default());
    let at = |path: &str| client.repository(&registry.domain, path, &Credentials::default(), &Cancel::default());
    let repository = at("library/one");
    let (layer, config) = (bytes(20 << 20), b"{}".to_vec());
    for content in [&layer, &config] {
        assert!(!repository.has_blob(&digest(content)).unwrap());
        push(&repository, content);
        assert!(repository.has_blob(&digest(content)).unwrap());
        assert!(read_all(repository.blob(&blob(content)).unwrap()).unwrap() == *content);
    }
    let manifest = serde_json::json!({
        "schemaVersion": 2, "mediaType": media::MANIFEST,
        "config": {"mediaType": media::CONFIG, "digest": digest(&config), "size": config.len()},
        "layers": [{"mediaType": media::LAYER, "digest": digest(&layer), "size": layer.len()}],
    });
    let manifest = manifest.to_string();
    let pushed = repository.push_manifest("v1", media::MANIFEST, manifest.as_bytes()).unwrap();
    for reference in ["v1".to_owned(), pushed.to_string()] {
        let document = repository.manifest(&reference).unwrap();
        assert_eq!((document.bytes.as_slice(), document.digest), (manifest.as_bytes(), pushed));
        assert_eq!(document.media_type, media::MANIFEST);
        assert_eq!(repository.find_manifest(&reference).unwrap().unwrap().digest, pushed);
    }
    assert_eq!(repository.tags().unwrap(), ["v1"]);
    assert!(repository.referrers(&pushed, None).unwrap().manifests.is_empty());

    let other = at("two");
    assert!(other.mount_blob(&digest(&layer), "library/one").unwrap());
    assert!(!other.mount_blob(&digest(b"unknown"), "library/one").unwrap());
    assert!(other.has_blob(&digest(&layer)).unwrap());

    repository.delete_manifest(&pushed.to_string()).unwrap();
    assert!(repository.find_manifest(&pushed.to_string()).unwrap().is_none());
    let expected = format!("manifest for {}/two:none not found: manifest unknown: manifest unknown", registry.domain);
    assert_eq!(other.manifest("none").unwrap_err().to_string(), expected);
}

fn push(repository: &Repository, content: &[u8]) {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(content).unwrap();
    let open = || std::fs::File::open(file.path());
    repository.push_blob(&blob(content), &open, &|_| ()).unwrap();
}
