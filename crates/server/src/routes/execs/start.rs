//! `POST /exec/{id}/start`: runs it, and unless detached hijacks the connection for its streams.

use crate::app::App;
use crate::routes::{console_size, json_body};
use crate::status::{Answer, Refusal};
use crate::stream::frames::Framing;
use crate::stream::hijack::{self, Streams};
use crate::stream::keys::DetachKeys;
use crate::version::ApiVersion;
use crate::words;
use api::types::ExecStartRequest;
use axum::extract::{Path, Request, State};
use axum::response::IntoResponse;
use engine::ExecStart;
use http::StatusCode;

pub async fn post(State(app): State<App>, Path(id): Path<String>, version: ApiVersion, request: Request) -> Answer {
    let (mut parts, body) = request.into_parts();
    let body = crate::stream::body::collect(body).await.map_err(Refusal::invalid)?;
    let asked: ExecStartRequest = json_body(&body)?;
    let size = console_size(asked.console_size).filter(|_| asked.tty && version.has(42));
    let start = ExecStart { detach: asked.detach, tty: asked.tty, console_size: size };
    let started = app.blocking(move |engine| Ok::<_, Refusal>(begin(engine, &id, start))).await?;
    let streams = match started {
        Ok(None) => return Ok(StatusCode::OK.into_response()),
        Ok(Some((attachment, keys))) => Streams::of(attachment, keys),
        // As in Docker the stream says why, and inspect has the exit code.
        Err(engine::Error::Start(failure)) if !asked.detach => {
            let text = format!("{}\r\n", words::exec_not_started(&failure));
            Streams::of_text(text, Framing::of_terminal(asked.tty))
        }
        Err(engine::Error::Start(failure)) => return Err(Refusal::invalid(words::exec_not_started(&failure))),
        Err(other) => return Err(other.into()),
    };
    Ok(hijack::answer(&mut parts, version, streams))
}

type Begun = engine::Result<Option<(engine::Attachment, DetachKeys)>>;

fn begin(engine: &engine::Engine, id: &str, start: ExecStart) -> Begun {
    let asked = engine.exec_inspect(id)?.create.detach_keys;
    let keys = DetachKeys::parse(&asked).or_else(|_| DetachKeys::parse("")).map_err(|r| engine::Error::Invalid(r.message))?;
    Ok(engine.exec_start(id, start)?.map(|attachment| (attachment, keys)))
}
