//! `POST /containers/{id}/stop`, `/restart` and `/kill`

use super::start::changed;
use crate::app::App;
use crate::query::Query;
use crate::routes::stop_request;
use crate::status::{Answer, Refusal, no_content};
use crate::version::ApiVersion;
use axum::extract::{Path, State};
use engine::{Engine, WaitCondition};
use http::StatusCode;
use std::time::Duration;

/// How long a killed container may take to end.
const PATIENCE: Duration = Duration::from_secs(10);

pub async fn stop(State(app): State<App>, Path(id): Path<String>, version: ApiVersion, query: Query) -> Answer {
    let request = stop_request(version, &query)?;
    let name = id.clone();
    let stopped = app.to_the_end(|engine| async move { engine.stop(&id, request).await }).await;
    Ok(changed(stopped.map_err(|refusal| failed(refusal, &format!("cannot stop container: {name}")))?))
}

pub async fn restart(State(app): State<App>, Path(id): Path<String>, version: ApiVersion, query: Query) -> Answer {
    let request = stop_request(version, &query)?;
    let name = id.clone();
    let restarted = app.to_the_end(|engine| async move { engine.restart(&id, request).await }).await;
    restarted.map_err(|refusal| failed(refusal, &format!("Cannot restart container {name}")))?;
    Ok(no_content())
}

/// A container that is there and does not do as it was told: dockerd takes the blame, whatever was wrong.
fn failed(refusal: Refusal, what: &str) -> Refusal {
    if refusal.status == StatusCode::NOT_FOUND { refusal } else { Refusal::internal(refusal.message).during(what) }
}

pub async fn kill(State(app): State<App>, Path(id): Path<String>, query: Query) -> Answer {
    let signal = query.text("signal").map(str::to_owned);
    let name = id.clone();
    let killed = app.to_the_end(|engine| async move { send(engine, id, signal).await }).await;
    killed.map_err(|refusal| refusal.during(&format!("cannot kill container: {name}")))?;
    Ok(no_content())
}

/// SIGKILL is not just sent: as in Docker the answer comes when the container has ended.
async fn send(engine: Engine, id: String, signal: Option<String>) -> engine::Result<()> {
    let ends = signal.as_deref().is_none_or(|s| matches!(s.to_uppercase().as_str(), "9" | "KILL" | "SIGKILL"));
    let over = if ends { Some(engine.wait(&id, WaitCondition::NotRunning)?) } else { None };
    let sent = tokio::task::spawn_blocking(move || engine.kill(&id, signal.as_deref())).await;
    sent.map_err(|e| engine::Error::Io { action: "kill".to_owned(), source: std::io::Error::other(e) })??;
    if let Some(over) = over {
        let _ = tokio::time::timeout(PATIENCE, over).await;
    }
    Ok(())
}
