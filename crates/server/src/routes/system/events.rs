//! `GET /events`: one JSON object a line, what has happened and what happens.

use crate::app::App;
use crate::filters::Filters;
use crate::query::Query;
use crate::routes::events_filter::{KNOWN, wants};
use crate::status::Answer;
use crate::stream::body::{self, Pieces};
use crate::times;
use crate::version::ApiVersion;
use api::types::{Actor, Event};
use axum::extract::State;
use axum::response::IntoResponse;
use engine::{EventKind, Subscription};
use http::header;
use std::time::Duration;
use tokio::sync::broadcast::error::RecvError;

/// From this version on events have no `status`, `id` and `from`.
const WITHOUT_LEGACY: u32 = 52;

pub async fn get(State(app): State<App>, version: ApiVersion, query: Query) -> Answer {
    let wish = Wish {
        filters: Filters::of(&query, &KNOWN)?,
        since: times::read("since", query.get("since"))?,
        until: times::read("until", query.get("until"))?,
        version,
    };
    let (send, body) = body::streamed();
    tokio::spawn(tell(app.engine.events(), wish, send));
    Ok(([(header::CONTENT_TYPE, "application/json")], body).into_response())
}

struct Wish {
    filters: Filters,
    since: Option<i64>,
    until: Option<i64>,
    version: ApiVersion,
}

impl Wish {
    /// The event as it is shown, if it is wanted.
    fn show(&self, event: engine::Event) -> Option<Event> {
        let shown = shown(event, self.version);
        wants(&self.filters, &shown).then_some(shown)
    }
}

async fn tell(mut subscription: Subscription, wish: Wish, send: Pieces) {
    if wish.since.is_some() || wish.until.is_some() {
        for event in subscription.past.drain(..) {
            let in_time =
                wish.since.is_none_or(|since| event.at >= since) && wish.until.is_none_or(|until| event.at <= until);
            let Some(shown) = Some(event).filter(|_| in_time).and_then(|event| wish.show(event)) else { continue };
            if send.send(body::line(&shown)).await.is_err() {
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
            () = &mut end => return,
            () = send.closed() => return,
            event = subscription.live.recv() => event,
        };
        let shown = match event {
            Ok(event) => wish.show(event),
            Err(RecvError::Lagged(_)) => None,
            Err(RecvError::Closed) => return,
        };
        if let Some(shown) = shown
            && send.send(body::line(&shown)).await.is_err()
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
}
