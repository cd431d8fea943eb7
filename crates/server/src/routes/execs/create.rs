//! `POST /containers/{id}/exec`

use super::start;
use crate::app::App;
use crate::routes::{console_size, json_body};
use crate::status::{self, Answer, Refusal};
use crate::stream::body;
use crate::stream::keys::DetachKeys;
use crate::version::ApiVersion;
use api::types::{EXEC, ExecCreateRequest, IdResponse};
use axum::extract::{Path, Request, State};
use engine::ExecCreate;
use http::{StatusCode, header};

/// With the header [`EXEC`], by which this project's own command line saves two requests, it is started as well.
pub async fn post(State(app): State<App>, Path(id): Path<String>, version: ApiVersion, request: Request) -> Answer {
    let (mut parts, body) = request.into_parts();
    let body = body::collect(body).await.map_err(Refusal::invalid)?;
    let create = meant(json_body(&body)?, version)?;
    let as_asked = create.clone();
    let exec = match create.user.as_str() {
        "" => app.engine.exec_create(&id, create)?,
        // It is looked for in the container's files.
        _ => app.blocking(move |engine| engine.exec_create(&id, create)).await?,
    };
    if parts.headers.contains_key(EXEC) && parts.headers.contains_key(header::UPGRADE) {
        return start::at_once(app, &mut parts, version, exec, &as_asked);
    }
    Ok(status::json(StatusCode::CREATED, &IdResponse { id: exec.to_string() }))
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
