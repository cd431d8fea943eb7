//! `login` and `logout`: credentials for registries, checked through the engine and kept for this user.

use std::io::Read;

use api::client::json;
use clap::Args;
use http::Method;
use serde::Deserialize;

use crate::credentials::{self, Credentials};
use crate::failure::Failure;
use crate::grammar::{About, Needs};
use crate::session::Session;
use crate::show::{complain, note, print};
use crate::stream::{prompt, terminal};
use crate::words::{Global, Offline, Outcome, Verb};

/// Logs in.
#[derive(Debug, Args)]
pub struct Login {
    /// Password or Personal Access Token (PAT)
    #[arg(short, long, value_name = "string")]
    password: Option<String>,
    /// Take the Password or Personal Access Token (PAT) from stdin
    #[arg(long)]
    password_stdin: bool,
    /// Username
    #[arg(short, long, value_name = "string")]
    username: Option<String>,
    #[arg(hide = true)]
    operands: Vec<String>,
}

/// Logs out.
#[derive(Debug, Args)]
pub struct Logout {
    #[arg(hide = true)]
    operands: Vec<String>,
}

/// Under which Docker Hub's credentials are kept.
const DOCKER_HUB: &str = "https://index.docker.io/v1/";

const HUB_HINT: &str = "Log in with your Docker ID or email address to push and pull images from Docker Hub. If you don't \
have a Docker ID, head over to https://hub.docker.com/ to create one.
You can log in with your password or a Personal Access Token (PAT). Using a limited-scope PAT grants better security and \
is required for organizations using SSO. Learn more at https://docs.docker.com/go/access-tokens/

";

impl Verb for Login {
    const ABOUT: About = About {
        name: "login",
        usage: "[OPTIONS] [SERVER]",
        does: "Authenticate to a registry.\nDefaults to Docker Hub if no server is specified.",
        needs: Needs::Between(0, 1),
    };

    async fn run(self, session: &Session) -> Outcome {
        let server = server(self.operands.first());
        let typed = self.typed()?;
        if typed == Typed::default() {
            match with_kept(session, &server).await? {
                Kept::Works(status) => return done(&status),
                Kept::No { username } => {
                    let status = with_new(session, &server, typed, &username).await?;
                    return done(&status);
                }
            }
        }
        let status = with_new(session, &server, typed, "").await?;
        done(&status)
    }
}

fn done(status: &str) -> Outcome {
    if !status.is_empty() {
        print(format!("{status}\n"))?;
    }
    Ok(0)
}

/// What the command line says; empty is not said.
#[derive(Debug, Default, PartialEq, Eq)]
struct Typed {
    username: String,
    password: String,
}

impl Login {
    fn typed(self) -> Result<Typed, Failure> {
        self.check()?;
        let username = self.username.unwrap_or_default();
        let password = match self.password {
            Some(password) => {
                complain("WARNING! Using --password via the CLI is insecure. Use --password-stdin.");
                password
            }
            None if self.password_stdin => from_stdin()?,
            None => String::new(),
        };
        Ok(Typed { username, password })
    }

    fn check(&self) -> Result<(), Failure> {
        let why = if self.password_stdin && self.password.is_some() {
            "conflicting options: cannot specify both --password and --password-stdin"
        } else if self.password_stdin && self.username.is_none() {
            "the --password-stdin option requires --username to be set"
        } else if self.username.as_deref() == Some("") {
            "username is empty"
        } else if self.password.as_deref() == Some("") {
            "password is empty"
        } else {
            return Ok(());
        };
        Err(Failure::said(why))
    }
}

fn from_stdin() -> Result<String, Failure> {
    let mut text = String::new();
    std::io::stdin().lock().read_to_string(&mut text)?;
    let text = text.strip_suffix('\n').unwrap_or(&text);
    Ok(text.strip_suffix('\r').unwrap_or(text).to_owned())
}

/// As which the registry's credentials are kept.
fn server(typed: Option<&String>) -> String {
    match typed.map(String::as_str) {
        None | Some("" | "docker.io" | DOCKER_HUB) => DOCKER_HUB.to_owned(),
        Some(other) => host(other).to_owned(),
    }
}

/// `registry.example` for `https://registry.example/v1/`.
fn host(text: &str) -> &str {
    let text = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://")).unwrap_or(text);
    text.split('/').next().unwrap_or(text)
}

/// What credentials from an earlier login are worth.
enum Kept {
    Works(String),
    No { username: String },
}

async fn with_kept(session: &Session, server: &str) -> Result<Kept, Failure> {
    let mut kept = credentials::kept(session.config(), server)?;
    if kept.username.is_empty() || kept.password.is_empty() {
        return Ok(Kept::No { username: kept.username });
    }
    complain(&format!("Authenticating with existing credentials... [Username: {}]", kept.username));
    complain(&(note("To login with a different account, run 'dhow logout' followed by 'dhow login'") + "\n"));
    server.clone_into(&mut kept.server_address);
    kept.identity_token.clear();
    match check(session, &kept).await {
        Ok(login) => Ok(Kept::Works(keep(session, kept, login)?)),
        Err(failure) => {
            match failure.status() {
                Some(401) => complain("Stored credentials invalid or expired"),
                _ => complain(&format!("Login did not succeed, error: {failure}")),
            }
            Ok(Kept::No { username: kept.username })
        }
    }
}

async fn with_new(session: &Session, server: &str, typed: Typed, before: &str) -> Result<String, Failure> {
    if (typed.username.is_empty() || typed.password.is_empty()) && !terminal::stdin_is_terminal() {
        return Err(Failure::said("Error: Cannot perform an interactive login from a non TTY device"));
    }
    let username = match typed.username.trim() {
        "" => ask_username(server, before).await?,
        username => username.to_owned(),
    };
    let password = match typed.password.trim() {
        "" => ask_password(server).await?,
        password => password.to_owned(),
    };
    let asked = Credentials { username, password, server_address: server.to_owned(), ..Credentials::default() };
    let login = check(session, &asked).await?;
    keep(session, asked, login)
}

async fn ask_username(server: &str, before: &str) -> Result<String, Failure> {
    if server == DOCKER_HUB {
        print(HUB_HINT)?;
    }
    let question = if before.is_empty() { "Username: ".to_owned() } else { format!("Username ({before}): ") };
    let typed = prompt::line(&question).await?;
    match (typed.trim(), before) {
        ("", "") => Err(Failure::said("Error: Non-null Username Required")),
        ("", before) => Ok(before.to_owned()),
        (typed, _) => Ok(typed.to_owned()),
    }
}

async fn ask_password(server: &str) -> Result<String, Failure> {
    if server == DOCKER_HUB {
        complain(&note(
            "A Personal Access Token (PAT) can be used instead.\n\
             To create a PAT, visit https://app.docker.com/settings\n\n",
        ));
    }
    let typed = prompt::hidden("Password: ").await?;
    match typed.trim() {
        "" => Err(Failure::said("Error: Password Required")),
        typed => Ok(typed.to_owned()),
    }
}

/// What the registry answered.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Checked {
    status: String,
    identity_token: String,
}

async fn check(session: &Session, asked: &Credentials) -> Result<Checked, Failure> {
    let body = json(&serde_json::json!({
        "username": asked.username,
        "password": asked.password,
        "serveraddress": asked.server_address,
    }))?;
    let answer = session.client().call(Method::POST, "/auth", body).await?;
    // Some engines answer 204 and nothing.
    let bytes = answer.bytes().await?;
    if bytes.is_empty() {
        return Ok(Checked::default());
    }
    Ok(serde_json::from_slice(&bytes).map_err(api::client::Error::Malformed)?)
}

/// Keeps what worked: a token instead of the password, if there is one.
fn keep(session: &Session, mut asked: Credentials, checked: Checked) -> Result<String, Failure> {
    if !checked.identity_token.is_empty() {
        asked.password.clear();
        asked.identity_token = checked.identity_token;
    }
    credentials::keep(session.config(), &asked)?;
    Ok(checked.status)
}

impl Offline for Logout {
    const ABOUT: About = About {
        name: "logout",
        usage: "[SERVER]",
        does: "Log out from a registry.\nIf no server is specified, it is Docker Hub.",
        needs: Needs::Between(0, 1),
    };

    fn run(self, global: &Global) -> Outcome {
        let typed = self.operands.first().map(String::as_str).filter(|text| !text.is_empty());
        let (shown, addresses) = match typed {
            None => (DOCKER_HUB, vec![DOCKER_HUB.to_owned()]),
            Some(typed) => {
                let host = host(typed);
                let mut all = vec![typed.to_owned(), host.to_owned()];
                all.extend(["http://", "https://"].map(|scheme| format!("{scheme}{host}")));
                all.dedup();
                (host, all)
            }
        };
        print(format!("Removing login credentials for {shown}\n"))?;
        let failures: Vec<String> = addresses
            .iter()
            .filter_map(|address| {
                credentials::forget(global.config(), address).err().map(|why| format!("{address}: {why}"))
            })
            .collect();
        if failures.len() == addresses.len() {
            complain(&format!("WARNING: could not erase credentials:\n{}", failures.join("\n")));
        }
        Ok(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(words: &[&str]) -> Result<Typed, Failure> {
        let words: Vec<std::ffi::OsString> = words.iter().map(Into::into).collect();
        crate::grammar::parse::<Login>(&Login::ABOUT, &words)?.typed()
    }

    #[test]
    fn flags_that_do_not_go_together_are_refused_in_dockers_words() {
        for (words, why) in [
            (
                &["-p", "x", "--password-stdin", "-u", "u"][..],
                "conflicting options: cannot specify both --password and --password-stdin",
            ),
            (&["--password-stdin"], "the --password-stdin option requires --username to be set"),
            (&["-u", ""], "username is empty"),
            (&["-p", ""], "password is empty"),
        ] {
            assert_eq!(typed(words).expect_err("a refusal").to_string(), why);
        }
        let both = Typed { username: "u".to_owned(), password: "p".to_owned() };
        assert_eq!(typed(&["-u", "u", "-p", "p", "x"]).expect("flags"), both);
    }

    #[test]
    fn docker_hub_has_one_address_and_others_are_hosts() {
        let of = |text: &str| server(Some(&text.to_owned()));
        assert_eq!((server(None), of("docker.io")), (DOCKER_HUB.to_owned(), DOCKER_HUB.to_owned()));
        assert_eq!(
            (of("https://r.example:5000/v2/"), of("localhost:5000")),
            ("r.example:5000".to_owned(), "localhost:5000".to_owned())
        );
    }
}
