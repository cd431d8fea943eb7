//! Which events a client wants (moby, daemon/events/filter.go).

use crate::filters::Filters;
use api::types::Event;

/// Kinds whose filter is the beginning of an id or a name.
const KINDS: [&str; 9] = ["daemon", "container", "plugin", "volume", "network", "node", "service", "secret", "config"];

/// Whether `event` is wanted.
pub fn wants(filters: &Filters, event: &Event) -> bool {
    is_action(filters, &event.action)
        && filters.exact("type", &event.kind)
        && filters.exact("scope", &event.scope)
        && KINDS.iter().all(|kind| is_about(filters, kind, event))
        && is_image(filters, event)
        && filters.labels("label", &event.actor.attributes)
}

/// `exec_create: sh` is found by `exec_create`.
fn is_action(filters: &Filters, action: &str) -> bool {
    let with_text = ["health_status", "exec_create", "exec_start"];
    let fuzzy = filters.get("event").iter().any(|asked| with_text.contains(&asked.as_str()));
    if fuzzy { filters.prefix("event", action) } else { filters.exact("event", action) }
}

fn is_about(filters: &Filters, kind: &str, event: &Event) -> bool {
    let name = event.actor.attributes.get("name").map_or("", String::as_str);
    filters.prefix(kind, &event.actor.id) || filters.prefix(kind, name)
}

fn is_image(filters: &Filters, event: &Event) -> bool {
    let key = if event.kind == "image" { "name" } else { "image" };
    let name = event.actor.attributes.get(key).map_or("", String::as_str);
    let id = event.actor.id.as_str();
    [id, name, without_tag(id), without_tag(name)].iter().any(|text| filters.exact("image", text))
}

/// `busybox:1.36` is `busybox`; the colon of a registry's port stays.
fn without_tag(name: &str) -> &str {
    let name = name.split('@').next().unwrap_or(name);
    match name.rsplit_once(':') {
        Some((before, tag)) if !tag.contains('/') => before,
        _ => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::Query;
    use api::types::{Actor, Texts};

    fn filters(json: &str) -> Filters {
        let text: String = json.bytes().map(|b| format!("%{b:02x}")).collect();
        let uri = format!("/events?filters={text}").parse().expect("a uri");
        Filters::of_any(&Query::of(&uri).expect("a query")).expect("filters")
    }

    fn event(action: &str) -> Event {
        let attributes = [("image", "busybox:1.36"), ("name", "web"), ("a", "b")];
        let attributes: Texts = attributes.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        Event {
            kind: "container".into(),
            action: action.into(),
            actor: Actor { id: "abcdef".into(), attributes },
            scope: "local".into(),
            ..Event::default()
        }
    }

    #[test]
    fn events_are_chosen_as_docker_does() {
        for (asked, wanted) in [
            (r#"{"event":["start"]}"#, true),
            (r#"{"event":["star"]}"#, false),
            (r#"{"type":["container"]}"#, true),
            (r#"{"type":["image"]}"#, false),
            (r#"{"container":["abc"]}"#, true),
            (r#"{"container":["web"]}"#, true),
            (r#"{"container":["other"]}"#, false),
            (r#"{"image":["busybox"]}"#, true),
            (r#"{"image":["busybox:1.36"]}"#, true),
            (r#"{"image":["alpine"]}"#, false),
            (r#"{"label":["a=b"]}"#, true),
            (r#"{"label":["a=c"]}"#, false),
        ] {
            assert_eq!(wants(&filters(asked), &event("start")), wanted, "{asked}");
        }
        assert!(wants(&filters(r#"{"event":["exec_create"]}"#), &event("exec_create: sh")));
    }
}
