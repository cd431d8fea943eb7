//! `GET /containers/{id}/changes`: what a container changed of its image's files; null when it is nothing.

use crate::app::App;
use crate::status::{self, Answer};
use axum::extract::{Path, State};
use engine::{FileChange, FileChangeKind};
use http::StatusCode;

pub async fn get(State(app): State<App>, Path(id): Path<String>) -> Answer {
    let changes = app.blocking(move |engine| engine.changes(&id)).await?;
    let rows: Vec<_> = changes.iter().map(row).collect();
    Ok(status::json(StatusCode::OK, &Some(rows).filter(|rows| !rows.is_empty())))
}

fn row(change: &FileChange) -> api::types::FileChange {
    let kind = match change.kind {
        FileChangeKind::Modified => 0,
        FileChangeKind::Added => 1,
        FileChangeKind::Deleted => 2,
    };
    api::types::FileChange { path: String::from_utf8_lossy(&change.path).into_owned(), kind }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_those_of_dockerd() {
        let change = FileChange { path: b"/hi".to_vec(), kind: FileChangeKind::Added };
        assert_eq!(serde_json::to_string(&row(&change)).expect("json"), r#"{"Path":"/hi","Kind":1}"#);
    }
}
