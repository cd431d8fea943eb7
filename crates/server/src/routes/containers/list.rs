//! `GET /containers/json`

use crate::app::App;
use crate::filters::Filters;
use crate::present::summary::{self, Wanted};
use crate::query::Query;
use crate::status::{self, Answer, Refusal};
use api::types::ContainerSummary;
use axum::extract::State;
use axum::response::IntoResponse;
use base::Digest;
use engine::{Engine, Listed, Snapshot};
use http::{StatusCode, header};
use std::collections::BTreeSet;

pub async fn get(State(app): State<App>, query: Query) -> Answer {
    let limit = query
        .number("limit")
        .map_err(|wrong| Refusal::internal(wrong.message))?
        .and_then(|limit| usize::try_from(limit).ok())
        .unwrap_or(0);
    let filters = Filters::of(&query, &summary::FILTERS)?;
    let wanted = Wanted { all: query.flag("all"), limit, filters, images: BTreeSet::new() };
    let with_sizes = query.flag("size");
    if wanted.filters.is_empty() && !with_sizes {
        let own = app.clone();
        let text = app.reading(move |engine| unfiltered(&own, engine, &wanted)).await?;
        return Ok(([(header::CONTENT_TYPE, "application/json")], text).into_response());
    }
    let rows = app.blocking(move |engine| {
        let now = summary::now();
        let chosen = chosen(engine, wanted)?;
        let row = |snapshot: &Snapshot| {
            if with_sizes { sized(engine, snapshot, now) } else { summary::of(snapshot, now) }
        };
        Ok::<_, Refusal>(chosen.iter().map(row).collect::<Vec<_>>())
    });
    Ok(status::json(StatusCode::OK, &rows.await?))
}

/// What is asked again and again.
fn unfiltered(app: &App, engine: &Engine, wanted: &Wanted) -> Result<Vec<u8>, Refusal> {
    let every = wanted.all || wanted.limit > 0;
    let shown = |listed: &Listed| every || summary::is_up(listed.look_at_state(|state| state.status));
    let text = app.rows().list(&engine.listed(), wanted.limit, shown);
    text.map_err(|error| Refusal::internal(error.to_string()))
}

fn chosen(engine: &Engine, mut wanted: Wanted) -> Result<Vec<Snapshot>, Refusal> {
    wanted.images = descendants(engine, wanted.filters.get("ancestor"))?;
    wanted.choose(engine.list())
}

fn sized(engine: &Engine, snapshot: &Snapshot, now: i64) -> ContainerSummary {
    let (own, root) = summary::sizes(engine.sizes(snapshot));
    // Docker leaves a zero out here, and not in inspect.
    ContainerSummary { size_rw: own.filter(|size| *size != 0), size_root_fs: root, ..summary::of(snapshot, now) }
}

/// The images of these names, and all that were committed from them. A name that nothing has is no error.
fn descendants(engine: &Engine, names: &[String]) -> Result<BTreeSet<Digest>, Refusal> {
    let mut family: BTreeSet<Digest> = names.iter().filter_map(|name| Some(engine.image(name).ok()?.id)).collect();
    if family.is_empty() {
        return Ok(family);
    }
    let images = engine.images()?;
    let mut before = 0;
    while before != family.len() {
        before = family.len();
        let of_family = images.iter().filter(|image| image.parent.is_some_and(|parent| family.contains(&parent)));
        let children: Vec<Digest> = of_family.map(|image| image.id).collect();
        family.extend(children);
    }
    Ok(family)
}
