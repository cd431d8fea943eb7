//! `POST /containers/{id}/attach` and `/resize`, `GET /containers/{id}/attach/ws`

use crate::app::App;
use crate::query::Query;
use crate::status::{Answer, Refusal};
use crate::stream::frames::Framing;
use crate::stream::hijack::{self, OnDetach, Streams};
use crate::stream::keys::DetachKeys;
use crate::stream::websocket::{self, Kind, MOST_SENT};
use crate::version::ApiVersion;
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::{Path, Request, State};
use axum::response::IntoResponse;
use engine::{Attach, Engine, Error};
use http::StatusCode;

pub async fn post(
    State(app): State<App>,
    Path(id): Path<String>,
    version: ApiVersion,
    query: Query,
    request: Request,
) -> Answer {
    let attach = wish(&query);
    let streams = open(&app, &id, attach, &query).await?;
    let (mut parts, _body) = request.into_parts();
    Ok(hijack::answer(&mut parts, version, streams.framing, async move { streams }))
}

/// Before API 1.42 a websocket always carries all three streams.
pub async fn websocket(
    State(app): State<App>,
    Path(id): Path<String>,
    version: ApiVersion,
    query: Query,
    upgrade: WebSocketUpgrade,
) -> Answer {
    let asked = wish(&query);
    let attach = if version.has(42) { asked } else { Attach { stdin: true, stdout: true, stderr: true, ..asked } };
    let streams = open(&app, &id, attach, &query).await?;
    let kind = Kind::of(version);
    let upgrade = upgrade.max_message_size(MOST_SENT).max_frame_size(MOST_SENT);
    Ok(upgrade.on_upgrade(move |socket| websocket::carry(socket, streams, kind)))
}

fn wish(query: &Query) -> Attach {
    Attach {
        stdin: query.flag("stdin"),
        stdout: query.flag("stdout"),
        stderr: query.flag("stderr"),
        logs: query.flag("logs"),
        stream: query.flag("stream"),
    }
}

async fn open(app: &App, id: &str, attach: Attach, query: &Query) -> Result<Streams, Refusal> {
    let keys = DetachKeys::parse(query.get("detachKeys"))?;
    let (name, engine) = (id.to_owned(), app.engine.clone());
    let streams = app.blocking(move |engine| begin(engine, &name, attach, keys)).await?;
    let id = id.to_owned();
    let on_detach = OnDetach::new(move || drop(tokio::task::spawn_blocking(move || engine.detached(&id))));
    Ok(Streams { on_detach, ..streams })
}

fn begin(engine: &Engine, id: &str, attach: Attach, keys: DetachKeys) -> Result<Streams, Refusal> {
    match engine.attach(id, attach) {
        Ok(attachment) => Ok(Streams::of_container(attachment, attach, keys)),
        // Docker finds out too late for a status.
        Err(error @ Error::NoLog) => {
            let framing = Framing::of_terminal(engine.inspect(id)?.container.config.tty);
            Ok(Streams::of_text(format!("Error attaching: {error}\n"), framing))
        }
        Err(error) => Err(error.into()),
    }
}

pub async fn resize(State(app): State<App>, Path(id): Path<String>, query: Query) -> Answer {
    let (rows, columns) = query.size()?;
    app.blocking(move |engine| engine.resize(&id, rows, columns)).await?;
    Ok(StatusCode::OK.into_response())
}
