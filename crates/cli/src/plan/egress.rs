//! `--egress` and its lists: what a container may reach outside of its networks.

use clap::Args;
use serde_json::{Map, Value, json};

/// The flags of `run`, `create` and `update`.
#[derive(Debug, Clone, Default, Args)]
pub struct EgressFlags {
    /// What becomes of connections to the outside that no list speaks of (deny|allow)
    #[arg(long = "egress", value_name = "string", value_parser = ["deny", "allow"])]
    pub default: Option<String>,
    /// Names, addresses and ports outside that may be reached (*.example.org:443,10.0.0.0/8,tcp/5432)
    #[arg(long = "egress-allow", value_name = "list")]
    pub allow: Vec<String>,
    /// Those that may not, whatever is allowed
    #[arg(long = "egress-deny", value_name = "list")]
    pub deny: Vec<String>,
    /// Keep a record of what is reached, see "network egress"
    #[arg(long = "egress-learn")]
    pub learn: bool,
}

impl EgressFlags {
    /// What was typed, if anything: as the API has it.
    pub fn policy(&self) -> Option<Value> {
        let mut policy = Map::new();
        policy.extend(self.default.as_ref().map(|default| ("Default".to_owned(), json!(default))));
        for (key, list) in [("Allow", &self.allow), ("Deny", &self.deny)] {
            if !list.is_empty() {
                policy.insert(key.to_owned(), json!(words(list)));
            }
        }
        if self.learn {
            policy.insert("Learn".to_owned(), json!(true));
        }
        (!policy.is_empty()).then_some(Value::Object(policy))
    }
}

/// Each word of lists with commas by itself; an empty list is one, and takes away what was there.
pub fn words(list: &[String]) -> Vec<&str> {
    list.iter().flat_map(|text| text.split(',')).map(str::trim).filter(|word| !word.is_empty()).collect()
}
