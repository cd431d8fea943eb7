//! `GET /events`: JSON objects one after another, what has happened and what happens.

use crate::app::App;
use crate::filters::Filters;
use crate::query::Query;
use crate::routes::events_filter::wants;
use crate::status::{Answer, Refusal};
use crate::stream::body::{self, Pieces};
use crate::times;
use crate::version::ApiVersion;
use api::types::{Actor, Event};
use axum::extract::State;
use axum::response::IntoResponse;
use bytes::Bytes;
use engine::{EventKind, Subscription};
use http::{HeaderMap, header};
use std::time::Duration;
use tokio::sync::broadcast::error::RecvError;

/// From this version on events have no `status`, `id` and `from`.
const WITHOUT_LEGACY: u32 = 52;

pub async fn get(State(app): State<App>, version: ApiVersion, query: Query, headers: HeaderMap) -> Answer {
    let form = Form::asked(&headers);
    let wish = Wish {
        filters: Filters::of_any(&query)?,
        since: times::of_query(&query, "since")?,
        until: times::of_query(&query, "until")?,
        version,
        form,
    };
    if wish.since.zip(wish.until).is_some_and(|(since, until)| until < since) {
        let (since, until) = (query.get("since"), query.get("until"));
        return Err(Refusal::invalid(format!("`since` time ({since}) cannot be after `until` time ({until})")));
    }
    let (send, body) = body::streamed();
    tokio::spawn(tell(app.engine.events(), wish, send));
    Ok(([(header::CONTENT_TYPE, form.media_type())], body).into_response())
}

/// How objects are told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// By their own ends, and a line each; what clients get that ask for nothing.
    Json,
    /// The same, called by its name.
    Lines(&'static str),
    /// A record separator before each (RFC 7464).
    Sequence,
}

impl Form {
    /// The first that this program knows of those in `Accept`.
    fn asked(headers: &HeaderMap) -> Form {
        let accept = headers.get_all(header::ACCEPT).into_iter().filter_map(|value| value.to_str().ok());
        let types = accept.flat_map(|value| value.split(',')).map(|one| one.split(';').next().unwrap_or(one).trim());
        let known = |media: &str| match media {
            "application/json" => Some(Form::Json),
            "application/x-ndjson" => Some(Form::Lines("application/x-ndjson")),
            "application/jsonl" => Some(Form::Lines("application/jsonl")),
            "application/json-seq" => Some(Form::Sequence),
            _ => None,
        };
        types.into_iter().find_map(known).unwrap_or(Form::Json)
    }

    fn media_type(self) -> &'static str {
        match self {
            Form::Json => "application/json",
            Form::Lines(media) => media,
            Form::Sequence => "application/json-seq",
        }
    }

    fn piece(self, event: &Event) -> Bytes {
        let mut bytes = if self == Form::Sequence { vec![0x1e] } else { Vec::new() };
        bytes.extend(serde_json::to_vec(event).unwrap_or_default());
        bytes.push(b'\n');
        bytes.into()
    }
}

struct Wish {
    filters: Filters,
    since: Option<i64>,
    until: Option<i64>,
    version: ApiVersion,
    form: Form,
}

impl Wish {
    /// The event as it is sent, if it is wanted.
    fn show(&self, event: engine::Event) -> Option<Bytes> {
        let shown = shown(event, self.version);
        wants(&self.filters, &shown).then(|| self.form.piece(&shown))
    }

    fn is_in_time(&self, event: &engine::Event) -> bool {
        self.since.is_none_or(|since| event.at >= since) && self.until.is_none_or(|until| event.at <= until)
    }
}

async fn tell(mut subscription: Subscription, wish: Wish, send: Pieces) {
    if wish.since.is_some() || wish.until.is_some() {
        for event in subscription.past.drain(..) {
            let Some(piece) = Some(event).filter(|e| wish.is_in_time(e)).and_then(|e| wish.show(e)) else { continue };
            if send.send(piece).await.is_err() {
                return;
            }
        }
    }
    let end =
        wish.until.map(|until| Duration::from_nanos(u64::try_from(until.saturating_sub(times::now())).unwrap_or(0)));
    let end = async {
        match end {
            Some(wait) => tokio::time::sleep(wait).await,
            None => send.closed().await,
        }
    };
    tokio::pin!(end);
    loop {
        let event = tokio::select! {
            biased;
            () = &mut end => return,
            () = send.closed() => return,
            event = subscription.live.recv() => event,
        };
        let shown = match event {
            Ok(event) => Some(event).filter(|e| wish.is_in_time(e)).and_then(|e| wish.show(e)),
            Err(RecvError::Lagged(_)) => None,
            Err(RecvError::Closed) => return,
        };
        if let Some(piece) = shown
            && send.send(piece).await.is_err()
        {
            return;
        }
    }
}

fn shown(event: engine::Event, version: ApiVersion) -> Event {
    let kind = match event.kind {
        EventKind::Container => "container",
        EventKind::Image => "image",
        EventKind::Network => "network",
        EventKind::Volume => "volume",
        EventKind::Daemon => "daemon",
        EventKind::Builder => "builder",
    };
    let legacy = !version.has(WITHOUT_LEGACY) && matches!(kind, "container" | "image");
    let or_empty = |text: String| if legacy { text } else { String::new() };
    Event {
        status: or_empty(event.action.clone()),
        id: or_empty(event.actor.clone()),
        from: or_empty(event.attributes.get("image").cloned().unwrap_or_default()),
        kind: kind.to_owned(),
        action: event.action,
        actor: Actor { id: event.actor, attributes: event.attributes },
        scope: "local".to_owned(),
        time: event.at / 1_000_000_000,
        time_nano: event.at,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_clients_find_the_old_fields() {
        let event = engine::Event {
            kind: EventKind::Container,
            action: "start".into(),
            actor: "ab".into(),
            attributes: [("image".to_owned(), "busybox".to_owned())].into(),
            at: 1_700_000_000_000_000_001,
        };
        let text = serde_json::to_string(&shown(event.clone(), ApiVersion(1, 51))).expect("json");
        assert_eq!(
            text,
            r#"{"status":"start","id":"ab","from":"busybox","Type":"container","Action":"start","Actor":{"ID":"ab","Attributes":{"image":"busybox"}},"scope":"local","time":1700000000,"timeNano":1700000000000000001}"#
        );
        let text = serde_json::to_string(&shown(event, ApiVersion(1, 52))).expect("json");
        assert!(text.starts_with(r#"{"Type":"container""#), "{text}");
    }

    #[test]
    fn clients_may_ask_for_records_or_lines() {
        let of = |accept: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT, accept.parse().expect("a header"));
            Form::asked(&headers).media_type()
        };
        assert_eq!(Form::asked(&HeaderMap::new()), Form::Json);
        assert_eq!(of("*/*"), "application/json");
        assert_eq!(of("text/html, application/x-ndjson;q=0.9, application/json"), "application/x-ndjson");
        assert_eq!(of("application/json-seq"), "application/json-seq");
        let piece = Form::Sequence.piece(&Event::default());
        assert_eq!((piece.first(), piece.last()), (Some(&0x1e), Some(&b'\n')));
    }
}
