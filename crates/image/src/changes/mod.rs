//! Dockerfile instructions that change a configuration without running anything (`import --change`, `commit --change`).

mod healthcheck;

use crate::Error;
use oci::image::{Config, Empty};
use std::collections::BTreeMap;

/// Applies `changes` in order.
pub fn apply(config: &mut Config, changes: &[String]) -> Result<(), Error> {
    let mut cmd_set = false;
    for change in changes.iter().flat_map(|change| change.lines()).map(str::trim).filter(|line| !line.is_empty()) {
        let word = one(config, change).ok_or_else(|| Error::Change(change.to_owned()))?;
        cmd_set |= word == "CMD";
        // The command belonged to the entry point that was; moby, builder/dockerfile, `dispatchEntrypoint`.
        if word == "ENTRYPOINT" && !cmd_set {
            config.cmd = None;
        }
    }
    Ok(())
}

/// Applies one instruction. Returns its name in capitals.
fn one(config: &mut Config, change: &str) -> Option<String> {
    let (word, rest) = change.split_once(char::is_whitespace)?;
    let rest = rest.trim();
    if rest.is_empty() {
        return None;
    }
    let word = word.to_ascii_uppercase();
    let shell = config.shell.clone().unwrap_or_default();
    match word.as_str() {
        "CMD" => config.cmd = Some(command(rest, shell)),
        "ENTRYPOINT" => config.entrypoint = Some(command(rest, shell)),
        "ENV" => pairs(rest)?.into_iter().for_each(|(key, value)| set_env(&mut config.env, &key, &value)),
        "LABEL" => config.labels.extend(pairs(rest)?),
        "EXPOSE" => expose(&mut config.exposed_ports, rest)?,
        "VOLUME" => config.volumes.extend(list(rest)?.into_iter().map(|path| (path, Empty {}))),
        "USER" => config.user = rest.to_owned(),
        "WORKDIR" => config.working_dir = working_dir(&config.working_dir, &unquoted(rest)),
        "STOPSIGNAL" => config.stop_signal = rest.to_owned(),
        "ONBUILD" => config.on_build.get_or_insert_default().push(trigger(rest)?),
        "HEALTHCHECK" => config.healthcheck = Some(healthcheck::parse(rest)?),
        _ => return None,
    }
    Some(word)
}

/// What a build on top of the image does first. Docker refuses the three that make no sense there.
fn trigger(text: &str) -> Option<String> {
    let word = text.split_whitespace().next()?.to_ascii_uppercase();
    if matches!(word.as_str(), "ONBUILD" | "FROM" | "MAINTAINER") { None } else { Some(text.to_owned()) }
}

/// A JSON array, or a line for the shell.
fn command(text: &str, mut shell: Vec<String>) -> Vec<String> {
    json_list(text).unwrap_or_else(|| {
        if shell.is_empty() {
            shell = vec!["/bin/sh".to_owned(), "-c".to_owned()];
        }
        shell.push(text.to_owned());
        shell
    })
}

fn json_list(text: &str) -> Option<Vec<String>> {
    if text.starts_with('[') { serde_json::from_str(text).ok() } else { None }
}

fn list(text: &str) -> Option<Vec<String>> {
    let all = json_list(text).or_else(|| words(text))?;
    if all.iter().any(String::is_empty) { None } else { Some(all) }
}

/// `A=1 B="two words"`, or the old form `A everything else`.
fn pairs(text: &str) -> Option<Vec<(String, String)>> {
    let (first, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    if !first.contains('=') {
        let value = rest.trim();
        return if value.is_empty() { None } else { Some(vec![(first.to_owned(), value.to_owned())]) };
    }
    let pair = |word: String| {
        let (key, value) = word.split_once('=')?;
        if key.is_empty() { None } else { Some((key.to_owned(), value.to_owned())) }
    };
    words(text)?.into_iter().map(pair).collect()
}

/// Splits at blanks outside quotes; a backslash takes the next character as it is.
fn words(text: &str) -> Option<Vec<String>> {
    let mut all = Vec::new();
    let mut word: Option<String> = None;
    let mut quote: Option<char> = None;
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        match (quote, letter) {
            (Some(q), c) if c == q => quote = None,
            (Some('\''), c) => word.get_or_insert_default().push(c),
            (_, '\\') => word.get_or_insert_default().push(letters.next()?),
            (Some(_), c) => word.get_or_insert_default().push(c),
            (None, '"' | '\'') => {
                quote = Some(letter);
                word.get_or_insert_default();
            }
            (None, c) if c.is_whitespace() => all.extend(word.take()),
            (None, c) => word.get_or_insert_default().push(c),
        }
    }
    all.extend(word);
    if quote.is_some() { None } else { Some(all) }
}

fn unquoted(text: &str) -> String {
    match words(text).as_deref() {
        Some([one]) => one.clone(),
        _ => text.to_owned(),
    }
}

fn set_env(env: &mut Vec<String>, key: &str, value: &str) {
    let line = format!("{key}={value}");
    match env.iter_mut().find(|old| old.split('=').next() == Some(key)) {
        Some(old) => *old = line,
        None => env.push(line),
    }
}

/// `80`, `53/udp`, `8000-8010/tcp`
fn expose(ports: &mut BTreeMap<String, Empty>, text: &str) -> Option<()> {
    for word in text.split_whitespace() {
        let (range, protocol) = word.split_once('/').unwrap_or((word, "tcp"));
        let protocol = protocol.to_ascii_lowercase();
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (first, last): (u16, u16) = (first.parse().ok()?, last.parse().ok()?);
        if !matches!(protocol.as_str(), "tcp" | "udp" | "sctp") || first > last || first == 0 {
            return None;
        }
        ports.extend((first..=last).map(|port| (format!("{port}/{protocol}"), Empty {})));
    }
    Some(())
}

fn working_dir(before: &str, wanted: &str) -> String {
    let start = if wanted.starts_with('/') { "" } else { before };
    let mut parts: Vec<&str> = Vec::new();
    for part in start.split('/').chain(wanted.split('/')) {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changed(changes: &[&str]) -> Result<Config, Error> {
        let mut config = Config::default();
        let changes: Vec<String> = changes.iter().map(|c| (*c).to_owned()).collect();
        apply(&mut config, &changes).map(|()| config)
    }

    #[test]
    fn instructions_change_the_configuration() {
        let config = changed(&[
            r#"CMD ["a", "b c"]"#,
            "entrypoint exec x",
            r#"ENV A=1 B="two words" C=th\ ree"#,
            "ENV A 2 and more",
            "EXPOSE 80 53/udp 8000-8002",
            r#"LABEL a.b=c "d e"='f "g"'"#,
            r#"VOLUME ["/data", "/x"]"#,
            "VOLUME /y /z",
            "USER 1000:100",
            "WORKDIR /a/b",
            "WORKDIR ../c",
            "STOPSIGNAL SIGINT",
            "ONBUILD RUN x",
        ])
        .unwrap();
        assert_eq!(config.cmd.unwrap(), ["a", "b c"]);
        assert_eq!(config.entrypoint.unwrap(), ["/bin/sh", "-c", "exec x"]);
        assert_eq!(config.env, ["A=2 and more", "B=two words", "C=th ree"]);
        let ports: Vec<_> = config.exposed_ports.keys().map(String::as_str).collect();
        assert_eq!(ports, ["53/udp", "80/tcp", "8000/tcp", "8001/tcp", "8002/tcp"]);
        assert_eq!(config.labels["a.b"], "c");
        assert_eq!(config.labels["d e"], "f \"g\"");
        assert_eq!(config.volumes.len(), 4);
        assert_eq!((config.user.as_str(), config.working_dir.as_str()), ("1000:100", "/a/c"));
        assert_eq!(config.stop_signal, "SIGINT");
        assert_eq!(config.on_build.unwrap(), ["RUN x"]);
    }

    #[test]
    fn an_entry_point_takes_the_command_of_the_one_before_with_it() {
        let with = |changes: &[&str]| {
            let mut config = Config { cmd: Some(vec!["old".to_owned()]), ..Config::default() };
            let changes: Vec<String> = changes.iter().map(|c| (*c).to_owned()).collect();
            apply(&mut config, &changes).map(|()| config.cmd).unwrap()
        };
        assert_eq!(with(&[r#"ENTRYPOINT ["a"]"#]), None);
        assert_eq!(with(&[r#"CMD ["x"]"#, r#"ENTRYPOINT ["a"]"#]), Some(vec!["x".to_owned()]));
        assert_eq!(with(&["USER 1"]), Some(vec!["old".to_owned()]));
    }

    #[test]
    fn what_cannot_be_a_change_is_refused_by_its_words() {
        for wrong in [
            "RUN x",
            "CMD",
            "CMD ",
            "ENV A",
            "ENV =1",
            "ENV A=\"open",
            "EXPOSE 0",
            "EXPOSE x",
            "EXPOSE 9-8",
            "EXPOSE 1/x",
            "FROM a",
            "VOLUME [\"\"]",
            "ONBUILD FROM a",
            "HEALTHCHECK CMD",
        ] {
            let error = changed(&[wrong]).unwrap_err();
            assert!(matches!(error, Error::Change(ref text) if text == wrong.trim()), "{wrong}: {error}");
        }
    }
}
