//! What is said of a result by who built it: how it was made (provenance), and what it consists of (a bill of materials).
//!
//! Each is a *statement* (in-toto, attestation framework): subjects by name and digest, and a predicate of some type.

mod provenance;
mod sbom;

use crate::export::Export;
use crate::request::{Attest, AttestKind};
use crate::solved::Solved;
use crate::{Error, Result};
use base::Digest;
use image::Reference;
use image::outbound::Layer;
use oci::image::Platform;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// As BuildKit of Docker 28 writes it; later ones say `/v1`, and readers take both.
const STATEMENT: &str = "https://in-toto.io/Statement/v0.1";

/// One statement.
#[derive(Debug)]
pub(crate) struct Statement {
    /// The file that it is among files.
    pub file: &'static str,
    pub predicate_type: String,
    pub body: Value,
}

/// Subjects by their names.
pub(crate) type Subjects = BTreeMap<String, Digest>;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Which {
    All,
    /// Without what is only for images (`inline-only`).
    Explicit,
}

/// What is to be said.
pub(crate) fn wanted(solved: &Solved, which: Which) -> Result<Vec<&Attest>> {
    let mut found = Vec::new();
    for attest in &solved.told.attest {
        let only_inline = flag(attest, "inline-only")?;
        if !flag(attest, "disabled")? && (which == Which::All || !only_inline) {
            found.push(attest);
        }
    }
    Ok(found)
}

/// All statements about the result `number`, whose layers went out as `layers`.
pub(crate) fn statements(
    export: &Export<'_>,
    wanted: &[&Attest],
    (number, layers): (usize, &[Layer]),
    subjects: &Subjects,
) -> Result<Vec<Statement>> {
    let mut all = Vec::new();
    for attest in wanted {
        let (file, predicate_type, predicate) = match attest.kind {
            AttestKind::Provenance => {
                let (kind, predicate) = provenance::predicate(export.solved, attest, (number, layers))?;
                ("provenance.json", kind, predicate)
            }
            AttestKind::Sbom => {
                export.begun("generating sbom");
                let predicate = sbom::predicate(export.solved, attest, number, export.cancel)?;
                export.ended("generating sbom");
                ("sbom.spdx.json", sbom::PREDICATE, predicate)
            }
        };
        let subjects: Vec<Value> = subjects
            .iter()
            .map(|(name, digest)| json!({ "name": name, "digest": { "sha256": digest.hex() } }))
            .collect();
        let body = json!({
            "_type": STATEMENT, "predicateType": predicate_type, "subject": subjects, "predicate": predicate,
        });
        all.push(Statement { file, predicate_type: predicate_type.to_owned(), body });
    }
    Ok(all)
}

impl Solved {
    /// How the result `index` was made, with all that is known: the type of the predicate, and the predicate. For the engine's own
    /// records, not for strangers.
    pub fn provenance(&self, index: usize) -> Result<(&'static str, Vec<u8>)> {
        let attest = Attest { kind: AttestKind::Provenance, attributes: BTreeMap::new() };
        let (kind, predicate) = provenance::predicate(self, &attest, (index, &[]))?;
        Ok((kind, predicate.to_string().into_bytes()))
    }
}

/// An image under its names, as package URLs.
pub(crate) fn subjects_of(names: &[Reference], platform: &Platform, manifest: &Digest) -> Subjects {
    names.iter().map(|name| (package_url("docker", &name.clone().or_latest(), Some(platform)), *manifest)).collect()
}

/// `pkg:docker/busybox@1.36?platform=linux%2Famd64` (package-url, docker).
fn package_url(kind: &str, name: &Reference, platform: Option<&Platform>) -> String {
    let plain = Reference { tag: None, digest: None, ..name.clone() }.familiar_name();
    let mut qualifiers = Vec::new();
    let version = name.tag.as_ref().map(|tag| format!("@{}", escaped(tag, ""))).unwrap_or_default();
    if let Some(digest) = &name.digest {
        qualifiers.push(format!("digest={}", escaped(&digest.to_string(), ":")));
    }
    if let Some(platform) = platform {
        let variant = platform.variant.as_ref().map(|variant| format!("/{variant}")).unwrap_or_default();
        let text = format!("{}/{}{variant}", platform.os, platform.architecture);
        qualifiers.push(format!("platform={}", escaped(&text, "")));
    }
    let question = if qualifiers.is_empty() { "" } else { "?" };
    format!("pkg:{kind}/{}{version}{question}{}", escaped(&plain, "/"), qualifiers.join("&"))
}

/// With percent signs where a letter is neither plain nor in `kept`.
fn escaped(text: &str, kept: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        let plain = byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) || kept.as_bytes().contains(&byte);
        if plain { out.push(char::from(byte)) } else { out.push_str(&format!("%{byte:02X}")) }
    }
    out
}

fn flag(attest: &Attest, key: &str) -> Result<bool> {
    match attest.attributes.get(key).map(String::as_str) {
        None | Some("0" | "f" | "F" | "false" | "FALSE" | "False") => Ok(false),
        Some("" | "1" | "t" | "T" | "true" | "TRUE" | "True") => Ok(true),
        Some(other) => Err(Error::Invalid(format!("failed to parse {key} flag {other:?}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_are_package_urls() {
        let url = |name: &str, platform: &str| {
            let platform = image::parse_platform(platform).unwrap();
            package_url("docker", &Reference::parse(name).unwrap().or_latest(), Some(&platform))
        };
        assert_eq!(url("busybox:1.36", "linux/amd64"), "pkg:docker/busybox@1.36?platform=linux%2Famd64");
        assert_eq!(
            url("r.example:5000/a/b", "linux/arm/v7"),
            "pkg:docker/r.example%3A5000/a/b@latest?platform=linux%2Farm%2Fv7"
        );
    }
}
