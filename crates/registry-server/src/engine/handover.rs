//! An image goes to the engine: an OCI layout as a tar, written while the engine loads it.

use super::view::{FULL_NAME, REF_NAME};
use crate::fault::{Code, Fault};
use api::client::{Client, Endpoint, Error, Payload, Uploader, encode};
use base::Digest;
use bytes::Bytes;
use http::{Method, StatusCode};
use image::Reference;
use oci::image::media;
use serde_json::{Value, json};
use std::fs::File;
use std::io::{self, Read};
use tar_core::EntryType;
use tar_core::builder::EntryBuilder;

/// Bytes sent at once.
const PIECE: u64 = 1024 * 1024;
/// A tar's unit of length in bytes.
const BLOCK: u64 = 512;

/// An image as it is handed over.
#[derive(Debug)]
pub struct Parcel {
    pub name: Reference,
    pub media_type: String,
    pub digest: Digest,
    pub manifest: Vec<u8>,
    /// The configuration and the layers, each once.
    pub blobs: Vec<(Digest, File, u64)>,
}

/// Loads an image into the engine that listens at `endpoint`. Must be called on a thread that may block, within a
/// runtime.
pub fn load(endpoint: &Endpoint, parcel: Parcel) -> Result<(), Fault> {
    let client = Client::new(endpoint.clone());
    let (uploader, payload) = Payload::stream(None);
    let runtime = tokio::runtime::Handle::current();
    std::thread::scope(|scope| {
        let parcel = &parcel;
        let writer = std::thread::Builder::new().name("handover".to_owned());
        let started = writer.spawn_scoped(scope, move || {
            if let Err(error) = write(parcel, &uploader) {
                uploader.feed(Err(error));
            }
        });
        started.map_err(Fault::io("start a thread"))?;
        runtime.block_on(answer(&client, payload))
    })
}

async fn answer(client: &Client, payload: Payload) -> Result<(), Fault> {
    let answer = client.call(Method::POST, "/images/load?quiet=1", payload).await.map_err(refused)?;
    let body = answer.bytes().await.map_err(refused)?;
    for line in body.split(|byte| *byte == b'\n') {
        let told: Option<Value> = serde_json::from_slice(line).ok();
        if let Some(error) = told.as_ref().and_then(|told| told["error"].as_str()) {
            return Err(Fault::new(Code::ManifestInvalid, format!("the engine cannot load the image: {error}")));
        }
    }
    Ok(())
}

/// Removes a name of an image from the engine.
pub fn remove(endpoint: &Endpoint, name: &Reference) -> Result<(), Fault> {
    let client = Client::new(endpoint.clone());
    let path: Vec<String> = name.to_string().split('/').map(encode).collect();
    let path = format!("/images/{}", path.join("/"));
    let removed = tokio::runtime::Handle::current()
        .block_on(async { client.call(Method::DELETE, &path, Payload::Empty).await?.bytes().await });
    removed.map(drop).map_err(refused)
}

/// The engine's no. Words about the image are the client's business; an engine that is not there is not.
fn refused(error: Error) -> Fault {
    let text = base::chain(&error);
    match &error {
        Error::Connect { .. } => {
            let text =
                format!("cannot hand the image to the engine: {text}; start the engine, or serve a folder (--root)");
            Fault::new(Code::Unknown, text).with_status(StatusCode::SERVICE_UNAVAILABLE)
        }
        Error::Refused { status, .. } if *status == 409 => {
            Fault::new(Code::Denied, text).with_status(StatusCode::CONFLICT)
        }
        Error::Refused { status, .. } if *status < 500 => Fault::new(Code::ManifestInvalid, text),
        _ => Fault::new(Code::Unknown, format!("cannot hand the image to the engine: {text}"))
            .with_status(StatusCode::BAD_GATEWAY),
    }
}

fn write(parcel: &Parcel, to: &Uploader) -> io::Result<()> {
    document(to, "oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#)?;
    document(to, "index.json", index(parcel).to_string().as_bytes())?;
    document(to, &blob_path(&parcel.digest), &parcel.manifest)?;
    for (digest, file, size) in &parcel.blobs {
        send(to, header(&blob_path(digest), *size)?)?;
        content(to, file, *size)?;
    }
    send(to, vec![0; 1024])
}

fn index(parcel: &Parcel) -> Value {
    json!({
        "schemaVersion": 2,
        "mediaType": media::INDEX,
        "manifests": [{
            "mediaType": parcel.media_type,
            "digest": parcel.digest,
            "size": parcel.manifest.len(),
            "annotations": { FULL_NAME: parcel.name.to_string(), REF_NAME: parcel.name.familiar() },
        }],
    })
}

fn blob_path(digest: &Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}

fn document(to: &Uploader, path: &str, bytes: &[u8]) -> io::Result<()> {
    let mut all = header(path, bytes.len() as u64)?;
    all.extend_from_slice(bytes);
    all.resize(all.len().next_multiple_of(usize::try_from(BLOCK).unwrap_or(512)), 0);
    send(to, all)
}

fn content(to: &Uploader, file: &File, size: u64) -> io::Result<()> {
    let mut left = size;
    let mut file = file.take(size);
    while left > 0 {
        let mut piece = Vec::with_capacity(usize::try_from(left.min(PIECE)).unwrap_or(0));
        let count = (&mut file).take(PIECE).read_to_end(&mut piece)? as u64;
        if count == 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "a blob became shorter"));
        }
        left -= count;
        send(to, piece)?;
    }
    let gap = size.next_multiple_of(BLOCK) - size;
    send(to, vec![0; usize::try_from(gap).unwrap_or(0)])
}

fn header(path: &str, size: u64) -> io::Result<Vec<u8>> {
    let mut entry = EntryBuilder::new_ustar();
    entry.path(path).entry_type(EntryType::Regular);
    let sized = entry.mode(0o644).and_then(|entry| entry.size(size)).and_then(|entry| entry.mtime(0));
    sized.and_then(|entry| entry.uid(0)).and_then(|entry| entry.gid(0)).map_err(io::Error::other)?;
    Ok(entry.finish_bytes())
}

/// An engine that no longer listens has a reason, which its answer tells.
fn send(to: &Uploader, bytes: Vec<u8>) -> io::Result<()> {
    if bytes.is_empty() || to.feed(Ok(Bytes::from(bytes))) { Ok(()) } else { Err(io::ErrorKind::BrokenPipe.into()) }
}
