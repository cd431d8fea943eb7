//! `POST /containers/create`

use super::platform;
use crate::app::App;
use crate::defaults::Defaults;
use crate::present;
use crate::query::Query;
use crate::status::{self, Answer, Refusal};
use crate::translate::{self, Around, Asked, Neighbour, Runtime};
use crate::version::ApiVersion;
use api::types::{CreateRequest, CreateResponse, TextList};
use axum::extract::State;
use bytes::Bytes;
use engine::Engine;
use http::StatusCode;
use rustix::fs::{FileType, stat};
use serde_json::Value;
use std::path::Path;

pub async fn post(State(app): State<App>, version: ApiVersion, query: Query, body: Bytes) -> Answer {
    let options = app.options();
    let answer = app.blocking(move |engine| create(engine, &options.defaults, &query, (version, &body))).await?;
    Ok(status::json(StatusCode::CREATED, &answer))
}

fn create(
    engine: &Engine,
    defaults: &Defaults,
    query: &Query,
    (version, body): (ApiVersion, &[u8]),
) -> Result<CreateResponse, Refusal> {
    let invalid = |error: serde_json::Error| Refusal::invalid(format!("invalid JSON: {error}"));
    let nothing = || Refusal::invalid("config cannot be empty in order to create a container");
    if body.iter().all(u8::is_ascii_whitespace) {
        return Err(nothing());
    }
    let mut request: CreateRequest = serde_json::from_slice(body).map_err(invalid)?;
    let mut asked: Value = serde_json::from_slice(body).map_err(invalid)?;
    if asked.as_object().is_some_and(|fields| fields.keys().all(|key| BESIDE.contains(&key.as_str()))) {
        return Err(nothing());
    }
    let has_words = |list: &Option<TextList>| list.as_ref().is_some_and(|list| !list.0.is_empty());
    let config = &request.config;
    if config.image.is_empty() && !has_words(&config.cmd) && !has_words(&config.entrypoint) {
        return Err(Refusal::invalid("no command specified"));
    }
    let platform =
        query.text("platform").map(|text| platform::fits(engine, text, &request.config.image)).transpose()?;
    defaults.fill(&mut request);
    if version.has(42) {
        request.host_config.kernel_memory = 0;
    }
    let mut meant = translate::meant(Asked { request: &request, version }, &Host(engine))?;
    settle_oom(&mut asked, engine.abilities().oom_kill_disable);
    meant.config.asked = present::kept(asked).into();
    meant.config.platform = platform.clone();
    meant.config.publish_all_at = defaults.publish_at();
    let created = engine.create(query.text("name"), meant.config)?;
    // Who asks for a platform knows which one it is.
    let told = created.warnings.into_iter().filter(|warning| platform.is_none() || !platform::is_told_by(warning));
    let warnings = meant.warnings.into_iter().chain(told).collect();
    Ok(CreateResponse { id: created.id.to_string(), warnings })
}

/// Docker writes the default down where the kernel leaves the choice, and nothing where it does not.
fn settle_oom(asked: &mut Value, choice: bool) {
    let Some(fields) = asked.as_object_mut() else { return };
    let host = fields.entry("HostConfig").or_insert(Value::Null);
    if host.is_null() {
        *host = Value::Object(serde_json::Map::new());
    }
    let Some(host) = host.as_object_mut() else { return };
    let disable = host.get("OomKillDisable").and_then(Value::as_bool).unwrap_or_default();
    host.insert("OomKillDisable".to_owned(), if choice { disable.into() } else { Value::Null });
}

/// What stands in a request beside the configuration.
const BESIDE: [&str; 2] = ["HostConfig", "NetworkingConfig"];

/// This machine and its containers.
pub struct Host<'a>(pub &'a Engine);

impl Around for Host<'_> {
    fn processors(&self) -> usize {
        std::thread::available_parallelism().map_or(1, Into::into)
    }

    fn memory_nodes(&self) -> String {
        let nodes = std::fs::read_to_string("/sys/devices/system/node/online");
        // A kernel without NUMA has one.
        nodes.map_or_else(|_| "0".to_owned(), |nodes| nodes.trim().to_owned())
    }

    fn limits(&self) -> bool {
        self.0.has_limits()
    }

    fn runtime(&self, name: &str) -> Runtime {
        let own = |name: &str| matches!(name, "dhow" | "runc" | "io.containerd.runc.v2");
        let settings = self.0.settings();
        let Some(program) = settings.runtimes.get(name) else {
            return if name.is_empty() || own(name) { Runtime::Own } else { Runtime::Unknown };
        };
        let file = Path::new(program).file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let is_this = std::fs::canonicalize(program).is_ok_and(|path| path == settings.binary);
        if is_this || own(file) { Runtime::Own } else { Runtime::Foreign(program.clone()) }
    }

    fn cgroup_driver(&self) -> cgroup::Driver {
        self.0.cgroup_driver()
    }

    fn abilities(&self) -> Option<cgroup::Abilities> {
        self.0.has_limits().then(|| self.0.abilities())
    }

    /// One that is not there is a wrong request: a client takes 404 at creation for a missing image, and would pull it.
    fn neighbour(&self, name: &str) -> Result<Neighbour, Refusal> {
        let snapshot =
            self.0.inspect(name).map_err(|error| Refusal { status: StatusCode::BAD_REQUEST, ..error.into() })?;
        Ok(Neighbour { id: snapshot.container.id.to_string(), mounts: snapshot.container.mounts.clone() })
    }

    fn exists(&self, path: &Path) -> bool {
        path.exists()
    }

    fn device(&self, path: &str) -> Result<(i64, i64), Refusal> {
        let data = stat(path).map_err(|error| Refusal::invalid(format!("stat {path}: {error}")))?;
        if FileType::from_raw_mode(data.st_mode) != FileType::BlockDevice {
            return Err(Refusal::invalid(format!("{path} is not a block device")));
        }
        Ok((i64::from(rustix::fs::major(data.st_rdev)), i64::from(rustix::fs::minor(data.st_rdev))))
    }
}
