//! `network ...`: networks are made, shown, joined, left and removed.

mod create;
mod egress;
mod firewall;
mod join;
mod list;
mod remove;

pub use create::Create;
pub use egress::Egress;
pub use firewall::Firewall;
pub use join::{Connect, Disconnect};
pub use list::List;
pub use remove::{Prune, Remove};

/// `KEY=VALUE`, each a pair of a map; a key alone has an empty value.
fn map(typed: &[String]) -> serde_json::Map<String, serde_json::Value> {
    let pair = |text: &String| {
        let (key, value) = text.split_once('=').unwrap_or((text, ""));
        (key.to_owned(), value.into())
    };
    typed.iter().map(pair).collect()
}
