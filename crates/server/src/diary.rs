//! What the engine writes to stderr about itself, as lines of text or of JSON.

use crate::options::LogFormat;
use crate::traces::{self, Collector};
use serde_json::{Map, Value, json};
use std::fmt;
use std::sync::OnceLock;
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::{LookupSpan, Registry};
use tracing_subscriber::reload::{self, Handle};
use tracing_subscriber::util::SubscriberInitExt;

static HANDLE: OnceLock<Handle<Targets, Registry>> = OnceLock::new();

/// Begins to write; a second call changes the level.
pub fn begin(level: LevelFilter, format: LogFormat, collector: Option<Collector>) {
    if HANDLE.get().is_some() {
        return set_level(level);
    }
    let (filter, handle) = reload::Layer::new(targets(level));
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_target(false).with_ansi(false);
    let lines: Box<dyn Layer<Registry> + Send + Sync> = match format {
        LogFormat::Text => Box::new(lines.with_filter(filter)),
        LogFormat::Json => Box::new(lines.event_format(JsonLines).with_filter(filter)),
    };
    let lines = tracing_subscriber::registry().with(lines);
    let begun = match collector {
        None => lines.try_init(),
        Some(collector) => lines.with(collector.with_filter(traces::filter())).try_init(),
    };
    if begun.is_ok() {
        let _ = HANDLE.set(handle);
    }
}

/// Changes how much is written.
pub fn set_level(level: LevelFilter) {
    if let Some(handle) = HANDLE.get() {
        let _ = handle.reload(targets(level));
    }
}

/// Libraries say little unless everything is asked for. Spans are for traces, not for lines.
fn targets(level: LevelFilter) -> Targets {
    let quiet = if level == LevelFilter::TRACE { level } else { level.min(LevelFilter::WARN) };
    Targets::new()
        .with_default(level)
        .with_targets(["hyper", "hyper_util", "h2", "tower", "mio", "rustls"].map(|name| (name, quiet)))
        .with_target(traces::TARGET, LevelFilter::OFF)
}

/// dockerd's names of levels.
pub fn level(text: &str, debug: bool) -> Option<LevelFilter> {
    let level = match text {
        "trace" => LevelFilter::TRACE,
        "debug" => LevelFilter::DEBUG,
        "info" => LevelFilter::INFO,
        "warn" | "warning" => LevelFilter::WARN,
        "error" | "fatal" | "panic" => LevelFilter::ERROR,
        _ => return None,
    };
    Some(if debug { level.max(LevelFilter::DEBUG) } else { level })
}

/// One JSON object a line, with dockerd's names: `level`, `msg`, `time`, and the fields of the event beside them.
struct JsonLines;

impl<S, N> FormatEvent<S, N> for JsonLines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        writeln!(writer, "{}", line(event))
    }
}

fn line(event: &Event<'_>) -> Value {
    let mut fields = Fields(Map::new());
    event.record(&mut fields);
    let Fields(mut all) = fields;
    let message = all.remove("message").unwrap_or_else(|| json!(""));
    let level = match *event.metadata().level() {
        Level::ERROR => "error",
        Level::WARN => "warning",
        Level::INFO => "info",
        Level::DEBUG => "debug",
        Level::TRACE => "trace",
    };
    all.insert("level".to_owned(), json!(level));
    all.insert("msg".to_owned(), message);
    all.insert("time".to_owned(), json!(jiff::Timestamp::now().to_string()));
    Value::Object(all)
}

/// Gathers what an event carries.
struct Fields(Map<String, Value>);

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name().to_owned(), json!(value));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.0.insert(field.name().to_owned(), json!(value));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.0.insert(field.name().to_owned(), json!(value));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.0.insert(field.name().to_owned(), json!(value));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.0.insert(field.name().to_owned(), json!(value));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0.insert(field.name().to_owned(), json!(format!("{value:?}")));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};

    #[test]
    fn levels_have_dockerds_names() {
        assert_eq!(level("warn", false), Some(LevelFilter::WARN));
        assert_eq!(level("warn", true), Some(LevelFilter::DEBUG));
        assert_eq!(level("trace", true), Some(LevelFilter::TRACE));
        assert_eq!(level("loud", false), None);
    }

    #[derive(Clone, Default)]
    struct Page(Arc<Mutex<Vec<u8>>>);

    impl std::io::Write for Page {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().expect("the page").extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_line_of_json_has_dockerds_names() {
        let page = Page::default();
        let own = page.clone();
        let lines = tracing_subscriber::fmt::layer().with_writer(move || own.clone()).event_format(JsonLines);
        tracing::subscriber::with_default(tracing_subscriber::registry().with(lines), || {
            tracing::warn!(count = 3, name = "a\"b", "it is\nso");
        });
        let written = page.0.lock().expect("the page").clone();
        let line: Value = serde_json::from_slice(&written).expect("one JSON object");
        assert_eq!((&line["level"], &line["msg"]), (&json!("warning"), &json!("it is\nso")));
        assert_eq!((&line["count"], &line["name"]), (&json!(3), &json!("a\"b")));
        assert!(line["time"].as_str().is_some_and(|time| time.ends_with('Z')));
    }
}
