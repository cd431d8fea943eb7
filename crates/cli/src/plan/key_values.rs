//! `KEY=VALUE` texts, on the command line and in files: environment, labels, options.

use serde_json::{Value, json};

use super::{Object, Surroundings};

/// The environment: first the files' variables, then those of `--env`. A key alone takes the client's value; without
/// one it is left out of a file, and asks for the image's variable to be unset on the command line.
pub fn environment(files: &[String], typed: &[String], around: &Surroundings<'_>) -> Result<Vec<String>, String> {
    let mut all = Vec::new();
    for file in files {
        for line in lines(file)? {
            match line.contains('=') {
                true => all.push(line),
                false => all.extend((around.variable)(&line).map(|value| format!("{line}={value}"))),
            }
        }
    }
    for variable in typed {
        match (around.variable)(variable).filter(|_| !variable.contains('=')) {
            Some(value) => all.push(format!("{variable}={value}")),
            None => all.push(variable.clone()),
        }
    }
    Ok(all)
}

/// The labels: first the files' (a key alone is left out, as docker does), then those of `--label`.
pub(super) fn labels(files: &[String], typed: &[String]) -> Result<Object, String> {
    let mut all = Vec::new();
    for file in files {
        all.extend(lines(file)?.into_iter().filter(|line| line.contains('=')));
    }
    all.extend_from_slice(typed);
    Ok(pairs(&all))
}

/// `KEY=VALUE` or `KEY` as a map; the last one wins.
pub(super) fn pairs(texts: &[String]) -> Object {
    let split = |text: &String| {
        let (key, value) = text.split_once('=').unwrap_or((text, ""));
        (key.to_owned(), json!(value))
    };
    texts.iter().map(split).collect::<serde_json::Map<String, Value>>()
}

/// The lines of a file that say something: no comments, no blank ones, no white space before the key or inside it.
fn lines(path: &str) -> Result<Vec<String>, String> {
    let text = std::fs::read(path).map_err(|cause| format!("open {path}: {}", plain(&cause)))?;
    let text = String::from_utf8(text).map_err(|_| format!("env file {path} contains invalid utf8 bytes"))?;
    let mut good = Vec::new();
    for line in text.trim_start_matches('\u{feff}').lines() {
        let line = line.trim_start();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let key = line.split('=').next().unwrap_or_default();
        if key.is_empty() {
            return Err(format!("no variable name on line '{line}'"));
        }
        if key.contains([' ', '\t']) {
            return Err(format!("variable '{key}' contains whitespaces"));
        }
        good.push(line.to_owned());
    }
    Ok(good)
}

/// An I/O error in the words of strerror(3), without Rust's number.
pub(super) fn plain(cause: &std::io::Error) -> String {
    match cause.kind() {
        std::io::ErrorKind::NotFound => "no such file or directory".to_owned(),
        std::io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        std::io::ErrorKind::IsADirectory => "is a directory".to_owned(),
        _ => cause.to_string(),
    }
}
