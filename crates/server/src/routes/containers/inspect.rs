//! `GET /containers/{id}/json`

use crate::app::App;
use crate::present;
use crate::query::Query;
use crate::status::{self, Answer, Refusal};
use axum::extract::{Path, State};
use http::StatusCode;

pub async fn get(State(app): State<App>, Path(id): Path<String>, query: Query) -> Answer {
    let with_sizes = query.flag("size");
    let answer = app
        .blocking(move |engine| {
            let snapshot = engine.inspect(&id)?;
            let mut answer = present::inspect::of(&snapshot);
            let image = engine.image(&snapshot.container.image_id.to_string());
            let layers = image.map(|image| engine.layer_folders(&image)).unwrap_or_default();
            answer.graph_driver = present::inspect::graph_driver(&snapshot, &layers);
            if with_sizes {
                (answer.size_rw, answer.size_root_fs) = present::summary::sizes(engine.sizes(&snapshot));
            }
            Ok::<_, Refusal>(answer)
        })
        .await?;
    Ok(status::json(StatusCode::OK, &answer))
}
