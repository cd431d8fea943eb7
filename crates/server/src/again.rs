//! An engine whose keeper was killed begins anew, in the same process.

use engine::Engine;
use std::ffi::OsString;
use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::Duration;

/// How long clients have to read what became of their containers.
const LAST_ANSWERS: Duration = Duration::from_millis(200);

/// Returns when the keeper is lost and clients were told.
pub async fn keeper_lost(engine: &Engine) {
    engine.keeper_lost().await;
    tokio::time::sleep(LAST_ANSWERS).await;
}

/// Executes this program again, as it was started: whoever watches over this process sees it go on. Returns only an error.
///
/// That of an ordinary user ends instead: it was born inside its namespaces, and would have to be born again.
pub fn begin(inside: Option<&rootless::Inside>) -> io::Result<()> {
    if inside.is_some() {
        return Err(io::Error::other("the keeper is gone: start the engine again"));
    }
    let mut words = std::env::args_os();
    let name = words.next().unwrap_or_else(|| "dhow".into());
    Err(Command::new("/proc/self/exe").arg0(name).args(without_ready(words)).exec())
}

/// The descriptor of `--ready-fd` was told and closed; its number may be another file's by now.
fn without_ready(words: impl Iterator<Item = OsString>) -> Vec<OsString> {
    let mut kept = Vec::new();
    let mut words = words;
    while let Some(word) = words.next() {
        match word.to_str() {
            Some("--ready-fd") => drop(words.next()),
            Some(text) if text.starts_with("--ready-fd=") => {}
            _ => kept.push(word),
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whom_to_tell_when_ready_is_told_once() {
        let words = ["engine", "--ready-fd", "5", "-H", "x", "--ready-fd=7", "--debug"].map(OsString::from);
        assert_eq!(without_ready(words.into_iter()), ["engine", "-H", "x", "--debug"]);
    }
}
