//! The verbs that do one thing to each container named: stop, kill, restart, rm, pause, unpause, wait.

use api::client::{Payload, encode, query};
use clap::Args;
use http::Method;

use super::run;
use super::switch;
use crate::failure::Failure;
use crate::grammar::values::integer;
use crate::grammar::{About, Needs};
use crate::session::Session;
use crate::show::{complain, print};
use crate::words::{Outcome, Verb};

/// Requests under way at once: each holds a connection for as long as a container takes to stop.
const AT_ONCE: usize = 50;

/// Does `one` to every name at the same time; prints what comes of it in order, and what went wrong.
pub(super) async fn each<F>(names: &[String], one: F) -> Outcome
where
    F: AsyncFn(String) -> Result<Option<String>, Failure>,
{
    let mut code = 0;
    for batch in names.chunks(AT_ONCE) {
        let results = futures_util::future::join_all(batch.iter().map(|name| one(name.clone()))).await;
        for result in results {
            match result {
                Ok(Some(text)) => print(format!("{text}\n"))?,
                Ok(None) => {}
                Err(failure) => {
                    complain(&failure.to_string());
                    code = 1;
                }
            }
        }
    }
    Ok(code)
}

/// What to print of one name, if anything.
type Posted = Result<Option<String>, Failure>;

/// Posts `/containers/NAME/VERB?...` and answers with the name.
async fn post(session: &Session, name: String, verb: &str, pairs: &[(&str, Option<&str>)]) -> Posted {
    let path = query(&format!("/containers/{}/{verb}", encode(&name)), pairs);
    session.client().post(&path, Payload::Empty).await?;
    Ok(Some(name))
}

/// Stops containers.
#[derive(Debug, Args)]
pub struct Stop {
    /// Signal to send to the container
    #[arg(short, long, value_name = "string")]
    signal: Option<String>,
    /// Seconds to wait before killing the container
    #[arg(short, long, visible_alias = "time", value_name = "int", value_parser = integer)]
    timeout: Option<i64>,
    #[arg(hide = true)]
    operands: Vec<String>,
}

impl Verb for Stop {
    const ABOUT: About = About {
        name: "stop",
        usage: "[OPTIONS] CONTAINER [CONTAINER...]",
        does: "Stop one or more running containers",
        needs: Needs::AtLeast(1),
    };

    async fn run(self, session: &Session) -> Outcome {
        let seconds = self.timeout.map(|seconds| seconds.to_string());
        let pairs = [("signal", self.signal.as_deref()), ("t", seconds.as_deref())];
        each(&self.operands, async |name| post(session, name, "stop", &pairs).await).await
    }
}

/// Restarts containers.
#[derive(Debug, Args)]
pub struct Restart {
    /// Signal to send to the container
    #[arg(short, long, value_name = "string")]
    signal: Option<String>,
    /// Seconds to wait before killing the container
    #[arg(short, long, visible_alias = "time", value_name = "int", value_parser = integer)]
    timeout: Option<i64>,
    #[arg(hide = true)]
    operands: Vec<String>,
}

impl Verb for Restart {
    const ABOUT: About = About {
        name: "restart",
        usage: "[OPTIONS] CONTAINER [CONTAINER...]",
        does: "Restart one or more containers",
        needs: Needs::AtLeast(1),
    };

    async fn run(self, session: &Session) -> Outcome {
        let seconds = self.timeout.map(|seconds| seconds.to_string());
        let pairs = [("signal", self.signal.as_deref()), ("t", seconds.as_deref())];
        each(&self.operands, async |name| post(session, name, "restart", &pairs).await).await
    }
}

/// Kills containers.
#[derive(Debug, Args)]
pub struct Kill {
    /// Signal to send to the container
    #[arg(short, long, value_name = "string")]
    signal: Option<String>,
    #[arg(hide = true)]
    operands: Vec<String>,
}

impl Verb for Kill {
    const ABOUT: About = About {
        name: "kill",
        usage: "[OPTIONS] CONTAINER [CONTAINER...]",
        does: "Kill one or more running containers",
        needs: Needs::AtLeast(1),
    };

    async fn run(self, session: &Session) -> Outcome {
        let pairs = [("signal", self.signal.as_deref())];
        each(&self.operands, async |name| post(session, name, "kill", &pairs).await).await
    }
}

/// Removes containers.
#[derive(Debug, Args)]
pub struct Rm {
    /// Kill the container first if it runs
    #[arg(short, long)]
    force: bool,
    /// Remove the link of this name
    #[arg(short, long)]
    link: bool,
    /// Remove anonymous volumes of the container
    #[arg(short, long)]
    volumes: bool,
    #[arg(hide = true)]
    operands: Vec<String>,
}

impl Verb for Rm {
    const ABOUT: About = About {
        name: "rm",
        usage: "[OPTIONS] CONTAINER [CONTAINER...]",
        does: "Remove one or more containers",
        needs: Needs::AtLeast(1),
    };

    async fn run(self, session: &Session) -> Outcome {
        let pairs = [("v", switch(self.volumes)), ("link", switch(self.link)), ("force", switch(self.force))];
        let remove = async |name: String| -> Posted {
            // A name may be typed as the engine shows it in inspect.
            let bare = name.trim_matches('/');
            if bare.is_empty() {
                return Err(Failure::said("Container name cannot be empty"));
            }
            let path = query(&format!("/containers/{}", encode(bare)), &pairs);
            match session.client().call(Method::DELETE, &path, Payload::Empty).await {
                Ok(answer) => answer.bytes().await.map(drop)?,
                // With --force it is enough that the container is gone.
                Err(cause) if self.force && cause.status() == Some(404) => {
                    complain(&Failure::from(cause).to_string());
                    return Ok(None);
                }
                Err(cause) => return Err(cause.into()),
            }
            Ok(Some(name))
        };
        each(&self.operands, remove).await
    }
}

/// Pauses containers.
#[derive(Debug, Args)]
pub struct Pause {
    #[arg(hide = true)]
    operands: Vec<String>,
}

impl Verb for Pause {
    const ABOUT: About = About {
        name: "pause",
        usage: "CONTAINER [CONTAINER...]",
        does: "Pause all processes within one or more containers",
        needs: Needs::AtLeast(1),
    };

    async fn run(self, session: &Session) -> Outcome {
        each(&self.operands, async |name| post(session, name, "pause", &[]).await).await
    }
}

/// Continues paused containers.
#[derive(Debug, Args)]
pub struct Unpause {
    #[arg(hide = true)]
    operands: Vec<String>,
}

impl Verb for Unpause {
    const ABOUT: About = About {
        name: "unpause",
        usage: "CONTAINER [CONTAINER...]",
        does: "Unpause all processes within one or more containers",
        needs: Needs::AtLeast(1),
    };

    async fn run(self, session: &Session) -> Outcome {
        each(&self.operands, async |name| post(session, name, "unpause", &[]).await).await
    }
}

/// Waits for containers and prints their exit codes.
#[derive(Debug, Args)]
pub struct Wait {
    #[arg(hide = true)]
    operands: Vec<String>,
}

impl Verb for Wait {
    const ABOUT: About = About {
        name: "wait",
        usage: "CONTAINER [CONTAINER...]",
        does: "Block until one or more containers stop, then print their exit codes",
        needs: Needs::AtLeast(1),
    };

    async fn run(self, session: &Session) -> Outcome {
        each(&self.operands, async |name: String| {
            let wait = run::wait(session.client(), &name, "not-running").await?;
            Ok(Some(run::exit_code(wait).await?.to_string()))
        })
        .await
    }
}
