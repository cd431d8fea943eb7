//! The wire types of the Docker Engine API 1.24 to 1.51.
//!
//! Every type reads leniently, as Go's `encoding/json` does: unknown fields are ignored, missing fields and `null` are the
//! default. Written out they have Docker's exact spellings; a list or map that Docker may write as `null` is an `Option`.

/// Declares wire structs: each field is optional on the way in, `null` is its default.
macro_rules! wire {
    ($($(#[$meta:meta])* pub struct $name:ident { $($(#[$field_meta:meta])* pub $field:ident: $kind:ty,)* })+) => {$(
        $(#[$meta])*
        #[derive(Debug, Clone, Default, PartialEq, serde::Serialize, serde::Deserialize)]
        #[serde(rename_all = "PascalCase")]
        pub struct $name {
            $(
                $(#[$field_meta])*
                #[serde(default, deserialize_with = "crate::types::null_is_default")]
                pub $field: $kind,
            )*
        }
    )+};
}

mod build;
mod container;
mod exec;
mod host;
mod image;
mod network;
mod registry;
mod stats;
mod system;
mod usage;

pub use build::*;
pub use container::*;
pub use exec::*;
pub use host::*;
pub use image::*;
pub use network::*;
pub use registry::*;
pub use stats::*;
pub use system::*;
pub use usage::*;

use serde::{Deserialize, Deserializer, Serialize};
use std::collections::BTreeMap;

/// A map of texts, such as labels.
pub type Texts = BTreeMap<String, String>;

/// Go's `map[string]struct{}`: only the keys matter.
pub type Keys = BTreeMap<String, serde_json::Value>;

/// The newest version of the API spoken here.
pub const MAX_VERSION: &str = "1.51";
/// The oldest one.
pub const MIN_VERSION: &str = "1.24";

fn null_is_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// A list of texts that may also be written as one text, or with numbers in it (Go's `strslice.StrSlice`).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct TextList(pub Vec<String>);

impl<'de> Deserialize<'de> for TextList {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<TextList, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Shape {
            One(Text),
            Many(Vec<Text>),
        }
        Ok(TextList(match Shape::deserialize(deserializer)? {
            Shape::One(text) => vec![text.0],
            Shape::Many(texts) => texts.into_iter().map(|t| t.0).collect(),
        }))
    }
}

/// A text that some clients write as a number or a boolean.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Text(pub String);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Text, D::Error> {
        match serde_json::Value::deserialize(deserializer)? {
            serde_json::Value::String(text) => Ok(Text(text)),
            serde_json::Value::Number(number) => Ok(Text(number.to_string())),
            serde_json::Value::Bool(value) => Ok(Text(value.to_string())),
            serde_json::Value::Null => Ok(Text::default()),
            _ => Err(serde::de::Error::custom("a text, not an object or a list, is wanted here")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_may_be_a_text_a_list_or_null() {
        let read = |text: &str| serde_json::from_str::<ContainerConfig>(text).unwrap().cmd;
        assert_eq!(read(r#"{"Cmd":"ls"}"#), Some(TextList(vec!["ls".into()])));
        assert_eq!(read(r#"{"Cmd":["sleep",5]}"#), Some(TextList(vec!["sleep".into(), "5".into()])));
        assert_eq!(read(r#"{"Cmd":null}"#), None);
        assert_eq!(read(r#"{"Cmd":[]}"#), Some(TextList(vec![])));
        assert_eq!(read("{}"), None);
    }

    #[test]
    fn null_is_the_default_everywhere() {
        let text = r#"{"Image":null,"Env":null,"Labels":null,"Tty":null,"HostConfig":null,"NoSuchField":1}"#;
        assert_eq!(serde_json::from_str::<CreateRequest>(text).unwrap(), CreateRequest::default());
    }

    #[test]
    fn a_list_of_lists_as_command_is_refused() {
        assert!(serde_json::from_str::<ContainerConfig>(r#"{"Cmd":[["a"]]}"#).is_err());
        assert!(serde_json::from_str::<ContainerConfig>(r#"{"Cmd":{"a":1}}"#).is_err());
        assert!(serde_json::from_str::<CreateRequest>(r#"{"Cmd":[["a"]]}"#).is_err());
    }

    #[test]
    fn spellings_are_those_of_go() {
        let config = serde_json::to_value(HostConfig::default()).unwrap();
        let keys: Vec<&String> = config.as_object().unwrap().keys().collect();
        for key in [
            "UTSMode",
            "BlkioDeviceReadIOps",
            "NanoCpus",
            "CpuRealtimePeriod",
            "IOMaximumIOps",
            "DnsOptions",
            "Ulimits",
        ] {
            assert!(keys.iter().any(|k| *k == key), "{key} is missing in {keys:?}");
        }
        let state = serde_json::to_value(ContainerState::default()).unwrap();
        assert!(state.get("OOMKilled").is_some());
        let endpoint = serde_json::to_value(EndpointSettings::default()).unwrap();
        for key in ["IPAMConfig", "NetworkID", "EndpointID", "IPAddress", "GlobalIPv6Address", "DNSNames"] {
            assert!(endpoint.get(key).is_some(), "{key} is missing in {endpoint}");
        }
    }
}
