//! A container's health: how it is asked for, and what the answers make of it.
//!
//! ```text
//!   Starting ──a probe succeeds──► Healthy ──`retries` failures in a row──► Unhealthy
//!       └──`retries` failures in a row, those within the start period not counted──► ▲
//! ```

use crate::Config;
use base::Id;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::sync::Arc;
use std::time::Duration;

/// Docker's defaults (moby, daemon/health.go).
const INTERVAL: Duration = Duration::from_secs(30);
const TIMEOUT: Duration = Duration::from_secs(30);
const START_INTERVAL: Duration = Duration::from_secs(5);
const RETRIES: u32 = 3;
const SHELL: [&str; 2] = ["/bin/sh", "-c"];

/// Answers that are remembered.
const MOST_ANSWERS: usize = 5;
/// Bytes of a probe's output that are kept.
const MOST_OUTPUT: usize = 4096;

/// The label that says what happens to a container that becomes unhealthy: `none`, `kill`, `restart` or `stop`.
pub const ON_FAILURE: &str = "dhow.health.on-failure";

/// How a container's health is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HealthCheck {
    /// The program and its arguments.
    pub probe: Vec<String>,
    pub interval: Duration,
    pub timeout: Duration,
    /// Failures of a container that was never healthy do not count this long after its start.
    pub start_period: Duration,
    /// Between probes in the start period.
    pub start_interval: Duration,
    /// Failures in a row that make it unhealthy.
    pub retries: u32,
    pub on_failure: OnFailure,
}

/// What happens to a container that becomes unhealthy.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum OnFailure {
    #[default]
    None,
    /// SIGKILL; a restart policy applies.
    Kill,
    /// Stopped and started again, whatever the restart policy.
    Restart,
    /// As if the user had stopped it.
    Stop,
}

impl OnFailure {
    /// Of one of podman's four words.
    pub fn parse(word: &str) -> Option<OnFailure> {
        Some(match word {
            "" | "none" => OnFailure::None,
            "kill" => OnFailure::Kill,
            "restart" => OnFailure::Restart,
            "stop" => OnFailure::Stop,
            _ => return None,
        })
    }
}

impl HealthCheck {
    /// What `config` asks for; `None` without a health check, or when it was switched off.
    pub fn of(config: &Config) -> Option<HealthCheck> {
        let asked = config.healthcheck.as_ref()?;
        let test = asked.get("Test")?.as_array()?;
        let words: Vec<String> = test.iter().filter_map(|word| word.as_str().map(str::to_owned)).collect();
        let (kind, command) = words.split_first()?;
        let probe = match kind.as_str() {
            "CMD" => command.to_vec(),
            "CMD-SHELL" => shell(config).into_iter().chain(command.iter().cloned()).collect(),
            _ => return None,
        };
        let number = |key: &str| asked.get(key).and_then(serde_json::Value::as_i64).unwrap_or_default();
        let time = |key: &str, default: Duration| match u64::try_from(number(key)) {
            Ok(0) | Err(_) => default,
            Ok(nanoseconds) => Duration::from_nanos(nanoseconds),
        };
        Some(HealthCheck {
            probe,
            interval: time("Interval", INTERVAL),
            timeout: time("Timeout", TIMEOUT),
            start_period: time("StartPeriod", Duration::ZERO),
            start_interval: time("StartInterval", START_INTERVAL),
            retries: u32::try_from(number("Retries")).ok().filter(|count| *count > 0).unwrap_or(RETRIES),
            on_failure: config.labels.get(ON_FAILURE).and_then(|word| OnFailure::parse(word)).unwrap_or_default(),
        })
    }

    /// How long until the next probe of a container that has run for `age`.
    pub fn pause(&self, status: HealthStatus, age: Duration) -> Duration {
        match status {
            HealthStatus::Starting if age < self.start_period => self.start_interval,
            _ => self.interval,
        }
    }
}

fn shell(config: &Config) -> Vec<String> {
    match config.shell.as_deref() {
        Some(words) if !words.is_empty() => words.to_vec(),
        _ => SHELL.map(str::to_owned).to_vec(),
    }
}

/// What the answers so far make of a container.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HealthStatus {
    #[default]
    Starting,
    Healthy,
    Unhealthy,
}

impl HealthStatus {
    /// Docker's word.
    pub fn word(self) -> &'static str {
        match self {
            HealthStatus::Starting => "starting",
            HealthStatus::Healthy => "healthy",
            HealthStatus::Unhealthy => "unhealthy",
        }
    }
}

/// The health of a container that has a health check.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Health {
    pub status: HealthStatus,
    /// Failures since the last success.
    pub failing_streak: u32,
    /// The last answers, the oldest first. Shared: a state is copied whenever somebody looks at it.
    #[serde(serialize_with = "answers_out", deserialize_with = "answers_in")]
    pub log: Arc<Vec<Answer>>,
    /// The exec of the probe that runs or comes next: what an engine that was killed left of it, the next one ends.
    pub next: Option<Id>,
}

/// One answer. Times in nanoseconds since the epoch.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    pub start: i64,
    pub end: i64,
    /// 0 is healthy; -1: no answer.
    pub exit_code: i32,
    pub output: String,
}

impl Health {
    /// For a container that has just started: earlier answers stay to be seen.
    pub fn begin(&mut self) {
        self.status = HealthStatus::Starting;
        self.failing_streak = 0;
    }

    /// Takes an answer of a container that started at `started_at`; the new status, when it is another.
    pub fn take(&mut self, check: &HealthCheck, answer: Answer, started_at: i64) -> Option<HealthStatus> {
        let before = self.status;
        let age = u64::try_from(answer.start.saturating_sub(started_at)).map_or(Duration::ZERO, Duration::from_nanos);
        if answer.exit_code == 0 {
            self.failing_streak = 0;
            self.status = HealthStatus::Healthy;
        } else if self.status != HealthStatus::Starting || age >= check.start_period {
            self.failing_streak = self.failing_streak.saturating_add(1);
            if self.failing_streak >= check.retries {
                self.status = HealthStatus::Unhealthy;
            }
        }
        let log = Arc::make_mut(&mut self.log);
        log.push(answer);
        log.drain(..log.len().saturating_sub(MOST_ANSWERS));
        (self.status != before).then_some(self.status)
    }
}

/// The beginning of a probe's output.
#[derive(Debug, Default)]
pub struct ProbeOutput {
    bytes: Vec<u8>,
    cut: bool,
}

impl ProbeOutput {
    /// Takes what there is room for.
    pub fn push(&mut self, bytes: &[u8]) {
        let room = MOST_OUTPUT - self.bytes.len();
        self.cut |= bytes.len() > room;
        self.bytes.extend_from_slice(bytes.get(..room).unwrap_or(bytes));
    }

    /// With `...` where more was said.
    pub fn into_text(self) -> String {
        let text = String::from_utf8_lossy(&self.bytes).into_owned();
        if self.cut { text + "..." } else { text }
    }
}

fn answers_out<S: Serializer>(log: &Arc<Vec<Answer>>, serializer: S) -> Result<S::Ok, S::Error> {
    log.as_slice().serialize(serializer)
}

fn answers_in<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Arc<Vec<Answer>>, D::Error> {
    Vec::deserialize(deserializer).map(Arc::new)
}

#[cfg(test)]
#[path = "health_tests.rs"]
mod tests;
