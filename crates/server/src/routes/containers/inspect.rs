//! `GET /containers/{id}/json`

use crate::app::App;
use crate::present;
use crate::query::Query;
use crate::status::{self, Answer, Refusal};
use axum::extract::{Path, State};
use engine::{Engine, Snapshot};
use http::StatusCode;
use std::collections::HashSet;
use std::os::unix::fs::MetadataExt;

pub async fn get(State(app): State<App>, Path(id): Path<String>, query: Query) -> Answer {
    let with_sizes = query.flag("size");
    let identity = app.identity().to_owned();
    let answer = app
        .blocking(move |engine| {
            let snapshot = engine.inspect(&id)?;
            let mut answer = present::inspect::of(&snapshot, &identity);
            if with_sizes {
                (answer.size_rw, answer.size_root_fs) = sizes(engine, &snapshot);
            }
            Ok::<_, Refusal>(answer)
        })
        .await?;
    Ok(status::json(StatusCode::OK, &answer))
}

/// Bytes of a container's own files, and of them with its image's.
pub fn sizes(engine: &Engine, snapshot: &Snapshot) -> (Option<i64>, Option<i64>) {
    let own = folder_bytes(std::path::Path::new(&snapshot.upper_path));
    let image = engine.image(&snapshot.container.image_id.to_string()).map_or(0, |image| image.size);
    let number = |bytes: u64| i64::try_from(bytes).ok();
    (number(own), number(own.saturating_add(image)))
}

/// Bytes of the files below a folder; a hard-linked file counts once. Symbolic links are not followed.
fn folder_bytes(root: &std::path::Path) -> u64 {
    let mut folders = vec![root.to_owned()];
    let (mut total, mut seen) = (0_u64, HashSet::new());
    while let Some(folder) = folders.pop() {
        let Ok(entries) = std::fs::read_dir(&folder) else { continue };
        for entry in entries.flatten() {
            let Ok(data) = entry.metadata() else { continue };
            if data.is_dir() {
                folders.push(entry.path());
            } else if data.nlink() == 1 || seen.insert((data.dev(), data.ino())) {
                total = total.saturating_add(data.len());
            }
        }
    }
    total
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_as_large_as_its_files_once_each() {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::create_dir(folder.path().join("deep")).expect("a folder");
        std::fs::write(folder.path().join("deep/a"), [0; 100]).expect("a file");
        std::fs::hard_link(folder.path().join("deep/a"), folder.path().join("b")).expect("a link");
        std::os::unix::fs::symlink("/etc/passwd", folder.path().join("c")).expect("a link");
        assert_eq!(folder_bytes(folder.path()), 100 + 11);
        assert_eq!(folder_bytes(std::path::Path::new("/nowhere")), 0);
    }
}
