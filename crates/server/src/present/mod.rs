//! What the engine knows, in Docker's shapes.

pub mod columns;
pub mod image;
pub mod inspect;
pub mod network;
pub mod processes;
pub mod progress;
pub mod state;
pub mod stats;
pub mod summary;

use api::types::{ContainerConfig, HostConfig};
use container::Config;
use serde_json::Value;

/// The request a container was made from, as it came.
#[derive(Debug, Clone, Default)]
pub struct Typed {
    pub config: ContainerConfig,
    pub host: HostConfig,
}

impl Typed {
    /// Reads `Config::asked` back. A record without one shows defaults.
    pub fn of(config: &Config) -> Typed {
        fn part<T: Default + serde::de::DeserializeOwned>(asked: &Value, key: &str) -> T {
            asked.get(key).and_then(|value| T::deserialize(value).ok()).unwrap_or_default()
        }
        let asked = &config.asked;
        Typed { config: part(asked, "Config"), host: part(asked, "HostConfig") }
    }
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
