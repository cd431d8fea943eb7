//! `GET /exec/{id}/json`

use crate::app::App;
use crate::status::{self, Answer};
use crate::stream::keys::DetachKeys;
use api::types::{ExecInspect, ProcessConfig};
use axum::extract::{Path, State};
use engine::ExecSnapshot;
use http::StatusCode;

pub async fn get(State(app): State<App>, Path(id): Path<String>) -> Answer {
    let snapshot = match app.engine.exec_glimpse(&id) {
        Some(known) => known?,
        None => app.blocking(move |engine| engine.exec_inspect(&id)).await?,
    };
    Ok(status::json(StatusCode::OK, &of(snapshot)))
}

fn of(snapshot: ExecSnapshot) -> ExecInspect {
    let create = snapshot.create;
    let mut args = create.args.into_iter();
    ExecInspect {
        id: snapshot.id.to_string(),
        running: snapshot.running,
        exit_code: snapshot.exit_code,
        process_config: ProcessConfig {
            tty: create.tty,
            entrypoint: args.next().unwrap_or_default(),
            arguments: args.collect(),
            privileged: create.privileged,
            user: create.user,
        },
        open_stdin: create.attach_stdin,
        open_stderr: create.attach_stderr,
        open_stdout: create.attach_stdout,
        can_remove: false,
        container_id: snapshot.container.to_string(),
        detach_keys: DetachKeys::base64(&create.detach_keys),
        pid: snapshot.pid,
    }
}
