//! What the frontend `dockerfile.v0` is asked by its attributes: where the files come from, and what is to be built of them.

use crate::{Error, Result};
use build::context::Folder;
use build::request::{CacheUse, Entitlements, Granted, Order, Pulling};
use container::{NetworkMode, Ulimit};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

/// The name of the Dockerfile unless another one is asked for.
pub const DOCKERFILE: &str = "Dockerfile";

/// Where the files of a build come from.
#[derive(Debug, Clone, Default)]
pub struct FrontendOptions {
    /// The path of the Dockerfile in its source.
    pub filename: String,
    pub dockerfile: DockerfileSource,
    pub context: ContextSource,
    /// The folder of a context that is not the client's which is meant (`contextsubdir`).
    pub sub_folder: Option<String>,
    /// Named contexts, by name or by `name::platform`.
    pub named: BTreeMap<String, ContextSource>,
    /// Folders that another session than the build's has, by their names.
    pub sessions: BTreeMap<String, String>,
    /// What `ContextSource::Input` names.
    pub inputs: BTreeMap<String, Input>,
    /// `.git` of a repository stays (`BUILDKIT_CONTEXT_KEEP_GIT_DIR`).
    pub keep_git: bool,
}

/// Where the Dockerfile is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DockerfileSource {
    /// In a folder of the client's, by its name.
    Local(String),
    /// In the main context.
    Context,
    /// In an input.
    Input(String),
}

impl Default for DockerfileSource {
    fn default() -> DockerfileSource {
        DockerfileSource::Local("dockerfile".to_owned())
    }
}

/// What a context is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ContextSource {
    /// A folder of the client's, by its name.
    Local(String),
    /// An image, by its reference.
    Image(String),
    /// An image that a store of the client's has.
    OciLayout { store: String, reference: String },
    /// A repository, an archive or a Dockerfile at an address; also what the client uploads (`http://buildkit-session/`).
    Remote(String),
    /// What the client had built or fetched before.
    Input(String),
}

impl Default for ContextSource {
    fn default() -> ContextSource {
        ContextSource::Local("context".to_owned())
    }
}

/// What a client had built or fetched before.
#[derive(Debug, Clone)]
pub enum Input {
    /// The result of a build, for each platform.
    Result(Arc<build::Solved>),
    Folder(Arc<Folder>),
}

/// The attributes, by name.
pub type Attributes = BTreeMap<String, String>;

impl FrontendOptions {
    /// Reads the attributes; `inputs` are what came with them.
    pub fn parse(attributes: &Attributes, inputs: BTreeMap<String, Input>) -> Result<FrontendOptions> {
        let get = |name: &str| attributes.get(name).map(String::as_str);
        let key = get("contextkey").unwrap_or("context");
        let named_input = |name: &str| inputs.contains_key(name).then(|| ContextSource::Input(name.to_owned()));
        let context = match get(key) {
            Some(address) if !address.is_empty() => remote(address)?,
            _ => named_input("context").unwrap_or_default(),
        };
        let dockerfile = match get("dockerfilekey") {
            Some(name) => DockerfileSource::Local(name.to_owned()),
            None if inputs.contains_key("dockerfile") => DockerfileSource::Input("dockerfile".to_owned()),
            None if matches!(context, ContextSource::Remote(_)) => DockerfileSource::Context,
            None => DockerfileSource::default(),
        };
        let mut named = BTreeMap::new();
        for (name, value) in below(attributes, "context:") {
            named.insert(name.clone(), context_source(&name, &value, &inputs)?);
        }
        Ok(FrontendOptions {
            filename: get("filename").filter(|name| !name.is_empty()).unwrap_or(DOCKERFILE).to_owned(),
            dockerfile,
            context,
            sub_folder: get("contextsubdir").filter(|path| !path.is_empty()).map(str::to_owned),
            named,
            sessions: below(attributes, "local-sessionid:"),
            keep_git: is_true(get("build-arg:BUILDKIT_CONTEXT_KEEP_GIT_DIR").unwrap_or_default()),
            inputs,
        })
    }
}

/// The attributes whose names begin so, without that.
pub fn below(attributes: &Attributes, prefix: &str) -> BTreeMap<String, String> {
    let own = attributes.range(prefix.to_owned()..);
    own.map_while(|(name, value)| Some((name.strip_prefix(prefix)?.to_owned(), value.clone()))).collect()
}

fn remote(address: &str) -> Result<ContextSource> {
    let known = ["http://", "https://", "git://", "ssh://", "git@"];
    if known.iter().any(|prefix| address.starts_with(prefix)) || address.starts_with("github.com/") {
        return Ok(ContextSource::Remote(address.to_owned()));
    }
    // As BuildKit, for which another address is no remote context: the client's folder is meant.
    match address.split_once("://") {
        Some((scheme, _)) => Err(Error::Invalid(format!("unsupported context source {scheme} for context"))),
        None => Ok(ContextSource::default()),
    }
}

fn context_source(name: &str, value: &str, inputs: &BTreeMap<String, Input>) -> Result<ContextSource> {
    let (scheme, rest) =
        value.split_once(':').ok_or_else(|| Error::Invalid(format!("invalid context specifier {value} for {name}")))?;
    let bare = rest.strip_prefix("//").unwrap_or(rest);
    match scheme {
        "docker-image" => Ok(ContextSource::Image(bare.to_owned())),
        "oci-layout" => layout(bare),
        "local" => Ok(ContextSource::Local(rest.to_owned())),
        "input" if inputs.contains_key(rest) => Ok(ContextSource::Input(rest.to_owned())),
        "input" => Err(Error::Invalid(format!("invalid input {rest} for {name}"))),
        "git" | "http" | "https" | "ssh" => Ok(ContextSource::Remote(value.to_owned())),
        other if other.starts_with("git@") => Ok(ContextSource::Remote(value.to_owned())),
        other => Err(Error::Invalid(format!("unsupported context source {other} for {name}"))),
    }
}

/// `STORE:TAG@DIGEST`
fn layout(text: &str) -> Result<ContextSource> {
    let Some((named, digest)) = text.split_once('@') else {
        return Err(Error::Invalid(format!("oci-layout reference {text:?} has no digest")));
    };
    let store = named.split(':').next().unwrap_or_default();
    if store.is_empty() || digest.parse::<base::Digest>().is_err() {
        return Err(Error::Invalid(format!("could not parse oci-layout reference {text:?}")));
    }
    Ok(ContextSource::OciLayout { store: store.to_owned(), reference: text.to_owned() })
}

/// What Go's `strconv.ParseBool` takes for true.
pub fn is_true(text: &str) -> bool {
    matches!(text, "1" | "t" | "T" | "true" | "TRUE" | "True")
}

/// What Go's `strconv.ParseBool` makes of a word; `None` when it is none of its words.
fn boolean(text: &str) -> Option<bool> {
    match text {
        text if is_true(text) => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

/// A cache to import, as a client writes it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize)]
pub struct CacheEntry {
    #[serde(rename = "Type", alias = "type", default)]
    pub kind: String,
    #[serde(rename = "Attrs", alias = "attrs", default)]
    pub attributes: BTreeMap<String, String>,
}

/// What the attributes say of caches to import.
pub fn cache_imports(attributes: &Attributes) -> Result<Vec<CacheEntry>> {
    let mut found = Vec::new();
    if let Some(text) = attributes.get("cache-imports").filter(|text| !text.is_empty()) {
        let entries: Vec<CacheEntry> = serde_json::from_str(text)
            .map_err(|error| Error::Invalid(format!("failed to unmarshal cache-imports ({text:?}): {error}")))?;
        found.extend(entries);
    }
    if let Some(text) = attributes.get("cache-from").filter(|text| !text.is_empty()) {
        found.extend(text.split(',').map(|name| CacheEntry {
            kind: "registry".to_owned(),
            attributes: BTreeMap::from([("ref".to_owned(), name.to_owned())]),
        }));
    }
    Ok(found)
}

/// Whether an index is wanted though it is one platform only, or more than one must not be.
pub fn multi_platform(attributes: &Attributes) -> Result<Option<bool>> {
    let argument = attributes.get("build-arg:BUILDKIT_MULTI_PLATFORM").filter(|text| !text.is_empty());
    let Some(text) = argument.or_else(|| attributes.get("multi-platform")).filter(|text| !text.is_empty()) else {
        return Ok(None);
    };
    boolean(text).map(Some).ok_or_else(|| Error::Invalid(format!("invalid boolean value for multi-platform: {text}")))
}

/// What is to be built, but for the Dockerfile; `steps` is how a container of a step is unless the attributes say otherwise.
pub fn request(attributes: &Attributes, granted: &[String], steps: container::Config) -> Result<build::Request> {
    let get = |name: &str| attributes.get(name).map(String::as_str).filter(|text| !text.is_empty());
    let entitlements = entitlements(granted)?;
    let mut request = build::Request {
        target: get("target").map(str::to_owned),
        arguments: below(attributes, "build-arg:"),
        labels: below(attributes, "label:"),
        cache: cache_use(attributes.get("no-cache").map(String::as_str)),
        pull: pulling(get("image-resolve-mode").unwrap_or("default"))?,
        order: Order::Parallel,
        steps: limits(attributes, steps)?,
        entitlements,
        ..build::Request::default()
    };
    platforms(&mut request, get("platform"))?;
    if request.platforms.len() > 1 && multi_platform(attributes)? == Some(false) {
        return Err(Error::Invalid(
            "conflicting config: returning multiple target platforms is not allowed".to_owned(),
        ));
    }
    if request.steps.network == NetworkMode::Host && entitlements.host_network == Granted::No {
        return Err(build::Error::NotEntitled("network.host").into());
    }
    Ok(request)
}

fn platforms(request: &mut build::Request, text: Option<&str>) -> Result<()> {
    for one in text.into_iter().flat_map(|text| text.split(',')) {
        let parsed = image::parse_platform(one).map_err(|error| {
            Error::Invalid(format!("failed to parse target platform {one}: {}", base::chain(&error)))
        })?;
        if !request.platforms.contains(&parsed) {
            request.platforms.push(parsed);
        }
    }
    Ok(())
}

/// What a client gives a build.
pub fn entitlements(granted: &[String]) -> Result<Entitlements> {
    let mut entitlements = Entitlements::default();
    for name in granted {
        match name.as_str() {
            "network.host" => entitlements.host_network = Granted::Yes,
            "security.insecure" => entitlements.insecure = Granted::Yes,
            _ => return Err(Error::Invalid(format!("invalid entitlement: unknown entitlement {name}"))),
        }
    }
    Ok(entitlements)
}

fn cache_use(without: Option<&str>) -> CacheUse {
    match without {
        None => CacheUse::All,
        Some("") => CacheUse::Nothing,
        Some(stages) => CacheUse::AllBut(stages.split(',').map(str::to_owned).collect()),
    }
}

fn pulling(mode: &str) -> Result<Pulling> {
    match mode {
        "default" | "local" => Ok(Pulling::Missing),
        "pull" => Ok(Pulling::Always),
        other => Err(Error::Invalid(format!("invalid image-resolve-mode: {other}"))),
    }
}

/// How the programs of the build run.
fn limits(attributes: &Attributes, steps: container::Config) -> Result<container::Config> {
    let get = |name: &str| attributes.get(name).map(String::as_str).filter(|text| !text.is_empty());
    let mut steps = steps;
    match get("force-network-mode") {
        None | Some("sandbox") => {}
        Some("host") => steps.network = NetworkMode::Host,
        Some("none") => steps.network = NetworkMode::None,
        Some(other) => return Err(Error::Invalid(format!("invalid netmode {other}"))),
    }
    for field in fields(get("add-hosts"), "additional hosts")? {
        steps.extra_hosts.push(extra_host(&field)?);
    }
    if let Some(text) = get("shm-size") {
        let size: i64 = text.parse().map_err(|_| Error::Invalid(format!("failed to parse shm size: {text:?}")))?;
        steps.shm_size = size.max(0).unsigned_abs();
    }
    for field in fields(get("ulimit"), "ulimit")? {
        let limit = ulimit(&field)?;
        steps.ulimits.retain(|known| known.name != limit.name);
        steps.ulimits.push(limit);
    }
    if let Some(parent) = get("cgroup-parent") {
        steps.cgroup_parent = parent.to_owned();
    }
    if let Some(name) = get("build-arg:BUILDKIT_SANDBOX_HOSTNAME").or_else(|| get("hostname")) {
        steps.hostname = name.to_owned();
    }
    Ok(steps)
}

/// The fields of one line of comma-separated values.
fn fields(text: Option<&str>, what: &str) -> Result<Vec<String>> {
    let Some(text) = text else { return Ok(Vec::new()) };
    dockerfile::csv_fields(text).map_err(|error| Error::Invalid(format!("failed to parse {what}: {error}")))
}

fn extra_host(field: &str) -> Result<(String, String)> {
    let lower = field.to_lowercase();
    let (name, address) =
        lower.split_once('=').ok_or_else(|| Error::Invalid(format!("invalid key-value pair {lower}")))?;
    let bare = address.trim_start_matches('[').trim_end_matches(']');
    let parsed: IpAddr = bare.parse().map_err(|_| Error::Invalid(format!("failed to parse IP {address}")))?;
    Ok((name.to_owned(), parsed.to_string()))
}

/// `nofile=1024:2048`
fn ulimit(field: &str) -> Result<Ulimit> {
    let wrong = || Error::Invalid(format!("invalid ulimit argument: {field}"));
    let (name, values) = field.split_once('=').ok_or_else(wrong)?;
    let (soft, hard) = values.split_once(':').unwrap_or((values, values));
    let number = |text: &str| text.parse::<i64>().map_err(|_| wrong());
    let (soft, hard) = (number(soft)?, number(hard)?);
    if hard != -1 && (soft > hard || soft == -1) {
        return Err(Error::Invalid(format!(
            "ulimit soft limit must be less than or equal to hard limit: {soft} > {hard}"
        )));
    }
    Ok(Ulimit { name: name.to_owned(), soft, hard })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attributes(all: &[(&str, &str)]) -> Attributes {
        all.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    fn parsed(all: &[(&str, &str)]) -> Result<FrontendOptions> {
        FrontendOptions::parse(&attributes(all), BTreeMap::new())
    }

    fn asked(all: &[(&str, &str)]) -> std::result::Result<build::Request, String> {
        request(&attributes(all), &[], container::Config::default()).map_err(|error| error.to_string())
    }

    #[test]
    fn without_attributes_all_comes_from_the_client() {
        let options = parsed(&[]).expect("parsed");
        assert_eq!(options.filename, "Dockerfile");
        assert_eq!(options.context, ContextSource::Local("context".to_owned()));
        assert_eq!(options.dockerfile, DockerfileSource::Local("dockerfile".to_owned()));
    }

    #[test]
    fn a_remote_context_has_its_dockerfile_unless_the_client_has_it() {
        let address = ("context", "https://example.com/x.git#main");
        let options = parsed(&[address]).expect("parsed");
        assert_eq!(options.context, ContextSource::Remote(address.1.to_owned()));
        assert_eq!(options.dockerfile, DockerfileSource::Context);
        let own = parsed(&[address, ("dockerfilekey", "dockerfile")]).expect("parsed");
        assert_eq!(own.dockerfile, DockerfileSource::Local("dockerfile".to_owned()));
    }

    #[test]
    fn named_contexts_are_of_the_known_kinds() {
        let digest = format!("sha256:{}", "a".repeat(64));
        let layout = format!("oci-layout://abc:latest@{digest}");
        let options = parsed(&[
            ("context:a", "local:a"),
            ("context:b", "docker-image://busybox"),
            ("context:c::linux/arm64", "https://example.com/x.git"),
            ("context:d", &layout),
        ]);
        let named = options.expect("parsed").named;
        assert_eq!(named["a"], ContextSource::Local("a".to_owned()));
        assert_eq!(named["b"], ContextSource::Image("busybox".to_owned()));
        assert_eq!(named["c::linux/arm64"], ContextSource::Remote("https://example.com/x.git".to_owned()));
        let reference = format!("abc:latest@{digest}");
        assert_eq!(named["d"], ContextSource::OciLayout { store: "abc".to_owned(), reference });
    }

    #[test]
    fn strange_contexts_are_refused() {
        for value in ["", "nothing", "ftp://x", "input:none", "oci-layout://x", "oci-layout://@sha256:1", ":"] {
            assert!(parsed(&[("context:a", value)]).is_err(), "{value}");
        }
    }

    #[test]
    fn limits_of_the_steps_are_read() {
        let request = asked(&[
            ("add-hosts", "a=10.0.0.1,b=::1"),
            ("ulimit", "nofile=1:2,core=0"),
            ("shm-size", "1048576"),
            ("force-network-mode", "none"),
            ("cgroup-parent", "/x"),
            ("hostname", "h"),
        ]);
        let steps = request.expect("a request").steps;
        let host = |name: &str, address: &str| (name.to_owned(), address.to_owned());
        assert_eq!(steps.extra_hosts, [host("a", "10.0.0.1"), host("b", "::1")]);
        assert_eq!(steps.ulimits.len(), 2);
        assert_eq!((steps.ulimits[0].soft, steps.ulimits[0].hard), (1, 2));
        assert_eq!(steps.shm_size, 1 << 20);
        assert_eq!(steps.network, NetworkMode::None);
        assert_eq!((steps.cgroup_parent.as_str(), steps.hostname.as_str()), ("/x", "h"));
    }

    #[test]
    fn strange_values_are_refused_and_none_panics() {
        let strange = [
            ("shm-size", "x"),
            ("ulimit", "nofile"),
            ("ulimit", "nofile=2:1"),
            ("ulimit", "nofile=99999999999999999999"),
            ("add-hosts", "a"),
            ("add-hosts", "a=b"),
            ("add-hosts", "\"a"),
            ("force-network-mode", "host"),
            ("force-network-mode", "x"),
            ("image-resolve-mode", "x"),
            ("platform", "a/b/c/d/e"),
            ("platform", ","),
        ];
        for (name, value) in strange {
            assert!(asked(&[(name, value)]).is_err(), "{name}={value}");
        }
    }

    #[test]
    fn the_cache_is_left_out_for_all_or_for_some_stages() {
        let cache = |value: Option<&str>| {
            let all: Vec<_> = value.map(|value| ("no-cache", value)).into_iter().collect();
            asked(&all).expect("a request").cache
        };
        assert_eq!(cache(None), CacheUse::All);
        assert_eq!(cache(Some("")), CacheUse::Nothing);
        assert_eq!(cache(Some("a,b")), CacheUse::AllBut(vec!["a".to_owned(), "b".to_owned()]));
    }

    #[test]
    fn caches_come_in_two_spellings() {
        let text = r#"[{"Type":"registry","Attrs":{"ref":"x"}},{"type":"local"}]"#;
        let found = cache_imports(&attributes(&[("cache-imports", text), ("cache-from", "a,b")])).expect("caches");
        let kinds: Vec<&str> = found.iter().map(|entry| entry.kind.as_str()).collect();
        assert_eq!(kinds, ["registry", "local", "registry", "registry"]);
        assert_eq!(found[3].attributes["ref"], "b");
        assert!(cache_imports(&attributes(&[("cache-imports", "{")])).is_err());
    }

    proptest::proptest! {
        #[test]
        fn no_attribute_whatever_it_says_panics(which in 0usize..14, value in ".{0,40}", more in "[a-z:@/=,\"0-9.\\[\\]#-]{0,40}") {
            let names = [
                "context", "contextkey", "filename", "context:a", "no-cache", "image-resolve-mode", "platform", "add-hosts",
                "force-network-mode", "shm-size", "ulimit", "cache-imports", "multi-platform", "hostname",
            ];
            for value in [&value, &more] {
                let all = attributes(&[(names[which], value)]);
                let _ = FrontendOptions::parse(&all, BTreeMap::new());
                let _ = request(&all, std::slice::from_ref(value), container::Config::default());
                let _ = cache_imports(&all);
                let _ = multi_platform(&all);
            }
        }
    }

    #[test]
    fn only_known_rights_are_granted() {
        let granted = |name: &str| entitlements(&[name.to_owned()]);
        assert_eq!(granted("network.host").expect("known").host_network, Granted::Yes);
        assert_eq!(granted("security.insecure").expect("known").insecure, Granted::Yes);
        for strange in [
            "device",
            "",
            "network.host=",
            "network.host=x",
            "Network.host",
            "security.insecure ",
            "security.insecure=no",
            "security",
            "2",
            "-1",
        ] {
            assert!(granted(strange).is_err(), "{strange}");
        }
    }

    /// CVE-2024-23653: no spelling of an attribute is a right that was not given.
    #[test]
    fn no_value_of_a_network_is_the_hosts_by_mistake() {
        let modes = [
            "host",
            "HOST",
            "Host",
            "host ",
            "1",
            "2",
            "-1",
            "unset",
            "bridge",
            "container:x",
            "default",
            "sandbox,host",
        ];
        for mode in modes {
            assert!(asked(&[("force-network-mode", mode)]).is_err(), "{mode}");
        }
        let network = |mode: &str, granted: &[String]| {
            let all = attributes(&[("force-network-mode", mode)]);
            request(&all, granted, container::Config::default()).map(|request| request.steps.network)
        };
        let all = ["network.host".to_owned()];
        assert_eq!(network("host", &all).expect("granted"), NetworkMode::Host);
        assert!(network("host", &["security.insecure".to_owned()]).is_err());
        for mode in ["HOST", "1", "2", "-1"] {
            assert!(network(mode, &all).is_err(), "{mode}");
        }
        // Rights are for the call to give, not for what is built.
        for name in ["entitlements", "allow", "security", "security-mode", "build-arg:BUILDKIT_INSECURE"] {
            let request = asked(&[(name, "security.insecure")]).expect("a request");
            assert_eq!((request.entitlements.insecure, request.entitlements.host_network), (Granted::No, Granted::No));
        }
    }
}
