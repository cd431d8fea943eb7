//! One look at all containers, read out of the engine's metrics.

use std::collections::BTreeMap;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// The numbers of a container.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Numbers {
    pub name: String,
    pub state: String,
    pub health: String,
    pub cpu_seconds: f64,
    /// Bytes.
    pub memory: f64,
    pub memory_limit: f64,
    pub io_bytes: f64,
    pub net_bytes: f64,
    pub pids: f64,
    pub restarts: f64,
    /// Seconds since the epoch; 0: never.
    pub started: f64,
}

/// All containers by their ids.
#[derive(Debug, Clone)]
pub struct Look {
    at: Instant,
    pub numbers: BTreeMap<String, Numbers>,
}

/// A container between two looks.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Container {
    pub numbers: Numbers,
    /// Processors, as parts of one: 1.5 is one and a half.
    pub cpu: f64,
    /// Bytes a second.
    pub io: f64,
    pub net: f64,
    pub uptime_seconds: f64,
}

impl Look {
    /// Reads Prometheus' text.
    pub fn read(text: &str) -> Look {
        let mut numbers: BTreeMap<String, Numbers> = BTreeMap::new();
        for line in text.lines() {
            let Some((name, labels, value)) = taken_apart(line) else { continue };
            let label = |key: &str| labels.iter().find(|(own, _)| *own == key).map(|(_, value)| value.clone());
            let Some(id) = label("id") else { continue };
            let of = numbers.entry(id).or_default();
            match name {
                "info" => {
                    of.name = label("name").unwrap_or_default();
                    of.state = label("state").unwrap_or_default();
                    of.health = label("health").unwrap_or_default();
                }
                "cpu_seconds_total" => of.cpu_seconds = value,
                "memory_working_set_bytes" => of.memory = value,
                "memory_limit_bytes" => of.memory_limit = value,
                "io_bytes_total" => of.io_bytes += value,
                "network_receive_bytes_total" | "network_transmit_bytes_total" => of.net_bytes += value,
                "pids" => of.pids = value,
                "restarts_total" => of.restarts = value,
                "start_time_seconds" => of.started = value,
                _ => {}
            }
        }
        Look { at: Instant::now(), numbers }
    }

    /// What was used since an earlier look. A container that was not there then, or was started anew, has used nothing yet.
    pub fn since(&self, before: &Look) -> Vec<Container> {
        let seconds = self.at.saturating_duration_since(before.at).as_secs_f64();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64());
        let rate = |now: f64, then: f64| if seconds > 0.0 { ((now - then) / seconds).max(0.0) } else { 0.0 };
        let container = |(id, numbers): (&String, &Numbers)| {
            let then = before.numbers.get(id).unwrap_or(numbers);
            let runs = matches!(numbers.state.as_str(), "running" | "paused");
            Container {
                cpu: rate(numbers.cpu_seconds, then.cpu_seconds),
                io: rate(numbers.io_bytes, then.io_bytes),
                net: rate(numbers.net_bytes, then.net_bytes),
                uptime_seconds: if runs && numbers.started > 0.0 { (now - numbers.started).max(0.0) } else { 0.0 },
                numbers: numbers.clone(),
            }
        };
        self.numbers.iter().map(container).collect()
    }
}

type Labels<'a> = Vec<(&'a str, String)>;

/// `dhow_container_NAME{key="value",...} NUMBER`; other lines are of no use here.
fn taken_apart(line: &str) -> Option<(&str, Labels<'_>, f64)> {
    let (name, rest) = line.strip_prefix("dhow_container_")?.split_once('{')?;
    let mut labels = Vec::new();
    let mut rest = rest;
    while !rest.starts_with('}') {
        let (key, after) = rest.trim_start_matches(',').split_once("=\"")?;
        let (value, after) = quoted(after)?;
        labels.push((key, value));
        rest = after;
    }
    Some((name, labels, rest[1..].trim().parse().ok()?))
}

/// A text up to its closing quote, and what follows.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut letters = text.char_indices();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '"' => return Some((value, &text[at + 1..])),
            '\\' => value.push(match letters.next()?.1 {
                'n' => '\n',
                other => other,
            }),
            letter => value.push(letter),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const TEXT: &str = "# HELP dhow_container_info A container\n\
        dhow_container_info{id=\"a1\",name=\"web\",image=\"x\\\"y\",state=\"running\",health=\"healthy\"} 1\n\
        dhow_container_cpu_seconds_total{id=\"a1\",name=\"web\",image=\"x\"} 2.5\n\
        dhow_container_io_bytes_total{id=\"a1\",name=\"web\",image=\"x\",operation=\"read\"} 10\n\
        dhow_container_io_bytes_total{id=\"a1\",name=\"web\",image=\"x\",operation=\"write\"} 5\n\
        engine_daemon_engine_cpus_cpus 2\nbroken{\n";

    #[test]
    fn numbers_are_read_and_added() {
        let look = Look::read(TEXT);
        let one = &look.numbers["a1"];
        assert_eq!((one.name.as_str(), one.state.as_str(), one.health.as_str()), ("web", "running", "healthy"));
        assert_eq!((one.cpu_seconds, one.io_bytes), (2.5, 15.0));
        assert_eq!(look.numbers.len(), 1);
    }

    #[test]
    fn shares_are_of_the_time_between_two_looks() {
        let before = Look::read(TEXT);
        let mut now = Look::read(&TEXT.replace("2.5", "3.5"));
        now.at = before.at + Duration::from_secs(2);
        let all = now.since(&before);
        assert!((all[0].cpu - 0.5).abs() < 1e-9 && all[0].io == 0.0);
        assert_eq!(before.since(&before)[0].cpu, 0.0);
    }
}
