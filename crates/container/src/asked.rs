//! The request that a container was made from, as text: read into values it would take up several times as much memory, of every
//! container and for as long as the engine lives.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;
use std::fmt;

/// A JSON text that is only looked into when somebody asks.
#[derive(Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Asked(Box<RawValue>);

impl Asked {
    pub fn text(&self) -> &str {
        self.0.get()
    }

    pub fn value(&self) -> Value {
        serde_json::from_str(self.text()).unwrap_or_default()
    }
}

impl From<Value> for Asked {
    fn from(value: Value) -> Asked {
        RawValue::from_string(value.to_string()).map_or_else(|_| Asked::default(), Asked)
    }
}

impl Default for Asked {
    fn default() -> Asked {
        Asked(RawValue::NULL.to_owned())
    }
}

impl PartialEq for Asked {
    fn eq(&self, other: &Asked) -> bool {
        self.text() == other.text()
    }
}

impl fmt::Debug for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

#[cfg(test)]
mod tests {
    use crate::Config;
    use serde_json::json;

    #[test]
    fn a_record_keeps_the_request_as_it_came() {
        let config = Config { asked: json!({"Config": {"Image": "x"}}).into(), ..Config::default() };
        let text = serde_json::to_string(&config).expect("json");
        assert!(text.contains(r#""asked":{"Config":{"Image":"x"}}"#), "{text}");
        let read: Config = serde_json::from_str(&text).expect("a record");
        assert_eq!(read, config);
        assert_eq!(read.asked.value()["Config"]["Image"], "x");
    }

    #[test]
    fn a_record_without_one_has_none() {
        let read: Config = serde_json::from_str("{}").expect("a record");
        assert!(read.asked.value().is_null());
    }
}
