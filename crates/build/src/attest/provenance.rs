//! How a result was made: SLSA provenance, in the forms v0.2 and v1, with the fields that BuildKit's have.

use super::{flag, package_url};
use crate::facts::Facts;
use crate::request::Attest;
use crate::solved::{Solved, Told};
use crate::{Error, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use image::Reference;
use image::outbound::Layer;
use oci::image::Platform;
use serde_json::{Map, Value, json};

const V02: &str = "https://slsa.dev/provenance/v0.2";
const V1: &str = "https://slsa.dev/provenance/v1";
const BUILD_TYPE_V02: &str = "https://mobyproject.org/buildkit@v1";
const BUILD_TYPE_V1: &str = "https://github.com/moby/buildkit/blob/master/docs/attestations/slsa-definitions.md";
const FRONTEND: &str = "dockerfile.v0";
/// What says more of the machine than of the build.
const OF_THE_HOST: [&str; 4] = ["cgroup-parent", "image-resolve-mode", "platform", "cache-imports"];

/// How much is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// Nothing that a client may want to keep: no arguments, labels, secrets' names, no Dockerfile.
    Min,
    Max,
}

/// All that both forms say.
struct Said {
    builder: String,
    started: String,
    finished: String,
    reproducible: bool,
    hermetic: bool,
    /// Nothing of what was asked was left out.
    whole_request: bool,
    /// All that went in is named with its digest.
    whole_materials: bool,
    materials: Vec<Value>,
    source: Value,
    parameters: Value,
    platform: String,
    build_config: Option<Value>,
    metadata: Value,
    id: String,
}

/// The type of the predicate, and the predicate.
pub(super) fn predicate(
    solved: &Solved,
    attest: &Attest,
    (number, layers): (usize, &[Layer]),
) -> Result<(&'static str, Value)> {
    let mode = match attest.attributes.get("mode").map(String::as_str) {
        None | Some("" | "max" | "full") => Mode::Max,
        Some("min") => Mode::Min,
        Some(other) => return Err(Error::Invalid(format!("invalid mode {other:?}"))),
    };
    let said = said(solved, attest, mode, (number, layers))?;
    match attest.attributes.get("version").map(String::as_str) {
        None | Some("" | "v0.2") => Ok((V02, v02(said))),
        Some("v1") => Ok((V1, v1(said))),
        Some(other) => Err(Error::Invalid(format!("invalid provenance SLSA version: {other}"))),
    }
}

fn said(solved: &Solved, attest: &Attest, mode: Mode, (number, layers): (usize, &[Layer])) -> Result<Said> {
    let platform = solved.results().get(number).map(|product| &product.platform);
    let facts = &solved.facts;
    let whole_materials = facts.folders.is_empty();
    let (request, whole_request) = parameters(&solved.told, facts, mode);
    let started = if let Some(at) = solved.epoch.and_then(|at| jiff::Timestamp::from_second(at).ok()) {
        (at, at)
    } else {
        (solved.told.begun, jiff::Timestamp::now())
    };
    let (build_config, metadata) = match mode {
        Mode::Min => (None, vcs(&solved.told)),
        Mode::Max => (Some(steps(&solved.told)), everything(&solved.told, layers)),
    };
    Ok(Said {
        builder: attest.attributes.get("builder-id").cloned().unwrap_or_default(),
        started: started.0.to_string(),
        finished: started.1.to_string(),
        reproducible: flag(attest, "reproducible")?,
        hermetic: whole_materials && !facts.network,
        whole_request,
        whole_materials,
        materials: materials(facts, platform),
        source: source(&solved.told, facts),
        parameters: request,
        platform: words(&image::machine_platform()),
        build_config,
        metadata,
        id: invocation(solved, layers),
    })
}

/// Any text that no other build has; of one that is to come out the same each time what it was made of and came to.
fn invocation(solved: &Solved, layers: &[Layer]) -> String {
    const LETTERS: usize = 25;
    let told = &solved.told;
    let whole = match solved.epoch {
        None => told.id.to_string(),
        Some(_) => {
            let arguments = told.arguments.iter().flat_map(|(key, value)| [key.as_bytes(), value.as_bytes()]);
            let layers = layers.iter().map(|layer| &layer.diff_id.as_bytes()[..]);
            crate::context::of_texts(std::iter::once(&told.dockerfile[..]).chain(arguments).chain(layers)).hex()
        }
    };
    whole.chars().take(LETTERS).collect()
}

fn v02(said: Said) -> Value {
    let mut source = said.source;
    rename(&mut source, "path", "entryPoint");
    let mut metadata = json!({
        "buildInvocationID": said.id,
        "buildStartedOn": said.started,
        "buildFinishedOn": said.finished,
        "completeness": { "parameters": said.whole_request, "environment": true, "materials": said.whole_materials },
        "reproducible": said.reproducible,
        "https://mobyproject.org/buildkit@v1#metadata": said.metadata,
    });
    if said.hermetic {
        metadata["https://mobyproject.org/buildkit@v1#hermetic"] = true.into();
    }
    let mut predicate = json!({
        "builder": { "id": said.builder },
        "buildType": BUILD_TYPE_V02,
        "materials": said.materials,
        "invocation": {
            "configSource": source,
            "parameters": said.parameters,
            "environment": { "platform": said.platform },
        },
        "metadata": metadata,
    });
    if let Some(config) = said.build_config {
        predicate["buildConfig"] = config;
    }
    predicate
}

fn v1(said: Said) -> Value {
    let mut internal = json!({ "builderPlatform": said.platform });
    if let Some(config) = said.build_config {
        internal["buildConfig"] = config;
    }
    let mut metadata = json!({
        "invocationID": said.id,
        "startedOn": said.started,
        "finishedOn": said.finished,
        "buildkit_metadata": said.metadata,
        "buildkit_completeness": { "request": said.whole_request, "resolvedDependencies": said.whole_materials },
    });
    if said.hermetic {
        metadata["buildkit_hermetic"] = true.into();
    }
    if said.reproducible {
        metadata["buildkit_reproducible"] = true.into();
    }
    json!({
        "buildDefinition": {
            "buildType": BUILD_TYPE_V1,
            "externalParameters": { "configSource": said.source, "request": said.parameters },
            "internalParameters": internal,
            "resolvedDependencies": said.materials,
        },
        "runDetails": { "builder": { "id": said.builder }, "metadata": metadata },
    })
}

fn rename(object: &mut Value, from: &str, to: &str) {
    if let Some(map) = object.as_object_mut()
        && let Some(value) = map.remove(from)
    {
        map.insert(to.to_owned(), value);
    }
}

/// What went in and can be named: images of this platform, addresses, commits.
fn materials(facts: &Facts, platform: Option<&Platform>) -> Vec<Value> {
    let mut all = Vec::new();
    let fits = |own: &Platform| platform.is_none_or(|wanted| own.architecture == wanted.architecture);
    // One that runs on another platform served all of them.
    let mine = |name: &str| facts.images.iter().any(|other| other.name == name && fits(&other.platform));
    for image in facts.images.iter().filter(|image| fits(&image.platform) || !mine(&image.name)) {
        let Ok(name) = Reference::parse(&image.name) else { continue };
        let uri = package_url("docker", &name, Some(&image.platform));
        all.push(json!({ "uri": uri, "digest": { "sha256": image.digest.hex() } }));
    }
    for (address, commit) in &facts.repositories {
        let kind = if commit.len() == 64 { "sha256" } else { "sha1" };
        let mut digest = Map::new();
        digest.insert(kind.to_owned(), commit.clone().into());
        all.push(json!({ "uri": without_credentials(address), "digest": digest }));
    }
    for (address, digest) in &facts.fetched {
        all.push(json!({ "uri": without_credentials(address), "digest": { "sha256": digest.hex() } }));
    }
    all
}

/// Where the Dockerfile is from.
fn source(told: &Told, facts: &Facts) -> Value {
    let mut source = Map::new();
    if let Some(context) = told.arguments.get("context") {
        source.insert("uri".to_owned(), without_credentials(context).into());
        if let Some(commit) = facts.repositories.get(context) {
            source.insert("digest".to_owned(), json!({ "sha1": commit }));
        }
    }
    let name = told.arguments.get("filename").cloned().unwrap_or_else(|| "Dockerfile".to_owned());
    source.insert("path".to_owned(), name.into());
    Value::Object(source)
}

/// What was asked, and whether that is all of it.
fn parameters(told: &Told, facts: &Facts, mode: Mode) -> (Value, bool) {
    let mut whole = true;
    let mut arguments = Map::new();
    for (key, value) in &told.arguments {
        let elsewhere = key == "filename" || key == "context" || key.starts_with("vcs:") || key.starts_with("attest:");
        if elsewhere || OF_THE_HOST.contains(&key.as_str()) {
            continue;
        }
        if mode == Mode::Min && (key.starts_with("build-arg:") || key.starts_with("label:")) {
            whole = false;
            continue;
        }
        let value = if key.starts_with("context:") { without_credentials(value) } else { value.clone() };
        arguments.insert(key.clone(), value.into());
    }
    let mut request = json!({ "frontend": FRONTEND });
    if !arguments.is_empty() {
        request["args"] = Value::Object(arguments);
    }
    let named = |all: &std::collections::BTreeMap<String, bool>| -> Vec<Value> {
        let one = |(id, optional): (&String, &bool)| match optional {
            true => json!({ "id": id, "optional": true }),
            false => json!({ "id": id }),
        };
        all.iter().map(one).collect()
    };
    if mode == Mode::Max && !facts.secrets.is_empty() {
        request["secrets"] = named(&facts.secrets).into();
    }
    if mode == Mode::Max && !facts.agents.is_empty() {
        request["ssh"] = named(&facts.agents).into();
    }
    if !facts.folders.is_empty() {
        request["locals"] = facts.folders.iter().map(|name| json!({ "name": name })).collect();
    }
    (request, whole)
}

/// The steps by number: each stands on the one before it.
fn steps(told: &Told) -> Value {
    let step = |number: usize| match number.checked_sub(1) {
        None => json!({ "id": "step0" }),
        Some(before) => json!({ "id": format!("step{number}"), "inputs": [format!("step{before}:0")] }),
    };
    json!({ "llbDefinition": (0..told.steps.len()).map(step).collect::<Vec<_>>() })
}

fn vcs(told: &Told) -> Value {
    let vcs: Map<String, Value> = told
        .arguments
        .iter()
        .filter_map(|(key, value)| Some((key.strip_prefix("vcs:")?.to_owned(), without_credentials(value).into())))
        .collect();
    if vcs.is_empty() { json!({}) } else { json!({ "vcs": vcs }) }
}

/// The Dockerfile, where each step stands in it, and the layers as they went out.
fn everything(told: &Told, layers: &[Layer]) -> Value {
    let mut metadata = vcs(told);
    let place = |line: usize| json!({ "line": line });
    let locations: Map<String, Value> = told
        .steps
        .iter()
        .enumerate()
        .map(|(number, lines)| {
            let range = json!({ "start": place(lines.first), "end": place(lines.last) });
            (format!("step{number}"), json!({ "locations": [{ "ranges": [range] }] }))
        })
        .collect();
    let name = told.arguments.get("filename").map_or("Dockerfile", String::as_str);
    metadata["source"] = json!({
        "locations": locations,
        "infos": [{ "filename": name, "language": "Dockerfile", "data": STANDARD.encode(&told.dockerfile) }],
    });
    if !layers.is_empty() {
        let all: Vec<_> = layers.iter().map(|layer| &layer.blob).collect();
        let last = told.steps.len().saturating_sub(1);
        let mut by_step = Map::new();
        by_step.insert(format!("step{last}:0"), json!([all]));
        metadata["layers"] = Value::Object(by_step);
    }
    metadata
}

/// `https://user:secret@host/` without who asks.
fn without_credentials(address: &str) -> String {
    let Some((scheme, rest)) = address.split_once("://") else { return address.to_owned() };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    match authority.rsplit_once('@') {
        Some((who, host)) if who.contains(':') => format!("{scheme}://xxxxx:xxxxx@{host}{path}"),
        // A token may stand there alone.
        Some((_, host)) => format!("{scheme}://xxxxx@{host}{path}"),
        None => address.to_owned(),
    }
}

fn words(platform: &Platform) -> String {
    let variant = platform.variant.as_ref().map(|variant| format!("/{variant}")).unwrap_or_default();
    format!("{}/{}{variant}", platform.os, platform.architecture)
}

#[cfg(test)]
mod tests {
    use super::*;
    use base::{Digest, Id};
    use std::collections::BTreeMap;

    fn told() -> Told {
        let pairs =
            [("build-arg:TOKEN", "x"), ("label:a", "b"), ("target", "t"), ("vcs:revision", "abc"), ("platform", "p")];
        Told {
            attest: Vec::new(),
            dockerfile: b"FROM scratch\n".to_vec(),
            arguments: pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
            id: Id::random(),
            begun: jiff::Timestamp::UNIX_EPOCH,
            steps: vec![dockerfile::Lines { first: 1, last: 1 }],
        }
    }

    #[test]
    fn a_small_provenance_keeps_arguments_to_itself_and_says_so() {
        let facts = Facts { secrets: BTreeMap::from([("s".to_owned(), false)]), ..Facts::default() };
        let (small, whole) = parameters(&told(), &facts, Mode::Min);
        assert_eq!(small, json!({ "frontend": "dockerfile.v0", "args": { "target": "t" } }));
        assert!(!whole);
        let (large, whole) = parameters(&told(), &facts, Mode::Max);
        assert_eq!(large["args"]["build-arg:TOKEN"], "x");
        assert_eq!(large["secrets"], json!([{ "id": "s" }]));
        assert!(whole);
    }

    #[test]
    fn credentials_in_addresses_are_not_told() {
        assert_eq!(without_credentials("https://me:secret@h.example/a@b"), "https://xxxxx:xxxxx@h.example/a@b");
        assert_eq!(without_credentials("https://token@h.example/a"), "https://xxxxx@h.example/a");
        assert_eq!(without_credentials("https://h.example/a:b@c"), "https://h.example/a:b@c");
        let facts = Facts {
            fetched: BTreeMap::from([("https://me:secret@h.example/f".to_owned(), Digest::from_bytes([1; 32]))]),
            ..Facts::default()
        };
        assert!(!materials(&facts, None)[0]["uri"].as_str().unwrap().contains("secret"));
    }

    #[test]
    fn both_forms_say_the_same() {
        let said = || Said {
            builder: "https://builder.example".to_owned(),
            started: "a".to_owned(),
            finished: "b".to_owned(),
            reproducible: true,
            hermetic: false,
            whole_request: true,
            whole_materials: false,
            materials: vec![json!({ "uri": "u" })],
            source: json!({ "path": "Dockerfile" }),
            parameters: json!({ "frontend": "dockerfile.v0" }),
            platform: "linux/amd64".to_owned(),
            build_config: Some(steps(&told())),
            metadata: everything(&told(), &[]),
            id: "i".to_owned(),
        };
        let (old, new) = (v02(said()), v1(said()));
        assert_eq!(old["invocation"]["configSource"]["entryPoint"], "Dockerfile");
        assert_eq!(new["buildDefinition"]["externalParameters"]["configSource"]["path"], "Dockerfile");
        assert_eq!(old["materials"], new["buildDefinition"]["resolvedDependencies"]);
        assert_eq!(old["buildConfig"], new["buildDefinition"]["internalParameters"]["buildConfig"]);
        let source = &old["metadata"]["https://mobyproject.org/buildkit@v1#metadata"]["source"];
        assert_eq!(source["infos"][0]["data"], STANDARD.encode("FROM scratch\n"));
        assert_eq!(source["locations"]["step0"]["locations"][0]["ranges"][0]["start"]["line"], 1);
    }
}
