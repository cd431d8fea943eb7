//! `POST /images/{name}/push`

use super::name;
use crate::app::App;
use crate::auth;
use crate::present::progress;
use crate::query::Query;
use crate::status::{Answer, Refusal};
use crate::stream::begun::{self, Client, Teller};
use crate::version::ApiVersion;
use crate::words;
use api::types::{Progress, ProgressDetail};
use engine::{Push, PushStep};
use http::HeaderMap;
use image::Reference;
use image::push::{LayerState, Pushed};
use serde_json::json;

/// From this version on one platform of an image can be pushed. Older clients send a platform that means nothing.
const WITH_PLATFORM: u32 = 46;

pub async fn post(app: &App, asked: &str, version: ApiVersion, query: &Query, headers: &HeaderMap) -> Answer {
    let client = Client::default();
    let push = Push {
        reference: reference(&name(asked), query.get("tag"))?,
        platform: if version.has(WITH_PLATFORM) { super::platform(query)? } else { None },
        credentials: auth::of_headers(headers),
        cancel: client.cancel(),
    };
    let work = move |engine: &engine::Engine, teller: &Teller| {
        engine.image_push(&push, &|step| tell(teller, step)).map_err(|error| words::of_push(error, &push.reference))
    };
    begun::progress(app, client, work).await
}

fn reference(name: &str, tag: &str) -> Result<Reference, Refusal> {
    let wrong = |error: image::Error| Refusal::invalid(base::chain(&error));
    let named = Reference::parse(name).map_err(wrong)?;
    if tag.is_empty() {
        return Ok(named);
    }
    Reference::parse(&format!("{}:{tag}", named.name())).map_err(|_| Refusal::invalid("invalid tag format"))
}

fn tell(teller: &Teller, step: PushStep) {
    match step {
        PushStep::Begun(name) => {
            teller.tell(&progress::message(format!("The push refers to repository [{name}]")));
        }
        PushStep::Layer { id, state: LayerState::Pushing { current, total } } => {
            teller.hint(&progress::bytes(&id, "Pushing", current, total));
        }
        PushStep::Layer { id, state } => teller.tell(&progress::state(&id, word(&state))),
        PushStep::Done { tag, pushed } => {
            done(&tag, &pushed).iter().for_each(|line| teller.tell(line));
            if let Some(line) = instead_of(&pushed) {
                teller.tell(&line);
            }
        }
    }
}

fn word(state: &LayerState) -> String {
    match state {
        LayerState::Preparing => "Preparing".to_owned(),
        LayerState::Waiting => "Waiting".to_owned(),
        LayerState::Pushing { .. } => "Pushing".to_owned(),
        LayerState::Pushed => "Pushed".to_owned(),
        LayerState::Exists => "Layer already exists".to_owned(),
        LayerState::Mounted { from } => format!("Mounted from {from}"),
    }
}

/// Docker's word for clients that not all of an index was here, so that one of its images was pushed.
fn instead_of(pushed: &Pushed) -> Option<Progress> {
    let (index, selected) = pushed.instead_of.as_deref()?;
    let aux = json!({"manifestPushedInsteadOfIndex": true, "originalIndex": index, "selectedManifest": selected});
    Some(Progress { progress_detail: Some(ProgressDetail::default()), aux: Some(aux), ..Progress::default() })
}

/// A line for people, and one for programs.
fn done(tag: &str, pushed: &Pushed) -> [Progress; 2] {
    let Pushed { digest, size, .. } = pushed;
    let aux = json!({"Tag": tag, "Digest": digest.to_string(), "Size": size});
    let programs = Progress { progress_detail: Some(ProgressDetail::default()), aux: Some(aux), ..Progress::default() };
    [progress::message(format!("{tag}: digest: {digest} size: {size}")), programs]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines_are_those_of_dockerd() {
        let digest: base::Digest = format!("sha256:{}", "8".repeat(64)).parse().expect("a digest");
        let lines = done("1", &Pushed { digest, size: 527, instead_of: None });
        let text = |line: &Progress| serde_json::to_value(line).expect("json");
        assert_eq!(text(&lines[0]), json!({"status": format!("1: digest: {digest} size: 527")}));
        assert_eq!(
            text(&lines[1]),
            json!({"progressDetail": {}, "aux": {"Tag": "1", "Digest": digest.to_string(), "Size": 527}})
        );
    }

    #[test]
    fn states_have_dockers_words() {
        assert_eq!(word(&LayerState::Mounted { from: "x/app".into() }), "Mounted from x/app");
        assert_eq!(word(&LayerState::Exists), "Layer already exists");
    }
}
