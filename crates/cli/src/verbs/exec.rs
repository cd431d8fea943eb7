//! `exec`: another command in a running container.

use std::cell::OnceCell;

use api::client::{Bare, Client, Error, Hijacked, Offered, Payload};
use api::types::EXEC;
use clap::Args;
use http::Method;
use serde_json::{Value, json};

use super::run::{check_terminal, detach_keys};
use crate::connect::Address;
use crate::failure::Failure;
use crate::grammar::values::variable;
use crate::grammar::{About, Needs};
use crate::plan::{Surroundings, environment};
use crate::session::Session;
use crate::stream::foreground::{Ended, Foreground, copied, killed};
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
    /// One that was made already, and not started.
    #[arg(skip)]
    made: OnceCell<String>,
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
        if self.detach {
            let body = Payload::Json(self.body()?.to_string().into());
            let created: Created = client.call(Method::POST, &self.path(), body).await?.json().await?;
            client.post(&format!("/exec/{}/start", created.id), self.start_body()).await?;
            return Ok(0);
        }
        let (id, taken) = self.start(client).await?;
        let path = format!("/exec/{id}");
        match (Foreground { path, tty: self.tty, stdin, proxy: false, detach }).last(taken, client).await? {
            Ended::Output(Some(code)) => Ok(exit_byte(code.into())),
            Ended::Output(None) => exit_code(client, &id).await,
            Ended::Detached => Ok(0),
            Ended::Killed(number) => Ok(killed(number)),
        }
    }

    /// With nothing but output to look after, one connection and one request are all there is to it.
    fn at_once(&self, address: &Address) -> Option<Outcome> {
        if self.detach || self.interactive || self.tty {
            return None;
        }
        let offered = detach_keys(self.detach_keys.as_deref()).and_then(|_| self.body());
        let body = match offered {
            Ok(body) => body.to_string(),
            Err(failure) => return Some(Err(failure)),
        };
        match Bare::offer(address.socket()?, &self.path(), &body, (EXEC, "start")) {
            Ok(Bare::Taken(taken)) => Some(output(&taken)),
            Ok(Bare::Left(body)) => {
                // The other requests are left to a session.
                let created: Option<Created> = serde_json::from_slice(&body).ok();
                created.map(|created| self.made.set(created.id));
                None
            }
            // A session may start the engine.
            Err(Error::Connect { .. }) => None,
            Err(cause) => Some(Err(cause.into())),
        }
    }
}

/// Copies the output; the exit code is the last that is said.
fn output(taken: &Hijacked) -> Outcome {
    match copied(taken)? {
        Some(code) => Ok(exit_byte(code.into())),
        None => Err(Failure::said("the engine went away before the command had ended")),
    }
}

impl Exec {
    fn path(&self) -> String {
        format!("/containers/{}/exec", api::client::encode(&self.operands[0]))
    }

    /// Makes and starts it: at once where the engine is one of ours, else with a second request. Its id and its streams.
    async fn start(&self, client: &Client) -> Result<(String, Hijacked), Failure> {
        let id = match self.made.get() {
            Some(id) => id.clone(),
            None => {
                let body = Payload::Json(self.body()?.to_string().into());
                match client.offer(&self.path(), body, (EXEC, "start")).await? {
                    Offered::Taken(taken) => return Ok((taken.exec.clone().unwrap_or_default(), taken)),
                    Offered::Left(answer) => answer.json::<Created>().await?.id,
                }
            }
        };
        let path = format!("/exec/{id}/start");
        let taken = client.hijack(&path, self.start_body()).await.map_err(|cause| not_started(cause.into()))?;
        Ok((id, taken))
    }

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

    fn start_body(&self) -> Payload {
        let mut body = json!({ "Detach": self.detach, "Tty": self.tty });
        if let Some((rows, columns)) = terminal::size().filter(|_| self.tty) {
            body["ConsoleSize"] = json!([rows, columns]);
        }
        Payload::Json(body.to_string().into())
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
    Ok(exit_byte(inspected.exit_code.unwrap_or(0)))
}

fn exit_byte(code: i64) -> u8 {
    u8::try_from(code & 0xff).unwrap_or(u8::MAX)
}
