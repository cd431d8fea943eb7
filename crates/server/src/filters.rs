//! The `filters` parameter: `{"label":["a=b"]}`, or as old clients write it `{"label":{"a=b":true}}`.

use crate::pattern::Pattern;
use crate::query::Query;
use crate::status::Refusal;
use crate::times;
use std::collections::BTreeMap;

/// What was asked to be shown.
#[derive(Debug, Clone, Default)]
pub struct Filters(BTreeMap<String, Vec<String>>);

impl Filters {
    /// Reads the filters of a request; keys that are not in `known` are refused.
    pub fn of(query: &Query, known: &[&str]) -> Result<Filters, Refusal> {
        let filters = Filters::of_any(query)?;
        if let Some(key) = filters.0.keys().find(|key| !known.contains(&key.as_str())) {
            return Err(Refusal::invalid(format!("invalid filter '{key}'")));
        }
        Ok(filters)
    }

    /// The same where Docker takes every key, and those that mean nothing there choose nothing.
    pub fn of_any(query: &Query) -> Result<Filters, Refusal> {
        let text = query.get("filters");
        if text.is_empty() {
            return Ok(Filters::default());
        }
        let wrong = |_| Refusal::invalid("invalid filter");
        let shapes: Option<BTreeMap<String, Shape>> = serde_json::from_str(text).map_err(wrong)?;
        Ok(Filters(shapes.into_iter().flatten().map(|(key, shape)| (key, shape.values())).collect()))
    }

    /// Whether everything is shown.
    pub fn is_empty(&self) -> bool {
        self.0.values().all(Vec::is_empty)
    }

    pub fn get(&self, key: &str) -> &[String] {
        self.0.get(key).map_or(&[], Vec::as_slice)
    }

    pub fn has(&self, key: &str) -> bool {
        !self.get(key).is_empty()
    }

    /// A filter of one truth value.
    pub fn flag(&self, key: &str) -> Result<Option<bool>, Refusal> {
        let values = self.get(key);
        let is = |words: &[&str]| values.iter().any(|v| words.contains(&v.as_str()));
        match (is(&["1", "true", "True", "TRUE", "t", "T"]), is(&["0", "false", "False", "FALSE", "f", "F"])) {
            _ if values.is_empty() => Ok(None),
            (true, false) => Ok(Some(true)),
            (false, true) => Ok(Some(false)),
            _ => Err(Refusal::invalid(format!("invalid filter '{key}=[{}]'", values.join(" ")))),
        }
    }

    /// The filter `until`, in nanoseconds since the epoch: a time, or how long ago.
    pub fn until(&self) -> Result<Option<i64>, Refusal> {
        match self.get("until") {
            [] => Ok(None),
            [text] => times::read("until", text),
            _ => Err(Refusal::invalid("more than one until filter specified")),
        }
    }

    /// Whether one of the values is `text`; true when nothing was asked.
    pub fn exact(&self, key: &str, text: &str) -> bool {
        let values = self.get(key);
        values.is_empty() || values.iter().any(|v| v == text)
    }

    /// Whether `text` begins with one of the values; true when nothing was asked.
    pub fn prefix(&self, key: &str, text: &str) -> bool {
        let values = self.get(key);
        values.is_empty() || values.iter().any(|v| text.starts_with(v.as_str()))
    }

    /// Whether one of the values, as a pattern, is found in `text`; true when nothing was asked.
    pub fn pattern(&self, key: &str, text: &str) -> bool {
        let values = self.get(key);
        values.is_empty() || values.iter().any(|v| v == text || Pattern::new(v).is_in(text))
    }

    /// Whether every asked `key` or `key=value` is among `labels`.
    pub fn labels(&self, key: &str, labels: &BTreeMap<String, String>) -> bool {
        self.get(key).iter().all(|asked| has_label(labels, asked))
    }

    /// Whether none of the `label!` values is among `labels`.
    pub fn without_labels(&self, labels: &BTreeMap<String, String>) -> bool {
        !self.get("label!").iter().any(|asked| has_label(labels, asked))
    }
}

fn has_label(labels: &BTreeMap<String, String>, asked: &str) -> bool {
    match asked.split_once('=') {
        Some((key, value)) => labels.get(key).is_some_and(|v| v == value),
        None => labels.contains_key(asked),
    }
}

#[derive(serde::Deserialize)]
#[serde(untagged)]
enum Shape {
    List(Vec<String>),
    Map(BTreeMap<String, bool>),
}

impl Shape {
    fn values(self) -> Vec<String> {
        match self {
            Shape::List(values) => values,
            // As Docker: what stands there is asked for, whatever its truth value says.
            Shape::Map(values) => values.into_keys().collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filters(json: &str) -> Result<Filters, Refusal> {
        let text: String = json.bytes().map(|b| format!("%{b:02x}")).collect();
        let uri = format!("/x?filters={text}").parse().expect("a uri");
        Filters::of(&Query::of(&uri).expect("a query"), &["label", "name", "dangling"])
    }

    #[test]
    fn both_shapes_are_read() {
        for json in [r#"{"label":["a=b","c"]}"#, r#"{"label":{"a=b":true,"c":true}}"#] {
            let filters = filters(json).expect(json);
            assert!(filters.labels("label", &BTreeMap::from([("a".into(), "b".into()), ("c".into(), String::new())])));
            assert!(!filters.labels("label", &BTreeMap::from([("a".into(), "x".into()), ("c".into(), String::new())])));
        }
    }

    #[test]
    fn unknown_keys_and_broken_texts_are_refused() {
        assert_eq!(filters(r#"{"nope":["a"]}"#).err(), Some(Refusal::invalid("invalid filter 'nope'")));
        for json in ["x", "[]", r#"{"label":1}"#, r#"{"label":"a"}"#] {
            assert_eq!(filters(json).err(), Some(Refusal::invalid("invalid filter")), "{json}");
        }
    }

    #[test]
    fn names_are_patterns() {
        let asked = filters(r#"{"name":["^/web$"]}"#).expect("filters");
        assert!(asked.pattern("name", "/web"));
        assert!(!asked.pattern("name", "/web2"));
        assert!(filters(r#"{"name":["we"]}"#).expect("filters").pattern("name", "web2"));
    }

    #[test]
    fn a_truth_value_is_one_or_the_other() {
        assert_eq!(filters(r#"{"dangling":["true"]}"#).expect("filters").flag("dangling"), Ok(Some(true)));
        assert!(filters(r#"{"dangling":["maybe"]}"#).expect("filters").flag("dangling").is_err());
    }
}
