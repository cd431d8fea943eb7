//! `POST /build/prune`, and the builder's part of `GET /system/df`.

use crate::app::App;
use crate::filters::Filters;
use crate::query::Query;
use crate::status::{self, Answer, Refusal};
use axum::extract::State;
use build::cache::{Filter, Space};
use build::{Kept, Prune, Record};
use engine::EventKind;
use http::StatusCode;
use serde_json::{Value, json};

/// Filters of records; one that has another name is not one of the cache's.
const FIELDS: [&str; 10] =
    ["id", "parents", "parent", "type", "description", "inuse", "mutable", "immutable", "shared", "private"];

pub async fn prune(State(app): State<App>, query: Query) -> Answer {
    // `docker system prune` sends the filters of everything else, too.
    let filters = Filters::of_any(&query)?;
    let size = |name: &str| {
        let found = query.number(name).map_err(|_| not_bytes(name, query.get(name)))?;
        Ok::<_, Refusal>(found.and_then(|size| u64::try_from(size).ok()).unwrap_or(0))
    };
    let reserved = match size("reserved-space")? {
        0 => size("keep-storage")?,
        size => size,
    };
    let asked = Prune {
        all: query.flag("all"),
        unused_since: since(&filters)?,
        space: Space::of(reserved, size("max-used-space")?, size("min-free-space")?),
        filters: chosen(&filters)?,
    };
    let builder = app.clone();
    let pruned = app.blocking(move |_| builder.builder()?.prune(&asked)).await?;
    app.engine.tell_prune(EventKind::Builder, pruned.reclaimed);
    let ids = Some(pruned.ids).filter(|ids| !ids.is_empty());
    Ok(status::json(StatusCode::OK, &json!({ "CachesDeleted": ids, "SpaceReclaimed": pruned.reclaimed })))
}

fn not_bytes(name: &str, text: &str) -> Refusal {
    Refusal::invalid(format!("{name} is in bytes and expects an integer, got {text}"))
}

/// One filter of all that was asked, as dockerd makes it (moby, builder/builder-next, toBuildkitPruneInfo).
fn chosen(filters: &Filters) -> Result<Vec<Filter>, Refusal> {
    let mut terms = Vec::new();
    for field in FIELDS {
        match filters.get(field) {
            [] => {}
            [value] if field == "id" => terms.push(format!("id~={value}")),
            [value] if value.is_empty() => terms.push(field.to_owned()),
            [value] => terms.push(format!("{field}=={value}")),
            _ => return Err(Refusal::invalid("filters expect only one value")),
        }
    }
    if terms.is_empty() {
        return Ok(Vec::new());
    }
    Ok(vec![terms.join(",").parse().map_err(Refusal::from)?])
}

/// `until` and its other name, in milliseconds since 1970.
fn since(filters: &Filters) -> Result<Option<i64>, Refusal> {
    let (until, unused) = (filters.get("until"), filters.get("unused-for"));
    let (name, text) = match (until, unused) {
        ([], []) => return Ok(None),
        ([text], []) => ("until", text),
        ([], [text]) => ("unused-for", text),
        ([], _) | (_, []) => return Err(Refusal::invalid("filters expect only one value")),
        _ => return Err(Refusal::invalid("conflicting filters: \"until\" and \"unused-for\"")),
    };
    let wrong = |_| Refusal::invalid(format!("{name:?} filter expects a duration (e.g., '24h') or a timestamp"));
    Ok(crate::times::read(name, text).map_err(wrong)?.map(|at| at / 1_000_000))
}

/// What the cache keeps, as `df` shows it. Layers that images have count there.
pub fn rows(app: &App) -> Result<Vec<Value>, Refusal> {
    Ok(app.builder()?.usage()?.iter().map(row).collect())
}

fn row(record: &Record) -> Value {
    let at = |time: i64| jiff::Timestamp::from_millisecond(time).map(|at| at.to_string()).unwrap_or_default();
    let mut row = json!({
        "ID": record.id,
        "Type": record.kind.name(),
        "Description": record.description,
        "InUse": record.in_use == Kept::Yes,
        "Shared": record.shared == Kept::Yes,
        "Size": record.size,
        "CreatedAt": at(record.made_at),
        "LastUsedAt": at(record.used_at),
        "UsageCount": record.uses,
    });
    if !record.parents.is_empty() {
        // The space is dockerd's (moby, api/types/build/cache.go), and its clients look for it.
        row[" Parents"] = json!(record.parents);
    }
    row
}
