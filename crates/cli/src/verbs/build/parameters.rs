//! What is asked as of `POST /build`: the parameters of the request.

use std::collections::BTreeMap;

use api::client::query;

use super::Build;
use crate::failure::Failure;
use crate::grammar::values::Ulimit;

impl Build {
    pub(super) fn path(&self) -> Result<String, Failure> {
        let mut given = pairs(&self.build_arg, |name| std::env::var(name).ok());
        // As buildx, which hands it on.
        if let Ok(epoch) = std::env::var("SOURCE_DATE_EPOCH")
            && !epoch.is_empty()
        {
            given.entry("SOURCE_DATE_EPOCH".to_owned()).or_insert(epoch);
        }
        let arguments = serde_json::json!(given).to_string();
        let labels = serde_json::json!(pairs(&self.label, |_| Some(String::new()))).to_string();
        let ulimits = (!self.ulimit.is_empty()).then(|| self.ulimits());
        let security = (!self.security_opt.is_empty()).then(|| serde_json::json!(self.security_opt).to_string());
        let platform = Some(self.platform.join(",")).filter(|text| !text.is_empty());
        let number = |value: Option<i64>| value.map(|value| value.to_string());
        let numbers = [
            ("shmsize", number(self.shm_size)),
            ("memory", number(self.memory)),
            ("memswap", number(self.memory_swap)),
            ("cpushares", number(self.cpu_shares)),
            ("cpuperiod", number(self.cpu_period)),
            ("cpuquota", number(self.cpu_quota)),
        ];
        let switch = |on: bool| on.then_some("1");
        let mut all = vec![
            ("target", self.target.as_deref()),
            ("buildargs", Some(arguments.as_str())),
            ("labels", Some(labels.as_str())),
            ("networkmode", self.network.as_deref().filter(|mode| *mode != "default")),
            ("platform", platform.as_deref()),
            ("ulimits", ulimits.as_deref()),
            ("securityopt", security.as_deref()),
            ("cgroupparent", self.cgroup_parent.as_deref()),
            ("cpusetcpus", self.cpuset_cpus.as_deref()),
            ("cpusetmems", self.cpuset_mems.as_deref()),
            ("nocache", switch(self.no_cache)),
            ("pull", switch(self.pull)),
            ("squash", switch(self.squash)),
        ];
        all.extend(numbers.iter().map(|(name, value)| (*name, value.as_deref())));
        all.extend(self.add_host.iter().map(|host| ("extrahosts", Some(host.as_str()))));
        Ok(query("/build/local", &all))
    }

    fn ulimits(&self) -> String {
        let limit = |limit: &Ulimit| serde_json::json!({ "Name": limit.name, "Soft": limit.soft, "Hard": limit.hard });
        serde_json::Value::Array(self.ulimit.iter().map(limit).collect()).to_string()
    }
}

/// `KEY=value`s; a `KEY` alone is looked up, and left out when it is nowhere.
fn pairs(typed: &[String], look: impl Fn(&str) -> Option<String>) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    for text in typed {
        match text.split_once('=') {
            Some((key, value)) => drop(all.insert(key.to_owned(), value.to_owned())),
            None => all.extend(look(text).map(|value| (text.clone(), value))),
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_take_what_is_missing_from_around() {
        let typed = ["A=1".to_owned(), "B".to_owned(), "C".to_owned()];
        let meant = BTreeMap::from([("A".to_owned(), "1".to_owned()), ("B".to_owned(), "x".to_owned())]);
        assert_eq!(pairs(&typed, |name| (name == "B").then(|| "x".to_owned())), meant);
    }
}
