//! Transfers against a server that misbehaves on request, and against a real registry.

mod asking;
mod fake;
mod fetching;
mod finding;
mod reading;
mod real;
mod sending;

use crate::settings::Patience;
use crate::{Cancel, Client, Credentials, Repository, Settings};
use base::Digest;
use fake::{Fake, Reply, reply};
use oci::image::{Descriptor, media};
use sha2::{Digest as _, Sha256};
use std::io::Read;
use std::time::Duration;

/// Tests wait for nothing longer than this to fail.
fn impatient() -> Patience {
    Patience {
        connect: Duration::from_secs(30),
        stall: Duration::from_secs(2),
        commit: Duration::from_secs(60),
        backoff: Duration::from_millis(1),
        longest_wait: Duration::from_secs(60),
        repetitions: 5,
    }
}

fn client(settings: Settings) -> Client {
    Client::with_patience(settings, impatient())
}

fn nobody_at(fake: &Fake) -> Repository {
    client(Settings::default()).repository(&fake.domain(), "a/b", &Credentials::default(), &Cancel::default())
}

fn ann() -> Credentials {
    Credentials { username: "ann".into(), password: "s3cret".into(), ..Credentials::default() }
}

fn digest(bytes: &[u8]) -> Digest {
    Digest::from_bytes(Sha256::digest(bytes).into())
}

fn blob(bytes: &[u8]) -> Descriptor {
    Descriptor {
        media_type: media::LAYER.to_owned(),
        digest: digest(bytes),
        size: bytes.len() as u64,
        annotations: Default::default(),
        platform: None,
    }
}

/// Bytes that are nowhere the same.
fn bytes(count: usize) -> Vec<u8> {
    (0..count).map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()[2]).collect()
}

fn read_all(mut reader: Box<dyn Read + Send>) -> std::io::Result<Vec<u8>> {
    let mut all = Vec::new();
    reader.read_to_end(&mut all).map(|_| all)
}

const MANIFEST: &str = r#"{"schemaVersion":2,"config":{},"layers":[]}"#;

fn manifest_reply() -> Reply {
    reply(200).with("content-type", media::MANIFEST).body(MANIFEST)
}
