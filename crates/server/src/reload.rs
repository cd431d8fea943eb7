//! SIGHUP: what of the settings an engine takes up while it runs, and the event that tells it.

use crate::app::App;
use crate::config_file;
use crate::diary;
use crate::flags::Flags;
use crate::options::{Options, OptionsError};
use std::collections::BTreeMap;

/// Why the settings stay as they were.
#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    #[error(transparent)]
    Options(#[from] OptionsError),
    #[error("invalid logging level: {0}")]
    Level(String),
}

/// Reads the settings again; nothing is changed unless all of them are good.
pub fn reload(flags: &Flags, app: &App) -> Result<(), ReloadError> {
    let fresh = config_file::load(flags)?;
    let registries = fresh.registries.meant()?;
    let level = diary::level(&fresh.log_level, fresh.debug);
    let level = level.ok_or_else(|| ReloadError::Level(fresh.log_level.clone()))?;
    let now = taken_up(&app.options(), fresh);
    diary::set_level(level);
    app.engine.set_registries(registries);
    app.engine.tell_reload(attributes(&now));
    app.set_options(now);
    Ok(())
}

/// The settings with those of `fresh` that need no new start.
fn taken_up(now: &Options, fresh: Options) -> Options {
    Options {
        debug: fresh.debug,
        log_level: fresh.log_level,
        labels: fresh.labels,
        registries: fresh.registries,
        live_restore: fresh.live_restore,
        shutdown_timeout: fresh.shutdown_timeout,
        runtimes: fresh.runtimes,
        defaults: fresh.defaults,
        ..now.clone()
    }
}

/// What dockerd's event tells, by its names (moby, daemon/reload.go).
fn attributes(options: &Options) -> BTreeMap<String, String> {
    let list = |texts: &[String]| serde_json::to_string(texts).unwrap_or_default();
    let registries = &options.registries;
    let usual = engine::Registries::default();
    let at_once = |told: Option<i64>, usual: usize| told.map_or_else(|| usual.to_string(), |number| number.to_string());
    let runtimes: Vec<String> = options.runtimes.iter().map(|(name, path)| format!("{name}:{path}")).collect();
    let all = [
        ("debug", options.debug.to_string()),
        ("labels", list(&options.labels)),
        ("live-restore", options.live_restore.to_string()),
        ("shutdown-timeout", options.shutdown_timeout.to_string()),
        ("max-concurrent-downloads", at_once(registries.downloads, usual.downloads)),
        ("max-concurrent-uploads", at_once(registries.uploads, usual.uploads)),
        ("registry-mirrors", list(&registries.mirrors)),
        ("insecure-registries", list(&registries.insecure)),
        ("default-runtime", "dhow".to_owned()),
        ("runtimes", runtimes.join(" ")),
    ];
    all.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}
