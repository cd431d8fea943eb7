//! `POST /images/load`: an archive in, progress out. What goes wrong is told in the stream, as it has begun.

use crate::app::App;
use crate::query::Query;
use crate::status::{Answer, Refusal};
use crate::stream::begun::failed;
use crate::stream::body::{self, Pieces};
use api::types::{Progress, ProgressDetail};
use axum::body::Body;
use axum::extract::State;
use axum::response::IntoResponse;
use http::header;

pub async fn post(State(app): State<App>, query: Query, archive: Body) -> Answer {
    let quiet = query.flag_or("quiet", true);
    let platform = super::platform(&query)?;
    let mut archive = body::reader(archive);
    let (send, answer) = body::streamed();
    let engine = app.engine.clone();
    tokio::task::spawn_blocking(move || {
        let mut tell = |step| tell(&send, step, quiet);
        if let Err(error) = engine.image_load(&mut archive, platform.as_ref(), &mut tell) {
            let _ = send.blocking_send(body::line(&failed(Refusal::from(error).message)));
        }
    });
    Ok(([(header::CONTENT_TYPE, "application/json")], answer).into_response())
}

/// A client that has gone does not stop a load.
fn tell(send: &Pieces, step: image::Progress, quiet: bool) {
    if let Some(line) = shown(step, quiet) {
        let _ = send.blocking_send(body::line(&line));
    }
}

fn shown(step: image::Progress, quiet: bool) -> Option<Progress> {
    let stream = |text: String| Some(Progress { stream: Some(text), ..Progress::default() });
    match step {
        image::Progress::Loaded { tag } => stream(format!("Loaded image: {tag}\n")),
        image::Progress::LoadedUntagged { id } => stream(format!("Loaded image ID: {id}\n")),
        _ if quiet => None,
        image::Progress::Layer { id, current, total } => Some(Progress {
            status: Some("Loading layer".to_owned()),
            progress_detail: Some(ProgressDetail { current: Some(current), total }),
            id: Some(id),
            ..Progress::default()
        }),
        image::Progress::LayerDone { id } => Some(Progress {
            status: Some("Load complete".to_owned()),
            progress_detail: Some(ProgressDetail::default()),
            id: Some(id),
            ..Progress::default()
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_those_of_docker() {
        let text = |step, quiet| shown(step, quiet).map(|line| serde_json::to_string(&line).expect("json"));
        assert_eq!(
            text(image::Progress::Loaded { tag: "a:b".into() }, true).as_deref(),
            Some(r#"{"stream":"Loaded image: a:b\n"}"#)
        );
        let layer = image::Progress::Layer { id: "ab".into(), current: 1, total: Some(2) };
        assert_eq!(text(layer.clone(), true), None);
        assert_eq!(
            text(layer, false).as_deref(),
            Some(r#"{"status":"Loading layer","progressDetail":{"current":1,"total":2},"id":"ab"}"#)
        );
        assert_eq!(
            serde_json::to_string(&failed("no".into())).expect("json"),
            r#"{"errorDetail":{"message":"no"},"error":"no"}"#
        );
    }
}
