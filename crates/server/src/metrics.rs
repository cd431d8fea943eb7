//! `GET /metrics`: what Prometheus asks for, of the engine and of every container.
//!
//! dockerd's names (`engine_daemon_*`) where it has them; containers, which it leaves to others, are `dhow_container_*`.
//! All containers are looked at at most twice a second, however many ask.

mod containers;
mod histogram;
mod meter;
mod page;

pub use meter::Meter;

use crate::app::App;
use crate::status::{Answer, Refusal};
use axum::Router;
use axum::extract::State;
use axum::response::IntoResponse;
use axum::routing;
use bytes::Bytes;
use http::header;
use page::{Page, Sort};
use std::time::{Duration, Instant};

/// How old an answer may be.
const FRESH: Duration = Duration::from_millis(500);

/// Of the metrics' own address: nothing else is answered there.
pub fn router(app: App) -> Router {
    Router::new().route("/metrics", routing::get(get)).with_state(app)
}

/// One text for everybody who asks within half a second.
pub async fn get(State(app): State<App>) -> Answer {
    let mut latest = app.meter().latest.lock().await;
    let text = match latest.as_ref().filter(|(at, _)| at.elapsed() < FRESH) {
        Some((_, text)) => text.clone(),
        None => {
            let own = app.clone();
            let text = app.blocking(move |_| Ok::<_, Refusal>(Bytes::from(text(&own)))).await?;
            *latest = Some((Instant::now(), text.clone()));
            text
        }
    };
    drop(latest);
    Ok(([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response())
}

fn text(app: &App) -> String {
    let mut page = Page::default();
    let seen = app.engine.overview();
    engine(&mut page, app);
    containers::states(&mut page, &seen);
    app.meter().write(&mut page);
    process(&mut page);
    containers::write(&mut page, &seen);
    containers::egress(&mut page, &app.engine.egress_refusals());
    page.text()
}

/// As dockerd tells it (moby, daemon/internal/metrics).
fn engine(page: &mut Page, app: &App) {
    let info = app.engine.info();
    let labels = [
        ("architecture", info.architecture.as_str()),
        ("commit", ""),
        ("daemon_id", info.id.as_str()),
        ("graphdriver", "overlay2"),
        ("kernel", info.kernel.as_str()),
        ("os", info.operating_system.as_str()),
        ("os_type", "linux"),
        ("version", env!("CARGO_PKG_VERSION")),
    ];
    page.head(
        "engine_daemon_engine_info",
        Sort::Gauge,
        "The information related to the engine and the OS it is running on",
    );
    page.line("engine_daemon_engine_info", &labels, 1.0);
    page.one(
        "engine_daemon_engine_cpus_cpus",
        Sort::Gauge,
        "The number of cpus that the host system of the engine has",
        info.processors,
    );
    page.one(
        "engine_daemon_engine_memory_bytes",
        Sort::Gauge,
        "The number of bytes of memory that the host system of the engine has",
        info.memory,
    );
    page.one(
        "engine_daemon_events_subscribers_total",
        Sort::Gauge,
        "The number of current subscribers to events",
        app.engine.event_watchers(),
    );
    page.one("dhow_images", Sort::Gauge, "The number of images", info.images);
}

/// The engine's own process, by the names that every exporter has.
fn process(page: &mut Page) {
    let own = Process::now();
    page.one(
        "process_cpu_seconds_total",
        Sort::Counter,
        "Total user and system CPU time spent in seconds",
        own.cpu_seconds,
    );
    page.one("process_resident_memory_bytes", Sort::Gauge, "Resident memory size in bytes", own.resident);
    page.one("process_open_fds", Sort::Gauge, "Number of open file descriptors", own.descriptors);
    page.one("process_threads", Sort::Gauge, "Number of OS threads in the process", own.threads);
}

/// What /proc/self tells.
struct Process {
    cpu_seconds: f64,
    /// Bytes.
    resident: u64,
    descriptors: usize,
    threads: u64,
}

impl Process {
    fn now() -> Process {
        let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
        // The name may hold anything, also brackets; after it the third field follows (proc_pid_stat(5)).
        let fields: Vec<&str> = stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace().collect();
        let number = |index: usize| fields.get(index).and_then(|field| field.parse::<u64>().ok()).unwrap_or(0);
        let ticks = u32::try_from(number(11) + number(12)).unwrap_or(u32::MAX);
        let page_size = u64::try_from(rustix::param::page_size()).unwrap_or(4096);
        Process {
            cpu_seconds: f64::from(ticks) / 100.0,
            resident: number(21) * page_size,
            descriptors: std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count),
            threads: number(17),
        }
    }
}

/// SIGUSR1: says in the log what the engine is doing.
pub fn say(app: &App) {
    let own = Process::now();
    let counts = app.engine.info().counts;
    tracing::info!(
        resident_bytes = own.resident,
        descriptors = own.descriptors,
        threads = own.threads,
        cpu_seconds = own.cpu_seconds,
        event_watchers = app.engine.event_watchers(),
        running = counts.running,
        paused = counts.paused,
        stopped = counts.stopped,
        requests = app.meter().under_way(),
        "the engine at this moment"
    );
    for (thread, place) in threads() {
        tracing::info!(thread, "waits in {place}");
    }
}

/// Names of this process's threads, and where each waits in the kernel.
fn threads() -> Vec<(String, String)> {
    let tasks = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let read = |task: std::fs::DirEntry| {
        let text = |name: &str| std::fs::read_to_string(task.path().join(name)).ok();
        Some((text("comm")?.trim().to_owned(), text("wchan").unwrap_or_default()))
    };
    tasks.filter_map(read).collect()
}
