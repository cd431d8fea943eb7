//! What the engine knows, in Docker's shapes.

pub mod columns;
pub mod image;
pub mod inspect;
pub mod kept;
pub mod network;
pub mod processes;
pub mod progress;
pub mod rows;
pub mod state;
pub mod stats;
pub mod summary;
pub mod volume;

use api::types::{ContainerConfig, HostConfig};
use container::Config;
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use serde_json::value::RawValue;
use std::collections::BTreeMap;

/// The request a container was made from, as it came.
#[derive(Debug, Clone, Default)]
pub struct Typed {
    pub config: ContainerConfig,
    pub host: HostConfig,
}

impl Typed {
    /// Reads `Config::asked` back. A record without one shows defaults.
    pub fn of(config: &Config) -> Typed {
        let Parts { config, host } = Parts::of(config);
        Typed { config: read(config).unwrap_or_default(), host: read(host).unwrap_or_default() }
    }

    /// As [`of`](Self::of), no more of it than a row of a list shows: a list is long, and asked for often.
    pub fn for_row(config: &Config) -> Typed {
        let Row { binds, network_mode, annotations, tmpfs } = read(Parts::of(config).host).unwrap_or_default();
        let host = HostConfig { binds, network_mode, annotations, tmpfs, ..HostConfig::default() };
        Typed { host, ..Typed::default() }
    }
}

/// The request by its parts, not yet read.
#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Parts<'a> {
    #[serde(borrow)]
    config: Option<&'a RawValue>,
    #[serde(borrow, rename = "HostConfig")]
    host: Option<&'a RawValue>,
}

impl Parts<'_> {
    fn of(config: &Config) -> Parts<'_> {
        serde_json::from_str(config.asked.text()).unwrap_or_default()
    }
}

fn read<T: serde::de::DeserializeOwned>(part: Option<&RawValue>) -> Option<T> {
    serde_json::from_str(part?.get()).ok()
}

/// What a row of a list shows of the request.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Row {
    binds: Option<Vec<String>>,
    #[serde(deserialize_with = "or_default")]
    network_mode: String,
    #[serde(deserialize_with = "or_default")]
    annotations: BTreeMap<String, String>,
    #[serde(deserialize_with = "or_default")]
    tmpfs: BTreeMap<String, String>,
}

/// `null` is nothing.
fn or_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(deserializer: D) -> Result<T, D::Error> {
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}

/// Splits a create request into what is kept of it: `{"Config": .., "HostConfig": .., "NetworkingConfig": ..}`.
pub fn kept(request: Value) -> Value {
    let Value::Object(mut fields) = request else { return Value::Null };
    let mut host = fields.remove("HostConfig").unwrap_or(Value::Null);
    // At creation 0 and -1 are nothing asked for; set by an update, 0 is no limit any more, and shown.
    if let Some(limit) = host.get_mut("PidsLimit").filter(|limit| limit.as_i64().is_some_and(|limit| limit <= 0)) {
        *limit = Value::Null;
    }
    let networking = fields.remove("NetworkingConfig").unwrap_or(Value::Null);
    serde_json::json!({"Config": fields, "HostConfig": host, "NetworkingConfig": networking})
}

#[cfg(test)]
mod tests;
