//! What the kernel itself takes for a container: the `floor` program clones into all namespaces, mounts an overlay, proc and
//! sysfs, pivots, executes a static `true` and waits.

use crate::suite;
use std::process::Command;

/// One sample in milliseconds.
pub fn sample() -> Result<f64, String> {
    let binary = suite::binary("release")?.with_file_name("floor");
    let output = Command::new(&binary).output().map_err(|e| format!("cannot run {}: {e}", binary.display()))?;
    let text = String::from_utf8_lossy(&output.stdout);
    text.trim().parse().map_err(|e| format!("floor said {text:?}: {e}; {}", String::from_utf8_lossy(&output.stderr)))
}
