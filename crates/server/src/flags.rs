//! The command line of `dhow engine`: the flags of [`crate::keys::KEYS`], read into what `daemon.json` would say.

use crate::keys::{KEYS, Key, Kind};
use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Arg, ArgAction, ArgMatches, Command};
use serde_json::{Map, Value, json};
use std::ffi::OsString;
use std::path::PathBuf;

/// Settings by their names in the file.
pub type Told = Map<String, Value>;

/// What was typed.
#[derive(Debug, Clone, Default)]
pub struct Flags {
    pub told: Told,
    pub config_file: Option<PathBuf>,
    /// Check the settings and end.
    pub validate: bool,
    /// A descriptor that gets one byte when the engine listens.
    pub ready_fd: Option<i32>,
}

impl Flags {
    /// Reads the words after and with the program's name.
    pub fn read<I, T>(words: I) -> Result<Flags, clap::Error>
    where
        I: IntoIterator<Item = T>,
        T: Into<OsString> + Clone,
    {
        let matches = command().try_get_matches_from(words)?;
        let mut told = Told::new();
        for key in KEYS.iter().filter(|key| !key.flag.is_empty()) {
            if let Some(value) =
                value(key, &matches).map_err(|text| command().error(clap::error::ErrorKind::ValueValidation, text))?
            {
                told.insert(key.file.to_owned(), value);
            }
        }
        Ok(Flags {
            told,
            config_file: matches.get_one::<PathBuf>("config-file").cloned(),
            validate: matches.get_one::<bool>("validate").copied().unwrap_or(false),
            ready_fd: matches.get_one::<i32>("ready-fd").copied(),
        })
    }
}

/// The command line as clap knows it; also what the manual and the completions are made from.
pub fn command() -> Command {
    let own = [
        Arg::new("config-file")
            .long("config-file")
            .value_name("FILE")
            .value_parser(clap::value_parser!(PathBuf))
            .help("Settings as a JSON file [default: /etc/dhow/daemon.json; of a user: ~/.config/dhow/daemon.json]"),
        switch("validate").help("Check the settings and end"),
        Arg::new("ready-fd")
            .long("ready-fd")
            .value_name("NUMBER")
            .value_parser(clap::value_parser!(i32))
            .hide(true)
            .help("A descriptor that gets one byte when the engine listens"),
    ];
    Command::new("dhow engine")
        .version(env!("CARGO_PKG_VERSION"))
        .about("The container engine: serves the Docker API")
        .disable_help_subcommand(true)
        .args(KEYS.iter().filter(|key| !key.flag.is_empty()).map(flag))
        .args(own)
}

fn flag(key: &Key) -> Arg {
    let arg = match key.kind {
        Kind::Switch => switch(key.flag),
        Kind::Number => Arg::new(key.flag).value_parser(clap::value_parser!(i64)).allow_negative_numbers(true),
        Kind::Text | Kind::Size | Kind::Object => Arg::new(key.flag),
        _ => Arg::new(key.flag).action(ArgAction::Append),
    };
    let arg = arg.long(key.flag).help(key.does).hide(key.meaning != crate::keys::Meaning::Acts);
    let arg = if key.kind == Kind::Switch { arg } else { arg.value_name(key.value) };
    key.short.iter().fold(arg, |arg, letter| arg.short(*letter))
}

/// `--name`, `--name=true`, `--name=false`.
fn switch(name: &'static str) -> Arg {
    let truth =
        PossibleValuesParser::new(["1", "t", "T", "TRUE", "true", "True", "0", "f", "F", "FALSE", "false", "False"])
            .map(|text| matches!(text.as_bytes()[0], b'1' | b't' | b'T'));
    Arg::new(name)
        .long(name)
        .num_args(0..=1)
        .require_equals(true)
        .default_missing_value("true")
        .hide_possible_values(true)
        .value_name("true|false")
        .value_parser(truth)
}

fn value(key: &Key, matches: &ArgMatches) -> Result<Option<Value>, String> {
    Ok(match key.kind {
        Kind::Switch => matches.get_one::<bool>(key.flag).map(|set| json!(set)),
        Kind::Number => matches.get_one::<i64>(key.flag).map(|number| json!(number)),
        Kind::Text | Kind::Size | Kind::Object => matches.get_one::<String>(key.flag).map(|text| json!(text)),
        kind => match matches.get_many::<String>(key.flag) {
            None => None,
            Some(texts) => Some(gathered(kind, &texts.map(String::as_str).collect::<Vec<_>>())?),
        },
    })
}

/// A flag that was given several times, as the file would say it.
fn gathered(kind: Kind, texts: &[&str]) -> Result<Value, String> {
    match kind {
        Kind::Pairs => {
            pairs(texts.iter().map(|text| Ok(text.split_once('=').unwrap_or((text, "")))), |value| Ok(json!(value)))
        }
        Kind::Feature => pairs(texts.iter().map(|text| Ok(text.split_once('=').unwrap_or((text, "true")))), |value| {
            let truth = value.parse::<bool>().map_err(|_| format!("invalid boolean value: {value:?}"))?;
            Ok(json!(truth))
        }),
        Kind::RuntimePath => pairs(texts.iter().map(|text| equals(text, "runtime")), |path| Ok(json!({"path": path}))),
        Kind::UlimitPair => texts.iter().map(|text| ulimit(text)).collect::<Result<Map<_, _>, _>>().map(Value::Object),
        Kind::Pool => texts.iter().map(|text| pool(text)).collect::<Result<Vec<_>, _>>().map(Value::Array),
        Kind::NetworkOption => network_options(texts),
        _ => Ok(json!(texts)),
    }
}

fn equals<'a>(text: &'a str, what: &str) -> Result<(&'a str, &'a str), String> {
    text.split_once('=').ok_or_else(|| format!("invalid {what} {text:?}: expected NAME=VALUE"))
}

fn pairs<'a>(
    pairs: impl Iterator<Item = Result<(&'a str, &'a str), String>>,
    read: impl Fn(&str) -> Result<Value, String>,
) -> Result<Value, String> {
    let read = pairs.map(|pair| pair.and_then(|(key, value)| Ok((key.to_owned(), read(value)?))));
    read.collect::<Result<Map<_, _>, _>>().map(Value::Object)
}

/// `nofile=1024:4096`, `core=0`.
fn ulimit(text: &str) -> Result<(String, Value), String> {
    let wrong = || format!("invalid ulimit argument: {text}");
    let (name, limits) = text.split_once('=').ok_or_else(wrong)?;
    let (soft, hard) = limits.split_once(':').unwrap_or((limits, limits));
    let number = |text: &str| text.parse::<i64>().map_err(|_| wrong());
    let (soft, hard) = (number(soft)?, number(hard)?);
    if hard != -1 && (soft > hard || soft == -1) {
        return Err(format!("ulimit soft limit must be less than or equal to hard limit: {soft} > {hard}"));
    }
    Ok((name.to_owned(), json!({"Name": name, "Hard": hard, "Soft": soft})))
}

/// `base=10.0.0.0/8,size=24`
fn pool(text: &str) -> Result<Value, String> {
    let (mut base, mut size) = (None, None);
    for part in text.split(',') {
        match part.split_once('=') {
            Some(("base", value)) => base = Some(value.to_owned()),
            Some(("size", value)) => size = value.parse::<u8>().ok(),
            _ => return Err(format!("invalid default address pool {text:?}: unexpected {part:?}")),
        }
    }
    match (base, size) {
        (Some(base), Some(size)) => Ok(json!({"base": base, "size": size})),
        _ => Err(format!("invalid default address pool {text:?}: expected base=CIDR,size=BITS")),
    }
}

fn network_options(texts: &[&str]) -> Result<Value, String> {
    let mut all = Map::new();
    for text in texts {
        let (driver, option) = equals(text, "network option")?;
        let (key, value) = equals(option, "network option")?;
        all.entry(driver).or_insert_with(|| json!({}))[key] = json!(value);
    }
    Ok(Value::Object(all))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(words: &str) -> Told {
        Flags::read(["engine"].into_iter().chain(words.split_whitespace())).expect("flags").told
    }

    #[test]
    fn dockerds_flags_are_understood() {
        let words = "--data-root /d --exec-root=/e -H unix:///s -H tcp://127.0.0.1:1 --insecure-tcp --bip 10.0.0.1/24 \
            -b dhow9 --registry-mirror https://m --insecure-registry a:1 --insecure-registry b --tlsverify=false \
            --max-concurrent-downloads 4 --max-concurrent-uploads=2 --http-proxy http://p --no-proxy localhost \
            --disk-budget 20GB --mtu 1400 -l warn -D -p /pid --label a=b --label c=d";
        let told = told(words);
        assert_eq!(told["hosts"], json!(["unix:///s", "tcp://127.0.0.1:1"]));
        assert_eq!(
            (&told["labels"], &told["mtu"], &told["debug"]),
            (&json!(["a=b", "c=d"]), &json!(1400), &json!(true))
        );
        assert_eq!((&told["tlsverify"], &told["disk-budget"]), (&json!(false), &json!("20GB")));
        assert!(!told.contains_key("tls"));
        assert!(Flags::read(["engine", "--no-such-flag"]).is_err());
        assert!(Flags::read(["engine", "--debug=maybe"]).is_err());
    }

    #[test]
    fn flags_with_parts_become_what_the_file_would_say() {
        let told = told(
            "--log-opt max-size=1m --log-opt mode=non-blocking --default-ulimit nofile=10:20 --default-ulimit core=0 \
             --default-address-pool base=10.0.0.0/8,size=24 --add-runtime x=/bin/x --feature a --feature b=false \
             --default-network-opt bridge=com.docker.network.driver.mtu=1400 --icc=false",
        );
        assert_eq!(told["log-opts"], json!({"max-size": "1m", "mode": "non-blocking"}));
        assert_eq!(told["default-ulimits"]["nofile"], json!({"Name": "nofile", "Hard": 20, "Soft": 10}));
        assert_eq!(told["default-address-pools"], json!([{"base": "10.0.0.0/8", "size": 24}]));
        assert_eq!(told["runtimes"], json!({"x": {"path": "/bin/x"}}));
        assert_eq!(told["features"], json!({"a": true, "b": false}));
        assert_eq!(told["default-network-opts"]["bridge"]["com.docker.network.driver.mtu"], "1400");
        assert_eq!(told["icc"], json!(false));
        for words in [
            ["--default-ulimit", "nofile=20:10"],
            ["--default-address-pool", "base=10.0.0.0/8"],
            ["--add-runtime", "x"],
        ] {
            assert!(Flags::read(["engine"].into_iter().chain(words)).is_err(), "{words:?}");
        }
    }

    #[test]
    fn the_command_line_is_sound() {
        command().debug_assert();
    }
}
