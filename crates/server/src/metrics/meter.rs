//! What is counted of requests: how long the actions that dockerd counts took, and how answers came out.

use super::histogram::Histogram;
use super::page::{Page, Sort};
use crate::version;
use bytes::Bytes;
use http::Method;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

const CONTAINER: [&str; 8] = ["changes", "commit", "create", "delete", "exec", "kill", "start", "stop"];
const IMAGE: [&str; 5] = ["delete", "import", "load", "pull", "push"];
const NETWORK: [&str; 4] = ["connect", "create", "delete", "disconnect"];
const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

/// Counts since the engine began.
#[derive(Debug, Default)]
pub struct Meter {
    container: [Histogram; CONTAINER.len()],
    image: [Histogram; IMAGE.len()],
    network: [Histogram; NETWORK.len()],
    answers: [AtomicU64; CLASSES.len()],
    under_way: AtomicUsize,
    /// The latest text, and when it was made.
    pub(super) latest: tokio::sync::Mutex<Option<(Instant, Bytes)>>,
}

/// What an action is done to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Noun {
    Container,
    Image,
    Network,
}

/// The action that a request is, if it is one that is counted.
fn action(method: &Method, path: &str) -> Option<(Noun, &'static str)> {
    let rest = version::split(path).map_or(path, |(_, rest)| rest);
    let parts: Vec<&str> = rest.trim_start_matches('/').split('/').collect();
    let one_of =
        |noun, all: &'static [&'static str], name: &str| Some((noun, *all.iter().find(|known| **known == name)?));
    match (method.as_str(), parts.as_slice()) {
        ("POST", ["commit"]) => Some((Noun::Container, "commit")),
        ("DELETE", ["containers", _]) => Some((Noun::Container, "delete")),
        ("POST", ["exec", _, "start"]) => Some((Noun::Container, "exec")),
        ("GET", ["containers", _, "changes"]) => Some((Noun::Container, "changes")),
        ("POST", ["containers", "create"]) => Some((Noun::Container, "create")),
        ("POST", ["containers", _, name @ ("kill" | "start" | "stop")]) => one_of(Noun::Container, &CONTAINER, name),
        ("DELETE", ["images", ..]) => Some((Noun::Image, "delete")),
        ("POST", ["images", "create"]) => Some((Noun::Image, "pull")),
        ("POST", ["images", "load"]) => Some((Noun::Image, "load")),
        ("POST", ["images", .., "push"]) => Some((Noun::Image, "push")),
        ("DELETE", ["networks", _]) => Some((Noun::Network, "delete")),
        ("POST", ["networks", "create"]) => Some((Noun::Network, "create")),
        ("POST", ["networks", _, name]) => one_of(Noun::Network, &NETWORK, name),
        _ => None,
    }
}

impl Meter {
    /// Counts one answer. Of a pull that is its beginning.
    pub fn answered(&self, method: &Method, path: &str, status: u16, took: Duration) {
        if let Some(class) = self.answers.get(usize::from(status / 100).wrapping_sub(1)) {
            class.fetch_add(1, Ordering::Relaxed);
        }
        let Some((noun, name)) = action(method, path).filter(|_| status < 400) else { return };
        let (names, histograms): (&[&str], &[Histogram]) = match noun {
            Noun::Container => (&CONTAINER, &self.container),
            Noun::Image => (&IMAGE, &self.image),
            Noun::Network => (&NETWORK, &self.network),
        };
        let found = names.iter().position(|known| *known == name).and_then(|index| histograms.get(index));
        found.into_iter().for_each(|histogram| histogram.took(took));
    }

    /// A request is under way until what is given is dropped.
    pub fn begin(&self) -> UnderWay<'_> {
        self.under_way.fetch_add(1, Ordering::Relaxed);
        UnderWay(self)
    }

    /// Requests that have no answer yet.
    pub fn under_way(&self) -> usize {
        self.under_way.load(Ordering::Relaxed)
    }

    pub(super) fn write(&self, page: &mut Page) {
        let all: [(&str, &[&str], &[Histogram]); 3] = [
            ("container", &CONTAINER, &self.container),
            ("image", &IMAGE, &self.image),
            ("network", &NETWORK, &self.network),
        ];
        for (noun, names, histograms) in all {
            let name = format!("engine_daemon_{noun}_actions_seconds");
            page.head(&name, Sort::Histogram, &format!("The number of seconds it takes to process each {noun} action"));
            for (action, histogram) in names.iter().zip(histograms) {
                histogram.write(page, &name, Some(("action", action)));
            }
        }
        page.head("dhow_api_answers_total", Sort::Counter, "Answers of the API by class of status");
        for (class, count) in CLASSES.iter().zip(&self.answers) {
            page.line("dhow_api_answers_total", &[("status", class)], count.load(Ordering::Relaxed));
        }
        page.one("dhow_api_requests", Sort::Gauge, "Requests that have no answer yet", self.under_way());
    }
}

/// A request without an answer.
#[derive(Debug)]
pub struct UnderWay<'a>(&'a Meter);

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.under_way.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn actions_are_found_by_their_paths() {
        let of = |method: Method, path: &str| action(&method, path).map(|(_, name)| name);
        assert_eq!(of(Method::POST, "/v1.41/containers/web/start"), Some("start"));
        assert_eq!(of(Method::DELETE, "/containers/web"), Some("delete"));
        assert_eq!(of(Method::POST, "/images/a/b/push"), Some("push"));
        assert_eq!(of(Method::POST, "/networks/n/disconnect"), Some("disconnect"));
        assert_eq!(of(Method::GET, "/containers/json"), None);
        assert_eq!(of(Method::POST, "/containers/web/wait"), None);
    }

    #[test]
    fn answers_are_counted_and_failures_are_no_actions() {
        let meter = Meter::default();
        let _one = meter.begin();
        meter.answered(&Method::POST, "/containers/x/start", 204, Duration::from_millis(4));
        meter.answered(&Method::POST, "/containers/x/start", 404, Duration::from_millis(4));
        let mut page = Page::default();
        meter.write(&mut page);
        let text = page.text();
        for line in [
            "engine_daemon_container_actions_seconds_count{action=\"start\"} 1\n",
            "engine_daemon_container_actions_seconds_bucket{action=\"start\",le=\"0.005\"} 1\n",
            "dhow_api_answers_total{status=\"4xx\"} 1\n",
            "dhow_api_requests 1\n",
        ] {
            assert!(text.contains(line), "{line} in {text}");
        }
    }
}
