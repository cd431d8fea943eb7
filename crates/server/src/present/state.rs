//! The state of a container: for inspect, and as the sentence of `docker ps`.

use crate::times;
use api::types::ContainerState;
use container::health::Answer;
use container::{Health, HealthStatus, State, Status};
use serde_json::{Value, json};

/// Docker's word for a status.
pub fn word(status: Status) -> &'static str {
    match status {
        Status::Created => "created",
        Status::Running => "running",
        Status::Paused => "paused",
        Status::Restarting => "restarting",
        Status::Removing => "removing",
        Status::Exited => "exited",
        Status::Dead => "dead",
    }
}

/// The state for inspect. A paused container runs; one that waits for its restart does too, by Docker's reckoning.
pub fn of(state: &State) -> ContainerState {
    let status = state.status;
    ContainerState {
        status: word(status).to_owned(),
        running: matches!(status, Status::Running | Status::Paused | Status::Restarting),
        paused: status == Status::Paused,
        restarting: status == Status::Restarting,
        oom_killed: state.oom_killed,
        dead: status == Status::Dead,
        pid: state.pid,
        exit_code: state.exit_code,
        error: state.error.clone(),
        started_at: times::nano(state.started_at),
        finished_at: times::nano(state.finished_at),
        health: state.health.as_ref().map(health),
    }
}

fn health(health: &Health) -> Value {
    let answer = |answer: &Answer| {
        json!({
            "Start": times::nano(answer.start),
            "End": times::nano(answer.end),
            "ExitCode": answer.exit_code,
            "Output": answer.output,
        })
    };
    json!({
        "Status": health.status.word(),
        "FailingStreak": health.failing_streak,
        "Log": health.log.iter().map(answer).collect::<Vec<_>>(),
    })
}

/// Docker's word for the health of a container, `none` without a check.
pub fn health_word(state: &State) -> &'static str {
    state.health.as_ref().map_or("none", |health| health.status.word())
}

/// ` (healthy)`, after how long it is up.
fn health_note(state: &State) -> String {
    match &state.health {
        None => String::new(),
        Some(health) if health.status == HealthStatus::Starting => " (health: starting)".to_owned(),
        Some(health) => format!(" ({})", health.status.word()),
    }
}

/// `Up 3 minutes`, `Exited (0) 2 hours ago`
pub fn sentence(state: &State, now: i64) -> String {
    let since = |at: i64| times::human(now.saturating_sub(at));
    match state.status {
        Status::Running => format!("Up {}{}", since(state.started_at), health_note(state)),
        Status::Paused => format!("Up {} (Paused)", since(state.started_at)),
        Status::Restarting => format!("Restarting ({}) {} ago", state.exit_code, since(state.finished_at)),
        Status::Removing => "Removal In Progress".to_owned(),
        Status::Dead => "Dead".to_owned(),
        Status::Created => "Created".to_owned(),
        Status::Exited if state.finished_at == 0 => String::new(),
        Status::Exited => format!("Exited ({}) {} ago", state.exit_code, since(state.finished_at)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_are_told_as_docker_ps_does() {
        let second = 1_000_000_000;
        let at = |status, exit_code| State {
            status,
            exit_code,
            started_at: second,
            finished_at: 2 * second,
            ..State::default()
        };
        let now = 182 * second;
        for (status, text) in [
            (Status::Running, "Up 3 minutes"),
            (Status::Paused, "Up 3 minutes (Paused)"),
            (Status::Exited, "Exited (7) 3 minutes ago"),
            (Status::Restarting, "Restarting (7) 3 minutes ago"),
            (Status::Created, "Created"),
            (Status::Removing, "Removal In Progress"),
        ] {
            assert_eq!(sentence(&at(status, 7), now), text);
        }
    }
}
