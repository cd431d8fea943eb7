//! Which options a log driver has; refused when a container is created, in Docker's words.

use super::{NONE, Remote, fluentd, gelf, size, syslog};
use std::collections::BTreeMap;

/// Options of a driver by name.
pub type Options = BTreeMap<String, String>;

/// What every driver takes for what its entries say besides the line.
const ATTRIBUTES: [&str; 5] = ["env", "env-regex", "labels", "labels-regex", "tag"];

/// Options about how output reaches the driver.
const DELIVERY: [&str; 2] = ["mode", "max-buffer-size"];

/// Options of the cache of a driver that sends: those of `local` behind a prefix, and its switch.
const CACHE: &str = "cache-";
const FILE: [&str; 3] = ["compress", "max-file", "max-size"];

const SYSLOG: [&str; 7] = [
    "syslog-address",
    "syslog-facility",
    "syslog-format",
    "syslog-tls-ca-cert",
    "syslog-tls-cert",
    "syslog-tls-key",
    "syslog-tls-skip-verify",
];

const GELF: [&str; 5] = [
    "gelf-address",
    "gelf-compression-level",
    "gelf-compression-type",
    "gelf-tcp-max-reconnect",
    "gelf-tcp-reconnect-delay",
];

const FLUENTD: [&str; 10] = [
    "fluentd-address",
    "fluentd-async",
    "fluentd-async-reconnect-interval",
    "fluentd-buffer-limit",
    "fluentd-max-retries",
    "fluentd-read-timeout",
    "fluentd-request-ack",
    "fluentd-retry-wait",
    "fluentd-sub-second-precision",
    "fluentd-write-timeout",
];

/// Checks the options of `driver`.
pub fn check(driver: &str, options: &Options) -> Result<(), String> {
    if driver == NONE {
        return Ok(());
    }
    check_delivery(options)?;
    if let Some(text) = options.get("cache-disabled").filter(|text| !text.is_empty()) {
        size::switch(text).map_err(|_| format!("invalid value for option cache-disabled: {text}"))?;
    }
    let own = options.iter().filter(|(key, _)| !DELIVERY.contains(&key.as_str()) && !is_of_cache(key));
    let unknown = |known: &[&str]| {
        own.clone()
            .map(|(key, _)| key.as_str())
            .find(|key| !known.contains(key) && !ATTRIBUTES.contains(key))
            .map(str::to_owned)
    };
    let refuse = |key: Option<String>, of: &str| match key {
        Some(key) => Err(format!("unknown log opt '{key}' for {of}")),
        None => Ok(()),
    };
    match (driver, Remote::of(driver)) {
        ("json-file", _) => refuse(unknown(&FILE), "json-file log driver"),
        ("local", _) => refuse(unknown(&FILE), "log driver local"),
        (_, Some(Remote::Journald)) => refuse(unknown(&[]), "journald log driver"),
        (_, Some(Remote::Syslog)) => {
            refuse(unknown(&SYSLOG), "syslog log driver")?;
            syslog::check(options)
        }
        (_, Some(Remote::Gelf)) => {
            gelf::check(options)?;
            match unknown(&GELF) {
                Some(key) => Err(format!("unknown log opt {key:?} for gelf log driver")),
                None => Ok(()),
            }
        }
        (_, Some(Remote::Fluentd)) => {
            refuse(unknown(&FLUENTD), "fluentd log driver")?;
            fluentd::check(options)
        }
        _ => Err(format!("error looking up logging plugin {driver}: plugin {driver:?} not found")),
    }
}

fn check_delivery(options: &Options) -> Result<(), String> {
    let mode = options.get("mode").map_or("", String::as_str);
    if !matches!(mode, "" | "blocking" | "non-blocking") {
        return Err(format!("logger: logging mode not supported: {mode}"));
    }
    let Some(text) = options.get("max-buffer-size") else { return Ok(()) };
    if mode != "non-blocking" {
        return Err("logger: max-buffer-size option is only supported with 'mode=non-blocking'".to_owned());
    }
    size::binary(text).map(drop).map_err(|why| format!("error parsing option max-buffer-size: {why}"))
}

fn is_of_cache(key: &str) -> bool {
    let option = key.strip_prefix(CACHE);
    option.is_some_and(|option| option == "disabled" || FILE.contains(&option) || ATTRIBUTES.contains(&option))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(pairs: &[(&str, &str)]) -> Options {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn what_docker_takes_is_taken() {
        let file = [("max-size", "1m"), ("max-file", "2"), ("compress", "true"), ("labels", "a"), ("tag", "x")];
        for (driver, pairs) in [
            ("json-file", &file[..]),
            ("local", &file[..]),
            ("none", &[("what", "ever")]),
            (
                "journald",
                &[
                    ("tag", "{{.Name}}"),
                    ("mode", "non-blocking"),
                    ("max-buffer-size", "4m"),
                    ("cache-disabled", "true"),
                ],
            ),
            (
                "syslog",
                &[("syslog-address", "udp://127.0.0.1:1"), ("syslog-format", "rfc5424micro"), ("cache-max-size", "1m")],
            ),
        ] {
            assert_eq!(check(driver, &options(pairs)), Ok(()), "{driver}");
        }
    }

    #[test]
    fn the_rest_is_refused_in_dockers_words() {
        for (driver, key, value, why) in [
            ("json-file", "nope", "1", "unknown log opt 'nope' for json-file log driver"),
            ("local", "nope", "1", "unknown log opt 'nope' for log driver local"),
            ("journald", "max-size", "1", "unknown log opt 'max-size' for journald log driver"),
            ("syslog", "max-size", "1", "unknown log opt 'max-size' for syslog log driver"),
            ("json-file", "mode", "x", "logger: logging mode not supported: x"),
            (
                "json-file",
                "max-buffer-size",
                "1m",
                "logger: max-buffer-size option is only supported with 'mode=non-blocking'",
            ),
            ("local", "cache-disabled", "x", "invalid value for option cache-disabled: x"),
            ("nope", "a", "b", "error looking up logging plugin nope: plugin \"nope\" not found"),
        ] {
            assert_eq!(check(driver, &options(&[(key, value)])), Err(why.to_owned()), "{driver}");
        }
    }
}
