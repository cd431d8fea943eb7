//! The parameters of `POST /build`.

use crate::app::App;
use crate::query::Query;
use crate::routes::containers::create::Host;
use crate::status::Refusal;
use crate::translate::{self, Asked};
use crate::version::ApiVersion;
use api::types::{CreateRequest, HostConfig, TextList, Ulimit};
use build::request::{CacheUse, Entitlements, Granted, Order, Pulling, Squash};
use build::{Keys, Output, Request};
use http::HeaderMap;
use image::Reference;
use registry::Credentials;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;

/// `linux/amd64,linux/arm64`, each once.
fn platforms(query: &Query) -> Result<Vec<oci::image::Platform>, Refusal> {
    let mut found = Vec::new();
    for text in query.text("platform").unwrap_or_default().split(',').map(str::trim).filter(|text| !text.is_empty()) {
        let platform = image::parse_platform(text).map_err(|error| Refusal::from(engine::Error::from(error)))?;
        if !found.contains(&platform) {
            found.push(platform);
        }
    }
    Ok(found)
}

/// What is asked but for the Dockerfile and the files.
pub fn request(app: &App, version: ApiVersion, query: &Query) -> Result<Request, Refusal> {
    let cached: Vec<String> = json(query, "cachefrom")?.unwrap_or_default();
    let cache = match (query.flag("nocache"), cached.is_empty()) {
        (true, _) => CacheUse::Nothing,
        (false, true) => CacheUse::All,
        (false, false) => CacheUse::Images(cached),
    };
    Ok(Request {
        dockerfile: Vec::new(),
        target: query.text("target").map(str::to_owned),
        arguments: arguments(query)?,
        labels: json(query, "labels")?.unwrap_or_default(),
        platforms: platforms(query)?,
        cache,
        pull: if query.flag("pull") { Pulling::Always } else { Pulling::Missing },
        order: Order::InTurn,
        steps: steps(app, version, query)?,
        // Who may speak to this socket may have a container of any kind; who wrote the Dockerfile may be somebody else, and this
        // door has no words to grant him all rights (CVE-2024-23653).
        entitlements: Entitlements {
            host_network: if query.get("networkmode") == "host" { Granted::Yes } else { Granted::No },
            insecure: Granted::No,
        },
        squash: if query.flag("squash") { Squash::Yes } else { Squash::No },
        ..Request::default()
    })
}

/// An image in the store, under the names that are asked for.
pub fn output(query: &Query) -> Result<Output, Refusal> {
    Ok(Output::image(&names(query)?))
}

/// JSON in a parameter; none when it is not there.
pub fn json<T: DeserializeOwned>(query: &Query, name: &str) -> Result<Option<T>, Refusal> {
    let Some(text) = query.text(name) else { return Ok(None) };
    let wrong = |error| Refusal::invalid(format!("error reading {name}: {error}"));
    serde_json::from_str(text).map_err(wrong)
}

/// One without a value has that of the engine's own environment, which is nobody's business: it has none.
fn arguments(query: &Query) -> Result<BTreeMap<String, String>, Refusal> {
    let asked: BTreeMap<String, Option<String>> = json(query, "buildargs")?.unwrap_or_default();
    Ok(asked.into_iter().filter_map(|(name, value)| Some((name, value?))).collect())
}

fn names(query: &Query) -> Result<Vec<Reference>, Refusal> {
    let mut names = Vec::new();
    for text in query.all("t").filter(|text| !text.is_empty()) {
        let parsed = Reference::parse(text).map_err(|error| Refusal::invalid(base::chain(&error)))?;
        if parsed.digest.is_some() {
            return Err(Refusal::invalid("build tag cannot contain a digest"));
        }
        let named = parsed.or_latest();
        if !names.contains(&named) {
            names.push(named);
        }
    }
    Ok(names)
}

/// How the containers of steps are, as a container of these limits would be.
pub fn steps(app: &App, version: ApiVersion, query: &Query) -> Result<container::Config, Refusal> {
    let number = |name: &str| query.number(name).map(Option::unwrap_or_default);
    let all = |name: &str| Some(query.all(name).map(str::to_owned).collect::<Vec<_>>()).filter(|all| !all.is_empty());
    let mut swap = number("memswap")?;
    if swap == 0 {
        swap = translate::default_swap(number("memory")?, swap);
    }
    let host = HostConfig {
        network_mode: query.get("networkmode").to_owned(),
        extra_hosts: all("extrahosts"),
        shm_size: number("shmsize")?,
        memory: number("memory")?,
        memory_swap: swap,
        cpu_shares: number("cpushares")?,
        cpu_period: number("cpuperiod")?,
        cpu_quota: number("cpuquota")?,
        cpuset_cpus: query.get("cpusetcpus").to_owned(),
        cpuset_mems: query.get("cpusetmems").to_owned(),
        cgroup_parent: query.get("cgroupparent").to_owned(),
        ulimits: json::<Vec<Ulimit>>(query, "ulimits")?,
        security_opt: json(query, "securityopt")?,
        isolation: query.get("isolation").to_owned(),
        ..HostConfig::default()
    };
    let mut asked = CreateRequest { host_config: host, ..CreateRequest::default() };
    app.options().defaults.fill(&mut asked);
    // A container needs something to be of, and to do: each step has its own.
    asked.config.image = "scratch".to_owned();
    asked.config.cmd = Some(TextList(vec!["/".to_owned()]));
    let meant = translate::meant(Asked { request: &asked, version }, &Host(&app.engine))?;
    Ok(container::Config { image: String::new(), cmd: None, ..meant.config })
}

/// The header `X-Registry-Config`: who asks which registry.
#[derive(Debug, Default)]
pub struct Headers(BTreeMap<String, Credentials>);

impl Headers {
    /// As for Docker, a header that cannot be read is nobody's.
    pub fn of(headers: &HeaderMap) -> Headers {
        let text = headers.get("x-registry-config").and_then(|value| value.to_str().ok()).unwrap_or_default();
        Headers(Credentials::map_from_header(text).unwrap_or_else(|error| {
            tracing::debug!("{}", base::chain(&error));
            BTreeMap::new()
        }))
    }
}

impl Keys for Headers {
    fn of(&self, reference: &Reference) -> Credentials {
        let is_hub = reference.domain == "docker.io";
        let same = |key: &str| {
            let host = key.trim_start_matches("https://").trim_start_matches("http://");
            let host = host.split('/').next().unwrap_or_default();
            host == reference.domain || (is_hub && host == "index.docker.io")
        };
        self.0.iter().find(|(key, _)| same(key)).map(|(_, who)| who.clone()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_found_by_the_registrys_host() {
        let who = |name: &str| Credentials { username: name.to_owned(), ..Credentials::default() };
        let keys = Headers(BTreeMap::from([
            ("https://index.docker.io/v1/".to_owned(), who("hub")),
            ("r.example:5000".to_owned(), who("own")),
        ]));
        let found = |name: &str| keys.of(&Reference::parse(name).expect("a reference")).username;
        assert_eq!(found("busybox"), "hub");
        assert_eq!(found("r.example:5000/a/b"), "own");
        assert_eq!(found("other.example/a"), "");
    }
}
