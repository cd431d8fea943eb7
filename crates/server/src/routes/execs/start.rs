//! `POST /exec/{id}/start`: runs it, and unless detached hijacks the connection for its streams.

use crate::app::App;
use crate::routes::{console_size, json_body};
use crate::status::{Answer, Refusal};
use crate::stream::body;
use crate::stream::frames::Framing;
use crate::stream::hijack::{self, OnDetach, Streams};
use crate::stream::keys::DetachKeys;
use crate::version::ApiVersion;
use api::types::ExecStartRequest;
use axum::extract::{Path, Request, State};
use axum::response::IntoResponse;
use container::Status;
use engine::{Engine, ExecStart};
use http::StatusCode;

pub async fn post(State(app): State<App>, Path(id): Path<String>, version: ApiVersion, request: Request) -> Answer {
    let (mut parts, body) = request.into_parts();
    let body = body::collect(body).await.map_err(Refusal::invalid)?;
    let asked: ExecStartRequest = json_body(&body)?;
    let size = console_size(asked.console_size).filter(|_| asked.tty && version.has(42));
    let start = ExecStart { detach: asked.detach, tty: asked.tty, console_size: size };
    if asked.detach {
        app.blocking(move |engine| engine.exec_start(&id, start).map_err(not_started)).await?;
        return Ok(StatusCode::OK.into_response());
    }
    let name = id.clone();
    let keys = app.blocking(move |engine| check(engine, &name)).await?;
    let framing = Framing::of_terminal(asked.tty);
    Ok(hijack::answer(&mut parts, version, framing, begin(app, id, start, keys)))
}

/// What can still be said with a status. Gives the keys that detach.
fn check(engine: &Engine, id: &str) -> Result<DetachKeys, Refusal> {
    let exec = engine.exec_inspect(id)?;
    let container = exec.container.to_string();
    match engine.inspect(&container)?.state.status {
        Status::Running => DetachKeys::parse(&exec.create.detach_keys),
        Status::Paused => {
            Err(Refusal::conflict(format!("Container {container} is paused, unpause the container before exec")))
        }
        Status::Restarting => {
            Err(Refusal::conflict(format!("Container {container} is restarting, wait until the container is running")))
        }
        _ => Err(Refusal::conflict(format!("container {container} is not running"))),
    }
}

/// The streams of the started exec. When it does not start they say why, as in Docker, and inspect has the exit code.
async fn begin(app: App, id: String, start: ExecStart, keys: DetachKeys) -> Streams {
    let (engine, name) = (app.engine.clone(), id.clone());
    let on_detach = OnDetach::new(move || drop(tokio::task::spawn_blocking(move || engine.exec_detached(&name))));
    let started = app.blocking(move |engine| engine.exec_start(&id, start).map_err(not_started)).await;
    let framing = Framing::of_terminal(start.tty);
    match started {
        Ok(Some(attachment)) => Streams { framing, on_detach, ..Streams::of(attachment, keys) },
        Ok(None) => Streams::of_text(String::new(), framing),
        Err(refusal) => Streams::of_text(format!("{}\r\n", refusal.message), framing),
    }
}

fn not_started(error: engine::Error) -> Refusal {
    match error {
        engine::Error::Start(failure) => Refusal::invalid(engine::words::exec_not_started(&failure)),
        other => other.into(),
    }
}
