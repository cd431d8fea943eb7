//! Which engine a command talks with, and whether it may be started when nothing answers.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use api::client::{Client, Endpoint, Error, Tls, Verify};

use crate::contexts::{Contexts, DEFAULT};
use crate::failure::Failure;
use crate::launch;
use crate::ssh;

/// Where an engine of root listens unless told otherwise.
const SOCKET_OF_ROOT: &str = "/run/dhow/dhow.sock";

/// Where this user's engine listens unless told otherwise.
pub fn default_socket() -> PathBuf {
    if rootless::is_ordinary_user() { rootless::Folders::find().socket() } else { SOCKET_OF_ROOT.into() }
}

/// What the flags before the verb say about the engine.
#[derive(Debug, Default, Clone)]
pub struct Flags {
    pub host: Option<String>,
    pub context: Option<String>,
    pub tls: Option<bool>,
    pub tls_verify: Option<bool>,
    pub ca: Option<PathBuf>,
    pub cert: Option<PathBuf>,
    pub key: Option<PathBuf>,
}

/// Files of TLS, and whether the engine's certificate is checked.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Secrets {
    /// `None`: any certificate is taken.
    ca: Option<PathBuf>,
    identity: Option<(PathBuf, PathBuf)>,
}

/// A way to an engine.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Way {
    Plain(Endpoint),
    /// A host whose name is looked up when the connection is made.
    Named {
        host: String,
        port: u16,
        tls: Option<Secrets>,
    },
}

/// An engine's address, and whether it is one of ours.
#[derive(Debug, PartialEq, Eq)]
pub struct Address {
    way: Way,
    /// Set if the engine may be started here when nothing answers.
    pub startable: Option<PathBuf>,
}

/// The address from `-H`, `--context`, `DHOW_HOST`, `DOCKER_HOST`, `DOCKER_CONTEXT`, the context that was chosen, or the default:
/// the first of them.
///
/// An engine is started only for the default socket, or, when both `DHOW_DATA_ROOT` and `DHOW_EXEC_ROOT` say where it
/// lives, for a unix socket in `DHOW_HOST` or one named `dhow.sock`. So a `DOCKER_HOST` that names another engine's
/// socket does not bring ours up in its place, and a mistyped one does not bring one up on the machine's own roots.
pub fn address(
    flags: &Flags,
    contexts: &Contexts,
    variable: impl Fn(&str) -> Option<String>,
) -> Result<Address, Failure> {
    let set = |name: &str| variable(name).filter(|text| !text.is_empty());
    let context = current(flags, contexts, &set)?;
    let usual = default_socket();
    let (way, ours) = if context == DEFAULT {
        let told = flags.host.clone().map(|text| (text, false));
        let told = told.or_else(|| set("DHOW_HOST").map(|text| (text, true)));
        let told = told.or_else(|| set("DOCKER_HOST").map(|text| (text, false)));
        let (text, ours) = told.unwrap_or_else(|| (format!("unix://{}", usual.display()), true));
        (way(&text, secrets(flags, contexts.folder(), &set))?, ours)
    } else {
        let unresolved = |failure| Failure::said(format!("unable to resolve docker endpoint: {failure}"));
        (of_context(contexts, &context).map_err(unresolved)?, false)
    };
    let rooted = set("DHOW_DATA_ROOT").is_some() && set("DHOW_EXEC_ROOT").is_some();
    let startable = match &way {
        Way::Plain(Endpoint::Unix(path)) if *path == usual => Some(path.clone()),
        Way::Plain(Endpoint::Unix(path)) if rooted && (ours || path.ends_with("dhow.sock")) => Some(path.clone()),
        _ => None,
    };
    Ok(Address { way, startable })
}

/// The context that counts.
pub fn current(flags: &Flags, contexts: &Contexts, set: &impl Fn(&str) -> Option<String>) -> Result<String, Failure> {
    if flags.host.is_some() && flags.context.is_some() {
        return Err(Failure::said("conflicting options: cannot specify both --host and --context"));
    }
    if let Some(name) = &flags.context {
        return Ok(name.clone());
    }
    if flags.host.is_some() || set("DHOW_HOST").is_some() || set("DOCKER_HOST").is_some() {
        return Ok(DEFAULT.to_owned());
    }
    Ok(set("DOCKER_CONTEXT").or_else(|| contexts.chosen()).unwrap_or_else(|| DEFAULT.to_owned()))
}

fn of_context(contexts: &Contexts, name: &str) -> Result<Way, Failure> {
    let docker = contexts.get(name)?.endpoints.docker;
    if docker.host.is_empty() {
        return Ok(Way::Plain(Endpoint::Unix(default_socket())));
    }
    let file = |file| contexts.tls_file(name, file);
    let ca = file("ca.pem");
    let identity = file("cert.pem").zip(file("key.pem"));
    let any = ca.is_some() || identity.is_some() || docker.skip_tls_verify;
    way(&docker.host, any.then_some(Secrets { ca: ca.filter(|_| !docker.skip_tls_verify), identity }))
}

/// TLS of flags and environment, as docker reads it: `--tlsverify` asks for TLS, files have their places.
fn secrets(flags: &Flags, folder: &Path, set: &impl Fn(&str) -> Option<String>) -> Option<Secrets> {
    let verify = flags.tls_verify.unwrap_or_else(|| set("DOCKER_TLS_VERIFY").is_some());
    let files_told = flags.ca.is_some() || flags.cert.is_some() || flags.key.is_some();
    if !(verify || flags.tls.unwrap_or_else(|| set("DOCKER_TLS").is_some()) || files_told) {
        return None;
    }
    let folder = set("DOCKER_CERT_PATH").map_or_else(|| folder.to_owned(), PathBuf::from);
    let usual = |name: &str| Some(folder.join(name)).filter(|path| path.is_file());
    let cert = flags.cert.clone().or_else(|| usual("cert.pem"));
    let key = flags.key.clone().or_else(|| usual("key.pem"));
    let ca = flags.ca.clone().unwrap_or_else(|| folder.join("ca.pem"));
    Some(Secrets { ca: verify.then_some(ca), identity: cert.zip(key) })
}

fn way(text: &str, secrets: Option<Secrets>) -> Result<Way, Failure> {
    if text.starts_with("ssh://") {
        return ssh::endpoint(text).map(Way::Plain);
    }
    let named = text.strip_prefix("tcp://").or_else(|| text.strip_prefix("https://")).filter(|_| secrets.is_some());
    let Some(rest) = named.or_else(|| text.strip_prefix("tcp://")) else { return Ok(Way::Plain(text.parse()?)) };
    let rest = rest.trim_end_matches('/');
    let usual = if secrets.is_some() { 2376 } else { 2375 };
    let (host, port) = match rest.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => {
            let wrong = || Failure::said(format!("invalid address {text:?}: {port:?} is no port"));
            (host, port.parse().map_err(|_| wrong())?)
        }
        _ => (rest, usual),
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let host = if host.is_empty() { "127.0.0.1" } else { host };
    Ok(Way::Named { host: host.to_owned(), port, tls: secrets })
}

impl Address {
    /// A client; nothing is connected or started yet.
    pub async fn client(self) -> Result<Client, Failure> {
        Ok(Client::new(self.endpoint().await?))
    }

    /// The socket that can be connected to as it is: nothing is to be looked up or checked before.
    pub fn socket(&self) -> Option<&Path> {
        match &self.way {
            Way::Plain(Endpoint::Unix(path)) if !rootless::is_ordinary_user() => Some(path),
            _ => None,
        }
    }

    async fn endpoint(self) -> Result<Endpoint, Failure> {
        let (host, port, tls) = match self.way {
            Way::Plain(endpoint) => return Ok(endpoint),
            Way::Named { host, port, tls } => (host, port, tls),
        };
        let address = SocketAddr::new(resolved(&host).await?, port);
        let Some(secrets) = tls else { return Ok(Endpoint::Tcp(address)) };
        let verify = secrets.ca.map_or(Verify::Nothing, Verify::Authority);
        Ok(Endpoint::Tls(Tls { address, name: host, verify, identity: secrets.identity }))
    }
}

async fn resolved(host: &str) -> Result<IpAddr, Failure> {
    let found = registry::lookup(host).await.map_err(|cause| Failure::said(base::chain(&cause)))?;
    found.first().copied().ok_or_else(|| Failure::said(format!("lookup {host}: no such host")))
}

/// Refuses a socket that somebody else could have put where ours would be: below /tmp, everybody can be first.
fn check(endpoint: &Endpoint) -> Result<(), Failure> {
    match endpoint {
        Endpoint::Unix(path) if rootless::is_ordinary_user() && *path == default_socket() => {
            let folders = rootless::Folders::find();
            folders.check().map_err(|e| Failure::said(format!("cannot connect to the engine: {e}")))
        }
        _ => Ok(()),
    }
}

/// A client with one connection open; starts the engine if that is allowed and nothing answers.
pub async fn connect(address: Address) -> Result<Client, Failure> {
    let startable = address.startable.clone();
    let endpoint = address.endpoint().await?;
    check(&endpoint)?;
    let client = Client::new(endpoint);
    let failure = match client.warm().await {
        Ok(()) => return Ok(client),
        Err(failure) => failure,
    };
    match startable {
        Some(socket) if nobody_there(&failure) => {
            launch::engine(&socket, &client).await?;
            Ok(client)
        }
        _ => Err(failure.into()),
    }
}

/// Whether the failure means that no engine listens.
pub fn nobody_there(failure: &Error) -> bool {
    use std::io::ErrorKind::{ConnectionRefused, NotFound};
    matches!(failure, Error::Connect { source, .. } if matches!(source.kind(), NotFound | ConnectionRefused))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contexts::{Context, Docker, Endpoints};

    fn found(flags: &Flags, variables: &[(&str, &str)], folder: &Path) -> Result<Address, Failure> {
        let find = |name: &str| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
        address(flags, &Contexts::open(Some(folder)), find)
    }

    fn from(flag: Option<&str>, variables: &[(&str, &str)]) -> Address {
        let flags = Flags { host: flag.map(str::to_owned), ..Flags::default() };
        found(&flags, variables, Path::new("/nowhere")).expect("a good address")
    }

    fn unix(path: &str) -> Way {
        Way::Plain(Endpoint::Unix(path.into()))
    }

    #[test]
    fn the_flag_wins_then_our_variable_then_dockers() {
        let both = [("DHOW_HOST", "unix:///d"), ("DOCKER_HOST", "unix:///k")];
        assert_eq!(from(Some("unix:///f"), &both).way, unix("/f"));
        assert_eq!(from(None, &both).way, unix("/d"));
        assert_eq!(from(None, &both[1..]).way, unix("/k"));
        assert_eq!(from(None, &[("DHOW_HOST", "")]).way, unix("/run/dhow/dhow.sock"));
    }

    #[test]
    fn only_an_engine_of_ours_is_started() {
        let started = |flag, variables: &[(&'static str, &'static str)], rooted: bool| {
            let roots = [("DHOW_DATA_ROOT", "/d"), ("DHOW_EXEC_ROOT", "/e")];
            let all = [variables, if rooted { &roots } else { &[] }].concat();
            from(flag, &all).startable.is_some()
        };
        assert!(started(None, &[], false));
        assert!(started(None, &[("DOCKER_HOST", "unix:///run/dhow/dhow.sock")], false));
        for (flag, variables) in
            [(None, &[("DHOW_HOST", "unix:///tmp/x/e.sock")][..]), (Some("unix:///tmp/x/dhow.sock"), &[])]
        {
            assert!(started(flag, variables, true));
            assert!(!started(flag, variables, false));
        }
        assert!(!started(Some("unix:///var/run/docker.sock"), &[], true));
        assert!(!started(None, &[("DOCKER_HOST", "unix:///var/run/docker.sock")], true));
        assert!(!started(None, &[("DHOW_HOST", "tcp://127.0.0.1:1")], true));
    }

    #[test]
    fn hosts_have_names_and_ports() {
        let named = |text: &str| match from(Some(text), &[]).way {
            Way::Named { host, port, tls: None } => (host, port),
            other => panic!("{other:?}"),
        };
        assert_eq!(named("tcp://engine.example"), ("engine.example".to_owned(), 2375));
        assert_eq!(named("tcp://[::1]:99"), ("::1".to_owned(), 99));
        assert_eq!(named("tcp://:99"), ("127.0.0.1".to_owned(), 99));
        let tls = [("DOCKER_TLS_VERIFY", "1"), ("DOCKER_CERT_PATH", "/certs")];
        let secrets = Secrets { ca: Some("/certs/ca.pem".into()), identity: None };
        let way = Way::Named { host: "h".to_owned(), port: 2376, tls: Some(secrets) };
        assert_eq!(from(Some("tcp://h"), &tls).way, way);
    }

    #[test]
    fn a_context_is_taken_unless_a_host_is_told() {
        let home = tempfile::tempdir().expect("a folder");
        let contexts = Contexts::open(Some(home.path()));
        let docker = Docker { host: "unix:///web".to_owned(), skip_tls_verify: false };
        contexts
            .put(&Context { name: "web".to_owned(), endpoints: Endpoints { docker }, ..Context::default() })
            .expect("kept");
        let named = Flags { context: Some("web".to_owned()), ..Flags::default() };
        let no_flags = Flags::default();
        assert_eq!(found(&named, &[("DOCKER_HOST", "unix:///k")], home.path()).expect("found").way, unix("/web"));
        assert_eq!(found(&no_flags, &[("DOCKER_CONTEXT", "web")], home.path()).expect("found").way, unix("/web"));
        contexts.choose("web").expect("chosen");
        assert_eq!(found(&no_flags, &[], home.path()).expect("found").way, unix("/web"));
        assert_eq!(found(&no_flags, &[("DOCKER_HOST", "unix:///k")], home.path()).expect("found").way, unix("/k"));
        let both = Flags { host: Some("unix:///f".to_owned()), ..named };
        assert!(found(&both, &[], home.path()).is_err());
    }
}
