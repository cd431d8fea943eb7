//! `ssh://[USER@]HOST[:PORT][/SOCKET]`: the engine of another machine, through ssh(1) and `dhow system dial-stdio` there.

use api::client::Endpoint;

use crate::failure::Failure;

/// What is run there.
const THERE: [&str; 3] = ["dhow", "system", "dial-stdio"];

/// The ssh command that an address stands for.
pub fn endpoint(text: &str) -> Result<Endpoint, Failure> {
    let wrong = |why: &str| Failure::said(format!("invalid address {text:?}: {why}"));
    let rest = text.strip_prefix("ssh://").ok_or_else(|| wrong("expected ssh://"))?;
    let (place, path) = rest.split_once('/').map_or((rest, ""), |(place, path)| (place, path));
    let (user, place) = match place.rsplit_once('@') {
        Some((user, place)) => (Some(user), place),
        None => (None, place),
    };
    if user.is_some_and(|user| user.contains(':')) {
        return Err(wrong("plain-text password is not supported"));
    }
    let (host, port) = match place.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (place, None),
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    // A name that begins with a dash would be an option of ssh, as would a user (CVE-2017-1000117).
    if host.is_empty() || host.starts_with('-') || user.is_some_and(|user| user.is_empty() || user.starts_with('-')) {
        return Err(wrong("expected ssh://[USER@]HOST[:PORT]"));
    }
    let mut words: Vec<String> = ["ssh", "-o", "ConnectTimeout=30", "-T"].map(str::to_owned).into();
    if let Some(user) = user {
        words.extend(["-l".to_owned(), user.to_owned()]);
    }
    if let Some(port) = port {
        let port: u16 = port.parse().map_err(|_| wrong("the port is no number"))?;
        words.extend(["-p".to_owned(), port.to_string()]);
    }
    words.extend(["--".to_owned(), host.to_owned(), THERE[0].to_owned()]);
    if !path.is_empty() {
        words.extend(["-H".to_owned(), quoted(&format!("unix:///{path}"))]);
    }
    words.extend(THERE[1..].iter().map(|word| (*word).to_owned()));
    Ok(Endpoint::Command { shown: text.to_owned(), words })
}

/// A word for the shell on the other side.
fn quoted(word: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./:@".contains(&byte);
    if word.bytes().all(plain) { word.to_owned() } else { format!("'{}'", word.replace('\'', "'\\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Result<String, String> {
        match endpoint(text) {
            Ok(Endpoint::Command { words, .. }) => Ok(words.join(" ")),
            Ok(other) => panic!("{other}"),
            Err(failure) => Err(failure.to_string()),
        }
    }

    #[test]
    fn an_address_becomes_a_command_of_ssh() {
        let plain = "ssh -o ConnectTimeout=30 -T -- h dhow system dial-stdio";
        assert_eq!(words("ssh://h"), Ok(plain.to_owned()));
        let full = "ssh -o ConnectTimeout=30 -T -l me -p 2222 -- ::1 dhow -H unix:///run/x.sock system dial-stdio";
        assert_eq!(words("ssh://me@[::1]:2222/run/x.sock"), Ok(full.to_owned()));
        assert!(words("ssh://h/a;rm -rf x").is_ok_and(|line| line.contains("'unix:///a;rm -rf x'")));
    }

    #[test]
    fn options_are_no_hosts() {
        for text in ["ssh://", "ssh://-oProxyCommand=x", "ssh://-l@h", "ssh://u:pw@h", "ssh://h:port"] {
            assert!(words(text).is_err(), "{text}");
        }
    }
}
