//! `POST /images/create?fromImage=`: a pull, with progress.

use crate::app::App;
use crate::auth;
use crate::present::progress;
use crate::query::Query;
use crate::status::{Answer, Refusal};
use crate::stream::begun::{self, Client, Teller};
use crate::words;
use api::types::Progress;
use base::Digest;
use engine::{Engine, Pull, PullStep, Pulled};
use http::HeaderMap;
use image::Reference;
use image::pull::LayerState;

pub async fn post(app: &App, query: &Query, headers: &HeaderMap) -> Answer {
    let client = Client::default();
    let platform = query.text("platform").map(image::parse_platform).transpose();
    let pull = Pull {
        reference: reference(query.get("fromImage"), query.get("tag"))?,
        platform: platform.map_err(|error| Refusal::from(engine::Error::from(error)))?,
        credentials: auth::of_headers(headers),
        cancel: client.cancel(),
    };
    begun::progress(app, client, move |engine, teller| work(engine, &pull, teller)).await
}

/// A name, and a tag or a digest that takes the place of the name's own.
fn reference(name: &str, tag: &str) -> Result<Reference, Refusal> {
    let wrong = |error: image::Error| Refusal::invalid(base::chain(&error));
    let named = Reference::parse(name).map_err(wrong)?;
    if tag.is_empty() {
        return Ok(named);
    }
    if let Ok(digest) = tag.parse::<Digest>() {
        return Ok(Reference { tag: None, digest: Some(digest), ..named });
    }
    let tagged = format!("{}:{tag}", named.name());
    match Reference::parse(&tagged) {
        Ok(reference) if reference.digest.is_none() && reference.name() == named.name() => Ok(reference),
        _ => Err(Refusal::invalid("invalid tag format")),
    }
}

fn work(engine: &Engine, pull: &Pull, teller: &Teller) -> Result<(), Refusal> {
    let pulled = engine.image_pull(pull, &|step| tell(teller, step));
    let pulled = pulled.map_err(|error| words::of_pull(error, &pull.reference))?;
    let name = pull.reference.familiar();
    teller.tell(&progress::message(match pulled {
        Pulled::Newer => format!("Status: Downloaded newer image for {name}"),
        Pulled::UpToDate => format!("Status: Image is up to date for {name}"),
    }));
    if let Some(text) = mismatch(engine, pull) {
        teller.tell(&progress::message(format!("WARNING: {text}")));
    }
    Ok(())
}

/// An image without a list of platforms is pulled whatever was asked.
fn mismatch(engine: &Engine, pull: &Pull) -> Option<String> {
    let reference = pull.reference.clone();
    let platform = pull.platform.as_ref().filter(|_| reference.tag.is_some() || reference.digest.is_some())?;
    let name = reference.to_string();
    engine.image(&name).ok()?;
    engine.image_for(&name, Some(platform)).err().map(|error| base::chain(&error))
}

pub fn tell(teller: &Teller, step: PullStep) {
    match step {
        PullStep::Begun(reference) => teller.tell(&begun_line(&reference)),
        PullStep::Done(digest) => teller.tell(&progress::message(format!("Digest: {digest}"))),
        PullStep::Layer { id, state: LayerState::Downloading { current, total } } => {
            teller.hint(&progress::bytes(&id, "Downloading", current, total));
        }
        PullStep::Layer { id, state: LayerState::Extracting { current, total } } => {
            teller.hint(&progress::bytes(&id, "Extracting", current, total));
        }
        PullStep::Layer { id, state } => {
            states(&state).iter().for_each(|word| teller.tell(&progress::state(&id, *word)))
        }
    }
}

/// Docker names the reference before its path: a tag alone, a digest with the whole name.
fn begun_line(reference: &Reference) -> Progress {
    let id = match (&reference.tag, &reference.digest) {
        (Some(tag), None) => tag.clone(),
        _ => reference.to_string(),
    };
    Progress { id: Some(id), ..progress::message(format!("Pulling from {}", reference.path)) }
}

fn states(state: &LayerState) -> &'static [&'static str] {
    match state {
        LayerState::Found => &["Pulling fs layer"],
        LayerState::Waiting => &["Waiting"],
        LayerState::Downloaded => &["Verifying Checksum", "Download complete"],
        LayerState::Complete => &["Pull complete"],
        LayerState::Exists => &["Already exists"],
        LayerState::Downloading { .. } | LayerState::Extracting { .. } => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tag_and_digest_take_the_place_of_the_names_own() {
        let full = |name: &str, tag: &str| reference(name, tag).map(|r| r.to_string());
        assert_eq!(full("busybox", "1"), Ok("docker.io/library/busybox:1".into()));
        assert_eq!(full("busybox:2", "1"), Ok("docker.io/library/busybox:1".into()));
        assert_eq!(full("busybox:2", ""), Ok("docker.io/library/busybox:2".into()));
        assert_eq!(full("h:5/a", ""), Ok("h:5/a".into()));
        let digest = format!("sha256:{}", "a".repeat(64));
        assert_eq!(full("busybox:2", &digest), Ok(format!("docker.io/library/busybox@{digest}")));
        for tag in ["z z", "x@sha256:1", "a/b", "a:b"] {
            assert_eq!(full("busybox", tag), Err(Refusal::invalid("invalid tag format")), "{tag}");
        }
        assert!(full("Bad", "1").is_err_and(|refusal| refusal.message.contains("must be lowercase")));
    }

    #[test]
    fn the_first_line_names_tag_and_path() {
        let line = |name: &str| serde_json::to_string(&begun_line(&reference(name, "").expect(name))).expect("json");
        assert_eq!(line("busybox:1"), r#"{"status":"Pulling from library/busybox","id":"1"}"#);
        assert_eq!(line("127.0.0.1:5000/x/app:1"), r#"{"status":"Pulling from x/app","id":"1"}"#);
        let digest = format!("sha256:{}", "a".repeat(64));
        assert_eq!(
            line(&format!("busybox@{digest}")),
            format!(r#"{{"status":"Pulling from library/busybox","id":"docker.io/library/busybox@{digest}"}}"#)
        );
    }
}
