//! OpenTelemetry traces, off unless OTEL_EXPORTER_OTLP_ENDPOINT is set: spans become OTLP in JSON over HTTP.
//!
//! The spans are `tracing`'s, in the target `dhow::trace`; without a collector they cost one comparison each. The SDK of
//! OpenTelemetry brings more code than all of this server for what is one list of objects here.
//!
//! ```text
//!   request ─► route ─► engine (steps of a start) ─► Collector ─► channel ─► export(): a POST for each second's spans
//! ```

use serde_json::{Value, json};
use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::mpsc;
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

mod post;

/// Where spans of traces stand.
pub const TARGET: &str = "dhow::trace";
/// Spans that wait to be sent; more are lost.
const WAITING: usize = 4096;
/// Spans of one request.
const AT_ONCE: usize = 512;
/// How long spans are gathered.
const GATHER: Duration = Duration::from_secs(1);
/// How long the last ones may take when the engine ends.
const LAST: Duration = Duration::from_secs(2);

/// Spans on their way out.
pub struct Traces {
    spans: mpsc::Receiver<Value>,
    collector: Mutex<Option<Collector>>,
    to: post::Target,
    service: String,
}

/// What the environment asks for (opentelemetry.io, SDK environment variables); `None` without an endpoint.
pub fn from_environment() -> Option<Traces> {
    let set = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    if set("OTEL_SDK_DISABLED").as_deref() == Some("true") || set("OTEL_TRACES_EXPORTER").as_deref() == Some("none") {
        return None;
    }
    let endpoint = set("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT").or_else(|| {
        set("OTEL_EXPORTER_OTLP_ENDPOINT").map(|base| format!("{}/v1/traces", base.trim_end_matches('/')))
    })?;
    let headers = set("OTEL_EXPORTER_OTLP_TRACES_HEADERS").or_else(|| set("OTEL_EXPORTER_OTLP_HEADERS"));
    let to = match post::Target::read(&endpoint, headers.as_deref().unwrap_or_default()) {
        Ok(to) => to,
        Err(why) => {
            eprintln!("dhow engine: no traces are sent to {endpoint:?}: {why}");
            return None;
        }
    };
    let (send, spans) = mpsc::channel(WAITING);
    let service = set("OTEL_SERVICE_NAME").unwrap_or_else(|| "dhow".to_owned());
    Some(Traces { spans, collector: Mutex::new(Some(Collector { send })), to, service })
}

/// The spans that are collected.
pub fn filter() -> Targets {
    Targets::new().with_target(TARGET, LevelFilter::TRACE)
}

impl Traces {
    /// What gives spans to this; once.
    pub fn layer(&self) -> Collector {
        let own = self.collector.lock().unwrap_or_else(PoisonError::into_inner).take();
        own.unwrap_or_else(|| Collector { send: mpsc::channel(1).0 })
    }

    /// Sends what comes, until it is told to end.
    pub async fn export(mut self) {
        let mut failing = false;
        loop {
            let mut spans = Vec::new();
            if self.spans.recv_many(&mut spans, AT_ONCE).await == 0 {
                return;
            }
            tokio::time::sleep(GATHER).await;
            while spans.len() < AT_ONCE
                && let Ok(span) = self.spans.try_recv()
            {
                spans.push(span);
            }
            let sent = self.to.post(&body(&self.service, spans)).await;
            // Said once, not every second.
            if let (Err(why), false) = (&sent, failing) {
                tracing::warn!("traces cannot be sent to {}: {why}", self.to);
            }
            failing = sent.is_err();
        }
    }
}

/// Lets the exporter send what it has gathered.
pub async fn flush(exporter: tokio::task::JoinHandle<()>) {
    let end = exporter.abort_handle();
    let _ = tokio::time::timeout(LAST, exporter).await;
    end.abort();
}

/// An ExportTraceServiceRequest (opentelemetry-proto, collector/trace/v1) in JSON.
fn body(service: &str, spans: Vec<Value>) -> Value {
    let text = |key: &str, value: &str| json!({"key": key, "value": {"stringValue": value}});
    let resource = [
        text("service.name", service),
        text("service.version", env!("CARGO_PKG_VERSION")),
        text("host.name", &rustix::system::uname().nodename().to_string_lossy()),
    ];
    json!({"resourceSpans": [{
        "resource": {"attributes": resource},
        "scopeSpans": [{"scope": {"name": "dhow.engine"}, "spans": spans}],
    }]})
}

/// Makes OTLP spans of tracing's.
#[derive(Debug)]
pub struct Collector {
    send: mpsc::Sender<Value>,
}

/// What is known of a span that has not ended.
struct Begun {
    trace: u128,
    id: u64,
    parent: Option<u64>,
    name: String,
    /// Nanoseconds since the epoch.
    at: u128,
    attributes: Vec<Value>,
}

/// Reads fields: `otel.name` is the name, `otel.parent` the caller's `traceparent`, all others are attributes.
#[derive(Default)]
struct Fields {
    name: Option<String>,
    parent: Option<(u128, u64)>,
    attributes: Vec<Value>,
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.record_str(field, &format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "otel.name" => self.name = Some(value.to_owned()),
            "otel.parent" => self.parent = traceparent(value),
            key => self.attributes.push(json!({"key": key, "value": {"stringValue": value}})),
        }
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.attributes.push(json!({"key": field.name(), "value": {"intValue": value.to_string()}}));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.attributes.push(json!({"key": field.name(), "value": {"intValue": value.to_string()}}));
    }
}

/// `00-TRACE-SPAN-FLAGS` (W3C Trace Context).
fn traceparent(text: &str) -> Option<(u128, u64)> {
    let mut parts = text.split('-');
    let (version, trace, span, _flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let well_formed = version.len() == 2 && trace.len() == 32 && span.len() == 16;
    let trace = u128::from_str_radix(trace, 16).ok().filter(|trace| *trace != 0)?;
    let span = u64::from_str_radix(span, 16).ok().filter(|span| *span != 0)?;
    well_formed.then_some((trace, span))
}

impl<S> Layer<S> for Collector
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        let above = span.parent().and_then(|parent| {
            let extensions = parent.extensions();
            extensions.get::<Begun>().map(|begun| (begun.trace, begun.id))
        });
        let above = above.or(fields.parent);
        let [trace_high, trace_low, own] = random();
        let begun = Begun {
            trace: above.map_or_else(|| u128::from(trace_high) << 64 | u128::from(trace_low), |(trace, _)| trace),
            id: own,
            parent: above.map(|(_, span)| span),
            name: fields.name.unwrap_or_else(|| attributes.metadata().name().to_owned()),
            at: now(),
            attributes: fields.attributes,
        };
        span.extensions_mut().insert(begun);
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        let mut fields = Fields::default();
        values.record(&mut fields);
        if let Some(begun) = span.extensions_mut().get_mut::<Begun>() {
            begun.attributes.extend(fields.attributes);
        }
    }

    fn on_event(&self, _: &Event<'_>, _: Context<'_, S>) {}

    fn on_close(&self, id: Id, context: Context<'_, S>) {
        let Some(span) = context.span(&id) else { return };
        let begun = span.extensions_mut().remove::<Begun>();
        if let Some(begun) = begun {
            // A collector that does not keep up loses spans; the engine does not wait for it.
            let _ = self.send.try_send(begun.ended(now()));
        }
    }
}

impl Begun {
    fn ended(self, at: u128) -> Value {
        // 2 is a server's span, 1 an inner one.
        let kind = if self.attributes.iter().any(|one| one["key"] == "http.route") { 2 } else { 1 };
        json!({
            "traceId": format!("{:032x}", self.trace),
            "spanId": format!("{:016x}", self.id),
            "parentSpanId": self.parent.map(|id| format!("{id:016x}")).unwrap_or_default(),
            "name": self.name,
            "kind": kind,
            "startTimeUnixNano": self.at.to_string(),
            "endTimeUnixNano": at.to_string(),
            "attributes": self.attributes,
        })
    }
}

fn now() -> u128 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos())
}

/// Ids that are not zero.
fn random() -> [u64; 3] {
    let mut bytes = [[0_u8; 8]; 3];
    for word in &mut bytes {
        // Eight bytes never come in parts (getrandom(2)).
        let _ = rustix::rand::getrandom(&mut word[..], rustix::rand::GetRandomFlags::empty());
    }
    bytes.map(|word| u64::from_ne_bytes(word).max(1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tracing_subscriber::layer::SubscriberExt;

    #[test]
    fn spans_become_otlp_with_their_parents() {
        let (send, mut spans) = mpsc::channel(8);
        let layer = Collector { send }.with_filter(filter());
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
            let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
            let outer = tracing::info_span!(target: TARGET, "request", otel.name = "POST /x", otel.parent = parent, http.route = "/x", http.status = tracing::field::Empty);
            outer.record("http.status", 204_u16);
            let _in = outer.enter();
            drop(tracing::info_span!(target: TARGET, "mount"));
            drop(tracing::info_span!("other"));
        });
        let inner = spans.try_recv().expect("the inner one ends first");
        let outer = spans.try_recv().expect("the outer one");
        assert!(spans.try_recv().is_err());
        assert_eq!((&inner["name"], &outer["name"]), (&json!("mount"), &json!("POST /x")));
        assert_eq!((&inner["parentSpanId"], &inner["traceId"]), (&outer["spanId"], &outer["traceId"]));
        assert_eq!(outer["traceId"], "0af7651916cd43dd8448eb211c80319c");
        assert_eq!((&outer["parentSpanId"], &outer["kind"]), (&json!("b7ad6b7169203331"), &json!(2)));
        let status = json!({"key": "http.status", "value": {"intValue": "204"}});
        assert!(outer["attributes"].as_array().is_some_and(|all| all.contains(&status)));
        let body = body("dhow", vec![inner]);
        assert_eq!(body["resourceSpans"][0]["scopeSpans"][0]["spans"][0]["name"], "mount");
    }

    #[test]
    fn a_broken_traceparent_is_no_parent() {
        for text in ["", "00-0-0-01", "00-00000000000000000000000000000000-b7ad6b7169203331-01", "x"] {
            assert_eq!(traceparent(text), None, "{text}");
        }
    }
}
