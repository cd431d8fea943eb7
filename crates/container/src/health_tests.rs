//! What answers make of a container.

use super::*;
use serde_json::json;

const SECOND: i64 = 1_000_000_000;

fn check(asked: serde_json::Value) -> Option<HealthCheck> {
    HealthCheck::of(&Config { healthcheck: Some(asked), ..Config::default() })
}

fn answer(start: i64, exit_code: i32) -> Answer {
    Answer { start, end: start + 1, exit_code, output: String::new() }
}

#[test]
fn what_was_not_asked_is_dockers_default() {
    let check = check(json!({"Test": ["CMD-SHELL", "true"]})).unwrap();
    assert_eq!(check.probe, ["/bin/sh", "-c", "true"]);
    assert_eq!((check.interval, check.timeout), (INTERVAL, TIMEOUT));
    assert_eq!((check.start_period, check.start_interval), (Duration::ZERO, START_INTERVAL));
    assert_eq!((check.retries, check.on_failure), (3, OnFailure::None));
}

#[test]
fn a_container_may_have_no_check() {
    assert_eq!(check(json!({"Test": ["NONE"]})), None);
    assert_eq!(check(json!({"Test": []})), None);
    assert_eq!(check(json!({"Interval": 7})), None);
    assert_eq!(HealthCheck::of(&Config::default()), None);
}

#[test]
fn the_shell_is_the_images_own() {
    let config = Config {
        healthcheck: Some(json!({"Test": ["CMD-SHELL", "true"]})),
        shell: Some(vec!["/bin/ash".into(), "-ec".into()]),
        ..Config::default()
    };
    assert_eq!(HealthCheck::of(&config).unwrap().probe, ["/bin/ash", "-ec", "true"]);
}

#[test]
fn failures_in_a_row_make_it_unhealthy_and_one_success_healthy_again() {
    let check = check(json!({"Test": ["CMD", "x"], "Retries": 2})).unwrap();
    let mut health = Health::default();
    assert_eq!(health.take(&check, answer(SECOND, 1), 0), None);
    assert_eq!(health.take(&check, answer(SECOND, -1), 0), Some(HealthStatus::Unhealthy));
    assert_eq!(health.take(&check, answer(SECOND, 1), 0), None);
    assert_eq!(health.failing_streak, 3);
    assert_eq!(health.take(&check, answer(SECOND, 0), 0), Some(HealthStatus::Healthy));
    assert_eq!(health.take(&check, answer(SECOND, 1), 0), None);
    assert_eq!((health.failing_streak, health.log.len()), (1, 5));
    assert_eq!(health.take(&check, answer(SECOND, 3), 0), Some(HealthStatus::Unhealthy));
    assert_eq!(health.log.iter().map(|answer| answer.exit_code).collect::<Vec<_>>(), [-1, 1, 0, 1, 3]);
}

#[test]
fn failures_in_the_start_period_do_not_count_until_it_was_healthy_once() {
    let check = check(json!({"Test": ["CMD", "x"], "Retries": 1, "StartPeriod": 10 * SECOND})).unwrap();
    let mut health = Health::default();
    assert_eq!(health.take(&check, answer(9 * SECOND, 1), 0), None);
    assert_eq!((health.status, health.failing_streak), (HealthStatus::Starting, 0));
    assert_eq!(check.pause(health.status, Duration::from_secs(9)), START_INTERVAL);
    assert_eq!(check.pause(health.status, Duration::from_secs(10)), INTERVAL);
    assert_eq!(health.take(&check, answer(9 * SECOND, 0), 0), Some(HealthStatus::Healthy));
    assert_eq!(check.pause(health.status, Duration::from_secs(9)), INTERVAL);
    assert_eq!(health.take(&check, answer(9 * SECOND, 1), 0), Some(HealthStatus::Unhealthy));
}

#[test]
fn output_is_cut_at_4096_bytes() {
    let mut output = ProbeOutput::default();
    output.push(&[b'a'; 4000]);
    output.push(&[b'b'; 96]);
    assert!(!output.cut);
    output.push(b"c");
    let text = output.into_text();
    assert_eq!((text.len(), text.ends_with("b...")), (4099, true));
}

#[test]
fn health_is_kept_with_the_state() {
    let mut health = Health { next: Some(Id::random()), ..Health::default() };
    health.take(&check(json!({"Test": ["CMD", "x"]})).unwrap(), answer(5, 1), 0);
    let state = crate::State { health: Some(health), ..crate::State::default() };
    let text = serde_json::to_string(&state).unwrap();
    assert_eq!(serde_json::from_str::<crate::State>(&text).unwrap(), state);
    assert_eq!(serde_json::from_str::<crate::State>("{}").unwrap().health, None);
}
