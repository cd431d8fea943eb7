//! `POST /build`: the classic builder's door, which docker-py, Testcontainers and `DOCKER_BUILDKIT=0 docker build` use.

use super::tell::{Tale, line};
use super::{asked, context, words};
use crate::app::App;
use crate::query::Query;
use crate::status::{Answer, Refusal};
use crate::stream::begun::{self, Client, Teller};
use crate::stream::body;
use crate::version::ApiVersion;
use api::types::{Progress, ProgressError};
use axum::body::Body;
use axum::extract::State;
use axum::response::IntoResponse;
use build::{Builder, Exported, Output, Request};
use http::{HeaderMap, StatusCode};
use registry::Cancel;
use serde_json::json;

pub async fn post(State(app): State<App>, version: ApiVersion, query: Query, headers: HeaderMap, sent: Body) -> Answer {
    if query.get("version") == "2" {
        return Err(Refusal::invalid(
            "builds of version 2 are asked for through /grpc, as docker buildx does it: install it, or set DOCKER_BUILDKIT=0",
        ));
    }
    let client = Client::default();
    let cancel = client.cancel();
    let mut sent = body::reader(sent);
    let keys = asked::Headers::of(&headers);
    let own = app.clone();
    begun::progress(&app, client, move |_, teller| {
        let mut request = asked::request(&own, version, &query)?;
        let output = asked::output(&query)?;
        let builder = own.builder()?;
        let context = context::take(&builder, &query, &mut sent, &cancel)?;
        // The rest of what was sent is nobody's; read to its end, so that the client gets to the answer.
        drop(sent);
        request.dockerfile.clone_from(&context.dockerfile);
        work(&builder, (&request, &output), (&context, &keys), (teller, query.flag("q")), &cancel)
    })
    .await
}

fn work(
    builder: &Builder,
    wanted: (&Request, &Output),
    (context, keys): (&context::Context, &asked::Headers),
    (teller, quiet): (&Teller, bool),
    cancel: &Cancel,
) -> Result<(), Refusal> {
    let tale = Tale::new(teller, quiet);
    match builder.build(wanted, (context, keys), &tale, cancel) {
        Ok(built) => told(teller, quiet, (&built, wanted.0)),
        Err(error) => {
            tale.confess();
            return failed(teller, error);
        }
    }
    Ok(())
}

fn told(teller: &Teller, quiet: bool, (built, request): (&Exported, &Request)) {
    let Some(image) = &built.image else { return };
    if quiet {
        return teller.tell(&line(format!("{image}\n")));
    }
    teller.tell(&Progress { aux: Some(json!({ "ID": image.to_string() })), ..Progress::default() });
    if let Some(unused) = unused(request)
        && !unused.is_empty()
    {
        teller.tell(&line(format!("[Warning] One or more build-args [{}] were not consumed\n", unused.join(" "))));
    }
    teller.tell(&line(format!("Successfully built {}\n", image.short())));
    for name in &built.names {
        teller.tell(&line(format!("Successfully tagged {name}\n")));
    }
}

/// Arguments that no instruction names; quiet of a file that cannot be read, which is told elsewhere.
fn unused(request: &Request) -> Option<Vec<&str>> {
    let file = dockerfile::parse(&request.dockerfile).ok()?;
    Some(dockerfile::unused(&file, &request.arguments))
}

/// A command that failed is told with its code; of the rest the stream says why, or the status does.
fn failed(teller: &Teller, error: build::Error) -> Result<(), Refusal> {
    let code = words::exit_code(&error);
    let refusal = words::refused(error);
    if code.is_none() {
        return Err(refusal);
    }
    let detail = ProgressError { code, message: refusal.message.clone() };
    teller.tell(&Progress { error_detail: Some(detail), error: Some(refusal.message), ..Progress::default() });
    Ok(())
}

/// A build ends when its client goes; one that does not run is as good as cancelled.
pub async fn cancel(State(app): State<App>, query: Query) -> Answer {
    match query.text("id") {
        Some(id) => {
            app.cancel_build(id);
            Ok(StatusCode::OK.into_response())
        }
        None => Err(Refusal::invalid("build ID not provided")),
    }
}
