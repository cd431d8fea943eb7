//! `exec`: another command in a running container.

use api::client::{Client, Payload};
use clap::Args;
use http::Method;
use serde_json::{Value, json};

use super::run::{check_terminal, detach_keys};
use crate::failure::Failure;
use crate::grammar::values::variable;
use crate::grammar::{About, Needs};
use crate::plan::{Surroundings, environment};
use crate::session::Session;
use crate::stream::foreground::{Ended, Foreground, killed};
use crate::stream::terminal;
use crate::words::{Outcome, Verb};

/// Runs a command in a running container.
#[derive(Debug, Args)]
pub struct Exec {
    /// Run the command in the background
    #[arg(short, long)]
    detach: bool,
    /// Keys that leave the command running
    #[arg(long, value_name = "string")]
    detach_keys: Option<String>,
    /// Set environment variables
    #[arg(short, long, value_name = "list", value_parser = variable)]
    env: Vec<String>,
    /// Read environment variables from a file
    #[arg(long, value_name = "list")]
    env_file: Vec<String>,
    /// Keep STDIN open even if not attached
    #[arg(short, long)]
    interactive: bool,
    /// Give extended privileges to the command
    #[arg(long)]
    privileged: bool,
    /// Allocate a pseudo-TTY
    #[arg(short, long)]
    tty: bool,
    /// User name or UID (format: <name|uid>[:<group|gid>])
    #[arg(short, long, value_name = "string")]
    user: Option<String>,
    /// Working directory inside the container
    #[arg(short, long, value_name = "string")]
    workdir: Option<String>,
    #[arg(trailing_var_arg = true, hide = true)]
    operands: Vec<String>,
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Created {
    id: String,
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Inspected {
    #[serde(default)]
    exit_code: Option<i64>,
}

impl Verb for Exec {
    const ABOUT: About = About {
        name: "exec",
        usage: "[OPTIONS] CONTAINER COMMAND [ARG...]",
        does: "Execute a command in a running container",
        needs: Needs::AtLeast(2),
    };

    async fn run(self, session: &Session) -> Outcome {
        let detach = detach_keys(self.detach_keys.as_deref())?;
        let client = session.client();
        let stdin = self.interactive && !self.detach;
        check_terminal(stdin, self.tty)?;
        let path = format!("/containers/{}/exec", api::client::encode(&self.operands[0]));
        let body = Payload::Json(self.body()?.to_string().into());
        let created: Created = client.call(Method::POST, &path, body).await?.json().await?;
        let start = format!("/exec/{}/start", created.id);
        let start_body = Payload::Json(self.start_body().to_string().into());
        if self.detach {
            client.post(&start, start_body).await?;
            return Ok(0);
        }
        let taken = client.hijack(&start, start_body).await.map_err(|cause| not_started(cause.into()))?;
        let path = format!("/exec/{}", created.id);
        match (Foreground { path, tty: self.tty, stdin, proxy: false, detach }).last(taken, client).await? {
            Ended::Output => exit_code(client, &created.id).await,
            Ended::Detached => Ok(0),
            Ended::Killed(number) => Ok(killed(number)),
        }
    }
}

impl Exec {
    fn body(&self) -> Result<Value, Failure> {
        let around = Surroundings {
            variable: &|name| std::env::var(name).ok(),
            folder: std::path::PathBuf::new(),
            console: None,
        };
        let mut body = json!({
            "Cmd": self.operands[1..],
            "Tty": self.tty,
            "Privileged": self.privileged,
            "AttachStdin": self.interactive && !self.detach,
            "AttachStdout": !self.detach,
            "AttachStderr": !self.detach,
            "Env": environment(&self.env_file, &self.env, &around).map_err(Failure::Said)?,
        });
        for (key, value) in [("User", &self.user), ("WorkingDir", &self.workdir), ("DetachKeys", &self.detach_keys)] {
            if let Some(text) = value {
                body[key] = json!(text);
            }
        }
        if let Some((rows, columns)) = terminal::size().filter(|_| self.tty) {
            body["ConsoleSize"] = json!([rows, columns]);
        }
        Ok(body)
    }

    fn start_body(&self) -> Value {
        let mut body = json!({ "Detach": self.detach, "Tty": self.tty });
        if let Some((rows, columns)) = terminal::size().filter(|_| self.tty) {
            body["ConsoleSize"] = json!([rows, columns]);
        }
        body
    }
}

/// A command that cannot be started has the exit codes 126 and 127 here too.
fn not_started(failure: Failure) -> Failure {
    let text = failure.to_string();
    match failure.of_container("exec").code() {
        125 => Failure::Said(text),
        code => {
            crate::show::complain(&text);
            Failure::Code(code)
        }
    }
}

async fn exit_code(client: &Client, id: &str) -> Outcome {
    let inspected: Inspected = client.get(&format!("/exec/{id}/json")).await?;
    Ok(u8::try_from(inspected.exit_code.unwrap_or(0) & 0xff).unwrap_or(u8::MAX))
}
