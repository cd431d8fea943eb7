//! The tests of docker-compose with another program than Debian's 1.29.

use crate::suite;
use std::path::Path;

/// Runs `tests/it/tests/compose.rs` with this program.
pub fn run(program: &str) -> Result<(), String> {
    let program = Path::new(program).canonicalize().map_err(|e| format!("cannot find {program}: {e}"))?;
    if !program.is_file() {
        return Err(format!(
            "{} is no program: name a docker-compose, such as the one of Debian's package docker-compose \
                            2 or of docker/compose's releases",
            program.display()
        ));
    }
    suite::cargo(&["build", "--bin", "dhow"])?;
    suite::cargo_with(&["test", "-p", "it", "--test", "compose"], &[("DHOW_COMPOSE", program.as_os_str())])
}
