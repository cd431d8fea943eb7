//! What the command line asks, as the builder takes it.

use crate::status::Refusal;
use api::types::{BuildOption, LocalBuild};
use build::cache::{ExchangeKind, Export, Import};
use build::request::{CacheUse, Entitlements, Granted, Inline, Order};
use build::{Attest, AttestKind, Error, Output, OutputKind, Request};
use std::io::Read;

/// Bytes that a description may have; secrets are in it.
const MOST: usize = 32 << 20;

/// The description at the beginning of a request: up to its first line end.
pub fn description(body: &mut impl Read) -> Result<LocalBuild, Refusal> {
    let broken = |error: std::io::Error| Refusal::invalid(format!("cannot read the request: {error}"));
    let mut text = Vec::new();
    let mut byte = [0];
    while body.read(&mut byte).map_err(broken)? == 1 && byte != *b"\n" {
        if text.len() == MOST {
            return Err(Refusal::invalid(format!("the description of a build is longer than {MOST} bytes")));
        }
        text.push(byte[0]);
    }
    serde_json::from_slice(&text).map_err(|error| Refusal::invalid(format!("cannot read the request: {error}")))
}

/// The request without its Dockerfile.
pub fn request(asked: Request, local: &LocalBuild) -> Result<Request, Refusal> {
    let granted = |name: &str| match local.allow.iter().any(|allowed| allowed == name) {
        true => Granted::Yes,
        false => Granted::No,
    };
    for word in &local.allow {
        let known = ["network.host", "security.insecure"].contains(&word.as_str());
        // What buildx asks of itself, and devices, which need no word here.
        let harmless = word == "device" || ["device=", "fs", "buildx.", "ssh"].iter().any(|own| word.starts_with(own));
        if !known && !harmless {
            return Err(Refusal::invalid(format!(
                "unknown entitlement {word:?}: --allow takes network.host and security.insecure"
            )));
        }
    }
    let cache = match asked.cache {
        CacheUse::All if !local.no_cache_filter.is_empty() => CacheUse::AllBut(local.no_cache_filter.clone()),
        other => other,
    };
    let inline = local.cache_to.iter().any(|option| option.kind == "inline");
    Ok(Request {
        order: Order::Parallel,
        entitlements: Entitlements { host_network: granted("network.host"), insecure: granted("security.insecure") },
        cache,
        cache_from: local.cache_from.iter().map(import).collect::<build::Result<_>>()?,
        inline_cache: if inline { Inline::Yes } else { Inline::No },
        attest: local.attests.iter().map(attest).collect::<build::Result<_>>()?,
        ..asked
    })
}

fn import(option: &BuildOption) -> build::Result<Import> {
    Ok(Import { kind: option.kind.parse()?, attributes: option.attributes.clone() })
}

fn attest(option: &BuildOption) -> build::Result<Attest> {
    let kind = match option.kind.as_str() {
        "provenance" => AttestKind::Provenance,
        "sbom" => AttestKind::Sbom,
        other => return Err(Error::Invalid(format!("unknown attestation type {other:?}: use provenance or sbom"))),
    };
    Ok(Attest { kind, attributes: option.attributes.clone() })
}

/// Where the result goes.
pub fn outputs(local: &LocalBuild) -> build::Result<Vec<Output>> {
    local.outputs.iter().map(output).collect()
}

fn output(option: &BuildOption) -> build::Result<Output> {
    let mut attributes = option.attributes.clone();
    let dest = attributes.remove("dest").filter(|dest| !dest.is_empty());
    let kind = match (option.kind.as_str(), &dest) {
        ("registry", _) => {
            attributes.insert("push".to_owned(), "true".to_owned());
            OutputKind::Image
        }
        // The store is what docker would load it into.
        ("docker", None) => OutputKind::Image,
        (other, _) => other.parse()?,
    };
    Ok(Output { kind, attributes })
}

/// Where what the steps came to is kept for others.
pub fn cache_exports(local: &LocalBuild) -> build::Result<Vec<Export>> {
    let exports = local.cache_to.iter().map(|option| {
        let kind: ExchangeKind = option.kind.parse()?;
        Ok(Export { kind, attributes: option.attributes.clone() })
    });
    exports.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn a_description_ends_with_its_line() {
        let text = "{\"name\":\"Dockerfile\"}\nrest";
        let mut body = text.as_bytes();
        assert_eq!(description(&mut body).expect("a description").name, "Dockerfile");
        assert_eq!(body, b"rest");
        assert_eq!(description(&mut &b"{}"[..]).expect("a description"), LocalBuild::default());
        assert!(description(&mut &b"{"[..]).is_err());
    }

    #[test]
    fn a_registry_is_an_image_that_is_pushed_and_docker_is_the_store() {
        let option = |kind: &str, dest: &str| BuildOption {
            kind: kind.to_owned(),
            attributes: BTreeMap::from([("dest".to_owned(), dest.to_owned())]),
        };
        let registry = output(&option("registry", "")).expect("an output");
        assert_eq!((registry.kind, registry.attributes["push"].as_str()), (OutputKind::Image, "true"));
        assert_eq!(output(&option("docker", "")).expect("an output").kind, OutputKind::Image);
        assert_eq!(output(&option("docker", "x.tar")).expect("an output").kind, OutputKind::Docker);
        assert!(output(&option("floppy", "")).is_err());
    }
}
