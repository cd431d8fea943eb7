//! `GET /containers/json`

use crate::app::App;
use crate::filters::Filters;
use crate::present::summary::{self, Wanted};
use crate::query::Query;
use crate::status::{self, Answer, Refusal};
use axum::extract::State;
use base::Digest;
use engine::Engine;
use http::StatusCode;
use std::collections::BTreeSet;

pub async fn get(State(app): State<App>, query: Query) -> Answer {
    let limit = query.number("limit")?.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(0);
    let filters = Filters::of(&query, &summary::FILTERS)?;
    let mut wanted = Wanted { all: query.flag("all"), limit, filters, images: BTreeSet::new() };
    let with_sizes = query.flag("size");
    let rows = app
        .blocking(move |engine| {
            let now = summary::now();
            wanted.images = descendants(engine, wanted.filters.get("ancestor"))?;
            let chosen = wanted.choose(engine.list())?;
            let rows = chosen.iter().map(|snapshot| {
                let mut row = summary::of(snapshot, now);
                if with_sizes {
                    (row.size_rw, row.size_root_fs) = summary::sizes(engine.sizes(snapshot));
                    // Docker leaves a zero out here, and not in inspect.
                    row.size_rw = row.size_rw.filter(|size| *size != 0);
                }
                row
            });
            Ok::<_, Refusal>(rows.collect::<Vec<_>>())
        })
        .await?;
    Ok(status::json(StatusCode::OK, &rows))
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
