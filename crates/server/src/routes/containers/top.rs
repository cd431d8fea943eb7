//! `GET /containers/{id}/top`

use crate::app::App;
use crate::present::columns::Around;
use crate::present::processes;
use crate::query::Query;
use crate::status::{self, Answer};
use crate::times;
use axum::extract::{Path, State};
use http::StatusCode;

pub async fn get(State(app): State<App>, Path(id): Path<String>, query: Query) -> Answer {
    let arguments = query.get("ps_args").to_owned();
    let table = app
        .blocking(move |engine| {
            let mut found = engine.top(&id)?;
            let names = std::mem::take(&mut found.names);
            processes::table(&found, &arguments, &Around { now: times::now(), memory: engine.info().memory, names })
        })
        .await;
    Ok(status::json(StatusCode::OK, &table?))
}
