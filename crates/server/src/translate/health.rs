//! How a container's health is asked for.

use crate::status::Refusal;
use api::types::{ContainerConfig, Healthcheck};
use container::health::{ON_FAILURE, OnFailure};

/// The shortest time that may be asked for, in nanoseconds (moby, daemon/container.go).
const SHORTEST_NS: i64 = 1_000_000;

/// The health check as it is kept: what was not asked is left out, for the image to fill in.
pub fn check(typed: &ContainerConfig) -> Result<Option<serde_json::Value>, Refusal> {
    if let Some(word) = typed.labels.as_ref().and_then(|labels| labels.get(ON_FAILURE))
        && OnFailure::parse(word).is_none()
    {
        return Err(Refusal::invalid(format!(
            "invalid label {ON_FAILURE}={word}: use one of none, kill, restart or stop"
        )));
    }
    let Some(asked) = &typed.healthcheck else { return Ok(None) };
    check_times(asked)?;
    serde_json::to_value(asked).map(Some).map_err(|error| Refusal::invalid(format!("invalid JSON: {error}")))
}

fn check_times(asked: &Healthcheck) -> Result<(), Refusal> {
    let times = [
        ("Interval", asked.interval),
        ("Timeout", asked.timeout),
        ("StartPeriod", asked.start_period),
        ("StartInterval", asked.start_interval),
    ];
    if let Some((name, _)) = times.iter().find(|(_, time)| *time != 0 && *time < SHORTEST_NS) {
        return Err(Refusal::invalid(format!("{name} in Healthcheck cannot be less than 1ms")));
    }
    if asked.retries < 0 {
        return Err(Refusal::invalid("Retries in Healthcheck cannot be negative"));
    }
    Ok(())
}
