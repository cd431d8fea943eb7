//! `events`: what happens in the engine, as it happens.

use std::collections::BTreeMap;

use api::client::{Payload, query};
use clap::Args;
use http::Method;
use serde::Deserialize;

use super::filters;
use crate::failure::Failure;
use crate::grammar::values::filter;
use crate::grammar::{About, Needs, help};
use crate::session::{Session, point_in_time};
use crate::show::print;
use crate::show::template::{Functions, Template};
use crate::words::{Outcome, Verb};

/// Shows events.
#[derive(Debug, Args)]
pub struct Events {
    /// Filter output based on conditions provided
    #[arg(short, long, value_name = "filter", value_parser = filter)]
    filter: Vec<(String, String)>,
    #[arg(long, help = help::FORMAT_ONE, value_name = "string", default_value = "", hide_default_value = true)]
    format: String,
    /// Show all events created since timestamp
    #[arg(long, value_name = "string")]
    since: Option<String>,
    /// Stream events until this timestamp
    #[arg(long, value_name = "string")]
    until: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Event {
    #[serde(rename = "Type")]
    kind: String,
    #[serde(rename = "Action")]
    action: String,
    #[serde(rename = "Actor")]
    actor: Actor,
    time: i64,
    #[serde(rename = "timeNano")]
    time_nano: i64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Actor {
    #[serde(rename = "ID")]
    id: String,
    attributes: Option<BTreeMap<String, String>>,
}

impl Verb for Events {
    const ABOUT: About =
        About { name: "events", usage: "[OPTIONS]", does: "Get real time events from the server", needs: Needs::None };

    async fn run(self, session: &Session) -> Outcome {
        let template = match self.format.as_str() {
            "" | "json" => None,
            source => Some(Template::parse(source, Functions::Working, true).map_err(Failure::Said)?),
        };
        let since = self.since.as_deref().map(point_in_time).transpose()?;
        let until = self.until.as_deref().map(point_in_time).transpose()?;
        let filters = filters(&self.filter);
        let path = query(
            "/events",
            &[("since", since.as_deref()), ("until", until.as_deref()), ("filters", filters.as_deref())],
        );
        let mut answer = session.client().call(Method::GET, &path, Payload::Empty).await?;
        while let Some(line) = answer.line().await? {
            print(self.shown(template.as_ref(), &line)? + "\n")?;
        }
        Ok(0)
    }
}

impl Events {
    fn shown(&self, template: Option<&Template>, line: &[u8]) -> Result<String, Failure> {
        let malformed = |cause| Failure::from(api::client::Error::Malformed(cause));
        match template {
            Some(template) => {
                let mut event: serde_json::Value = serde_json::from_slice(line).map_err(malformed)?;
                capitals(&mut event);
                template.render_json(&event).map_err(Failure::Said)
            }
            None if self.format == "json" => Ok(String::from_utf8_lossy(line).into_owned()),
            None => serde_json::from_slice(line).map(|event| sentence(&event)).map_err(malformed),
        }
    }
}

/// Templates name the fields as Go does, not as the JSON does.
fn capitals(event: &mut serde_json::Value) {
    let Some(map) = event.as_object_mut() else { return };
    for (json, go) in [
        ("time", "Time"),
        ("timeNano", "TimeNano"),
        ("scope", "Scope"),
        ("status", "Status"),
        ("id", "ID"),
        ("from", "From"),
    ] {
        if let Some(value) = map.get(json).cloned() {
            map.insert(go.to_owned(), value);
        }
    }
}

/// `2006-01-02T15:04:05.000000000+00:00 container start ID (image=busybox, name=x)`
fn sentence(event: &Event) -> String {
    let time = match event.time_nano {
        0 => jiff::Timestamp::from_second(event.time),
        nanoseconds => jiff::Timestamp::from_nanosecond(i128::from(nanoseconds)),
    };
    let when = time.map_or_else(
        |_| event.time.to_string(),
        |time| time.to_zoned(jiff::tz::TimeZone::system()).strftime("%Y-%m-%dT%H:%M:%S.%9f%:z").to_string(),
    );
    // Go writes UTC as Z.
    let when = when.strip_suffix("+00:00").map_or(when.clone(), |bare| format!("{bare}Z"));
    let attributes: Vec<String> =
        event.actor.attributes.iter().flatten().map(|(key, value)| format!("{key}={value}")).collect();
    let mut text = format!("{when} {} {} {}", event.kind, event.action, event.actor.id);
    if !attributes.is_empty() {
        text.push_str(&format!(" ({})", attributes.join(", ")));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_a_line() {
        let event: Event = serde_json::from_str(
            r#"{"Type":"container","Action":"start","Actor":{"ID":"ab","Attributes":{"name":"x","image":"i"}},"timeNano":1000000005}"#,
        )
        .expect("an event");
        let line = sentence(&event);
        assert!(line.ends_with(" container start ab (image=i, name=x)"), "{line}");
        assert!(line.contains(":01.000000005"), "{line}");
    }
}
