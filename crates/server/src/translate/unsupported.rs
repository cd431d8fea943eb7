//! What Docker can do and this engine cannot yet: said, not silently left out.

use super::{Around, Runtime};
use crate::status::Refusal;
use api::types::HostConfig;

/// Refuses what was asked for and would have no effect.
pub fn check(host: &HostConfig, around: &dyn Around) -> Result<(), Refusal> {
    match around.runtime(&host.runtime) {
        Runtime::Own => {}
        Runtime::Unknown => {
            return Err(Refusal::invalid(format!("unknown or invalid runtime name: {}", host.runtime)));
        }
        Runtime::Foreign(program) => {
            return Err(Refusal::invalid(format!(
                "the runtime {} is {program}: this engine runs containers by itself and calls no other runtime",
                host.runtime
            )));
        }
    }
    if !matches!(host.isolation.as_str(), "" | "default") {
        let text = format!("invalid isolation ({}): linux only supports 'default'", host.isolation);
        return Err(Refusal::invalid(text));
    }
    let missing = match () {
        () if !host.cgroup.is_empty() => "sharing another container's cgroup is",
        () => return Ok(()),
    };
    Err(Refusal::unsupported(format!("{missing} not supported by this engine yet")))
}
