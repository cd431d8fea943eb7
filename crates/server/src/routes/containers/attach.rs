//! `POST /containers/{id}/attach` and `/resize`

use crate::app::App;
use crate::query::Query;
use crate::status::{Answer, Refusal};
use crate::stream::hijack::{self, Streams};
use crate::stream::keys::DetachKeys;
use crate::version::ApiVersion;
use axum::extract::{Path, Request, State};
use axum::response::IntoResponse;
use container::Status;
use engine::{Attach, Attachment, Engine};
use http::StatusCode;

pub async fn post(
    State(app): State<App>,
    Path(id): Path<String>,
    version: ApiVersion,
    query: Query,
    request: Request,
) -> Answer {
    let keys = DetachKeys::parse(query.get("detachKeys"))?;
    let attach = Attach {
        stdin: query.flag("stdin"),
        stdout: query.flag("stdout"),
        stderr: query.flag("stderr"),
        logs: query.flag("logs"),
        stream: query.flag("stream"),
    };
    let attachment = app.blocking(move |engine| begin(engine, &id, attach)).await?;
    let (mut parts, _body) = request.into_parts();
    let streams = Streams::of(attachment, keys);
    Ok(hijack::answer(&mut parts, version, streams.framing, async move { streams }))
}

fn begin(engine: &Engine, id: &str, attach: Attach) -> Result<Attachment, Refusal> {
    let why_not = match engine.inspect(id)?.state.status {
        Status::Paused => "paused, unpause the container before attach",
        Status::Restarting => "restarting, wait until the container is running",
        _ => return Ok(engine.attach(id, attach)?),
    };
    Err(Refusal::conflict(format!("container {id} is {why_not}")))
}

pub async fn resize(State(app): State<App>, Path(id): Path<String>, query: Query) -> Answer {
    let (rows, columns) = query.size()?;
    app.blocking(move |engine| engine.resize(&id, rows, columns)).await?;
    Ok(StatusCode::OK.into_response())
}
