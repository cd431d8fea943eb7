//! Archives of images as text, which mutates better than a tar.
//!
//! ```text
//!   =config.json
//!   {"rootfs":{"type":"layers","diff_ids":["sha256:@layer.tar@"]}}
//! ```
//!
//! A line `=NAME` starts a file. `@NAME@` is the digest of an earlier file and `#NAME#` its size; in a file's own name
//! `@@` is the digest of the file itself. A file that is only `%tar`, `%gzip` or `%zstd` is a layer.

use archive::fixture::Tar;
use sha2::{Digest, Sha256};

/// The archive that a text describes.
pub fn archive(text: &str) -> Vec<u8> {
    let layer = Tar::new().folder("bin/", 0o755).file("bin/sh", b"sh").file("etc/.wh.gone", b"").finish();
    let mut known: Vec<(String, String)> = Vec::new();
    let mut tar = Tar::new();
    let files = text.strip_prefix('=').unwrap_or(text).split("\n=");
    for file in files {
        let (name, content) = file.split_once('\n').unwrap_or((file, ""));
        let content = match content.trim_end() {
            "%tar" => layer.clone(),
            "%gzip" => crate::gzip(&layer),
            "%zstd" => crate::zstd(&layer),
            text => filled(text, &known).into_bytes(),
        };
        let digest = Sha256::digest(&content).iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        tar = tar.file(&filled(&name.replace("@@", &digest), &known), &content);
        known.push((format!("@{name}@"), digest));
        known.push((format!("#{name}#"), content.len().to_string()));
    }
    tar.finish()
}

fn filled(text: &str, known: &[(String, String)]) -> String {
    known.iter().fold(text.to_owned(), |text, (token, digest)| text.replace(token.as_str(), digest))
}
