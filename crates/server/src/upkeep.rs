//! `builder` of `daemon.json`: what of the build cache goes by itself (`gc`), and which rights builds may be given (`entitlements`).
//! Names in any case, as dockerd reads them.

use crate::options::OptionsError;
use build::Upkeep;
use build::cache::{Filter, Limits, Policy, Share};
use build::request::{Entitlements, Granted};
use serde_json::{Map, Value};
use std::time::Duration;

const KEY: &str = "builder";

/// Reads the value of `builder`.
pub fn read(builder: &Value) -> Result<Upkeep, OptionsError> {
    let Some(gc) = get(fields(builder)?, "gc") else { return Ok(Upkeep::Usual) };
    let gc = fields(gc)?;
    if get(gc, "enabled").is_some_and(|enabled| enabled == &Value::Bool(false)) {
        return Ok(Upkeep::Off);
    }
    if let Some(policies) = get(gc, "policy") {
        let policies = policies.as_array().ok_or_else(|| wrong("policy is no list", policies))?;
        return Ok(Upkeep::Policies(policies.iter().map(policy).collect::<Result<_, _>>()?));
    }
    let limits = limits(gc, "default")?;
    Ok(if limits == Limits::default() { Upkeep::Usual } else { Upkeep::Within(limits) })
}

/// The rights that `entitlements` does not forbid.
pub fn rights(builder: &Value) -> Result<Entitlements, OptionsError> {
    let Some(told) = get(fields(builder)?, "entitlements") else { return Ok(Entitlements::ALL) };
    let told = fields(told)?;
    let right = |name: &str| match get(told, name) {
        None | Some(Value::Bool(true)) => Ok(Granted::Yes),
        Some(Value::Bool(false)) => Ok(Granted::No),
        Some(other) => Err(wrong(&format!("{name} is neither true nor false"), other)),
    };
    Ok(Entitlements { host_network: right("network-host")?, insecure: right("security-insecure")? })
}

fn policy(value: &Value) -> Result<Policy, OptionsError> {
    let rule = fields(value)?;
    let (mut terms, mut keep_for) = (Vec::new(), None);
    for (name, value) in get(rule, "filter").map(pairs).transpose()?.unwrap_or_default() {
        match name.as_str() {
            "until" | "unused-for" => keep_for = Some(age(&value)?),
            "id" => terms.push(format!("id~={value}")),
            _ if value.is_empty() => terms.push(name),
            _ => terms.push(format!("{name}=={value}")),
        }
    }
    if let Some(text) = get(rule, "keepDuration").and_then(Value::as_str) {
        keep_for = Some(age(text)?);
    }
    let filter = |text: String| text.parse::<Filter>().map_err(|error| wrong(&base::chain(&error), value));
    let filters = if terms.is_empty() { Vec::new() } else { vec![filter(terms.join(","))?] };
    let all = get(rule, "all") == Some(&Value::Bool(true));
    Ok(Policy { all, keep_for, limits: limits(rule, "")?, filters })
}

/// `reservedSpace` and its old name, `maxUsedSpace`, `minFreeSpace`.
fn limits(rule: &Map<String, Value>, prefix: &str) -> Result<Limits, OptionsError> {
    let share = |name: &str| {
        let Some(text) = get(rule, &format!("{prefix}{name}")).and_then(Value::as_str) else { return Ok(None) };
        if text.is_empty() {
            return Ok(None);
        }
        let failed = || wrong(&format!("failed to parse {prefix}{name}"), &Value::from(text));
        Share::parse(text).map(Some).ok_or_else(failed)
    };
    let reserved = share("reservedSpace")?.or(share("keepStorage")?);
    Ok(Limits { reserved, most: share("maxUsedSpace")?, free: share("minFreeSpace")? })
}

/// `["unused-for=48h"]`, or as it was written once `{"unused-for": {"48h": true}}`.
fn pairs(filter: &Value) -> Result<Vec<(String, String)>, OptionsError> {
    match filter {
        Value::Array(texts) => {
            let pair = |text: &Value| {
                let text = text.as_str().ok_or_else(|| wrong("a filter is no text", text))?;
                let (name, value) = text.split_once('=').unwrap_or((text, ""));
                Ok((name.trim().to_ascii_lowercase(), value.trim_start_matches('=').trim().to_owned()))
            };
            texts.iter().map(pair).collect()
        }
        Value::Object(fields) => {
            let values = |value: &Value| value.as_object().map(|all| all.keys().cloned().collect::<Vec<_>>());
            let each = fields.iter().flat_map(|(name, value)| {
                values(value).unwrap_or_default().into_iter().map(move |value| (name.to_ascii_lowercase(), value))
            });
            Ok(each.collect())
        }
        other => Err(wrong("a filter is no list", other)),
    }
}

fn age(text: &str) -> Result<Duration, OptionsError> {
    let found = crate::times::duration(text).and_then(|nanos| u64::try_from(nanos).ok()).map(Duration::from_nanos);
    found.ok_or_else(|| wrong("invalid duration", &Value::from(text)))
}

fn fields(value: &Value) -> Result<&Map<String, Value>, OptionsError> {
    value.as_object().ok_or_else(|| wrong("not an object", value))
}

fn get<'a>(fields: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    let found = fields.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
    found.map(|(_, value)| value).filter(|value| !value.is_null())
}

fn wrong(why: &str, value: &Value) -> OptionsError {
    OptionsError::Value { key: KEY, value: format!("{why}: {value}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_forms_of_dockerd_are_read() {
        let read = |value: Value| read(&value).expect("a builder's settings");
        assert_eq!(read(json!({})), Upkeep::Usual);
        assert_eq!(read(json!({"gc": {"enabled": true}})), Upkeep::Usual);
        assert_eq!(read(json!({"GC": {"Enabled": false, "policy": []}})), Upkeep::Off);
        let reserved = Limits { reserved: Some(Share::Bytes(20 << 30)), ..Limits::default() };
        assert_eq!(read(json!({"gc": {"defaultKeepStorage": "20GB"}})), Upkeep::Within(reserved));
        let free = Limits { free: Some(Share::Percent(20)), ..Limits::default() };
        assert_eq!(read(json!({"gc": {"defaultMinFreeSpace": "20%"}})), Upkeep::Within(free));
        let Upkeep::Policies(policies) = read(json!({"gc": {"policy": [
            {"keepStorage": "512MB", "filter": ["unused-for=48h", "type==exec.cachemount"]},
            {"maxUsedSpace": "1GB", "all": true, "filter": {"unused-for": {"2h": true}}},
        ]}})) else {
            panic!("no policies");
        };
        assert_eq!(policies[0].keep_for, Some(Duration::from_secs(48 * 3600)));
        assert_eq!(policies[0].filters, ["type==exec.cachemount".parse().expect("a filter")]);
        assert_eq!(policies[0].limits.reserved, Some(Share::Bytes(512 << 20)));
        assert_eq!((policies[1].all, policies[1].limits.most), (true, Some(Share::Bytes(1 << 30))));
        assert_eq!(policies[1].keep_for, Some(Duration::from_secs(2 * 3600)));
    }

    #[test]
    fn rights_are_there_unless_they_are_forbidden() {
        let rights = |value: Value| rights(&value);
        assert_eq!(rights(json!({"gc": {}})).expect("rights"), Entitlements::ALL);
        let told = json!({"Entitlements": {"network-host": true, "Security-Insecure": false}});
        let expected = Entitlements { host_network: Granted::Yes, insecure: Granted::No };
        let told = rights(told).expect("rights");
        assert_eq!((told, Entitlements::ALL.beyond(&told)), (expected, Some("security.insecure")));
        assert_eq!(expected.beyond(&told).or(Entitlements::default().beyond(&told)), None);
        for wrong in [json!({"entitlements": []}), json!({"entitlements": {"network-host": "no"}})] {
            assert!(rights(wrong.clone()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        for wrong in [
            json!({"gc": 1}),
            json!({"gc": {"defaultReservedSpace": "much"}}),
            json!({"gc": {"policy": {}}}),
            json!({"gc": {"policy": [{"filter": ["nope=1"]}]}}),
            json!({"gc": {"policy": [{"filter": ["until=soon"]}]}}),
        ] {
            assert!(read(&wrong).is_err(), "{wrong}");
        }
    }
}
