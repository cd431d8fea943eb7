//! `GET /containers/json`

use crate::app::App;
use crate::filters::Filters;
use crate::present::summary::{self, Wanted};
use crate::query::Query;
use crate::status::{self, Answer, Refusal};
use axum::extract::State;
use http::StatusCode;

pub async fn get(State(app): State<App>, query: Query) -> Answer {
    let limit = query.number("limit")?.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(0);
    let filters = Filters::of(&query, &summary::FILTERS)?;
    let wanted = Wanted { all: query.flag("all"), limit, filters };
    let with_sizes = query.flag("size");
    let identity = app.identity().to_owned();
    let rows = app
        .blocking(move |engine| {
            let now = summary::now();
            let chosen = wanted.choose(engine.list())?;
            let rows = chosen.iter().map(|snapshot| {
                let mut row = summary::of(snapshot, &identity, now);
                if with_sizes {
                    (row.size_rw, row.size_root_fs) = summary::sizes(engine.sizes(snapshot));
                }
                row
            });
            Ok::<_, Refusal>(rows.collect::<Vec<_>>())
        })
        .await?;
    Ok(status::json(StatusCode::OK, &rows))
}
