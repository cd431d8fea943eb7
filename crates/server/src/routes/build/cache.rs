//! `POST /build/prune`, and the builder's part of `GET /system/df`.

use crate::app::App;
use crate::filters::Filters;
use crate::query::Query;
use crate::status::{self, Answer, Refusal};
use axum::extract::State;
use build::{Kept, Prune, Record, RecordKind};
use engine::EventKind;
use http::StatusCode;
use serde_json::{Value, json};

pub async fn prune(State(app): State<App>, query: Query) -> Answer {
    // `docker system prune` sends the filters of everything else, too.
    let filters = Filters::of_any(&query)?;
    let (builder, until) = (app.clone(), since(&filters)?);
    let kind = match filters.get("type") {
        [kind] if kind == "exec.cachemount" => Some(RecordKind::Mount),
        [kind] if kind == "regular" => Some(RecordKind::Layer),
        _ => None,
    };
    let size = |name: &str| query.number(name).map(|size| size.and_then(|size| u64::try_from(size).ok()));
    let keep = [size("max-used-space")?, size("reserved-space")?, size("keep-storage")?].into_iter().flatten().next();
    let asked = Prune {
        all: query.flag("all"),
        unused_since: until,
        keep: keep.filter(|keep| *keep > 0),
        ids: filters.get("id").to_vec(),
        kind,
    };
    let pruned = app.blocking(move |_| builder.builder()?.prune(&asked)).await?;
    app.engine.tell_prune(EventKind::Builder, pruned.reclaimed);
    let ids = Some(pruned.ids).filter(|ids| !ids.is_empty());
    Ok(status::json(StatusCode::OK, &json!({ "CachesDeleted": ids, "SpaceReclaimed": pruned.reclaimed })))
}

/// `until` and its other name, in milliseconds since 1970.
fn since(filters: &Filters) -> Result<Option<i64>, Refusal> {
    if let Some(until) = filters.until()? {
        return Ok(Some(until / 1_000_000));
    }
    match filters.get("unused-for") {
        [] => Ok(None),
        [text] => Ok(crate::times::read("unused-for", text)?.map(|at| at / 1_000_000)),
        _ => Err(Refusal::invalid("more than one unused-for filter specified")),
    }
}

/// What the cache keeps, as `df` shows it. Layers that images have count there.
pub fn rows(app: &App) -> Result<Vec<Value>, Refusal> {
    Ok(app.builder()?.usage()?.iter().map(row).collect())
}

fn row(record: &Record) -> Value {
    let at = |time: i64| jiff::Timestamp::from_millisecond(time).map(|at| at.to_string()).unwrap_or_default();
    json!({
        "ID": record.id,
        "Type": match record.kind {
            RecordKind::Layer => "regular",
            RecordKind::Mount => "exec.cachemount",
        },
        "Description": record.description,
        "InUse": record.in_use == Kept::Yes,
        "Shared": record.shared == Kept::Yes,
        "Size": record.size,
        "CreatedAt": at(record.made_at),
        "LastUsedAt": at(record.used_at),
        "UsageCount": record.uses,
    })
}
