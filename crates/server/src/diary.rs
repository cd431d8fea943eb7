//! What the engine writes to stderr about itself.

use std::sync::OnceLock;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::Registry;
use tracing_subscriber::reload::{self, Handle};
use tracing_subscriber::util::SubscriberInitExt;

static HANDLE: OnceLock<Handle<Targets, Registry>> = OnceLock::new();

/// Begins to write; a second call changes the level.
pub fn set_level(level: LevelFilter) {
    if let Some(handle) = HANDLE.get() {
        let _ = handle.reload(targets(level));
        return;
    }
    let (filter, handle) = reload::Layer::new(targets(level));
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_target(false).with_ansi(false);
    if tracing_subscriber::registry().with(filter).with(lines).try_init().is_ok() {
        let _ = HANDLE.set(handle);
    }
}

/// Libraries say little unless everything is asked for.
fn targets(level: LevelFilter) -> Targets {
    let quiet = if level == LevelFilter::TRACE { level } else { level.min(LevelFilter::WARN) };
    Targets::new()
        .with_default(level)
        .with_targets(["hyper", "hyper_util", "h2", "tower", "mio"].map(|name| (name, quiet)))
}

/// dockerd's names of levels.
pub fn level(text: &str, debug: bool) -> Option<LevelFilter> {
    let level = match text {
        "trace" => LevelFilter::TRACE,
        "debug" => LevelFilter::DEBUG,
        "info" => LevelFilter::INFO,
        "warn" | "warning" => LevelFilter::WARN,
        "error" | "fatal" | "panic" => LevelFilter::ERROR,
        _ => return None,
    };
    Some(if debug { level.max(LevelFilter::DEBUG) } else { level })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_have_dockerds_names() {
        assert_eq!(level("warn", false), Some(LevelFilter::WARN));
        assert_eq!(level("warn", true), Some(LevelFilter::DEBUG));
        assert_eq!(level("trace", true), Some(LevelFilter::TRACE));
        assert_eq!(level("loud", false), None);
    }
}
