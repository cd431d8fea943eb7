//! `POST /containers/{id}/exec`

use crate::app::App;
use crate::routes::{console_size, json_body};
use crate::status::{self, Answer, Refusal};
use crate::stream::keys::DetachKeys;
use crate::version::ApiVersion;
use api::types::{ExecCreateRequest, IdResponse};
use axum::extract::{Path, State};
use bytes::Bytes;
use engine::ExecCreate;
use http::StatusCode;

pub async fn post(State(app): State<App>, Path(id): Path<String>, version: ApiVersion, body: Bytes) -> Answer {
    let create = meant(json_body(&body)?, version)?;
    let id = app.blocking(move |engine| engine.exec_create(&id, create)).await?;
    Ok(status::json(StatusCode::CREATED, &IdResponse { id: id.to_string() }))
}

fn meant(asked: ExecCreateRequest, version: ApiVersion) -> Result<ExecCreate, Refusal> {
    if asked.cmd.0.is_empty() {
        return Err(Refusal::invalid("No exec command specified"));
    }
    DetachKeys::parse(&asked.detach_keys)?;
    Ok(ExecCreate {
        args: asked.cmd.0,
        env: asked.env.unwrap_or_default(),
        working_dir: asked.working_dir,
        user: asked.user,
        privileged: asked.privileged,
        tty: asked.tty,
        attach_stdin: asked.attach_stdin,
        attach_stdout: asked.attach_stdout,
        attach_stderr: asked.attach_stderr,
        detach_keys: asked.detach_keys,
        console_size: console_size(asked.console_size).filter(|_| version.has(42)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exec_needs_a_command() {
        let refusal = meant(ExecCreateRequest::default(), crate::version::MAX).expect_err("refused");
        assert_eq!(refusal, Refusal::invalid("No exec command specified"));
    }

    #[test]
    fn the_request_of_the_docker_cli_is_understood() {
        let text = r#"{"User":"","Privileged":false,"Tty":true,"ConsoleSize":[24,80],"AttachStdin":true,"AttachStderr":true,
            "AttachStdout":true,"Detach":false,"DetachKeys":"","Env":null,"WorkingDir":"","Cmd":["sh"]}"#;
        let asked: ExecCreateRequest = serde_json::from_str(text).expect("a request");
        let create = meant(asked.clone(), crate::version::MAX).expect("meant");
        assert_eq!((create.args, create.tty, create.console_size), (vec!["sh".to_owned()], true, Some((24, 80))));
        assert_eq!(meant(asked, ApiVersion(1, 41)).expect("meant").console_size, None);
    }
}
