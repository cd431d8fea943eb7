//! `POST /containers/prune`: all that do not run.

use crate::app::App;
use crate::filters::Filters;
use crate::query::Query;
use crate::status::{self, Answer, Refusal};
use api::types::PruneResponse;
use axum::extract::State;
use container::Status;
use engine::{EventKind, Removal, Snapshot};
use http::StatusCode;

pub async fn post(State(app): State<App>, query: Query) -> Answer {
    let filters = Filters::of(&query, &["label", "label!", "until"])?;
    let until = filters.until()?;
    let stopped = app
        .blocking(move |engine| {
            let mut all = engine.list();
            all.retain(|snapshot| is_prunable(snapshot, &filters, until));
            let with_sizes = all.into_iter().map(|s| (s.container.id.to_string(), engine.sizes(&s).own));
            Ok::<_, Refusal>(with_sizes.collect::<Vec<_>>())
        })
        .await?;
    let mut deleted = Vec::new();
    let mut bytes = 0;
    for (id, size) in stopped {
        let name = id.clone();
        // One that was started or removed meanwhile is left alone.
        if app.to_the_end(|engine| async move { engine.remove(&name, Removal::default()).await }).await.is_ok() {
            deleted.push(id);
            bytes += size;
        }
    }
    app.engine.tell_prune(EventKind::Container, bytes);
    let answer = PruneResponse { containers_deleted: Some(deleted).filter(|d| !d.is_empty()), space_reclaimed: bytes };
    Ok(status::json(StatusCode::OK, &answer))
}

fn is_prunable(snapshot: &Snapshot, filters: &Filters, until: Option<i64>) -> bool {
    let labels = &snapshot.container.config.labels;
    matches!(snapshot.state.status, Status::Created | Status::Exited | Status::Dead)
        && until.is_none_or(|time| snapshot.container.created_at < time)
        && filters.labels("label", labels)
        && filters.without_labels(labels)
}
