//! Volumes.

use super::json_body;
use crate::app::App;
use crate::filters::Filters;
use crate::present;
use crate::query::Query;
use crate::status::{self, Answer, Refusal};
use crate::translate::{check_volume_driver, check_volume_name};
use crate::version::ApiVersion;
use api::types::{VolumeCreate, VolumeList, VolumesPruneResponse};
use axum::Router;
use axum::extract::{Path, State};
use axum::routing::{get, post};
use bytes::Bytes;
use engine::{Volume, VolumeMake, VolumeSeen};
use http::StatusCode;

/// The label of volumes that were made without a name; from this version on a prune takes only those.
const ANONYMOUS: &str = "com.docker.volume.anonymous";
const ONLY_ANONYMOUS: u32 = 42;

pub fn routes() -> Router<App> {
    Router::new()
        .route("/volumes", get(list))
        .route("/volumes/create", post(create))
        .route("/volumes/prune", post(prune))
        .route("/volumes/{name}", get(inspect).delete(remove).put(update))
        .route("/volumes/{name}/rename", post(rename))
        .route("/volumes/{name}/clone", post(clone))
}

async fn list(State(app): State<App>, query: Query) -> Answer {
    let filters = Filters::of(&query, &["dangling", "driver", "label", "label!", "name"]).map_err(|refusal| {
        if refusal.message == "invalid filter" { refusal.during("error reading volume filters") } else { refusal }
    })?;
    let dangling = filters.flag("dangling")?;
    let shown = move |seen: &VolumeSeen| {
        dangling.is_none_or(|dangling| seen.used != dangling)
            && filters.exact("driver", "local")
            && filters.pattern("name", &seen.volume.name)
            && filters.labels("label", &seen.volume.labels)
            && filters.without_labels(&seen.volume.labels)
    };
    let seen = app.blocking(move |engine| engine.volumes()).await?;
    let volumes = seen.into_iter().filter(shown).map(|seen| present::volume::of(seen.volume)).collect();
    Ok(status::json(StatusCode::OK, &VolumeList { volumes, warnings: None }))
}

async fn create(State(app): State<App>, body: Bytes) -> Answer {
    if body.iter().all(u8::is_ascii_whitespace) {
        return Err(Refusal::invalid("invalid JSON: got EOF while reading request body"));
    }
    let asked: VolumeCreate = json_body(&body)?;
    if !asked.name.is_empty() {
        check_volume_name(&asked.name)?;
    }
    check_volume_driver(&asked.name, &asked.driver)?;
    if asked.cluster_volume_spec.is_some() {
        return Err(Refusal::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "This node is not a swarm manager. Use \"docker swarm init\" or \"docker swarm join\" to connect this node to swarm and try again.",
        ));
    }
    let name = Some(asked.name).filter(|name| !name.is_empty());
    let make = VolumeMake { name, labels: asked.labels, options: asked.driver_opts };
    let volume = app.blocking(move |engine| engine.volume_create(make)).await?;
    Ok(status::json(StatusCode::CREATED, &present::volume::of(volume)))
}

async fn inspect(State(app): State<App>, Path(name): Path<String>) -> Answer {
    let volume = app.blocking(move |engine| engine.volume(&name)).await.map_err(|refusal| of_name(refusal, "get"))?;
    Ok(status::json(StatusCode::OK, &present::volume::of(volume)))
}

async fn remove(State(app): State<App>, Path(name): Path<String>, query: Query) -> Answer {
    match app.blocking(move |engine| engine.volume_remove(&name)).await.map_err(|refusal| of_name(refusal, "get")) {
        // Gone is what was wanted.
        Err(refusal) if refusal.status == StatusCode::NOT_FOUND && query.flag("force") => Ok(status::no_content()),
        Err(refusal) => Err(refusal),
        Ok(()) => Ok(status::no_content()),
    }
}

/// A name that cannot be one names nothing.
fn of_name(refusal: Refusal, call: &str) -> Refusal {
    match refusal.message.strip_prefix("invalid volume name ") {
        Some(rest) => {
            let name = rest.split(": only").next().unwrap_or_default().trim_matches('"');
            Refusal::not_found(format!("{call} {name}: no such volume"))
        }
        None => refusal,
    }
}

async fn update() -> Answer {
    let text = "volume update only valid for cluster volumes, but swarm is unavailable";
    Err(Refusal::new(StatusCode::SERVICE_UNAVAILABLE, text))
}

async fn prune(State(app): State<App>, version: ApiVersion, query: Query) -> Answer {
    let filters = Filters::of(&query, &["all", "label", "label!"])?;
    if let values @ [_, _, ..] = filters.get("all") {
        let text = format!("invalid filter 'all=[{}]': only one value is expected", values.join(" "));
        return Err(Refusal::invalid(text));
    }
    let all = filters.flag("all")?.unwrap_or(!version.has(ONLY_ANONYMOUS));
    let chosen = move |volume: &Volume| {
        (all || volume.labels.contains_key(ANONYMOUS))
            && filters.labels("label", &volume.labels)
            && filters.without_labels(&volume.labels)
    };
    let pruned = app.blocking(move |engine| engine.volume_prune(&chosen)).await?;
    let answer = VolumesPruneResponse { volumes_deleted: pruned.names, space_reclaimed: pruned.reclaimed };
    Ok(status::json(StatusCode::OK, &answer))
}

/// An extra of this engine: another name, which containers that have the volume follow.
async fn rename(State(app): State<App>, Path(name): Path<String>, query: Query) -> Answer {
    let new = new_name(&query)?;
    let volume = app.blocking(move |engine| engine.volume_rename(&name, &new)).await?;
    Ok(status::json(StatusCode::OK, &present::volume::of(volume)))
}

/// An extra of this engine: a copy, which shares its blocks where the file system can.
async fn clone(State(app): State<App>, Path(name): Path<String>, query: Query) -> Answer {
    let new = new_name(&query)?;
    let volume = app.blocking(move |engine| engine.volume_clone(&name, &new)).await?;
    Ok(status::json(StatusCode::CREATED, &present::volume::of(volume)))
}

fn new_name(query: &Query) -> Result<String, Refusal> {
    let name = query.text("name").ok_or_else(|| Refusal::invalid("the parameter name is missing: the new name"))?;
    check_volume_name(name).map(|()| name.to_owned())
}
