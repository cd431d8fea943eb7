//! `POST /exec/{id}/start`: runs it, and unless detached hijacks the connection for its streams.

use crate::app::App;
use crate::routes::{console_size, json_body};
use crate::status::{Answer, Refusal};
use crate::stream::body;
use crate::stream::frames::Framing;
use crate::stream::hijack::{self, Last, OnDetach, Streams};
use crate::stream::keys::DetachKeys;
use crate::version::ApiVersion;
use api::types::{EXEC, EXIT_CODE, ExecStartRequest};
use axum::extract::{Path, Request, State};
use axum::response::IntoResponse;
use base::Id;
use bytes::{Bytes, BytesMut};
use container::Status;
use engine::{Attachment, Engine, ExecCreate, ExecSnapshot, ExecStart};
use http::request::Parts;
use http::{HeaderName, HeaderValue, StatusCode};

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
    let known = match app.engine.exec_glimpse(&id) {
        Some(known) => known?,
        None => {
            let name = id.clone();
            app.blocking(move |engine| engine.exec_inspect(&name)).await?
        }
    };
    let keys = check(&app.engine, &known)?;
    let framing = Framing::of_terminal(asked.tty);
    // Not before the answer's header is out: some clients throw away what comes together with it.
    let streams = async move { begin(&app, id, start, keys).await };
    Ok(hijack::answer(&mut parts, version, framing, streams))
}

/// Starts an exec that was just made. The answer's header names it, and after the output comes its exit code, where frames
/// allow that: nothing is left to be asked for.
pub fn at_once(app: App, parts: &mut Parts, version: ApiVersion, exec: Id, create: &ExecCreate) -> Answer {
    let (id, engine, framing) = (exec.to_string(), app.engine.clone(), Framing::of_terminal(create.tty));
    let keys = DetachKeys::parse(&create.detach_keys)?;
    let start = ExecStart { detach: false, tty: create.tty, console_size: create.console_size };
    let name = id.clone();
    let last = Last::new(move || exit_code(&engine, &name, framing));
    // Whoever asks like this can take what comes together with the header: the process need not wait for that.
    let name = id.clone();
    let started = app.promptly(move |engine| engine.exec_start(&name, start).map_err(not_started));
    let begun = begun(&app, id.clone(), (start, keys), started);
    let streams = async move { Streams { last, ..begun.await } };
    let mut answer = hijack::answer(parts, version, framing, streams);
    answer.headers_mut().extend(HeaderValue::from_str(&id).ok().map(|id| (HeaderName::from_static(EXEC), id)));
    Ok(answer)
}

fn exit_code(engine: &Engine, id: &str, framing: Framing) -> Option<Bytes> {
    let code = engine.exec_inspect(id).ok()?.exit_code.filter(|_| framing == Framing::Multiplexed)?;
    let mut frame = BytesMut::new();
    framing.put_bytes(&mut frame, EXIT_CODE, code.to_string().as_bytes());
    Some(frame.freeze())
}

/// What can still be said with a status. Gives the keys that detach.
fn check(engine: &Engine, exec: &ExecSnapshot) -> Result<DetachKeys, Refusal> {
    let container = exec.container.to_string();
    match engine.status(&container)? {
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

/// Starts the exec now; what is given waits for its streams. When it does not start they say why, as in Docker, and inspect has
/// the exit code.
fn begin(app: &App, id: String, start: ExecStart, keys: DetachKeys) -> impl Future<Output = Streams> + Send + use<> {
    let name = id.clone();
    let started = app.blocking(move |engine| engine.exec_start(&name, start).map_err(not_started));
    begun(app, id, (start, keys), started)
}

fn begun<F>(
    app: &App,
    id: String,
    (start, keys): (ExecStart, DetachKeys),
    started: F,
) -> impl Future<Output = Streams> + Send + use<F>
where
    F: Future<Output = Result<Option<Attachment>, Refusal>> + Send,
{
    let engine = app.engine.clone();
    let on_detach = OnDetach::new(move || drop(tokio::task::spawn_blocking(move || engine.exec_detached(&id))));
    let framing = Framing::of_terminal(start.tty);
    async move {
        match started.await {
            Ok(Some(attachment)) => Streams { framing, on_detach, ..Streams::of(attachment, keys) },
            Ok(None) => Streams::of_text(String::new(), framing),
            Err(refusal) => Streams::of_text(format!("{}\r\n", refusal.message), framing),
        }
    }
}

fn not_started(error: engine::Error) -> Refusal {
    match error {
        engine::Error::Start(failure) => Refusal::invalid(engine::words::exec_not_started(&failure)),
        other => other.into(),
    }
}
