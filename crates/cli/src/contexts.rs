//! Docker's contexts: named ways to engines, kept below `~/.docker/contexts` as docker keeps them.
//!
//! ```text
//!   contexts/meta/SHA256-OF-NAME/meta.json           name, description, host
//!   contexts/tls/SHA256-OF-NAME/docker/{ca,cert,key}.pem
//!   config.json                                      currentContext
//! ```

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use crate::failure::Failure;

/// The context that is always there: the environment, or this user's own engine.
pub const DEFAULT: &str = "default";
/// The files of TLS, by docker's names.
pub const FILES: [&str; 3] = ["ca.pem", "cert.pem", "key.pem"];

/// A context as it is kept.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Context {
    pub name: String,
    pub metadata: Map<String, Value>,
    pub endpoints: Endpoints,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Endpoints {
    pub docker: Docker,
}

/// The way to an engine.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Docker {
    /// Empty: this user's own engine.
    #[serde(rename = "Host", skip_serializing_if = "String::is_empty")]
    pub host: String,
    #[serde(rename = "SkipTLSVerify")]
    pub skip_tls_verify: bool,
}

impl Context {
    pub fn description(&self) -> &str {
        self.metadata.get("Description").and_then(Value::as_str).unwrap_or_default()
    }
}

/// All contexts of a user.
#[derive(Debug, Clone)]
pub struct Contexts {
    folder: PathBuf,
}

impl Contexts {
    /// Those in a folder of docker's settings; without one `DOCKER_CONFIG`, else `~/.docker`.
    pub fn open(config: Option<&Path>) -> Contexts {
        let set = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let home = || set("HOME").unwrap_or_else(|| "/root".into()).join(".docker");
        Contexts { folder: config.map(Path::to_owned).or_else(|| set("DOCKER_CONFIG")).unwrap_or_else(home) }
    }

    /// The folder of docker's settings.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    pub fn meta_folder(&self, name: &str) -> PathBuf {
        self.folder.join("contexts/meta").join(hash(name))
    }

    pub fn tls_folder(&self, name: &str) -> PathBuf {
        self.folder.join("contexts/tls").join(hash(name))
    }

    /// Where a file of TLS is, if the context has it.
    pub fn tls_file(&self, name: &str, file: &str) -> Option<PathBuf> {
        Some(self.tls_folder(name).join("docker").join(file)).filter(|path| path.is_file())
    }

    /// The context of that name.
    pub fn get(&self, name: &str) -> Result<Context, Failure> {
        check_name(name)?;
        let path = self.meta_folder(name).join("meta.json");
        let text = fs::read(&path).map_err(|cause| match cause.kind() {
            io::ErrorKind::NotFound => Failure::said(format!(
                "context {name:?}: context not found: open {}: no such file or directory",
                path.display()
            )),
            _ => cannot("read", &path)(cause),
        })?;
        serde_json::from_slice(&text).map_err(|cause| Failure::said(format!("cannot read {}: {cause}", path.display())))
    }

    pub fn has(&self, name: &str) -> bool {
        self.meta_folder(name).join("meta.json").is_file()
    }

    /// All that are kept, by name.
    pub fn all(&self) -> Result<Vec<Context>, Failure> {
        let folder = self.folder.join("contexts/meta");
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(cause) => return Err(cannot("read", &folder)(cause)),
        };
        let mut all = Vec::new();
        for entry in entries.flatten() {
            let path = entry.path().join("meta.json");
            let Ok(text) = fs::read(&path) else { continue };
            let read: Result<Context, _> = serde_json::from_slice(&text);
            all.push(read.map_err(|cause| Failure::said(format!("cannot read {}: {cause}", path.display())))?);
        }
        all.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(all)
    }

    /// Keeps a context.
    pub fn put(&self, context: &Context) -> Result<(), Failure> {
        let path = self.meta_folder(&context.name).join("meta.json");
        let text = serde_json::to_vec(context).map_err(|cause| Failure::said(cause.to_string()))?;
        write(&path, &text).map_err(cannot("write", &path))
    }

    /// Keeps the context's files of TLS, instead of those it had.
    pub fn put_tls(&self, name: &str, files: &[(&str, Vec<u8>)]) -> Result<(), Failure> {
        let folder = self.tls_folder(name);
        remove(&folder).map_err(cannot("remove", &folder))?;
        for (file, bytes) in files {
            let path = folder.join("docker").join(file);
            write(&path, bytes).map_err(cannot("write", &path))?;
        }
        Ok(())
    }

    pub fn remove(&self, name: &str) -> Result<(), Failure> {
        for folder in [self.meta_folder(name), self.tls_folder(name)] {
            remove(&folder).map_err(cannot("remove", &folder))?;
        }
        Ok(())
    }

    /// The context that `context use` chose.
    pub fn chosen(&self) -> Option<String> {
        let settings = self.settings().ok()?;
        settings.get("currentContext")?.as_str().filter(|name| !name.is_empty()).map(str::to_owned)
    }

    /// Remembers the choice; all else in `config.json` stays as it is.
    pub fn choose(&self, name: &str) -> Result<(), Failure> {
        let mut settings = self.settings()?;
        if name == DEFAULT {
            settings.remove("currentContext");
        } else {
            settings.insert("currentContext".to_owned(), json!(name));
        }
        let path = self.folder.join("config.json");
        if settings.is_empty() && !path.exists() {
            return Ok(());
        }
        let text = format!("{:#}", Value::Object(settings));
        write(&path, text.as_bytes()).map_err(cannot("write", &path))
    }

    fn settings(&self) -> Result<Map<String, Value>, Failure> {
        let path = self.folder.join("config.json");
        match fs::read(&path) {
            Ok(text) if text.iter().all(u8::is_ascii_whitespace) => Ok(Map::new()),
            Ok(text) => serde_json::from_slice(&text)
                .map_err(|cause| Failure::said(format!("cannot read {}: {cause}", path.display()))),
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(Map::new()),
            Err(cause) => Err(cannot("read", &path)(cause)),
        }
    }
}

/// Two letters or more, as docker wants it.
pub fn check_name(name: &str) -> Result<(), Failure> {
    let mut letters = name.bytes();
    let starts = letters.next().is_some_and(|byte| byte.is_ascii_alphanumeric());
    let goes_on = letters.all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'+' | b'-'));
    if starts && goes_on && name.len() > 1 {
        return Ok(());
    }
    Err(Failure::said(format!(
        "context name {name:?} is invalid, names are validated against regexp \"^[a-zA-Z0-9][a-zA-Z0-9_.+-]+$\""
    )))
}

fn hash(name: &str) -> String {
    Sha256::digest(name.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn cannot(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Failure {
    let path = path.display().to_string();
    move |cause| Failure::said(format!("cannot {action} {path}: {cause}"))
}

fn remove(folder: &Path) -> io::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(cause) if cause.kind() != io::ErrorKind::NotFound => Err(cause),
        _ => Ok(()),
    }
}

/// Replaces a file as a whole, for its owner only: keys and credentials are in such files.
fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    fs::create_dir_all(folder)?;
    let fresh = folder.join(format!(".{}.{}", std::process::id(), path.file_name().unwrap_or_default().display()));
    let written = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&fresh)
        .and_then(|mut file| file.write_all(bytes))
        // A link that somebody keeps his settings behind stays one.
        .and_then(|()| fs::rename(&fresh, fs::canonicalize(path).unwrap_or_else(|_| path.to_owned())));
    if written.is_err() {
        let _ = fs::remove_file(&fresh);
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_context_is_kept_where_docker_keeps_it() {
        let home = tempfile::tempdir().expect("a folder");
        let contexts = Contexts::open(Some(home.path()));
        let docker = Docker { host: "tcp://h:2376".to_owned(), skip_tls_verify: false };
        let context = Context { name: "web".to_owned(), endpoints: Endpoints { docker }, ..Context::default() };
        contexts.put(&context).expect("kept");
        contexts.put_tls("web", &[("ca.pem", b"x".to_vec())]).expect("kept");
        assert_eq!(contexts.get("web").expect("there"), context);
        assert_eq!(contexts.all().expect("all").len(), 1);
        assert!(contexts.tls_file("web", "ca.pem").is_some() && contexts.tls_file("web", "key.pem").is_none());
        assert_eq!(hash("nope"), "ca3704aa0b06f5954c79ee837faa152d84d6b2d42838f0637a15eda8337dbdce");
        contexts.remove("web").expect("removed");
        assert!(
            contexts
                .get("web")
                .is_err_and(|failure| failure.to_string().starts_with("context \"web\": context not found: open "))
        );
    }

    #[test]
    fn the_choice_leaves_other_settings_alone() {
        let home = tempfile::tempdir().expect("a folder");
        let contexts = Contexts::open(Some(home.path()));
        contexts.choose(DEFAULT).expect("nothing to do");
        assert!(!home.path().join("config.json").exists());
        fs::write(home.path().join("config.json"), r#"{"auths": {"r": {"auth": "eA=="}}}"#).expect("a file");
        contexts.choose("web").expect("chosen");
        assert_eq!(contexts.chosen().as_deref(), Some("web"));
        assert!(fs::read_to_string(home.path().join("config.json")).expect("read").contains("eA=="));
        contexts.choose(DEFAULT).expect("chosen");
        assert_eq!(contexts.chosen(), None);
    }

    #[test]
    fn names_are_dockers() {
        for (name, good) in [
            ("web", true),
            ("a.b+c-d_1", true),
            ("x", false),
            ("", false),
            ("-a", false),
            ("a b", false),
            ("../x", false),
        ] {
            assert_eq!(check_name(name).is_ok(), good, "{name}");
        }
    }
}
