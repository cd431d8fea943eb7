//! `build`: an image from a Dockerfile and the folder around it, which the engine reads where it lies.

mod show;

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};

use api::client::{Endpoint, json, query};
use api::types::{BuildEvent, LocalBuild};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::Args;
use http::Method;

use crate::failure::Failure;
use crate::grammar::{About, Needs};
use crate::session::Session;
use crate::show::{complain, print};
use crate::words::{Outcome, Verb};
use show::{Live, Manner};

/// Builds an image.
#[derive(Debug, Args)]
pub struct Build {
    /// Add a custom host-to-IP mapping (format: "host:ip")
    #[arg(long, value_name = "strings")]
    add_host: Vec<String>,
    /// Allow extra privileged entitlement (e.g., "network.host", "security.insecure")
    #[arg(long, value_name = "stringArray")]
    allow: Vec<String>,
    /// Set build-time variables
    #[arg(long, value_name = "stringArray")]
    build_arg: Vec<String>,
    /// Additional build contexts (e.g., name=path)
    #[arg(long, value_name = "stringArray")]
    build_context: Vec<String>,
    /// Images whose steps may be used again
    #[arg(long, value_name = "stringArray")]
    cache_from: Vec<String>,
    /// Name of the Dockerfile (default: "PATH/Dockerfile")
    #[arg(short, long, value_name = "string")]
    file: Option<String>,
    /// Write the image ID to a file
    #[arg(long, value_name = "string")]
    iidfile: Option<String>,
    /// Set metadata for an image
    #[arg(long, value_name = "stringArray")]
    label: Vec<String>,
    /// Shorthand for an image in the store, which it always is
    #[arg(long)]
    load: bool,
    /// Write build result metadata to a file
    #[arg(long, value_name = "string")]
    metadata_file: Option<String>,
    /// Set the networking mode for the "RUN" instructions during build
    #[arg(long, value_name = "string")]
    network: Option<String>,
    /// Do not use cache when building the image
    #[arg(long)]
    no_cache: bool,
    /// Do not cache specified stages
    #[arg(long, value_name = "stringArray")]
    no_cache_filter: Vec<String>,
    /// Set target platform for build
    #[arg(long, value_name = "string")]
    platform: Option<String>,
    /// Set type of progress output ("auto", "plain", "tty", "rawjson", "quiet")
    #[arg(long, value_name = "string")]
    progress: Option<String>,
    /// Always attempt to pull all referenced images
    #[arg(long)]
    pull: bool,
    /// Suppress the build output and print image ID on success
    #[arg(short, long)]
    quiet: bool,
    /// Secret to expose to the build (format: "id=mysecret[,src=/local/secret]")
    #[arg(long, value_name = "stringArray")]
    secret: Vec<String>,
    /// Shared memory size for build containers
    #[arg(long, value_name = "bytes")]
    shm_size: Option<String>,
    /// Make one layer of all that the build adds
    #[arg(long)]
    squash: bool,
    /// SSH agent socket or keys to expose to the build (format: "default|<id>[=<socket>]")
    #[arg(long, value_name = "stringArray")]
    ssh: Vec<String>,
    /// Name and optionally a tag (format: "name:tag")
    #[arg(short, long, value_name = "stringArray")]
    tag: Vec<String>,
    /// Set the target build stage to build
    #[arg(long, value_name = "string")]
    target: Option<String>,
    #[arg(hide = true)]
    operands: Vec<String>,
}

impl Verb for Build {
    const ABOUT: About = About {
        name: "build",
        usage: "[OPTIONS] PATH | -",
        does: "Build an image from a Dockerfile",
        needs: Needs::Exactly(1),
    };

    async fn run(self, session: &Session) -> Outcome {
        if !matches!(session.client().endpoint(), Endpoint::Unix(_)) {
            return Err(Failure::said(
                "the engine is on another machine and cannot read the files here: use docker build, or log in there",
            ));
        }
        let local = self.local()?;
        let path = self.path()?;
        let mut live = Live::new(self.manner()?);
        let mut answer = session.client().call(Method::POST, &path, json(&local)?).await?;
        let mut last = None;
        while let Some(line) = answer.line().await? {
            let event: BuildEvent = serde_json::from_slice(&line).map_err(api::client::Error::Malformed)?;
            live.tell(&event, &line)?;
            last = Some(event);
        }
        live.end()?;
        match last {
            Some(BuildEvent::Built { image, names }) => self.built(&image, &names),
            Some(BuildEvent::Error { message, excerpt }) => {
                if let Some(excerpt) = excerpt {
                    complain(excerpt.trim_end());
                }
                Err(Failure::said(message))
            }
            _ => Err(Failure::said("the engine ended the build without a result")),
        }
    }
}

impl Build {
    fn built(&self, image: &str, names: &[String]) -> Outcome {
        let write = |path: &str, text: &str| {
            std::fs::write(path, text).map_err(|error| Failure::said(format!("cannot write {path}: {error}")))
        };
        if let Some(path) = &self.iidfile {
            write(path, image)?;
        }
        if let Some(path) = &self.metadata_file {
            let metadata = serde_json::json!({ "containerimage.config.digest": image, "image.name": names.join(",") });
            write(path, &format!("{metadata:#}\n"))?;
        }
        if self.quiet {
            print(format!("{image}\n"))?;
        }
        Ok(0)
    }

    fn manner(&self) -> Result<Manner, Failure> {
        let typed = self.progress.clone().or_else(|| std::env::var("BUILDKIT_PROGRESS").ok());
        let terminal = rustix::termios::isatty(rustix::stdio::stderr());
        match (self.quiet, typed.as_deref().unwrap_or("auto")) {
            (true, _) | (_, "quiet" | "none") => Ok(Manner::Quiet),
            (_, "rawjson") => Ok(Manner::Json),
            (_, "plain") => Ok(Manner::Plain),
            (_, "tty") => Ok(Manner::Live),
            (_, "auto" | "") => Ok(if terminal { Manner::Live } else { Manner::Plain }),
            (_, other) => Err(Failure::said(format!("invalid progress mode {other}"))),
        }
    }

    /// The Dockerfile, and what lies on this machine.
    fn local(&self) -> Result<LocalBuild, Failure> {
        let operand = self.operands[0].as_str();
        let from_stdin = operand == "-" || self.file.as_deref() == Some("-");
        let context = (operand != "-").then(|| absolute(operand)).transpose()?;
        let file = match (&self.file, &context) {
            _ if from_stdin => None,
            (Some(file), _) => Some(PathBuf::from(file)),
            (None, Some(context)) => Some(default_file(context)),
            (None, None) => None,
        };
        let (dockerfile, ignore) = match &file {
            None => (stdin()?, None),
            Some(file) => (text(file)?, text(&beside(file)).ok()),
        };
        let plain = context.as_ref().map(|context| context.join(".dockerignore"));
        let ignore = ignore.or_else(|| plain.and_then(|path| text(&path).ok()));
        let name = file.as_deref().and_then(Path::file_name).map_or("Dockerfile".into(), |name| name.to_string_lossy());
        Ok(LocalBuild {
            context: context.map(|path| path.display().to_string()),
            dockerfile,
            name: name.into_owned(),
            ignore,
            contexts: self.contexts()?,
            secrets: self.secrets()?,
            ssh: self.agents()?,
            no_cache_filter: listed(&self.no_cache_filter),
            allow: listed(&self.allow),
        })
    }

    fn contexts(&self) -> Result<BTreeMap<String, String>, Failure> {
        let mut contexts = BTreeMap::new();
        for typed in &self.build_context {
            let (name, value) = typed
                .split_once('=')
                .ok_or_else(|| Failure::said(format!("invalid context value: {typed}, expected key=value")))?;
            let is_plain = !value.contains("://") && !value.starts_with("target:");
            let value = if is_plain { absolute(value)?.display().to_string() } else { value.to_owned() };
            contexts.insert(name.to_owned(), value);
        }
        Ok(contexts)
    }

    fn secrets(&self) -> Result<BTreeMap<String, String>, Failure> {
        self.secret.iter().map(|typed| secret(typed)).collect()
    }

    fn agents(&self) -> Result<BTreeMap<String, String>, Failure> {
        let mut agents = BTreeMap::new();
        for typed in &self.ssh {
            let (id, path) = typed.split_once('=').unwrap_or((typed, ""));
            let path = match path {
                "" => std::env::var("SSH_AUTH_SOCK").unwrap_or_default(),
                path => path.to_owned(),
            };
            if path.is_empty() {
                return Err(Failure::said("invalid empty ssh agent socket: make sure SSH_AUTH_SOCK is set"));
            }
            agents.insert(id.to_owned(), absolute(&path)?.display().to_string());
        }
        Ok(agents)
    }

    fn path(&self) -> Result<String, Failure> {
        let arguments = pairs(&self.build_arg, |name| std::env::var(name).ok());
        let labels = pairs(&self.label, |_| Some(String::new()));
        let cached = (!self.cache_from.is_empty()).then(|| serde_json::json!(self.cache_from).to_string());
        let shm = self
            .shm_size
            .as_deref()
            .map(|typed| base::size::bytes(typed).ok_or_else(|| Failure::said(format!("invalid size: '{typed}'"))));
        let shm = shm.transpose()?.map(|bytes| bytes.to_string());
        let switch = |on: bool| on.then_some("1");
        let mut all = vec![
            ("target", self.target.as_deref()),
            ("buildargs", Some(arguments.as_str())),
            ("labels", Some(labels.as_str())),
            ("cachefrom", cached.as_deref()),
            ("networkmode", self.network.as_deref()),
            ("platform", self.platform.as_deref()),
            ("shmsize", shm.as_deref()),
            ("nocache", switch(self.no_cache)),
            ("pull", switch(self.pull)),
            ("squash", switch(self.squash)),
        ];
        all.extend(self.tag.iter().map(|tag| ("t", Some(tag.as_str()))));
        all.extend(self.add_host.iter().map(|host| ("extrahosts", Some(host.as_str()))));
        Ok(query("/build/local", &all))
    }
}

/// `KEY=value`s as JSON; a `KEY` alone is looked up, and left out when it is nowhere.
fn pairs(typed: &[String], look: impl Fn(&str) -> Option<String>) -> String {
    let mut all: BTreeMap<&str, String> = BTreeMap::new();
    for text in typed {
        match text.split_once('=') {
            Some((key, value)) => drop(all.insert(key, value.to_owned())),
            None => all.extend(look(text).map(|value| (text.as_str(), value))),
        }
    }
    serde_json::json!(all).to_string()
}

/// Words that were given apart or with commas.
fn listed(typed: &[String]) -> Vec<String> {
    typed.iter().flat_map(|text| text.split(',')).filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

/// `id=name[,src=path|env=VARIABLE]`: its id, and its value in base64.
fn secret(typed: &str) -> Result<(String, String), Failure> {
    let (mut id, mut source, mut variable) = (String::new(), None, None);
    for part in typed.split(',') {
        let (key, value) = part
            .split_once('=')
            .ok_or_else(|| Failure::said(format!("invalid field '{part}' must be a key=value pair")))?;
        match key {
            "id" => value.clone_into(&mut id),
            "src" | "source" => source = Some(value.to_owned()),
            "env" => variable = Some(value.to_owned()),
            "type" if matches!(value, "file" | "env") => {}
            _ => return Err(Failure::said(format!("unexpected key '{key}' in '{part}'"))),
        }
    }
    if id.is_empty() {
        return Err(Failure::said("secret without an id: expected id=NAME[,src=PATH]"));
    }
    let value = match (source, variable) {
        (Some(path), _) => bytes(Path::new(&path))?,
        (None, variable) => {
            let name = variable.unwrap_or_else(|| id.clone());
            match std::env::var(&name) {
                Ok(value) => value.into_bytes(),
                Err(_) if Path::new(&id).is_file() => bytes(Path::new(&id))?,
                Err(_) => return Err(Failure::said(format!("secret {id}: neither a variable nor a file {name}"))),
            }
        }
    };
    Ok((id, STANDARD.encode(value)))
}

fn absolute(path: &str) -> Result<PathBuf, Failure> {
    std::fs::canonicalize(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => Failure::said(format!("unable to prepare context: path {path:?} not found")),
        _ => Failure::said(format!("unable to prepare context: {path}: {error}")),
    })
}

fn default_file(context: &Path) -> PathBuf {
    let usual = context.join("Dockerfile");
    let other = context.join("dockerfile");
    if !usual.exists() && other.exists() { other } else { usual }
}

/// `Dockerfile.dockerignore`
fn beside(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".dockerignore");
    PathBuf::from(name)
}

fn bytes(path: &Path) -> Result<Vec<u8>, Failure> {
    std::fs::read(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => Failure::said(format!("open {}: no such file or directory", path.display())),
        _ => Failure::said(format!("cannot read {}: {error}", path.display())),
    })
}

fn text(path: &Path) -> Result<String, Failure> {
    Ok(String::from_utf8_lossy(&bytes(path)?).into_owned())
}

fn stdin() -> Result<String, Failure> {
    let mut text = Vec::new();
    let read = std::io::stdin().lock().read_to_end(&mut text);
    read.map_err(|error| Failure::said(format!("cannot read the Dockerfile: {error}")))?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_take_what_is_missing_from_around() {
        let typed = ["A=1".to_owned(), "B".to_owned(), "C".to_owned()];
        assert_eq!(pairs(&typed, |name| (name == "B").then(|| "x".to_owned())), r#"{"A":"1","B":"x"}"#);
    }

    #[test]
    fn a_secret_is_a_file_or_a_variable_and_has_an_id() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("s");
        std::fs::write(&path, "value").expect("written");
        let typed = format!("id=a,src={}", path.display());
        assert_eq!(secret(&typed).expect("a secret"), ("a".to_owned(), STANDARD.encode("value")));
        for wrong in ["src=x", "id", "id=a,foo=b", "id=a,src=/nonexistent"] {
            assert!(secret(wrong).is_err(), "{wrong}");
        }
    }
}
