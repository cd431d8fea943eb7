//! `POST /commit`: a container's changes become an image.

use crate::app::App;
use crate::query::Query;
use crate::status::{self, Answer, Refusal};
use api::types::{ContainerConfig, Keys, TextList};
use axum::extract::State;
use bytes::Bytes;
use engine::{Commit, Pausing};
use http::StatusCode;
use image::Reference;
use oci::image::{Config, Empty};
use serde_json::json;
use std::collections::BTreeMap;

pub async fn post(State(app): State<App>, query: Query, body: Bytes) -> Answer {
    let asked: Option<ContainerConfig> = crate::routes::json_body(&body)?;
    let commit = Commit {
        container: query.get("container").to_owned(),
        reference: reference(query.get("repo"), query.get("tag"))?,
        author: query.get("author").to_owned(),
        comment: query.get("comment").to_owned(),
        changes: query.all("changes").map(str::to_owned).collect(),
        overrides: overrides(asked.unwrap_or_default())?,
        pausing: if query.flag_or("pause", true) { Pausing::Yes } else { Pausing::No },
    };
    let id = app.blocking(move |engine| engine.commit(&commit)).await?;
    Ok(status::json(StatusCode::CREATED, &json!({"Id": id.to_string()})))
}

fn reference(repository: &str, tag: &str) -> Result<Option<Reference>, Refusal> {
    if repository.is_empty() {
        return Ok(None);
    }
    let wrong = |error: image::Error| Refusal::invalid(base::chain(&error));
    let named = Reference::parse(repository).map_err(wrong)?;
    if named.digest.is_some() {
        return Err(Refusal::invalid("cannot import digest reference"));
    }
    if tag.is_empty() {
        return Ok(Some(named.or_latest()));
    }
    let tagged = Reference::parse(&format!("{}:{tag}", named.name()));
    tagged.map(Some).map_err(|_| Refusal::invalid("invalid tag format"))
}

/// What of the container's configuration is asked to be otherwise.
fn overrides(asked: ContainerConfig) -> Result<Config, Refusal> {
    let keys = |keys: Option<Keys>| -> BTreeMap<String, Empty> {
        keys.unwrap_or_default().into_keys().map(|key| (key, Empty {})).collect()
    };
    let words = |words: Option<TextList>| words.map(|list| list.0);
    let healthcheck = asked.healthcheck.map(serde_json::to_value).transpose();
    Ok(Config {
        user: asked.user,
        exposed_ports: keys(asked.exposed_ports),
        env: asked.env.unwrap_or_default(),
        entrypoint: words(asked.entrypoint),
        cmd: words(asked.cmd),
        volumes: keys(asked.volumes),
        working_dir: asked.working_dir,
        labels: asked.labels.unwrap_or_default(),
        stop_signal: asked.stop_signal,
        args_escaped: asked.args_escaped,
        healthcheck: healthcheck.map_err(|error| Refusal::invalid(format!("invalid JSON: {error}")))?,
        shell: words(asked.shell),
        on_build: asked.on_build,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_may_be_empty_or_null_or_say_what_is_otherwise() {
        let read = |text: &str| crate::routes::json_body::<Option<ContainerConfig>>(&Bytes::from(text.to_owned()));
        assert_eq!(read(""), Ok(None));
        assert_eq!(read("null"), Ok(None));
        let asked = read(r#"{"Cmd":["a"],"Env":["A=1"],"ExposedPorts":{"80/tcp":{}},"Labels":{"q":"r"}}"#);
        let config = overrides(asked.expect("json").expect("a body")).expect("a configuration");
        assert_eq!((config.cmd, config.env), (Some(vec!["a".to_owned()]), vec!["A=1".to_owned()]));
        assert!(config.exposed_ports.contains_key("80/tcp") && config.labels["q"] == "r");
    }

    #[test]
    fn a_repository_without_a_tag_is_latest() {
        let full = |name: &str, tag: &str| reference(name, tag).map(|r| r.map(|r| r.to_string()));
        assert_eq!(full("", "x"), Ok(None));
        assert_eq!(full("a", ""), Ok(Some("docker.io/library/a:latest".into())));
        assert_eq!(full("h:1/a", "2"), Ok(Some("h:1/a:2".into())));
        assert!(full("Bad", "").is_err());
        assert_eq!(full("a", "-"), Err(Refusal::invalid("invalid tag format")));
    }
}
