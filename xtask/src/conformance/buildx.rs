//! The tests of `docker buildx` and `docker compose build`, whose plugins Debian 12 does not have.

use crate::suite;
use std::path::Path;

const PLUGINS: [&str; 2] = ["docker-buildx", "docker-compose"];

/// Runs `tests/compat/tests/buildx.rs` with the plugins in `folder`.
pub fn run(folder: &str) -> Result<(), String> {
    let folder = Path::new(folder).canonicalize().map_err(|e| format!("cannot find {folder}: {e}"))?;
    if let Some(missing) = PLUGINS.iter().find(|name| !folder.join(name).is_file()) {
        return Err(format!("{} has no {missing}: name a folder such as docker's cli-plugins", folder.display()));
    }
    suite::cargo(&["build", "--bin", "dhow"])?;
    let words = ["test", "-p", "compat", "--test", "buildx", "--", "--ignored"];
    suite::cargo_with(&words, &[("DHOW_DOCKER_PLUGINS", folder.as_os_str())])
}
