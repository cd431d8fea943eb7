//! A store in a throw-away folder, and archives to fill it with.
#![allow(dead_code)] // Each test uses its part.

use archive::fixture::Tar;
use base::Digest;
use image::{Error, HostMask, Keep, Progress, Store};
use serde_json::{Value, json};
use sha2::Digest as _;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

pub fn sha(bytes: &[u8]) -> Digest {
    Digest::from_bytes(sha2::Sha256::digest(bytes).into())
}

pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

pub struct Yard {
    pub folder: tempfile::TempDir,
    pub store: Store,
}

impl Yard {
    pub fn new() -> Yard {
        Yard::keeping(Keep::Blobs)
    }

    pub fn keeping(keep: Keep) -> Yard {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open_keeping(folder.path(), HostMask::default(), keep).unwrap();
        Yard { folder, store }
    }

    pub fn reopen(self) -> Yard {
        let Yard { folder, store } = self;
        drop(store);
        let store = Store::open(folder.path(), HostMask::default()).unwrap();
        Yard { folder, store }
    }

    pub fn root(&self) -> &Path {
        self.folder.path()
    }

    pub fn load(&self, archive: &[u8]) -> Result<Vec<Progress>, Error> {
        let mut seen = Vec::new();
        self.store.load(&mut &archive[..], &mut |step| seen.push(step))?;
        Ok(seen)
    }

    pub fn save(&self, names: &[&str]) -> Result<Vec<u8>, Error> {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut bytes = Vec::new();
        self.store.save(&names, None, &mut bytes)?;
        Ok(bytes)
    }

    pub fn blob(&self, digest: &Digest) -> PathBuf {
        self.root().join("content/blobs/sha256").join(digest.hex())
    }

    pub fn layer(&self, digest: &Digest) -> PathBuf {
        self.root().join("layers/sha256").join(digest.hex())
    }

    /// Names of all blobs and all layers. Nothing half-done lies beside them.
    pub fn on_disk(&self) -> (Vec<String>, Vec<String>) {
        on_disk(self.root())
    }
}

pub fn on_disk(root: &Path) -> (Vec<String>, Vec<String>) {
    for (folder, known) in [
        ("layers/tmp", &[][..]),
        ("layers/mnt", &[][..]),
        ("content/ingest", &[][..]),
        ("content", &["blobs", "index.json", "ingest", "oci-layout"][..]),
        ("", &["content", "layers", "used"][..]),
    ] {
        assert_eq!(names(&root.join(folder)), known, "{folder}");
    }
    (names(&root.join("content/blobs/sha256")), names(&root.join("layers/sha256")))
}

pub fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// A layer with one file of its own.
pub fn layer(name: &str, size: usize) -> Vec<u8> {
    let seed = sha(name.as_bytes());
    let content: Vec<u8> = seed.as_bytes().iter().copied().cycle().take(size).collect();
    Tar::new().folder("bin", 0o755).file(&format!("bin/{name}"), &content).symlink("bin/sh", name).finish()
}

pub fn config_of(layers: &[&[u8]]) -> Vec<u8> {
    let diff_ids: Vec<String> = layers.iter().map(|layer| sha(layer).to_string()).collect();
    let config = json!({
        "architecture": "amd64", "os": "linux", "created": "2024-05-06T07:08:09Z", "author": "nobody",
        "config": { "Cmd": ["sh"], "Env": ["A=1"] },
        "rootfs": { "type": "layers", "diff_ids": diff_ids },
        "history": [{ "created_by": "base" }],
    });
    serde_json::to_vec(&config).unwrap()
}

/// How the layers of an archive are kept in it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Pack {
    Plain,
    Gzip,
    DockerGzip,
    Zstd,
}

/// An OCI archive of one image.
pub struct Archive {
    pub bytes: Vec<u8>,
    pub id: Digest,
    pub manifest: Digest,
    /// Lowest first.
    pub blobs: Vec<Digest>,
    pub diff_ids: Vec<Digest>,
}

pub fn archive(names: &[&str], layers: &[&[u8]], pack: Pack) -> Archive {
    let config = config_of(layers);
    let docker = pack == Pack::DockerGzip;
    let (layer_type, packed): (&str, Vec<Vec<u8>>) = match pack {
        Pack::Plain => ("application/vnd.oci.image.layer.v1.tar", layers.iter().map(|l| l.to_vec()).collect()),
        Pack::Gzip => ("application/vnd.oci.image.layer.v1.tar+gzip", layers.iter().map(|l| gzip(l)).collect()),
        Pack::DockerGzip => {
            ("application/vnd.docker.image.rootfs.diff.tar.gzip", layers.iter().map(|l| gzip(l)).collect())
        }
        Pack::Zstd => ("application/vnd.oci.image.layer.v1.tar+zstd", layers.iter().map(|l| zstd(l)).collect()),
    };
    let point = |media: &str, bytes: &[u8]| json!({ "mediaType": media, "digest": sha(bytes).to_string(), "size": bytes.len() });
    let config_type = if docker {
        "application/vnd.docker.container.image.v1+json"
    } else {
        "application/vnd.oci.image.config.v1+json"
    };
    let manifest_type = if docker {
        "application/vnd.docker.distribution.manifest.v2+json"
    } else {
        "application/vnd.oci.image.manifest.v1+json"
    };
    let manifest = json!({
        "schemaVersion": 2, "mediaType": manifest_type, "config": point(config_type, &config),
        "layers": packed.iter().map(|blob| point(layer_type, blob)).collect::<Vec<_>>(),
        "annotations": { "of": "the original" },
    });
    let manifest = serde_json::to_vec_pretty(&manifest).unwrap();
    let entries: Vec<Value> = names
        .iter()
        .map(|name| {
            let mut entry = point(manifest_type, &manifest);
            entry["annotations"] = json!({ "org.opencontainers.image.ref.name": name });
            entry
        })
        .collect();
    let entries = if entries.is_empty() { vec![point(manifest_type, &manifest)] } else { entries };
    let index = json!({ "schemaVersion": 2, "manifests": entries });
    let mut tar = Tar::new()
        .file("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#)
        .file("index.json", &serde_json::to_vec(&index).unwrap());
    for blob in packed.iter().chain([&config, &manifest]) {
        tar = tar.file(&format!("blobs/sha256/{}", sha(blob).hex()), blob);
    }
    Archive {
        bytes: tar.finish(),
        id: sha(&config),
        manifest: sha(&manifest),
        blobs: packed.iter().map(|blob| sha(blob)).collect(),
        diff_ids: layers.iter().map(|layer| sha(layer)).collect(),
    }
}

/// A zstd frame of raw blocks (RFC 8878).
fn zstd(bytes: &[u8]) -> Vec<u8> {
    let mut frame = vec![0x28, 0xb5, 0x2f, 0xfd, 0x80, 0x58];
    frame.extend(u32::try_from(bytes.len()).unwrap().to_le_bytes());
    let blocks: Vec<&[u8]> = bytes.chunks(64 * 1024).collect();
    for (n, block) in blocks.iter().enumerate() {
        let last = u32::from(n + 1 == blocks.len());
        let header = u32::try_from(block.len()).unwrap() << 3 | last;
        frame.extend(&header.to_le_bytes()[..3]);
        frame.extend(*block);
    }
    frame
}
