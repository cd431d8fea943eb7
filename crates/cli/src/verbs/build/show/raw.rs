//! `--progress=rawjson`: a line of JSON for each event, in the form of BuildKit's clients.

use std::collections::BTreeMap;

use api::types::{BuildEvent, BuildStep, BuildWarning};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

/// The vertex that the result is written by.
const EXPORT: &str = "export";

/// What lines refer back to.
#[derive(Debug)]
pub struct Raw {
    /// Tells the steps of this build from those of others.
    salt: String,
    steps: BTreeMap<usize, (BuildStep, Option<String>)>,
}

impl Raw {
    pub fn new() -> Raw {
        Raw { salt: base::Id::random().to_string(), steps: BTreeMap::new() }
    }

    /// The lines of an event.
    pub fn lines(&mut self, event: &BuildEvent) -> String {
        let now = now();
        match event {
            BuildEvent::Planned(steps) => {
                let base = self.steps.keys().next_back().map_or(0, |last| last + 1);
                for (number, info) in steps.iter().enumerate() {
                    self.steps.insert(base + number, (info.clone(), None));
                }
                let all: Vec<Value> = (base..base + steps.len()).map(|step| self.vertex(step, &[])).collect();
                line(json!({ "vertexes": all }))
            }
            BuildEvent::Added { step, info } => {
                self.steps.insert(*step, (info.clone(), None));
                self.one(*step, &[])
            }
            BuildEvent::Started(step) => {
                if let Some((_, started)) = self.steps.get_mut(step) {
                    *started = Some(now);
                }
                self.one(*step, &[])
            }
            BuildEvent::Titled { step, title } => {
                if let Some((info, _)) = self.steps.get_mut(step) {
                    info.title.clone_from(title);
                }
                self.one(*step, &[])
            }
            BuildEvent::Done { step, cached } => {
                let cached = cached.then_some(("cached", json!(true)));
                self.one(*step, &[Some(("completed", json!(now))), cached].into_iter().flatten().collect::<Vec<_>>())
            }
            BuildEvent::Failed { step, why, .. } => {
                self.one(*step, &[("completed", json!(now)), ("error", json!(why))])
            }
            BuildEvent::Output { step, error, text } => self.log(*step, if *error { 2 } else { 1 }, text),
            BuildEvent::Why { step, reason } => self.log(*step, 2, &format!("not cached: {reason}\n")),
            BuildEvent::Pulling { step, text } => {
                let status = json!({ "id": text, "vertex": self.digest(step), "current": 0, "timestamp": now });
                line(json!({ "statuses": [status] }))
            }
            BuildEvent::Bytes { step, what, done, total } => {
                let status = json!({
                    "id": what, "vertex": self.digest(step), "current": done, "total": total.unwrap_or(0), "timestamp": now
                });
                line(json!({ "statuses": [status] }))
            }
            BuildEvent::Task { name, done } => {
                let ended = done.then(|| now.clone());
                let status = json!({
                    "id": name, "vertex": self.digest(&EXPORT), "current": 0, "timestamp": now, "started": now, "completed": ended
                });
                line(json!({ "statuses": [status] }))
            }
            BuildEvent::Warning(warning) => line(json!({ "warnings": [warned(warning)] })),
            _ => String::new(),
        }
    }

    /// The lines of a result.
    pub fn end(&self, names: &[String], image: &str) -> String {
        let (now, digest) = (now(), self.digest(&EXPORT));
        let vertex = json!({ "digest": digest, "name": "exporting to image", "started": now, "completed": now });
        let named = names.iter().map(|name| format!("naming to {name}"));
        let done = std::iter::once(format!("writing image {image}")).filter(|_| !image.is_empty()).chain(named);
        let statuses: Vec<Value> = done
            .map(|id| {
                json!({ "id": id, "vertex": digest, "current": 0, "timestamp": now, "started": now, "completed": now })
            })
            .collect();
        line(json!({ "vertexes": [vertex], "statuses": statuses }))
    }

    fn one(&self, step: usize, more: &[(&str, Value)]) -> String {
        line(json!({ "vertexes": [self.vertex(step, more)] }))
    }

    fn vertex(&self, step: usize, more: &[(&str, Value)]) -> Value {
        let mut vertex = Map::new();
        vertex.insert("digest".to_owned(), self.digest(&step).into());
        if let Some((info, started)) = self.steps.get(&step) {
            vertex.insert("name".to_owned(), name(info).into());
            if let Some(started) = started {
                vertex.insert("started".to_owned(), started.clone().into());
            }
        }
        vertex.extend(more.iter().map(|(key, value)| ((*key).to_owned(), value.clone())));
        Value::Object(vertex)
    }

    fn log(&self, step: usize, stream: u8, text: &str) -> String {
        let log = json!({ "vertex": self.digest(&step), "stream": stream, "data": STANDARD.encode(text), "timestamp": now() });
        line(json!({ "logs": [log] }))
    }

    fn digest(&self, of: &impl std::fmt::Display) -> String {
        use sha2::Digest as _;
        let sum: [u8; 32] = sha2::Sha256::digest(format!("{}/{of}", self.salt)).into();
        base::Digest::from_bytes(sum).to_string()
    }
}

fn name(info: &BuildStep) -> String {
    let stage = info.stage_name.clone().unwrap_or_else(|| format!("stage-{}", info.stage));
    let platform = info.platform.as_deref().map(|platform| format!("{platform} ")).unwrap_or_default();
    let place = info.place.map(|(place, total)| format!(" {place}/{total}")).unwrap_or_default();
    format!("[{platform}{stage}{place}] {}", info.title)
}

fn warned(warning: &BuildWarning) -> Value {
    let rule = warning.rule.as_deref().map(|rule| format!("{rule}: ")).unwrap_or_default();
    let line = warning.first_line.map(|line| format!(" (line {line})")).unwrap_or_default();
    let mut value = json!({
        "level": 1,
        "short": STANDARD.encode(format!("{rule}{}{line}", warning.text)),
        "detail": [STANDARD.encode(&warning.detail)],
        "url": warning.url.clone().unwrap_or_default(),
    });
    if let (Some(first), Some(last)) = (warning.first_line, warning.last_line) {
        value["range"] = json!([{ "start": { "line": first }, "end": { "line": last } }]);
    }
    value
}

fn now() -> String {
    jiff::Timestamp::now().to_string()
}

fn line(value: Value) -> String {
    format!("{value}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_is_a_vertex_with_its_times_and_words() {
        let mut raw = Raw::new();
        let info = BuildStep { title: "RUN x".to_owned(), place: Some((2, 3)), ..BuildStep::default() };
        let mut read = |event| serde_json::from_str::<Value>(&raw.lines(&event)).expect("JSON");
        let planned = read(BuildEvent::Planned(vec![info]));
        let vertex = &planned["vertexes"][0];
        assert_eq!(vertex["name"], "[stage-0 2/3] RUN x");
        assert!(vertex["digest"].as_str().is_some_and(|text| text.starts_with("sha256:")));
        assert!(read(BuildEvent::Started(0))["vertexes"][0]["started"].is_string());
        let said = read(BuildEvent::Output { step: 0, error: true, text: "hi\n".to_owned() });
        assert_eq!((&said["logs"][0]["stream"], &said["logs"][0]["data"]), (&2.into(), &"aGkK".into()));
        assert_eq!(said["logs"][0]["vertex"], vertex["digest"]);
        let done = read(BuildEvent::Done { step: 0, cached: true });
        assert_eq!(done["vertexes"][0]["cached"], true);
        assert!(done["vertexes"][0]["completed"].is_string());
    }
}
