//! What is typed after `dhow registry`, and what is meant by it.

use crate::access::Changes;
use crate::address;
use crate::proxy::upstream;
use clap::{Parser, Subcommand};
use rootless::Folders;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

const DATA_ROOT: &str = "/var/lib/dhow";
const ENGINE: &str = "unix:///run/dhow/dhow.sock";

/// Share images: a registry for docker, podman, skopeo, containerd and other engines
#[derive(Debug, Parser)]
#[command(name = "dhow registry", version, disable_help_subcommand = true, arg_required_else_help = true)]
pub struct Command {
    #[command(subcommand)]
    pub verb: Verb,
}

#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Serve the local images, a folder, or a cache of another registry
    ///
    /// Without --root and --proxy the images of the local engine are served, and what is pushed becomes an image of
    /// the engine.
    Serve(Box<Flags>),
}

#[derive(Debug, Clone, clap::Args)]
pub struct Flags {
    /// Where to listen, may be given several times [default: 127.0.0.1:5000]
    ///
    /// The default is for this machine only. To open the registry to a network: `--address 0.0.0.0:5000 --htpasswd
    /// FILE`, best with --tls-cert and --tls-key; or with --read-only for everybody.
    #[arg(long = "address", value_name = "IP:PORT")]
    pub addresses: Vec<String>,
    /// Serve this folder (made when it is not there), or with --proxy keep the cache in it
    #[arg(long, value_name = "DIR")]
    pub root: Option<PathBuf>,
    /// The engine's data, whose images are served without --root [default: /var/lib/dhow; of a user: $XDG_DATA_HOME/dhow]
    #[arg(long, value_name = "DIR", env = "DHOW_DATA_ROOT")]
    pub data_root: Option<PathBuf>,
    /// The engine that gets pushed images [default: unix:///run/dhow/dhow.sock; of a user: unix://$XDG_RUNTIME_DIR/dhow.sock]
    #[arg(long, value_name = "ADDRESS", env = "DHOW_HOST")]
    pub host: Option<String>,
    /// Be a cache of this registry: https://registry-1.docker.io
    #[arg(long, value_name = "URL")]
    pub proxy: Option<String>,
    /// Who asks the registry behind the cache
    #[arg(long, value_name = "NAME", requires = "proxy", requires = "proxy_password_file")]
    pub proxy_username: Option<String>,
    /// A file with the password for it
    #[arg(long, value_name = "FILE", requires = "proxy_username")]
    pub proxy_password_file: Option<PathBuf>,
    /// Keep at most this much in the cache, as 20g; what was used the longest ago goes first
    #[arg(long, value_name = "SIZE", requires = "proxy")]
    pub max_size: Option<String>,
    /// The certificate (PEM, with its chain)
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    pub tls_cert: Option<PathBuf>,
    /// The certificate's key (PEM)
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub tls_key: Option<PathBuf>,
    /// Who may use the registry: a file that `htpasswd -B` writes, read again when it changes
    #[arg(long, value_name = "FILE")]
    pub htpasswd: Option<PathBuf>,
    /// Take no pushes
    #[arg(long)]
    pub read_only: bool,
    /// Delete from the local engine too, when a client asks; a --root always allows it unless it is read-only
    #[arg(long, conflicts_with = "read_only")]
    pub allow_delete: bool,
    /// Let everybody who reaches the address push, without a password
    #[arg(long)]
    pub insecure_anonymous_push: bool,
    /// How long an unfinished upload, and a blob without a manifest, is kept
    #[arg(long, value_name = "DURATION", default_value = "24h")]
    pub max_upload_age: String,
    /// A descriptor that gets one byte when the registry listens
    #[arg(long, value_name = "NUMBER", hide = true)]
    pub ready_fd: Option<i32>,
}

/// What was typed makes no sense.
#[derive(Debug, thiserror::Error)]
pub enum FlagsError {
    #[error(transparent)]
    Address(#[from] address::AddressError),
    #[error(transparent)]
    Upstream(#[from] upstream::AddressError),
    #[error(transparent)]
    Engine(#[from] api::client::Error),
    #[error(transparent)]
    Folders(#[from] rootless::Error),
    #[error("cannot use {0:?} as --max-upload-age: expected a duration such as 24h or 90m")]
    Age(String),
    #[error("cannot use {0:?} as --max-size: expected bytes, or a number with k, m, g or t")]
    Size(String),
    #[error(
        "cannot listen on {0}: whoever reaches it could push without a password; add --htpasswd FILE, or --read-only, \
         or --insecure-anonymous-push if that is what you want"
    )]
    Anonymous(SocketAddr),
    #[error(
        "cannot listen on {0}: whoever reaches it could pull with your password for the registry; add --htpasswd FILE, or --read-only if that is what you want"
    )]
    Lent(SocketAddr),
}

/// What is served.
#[derive(Debug, Clone)]
pub enum Source {
    Folder(PathBuf),
    Engine { data_root: PathBuf, endpoint: api::client::Endpoint },
    Proxy { address: upstream::Address, cache: PathBuf, max_size: Option<u64> },
}

/// What is meant.
#[derive(Debug)]
pub struct Plan {
    pub addresses: Vec<SocketAddr>,
    pub source: Source,
    pub changes: Changes,
    pub patience: Duration,
}

impl Flags {
    pub fn plan(&self) -> Result<Plan, FlagsError> {
        let default = ["127.0.0.1:5000".to_owned()];
        let texts = if self.addresses.is_empty() { &default[..] } else { &self.addresses };
        let addresses = texts.iter().map(|text| address::parse(text)).collect::<Result<Vec<_>, _>>()?;
        self.check_open(&addresses)?;
        let age: jiff::SignedDuration =
            self.max_upload_age.parse().map_err(|_| FlagsError::Age(self.max_upload_age.clone()))?;
        let patience = Duration::try_from(age).map_err(|_| FlagsError::Age(self.max_upload_age.clone()))?;
        Ok(Plan { addresses, source: self.source()?, changes: self.changes(), patience })
    }

    /// Nobody gets into a registry by accident.
    fn check_open(&self, addresses: &[SocketAddr]) -> Result<(), FlagsError> {
        let Some(open) = addresses.iter().find(|address| !address.ip().to_canonical().is_loopback()) else {
            return Ok(());
        };
        if self.htpasswd.is_some() || self.read_only {
            return Ok(());
        }
        match (&self.proxy, &self.proxy_username) {
            (Some(_), Some(_)) => Err(FlagsError::Lent(*open)),
            (Some(_), None) => Ok(()),
            (None, _) if self.insecure_anonymous_push => Ok(()),
            (None, _) => Err(FlagsError::Anonymous(*open)),
        }
    }

    fn source(&self) -> Result<Source, FlagsError> {
        let data_root = self.data_root.clone().map_or_else(usual_data_root, Ok);
        if let Some(url) = &self.proxy {
            let address: upstream::Address = url.parse()?;
            let named = |root: PathBuf| root.join("registry-cache").join(address.domain.replace(':', "_"));
            let cache = self.root.clone().map_or_else(|| data_root.map(named), Ok)?;
            let max_size = self.max_size.as_deref().map(size).transpose()?;
            return Ok(Source::Proxy { address, cache, max_size });
        }
        if let Some(root) = &self.root {
            return Ok(Source::Folder(root.clone()));
        }
        let told = self.host.clone().filter(|text| !text.is_empty());
        let endpoint = told.unwrap_or_else(usual_engine).parse()?;
        Ok(Source::Engine { data_root: data_root?, endpoint })
    }

    fn changes(&self) -> Changes {
        match (self.read_only, self.root.is_some() || self.allow_delete) {
            (true, _) => Changes::None,
            (false, true) => Changes::PushAndDelete,
            (false, false) => Changes::Push,
        }
    }
}

/// Of this user's engine.
fn usual_data_root() -> Result<PathBuf, rootless::Error> {
    if rootless::is_ordinary_user() { Folders::data_root() } else { Ok(DATA_ROOT.into()) }
}

/// Where this user's engine listens.
fn usual_engine() -> String {
    if rootless::is_ordinary_user() {
        return format!("unix://{}", Folders::find().socket().display());
    }
    ENGINE.to_owned()
}

/// Bytes, with docker's suffixes (powers of 1024).
fn size(text: &str) -> Result<u64, FlagsError> {
    let wrong = || FlagsError::Size(text.to_owned());
    let lower = text.trim().to_ascii_lowercase();
    let number = lower.trim_end_matches('b').trim_end_matches('i');
    let digits = number.trim_end_matches(['k', 'm', 'g', 't']);
    let power = match &number[digits.len()..] {
        "" => 0,
        "k" => 1,
        "m" => 2,
        "g" => 3,
        "t" => 4,
        _ => return Err(wrong()),
    };
    let count: u64 = digits.trim().parse().map_err(|_| wrong())?;
    count.checked_mul(1024u64.pow(power)).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(words: &str) -> Result<Plan, String> {
        let words = std::iter::once("registry").chain(["serve"]).chain(words.split_whitespace());
        let Command { verb: Verb::Serve(flags) } = Command::try_parse_from(words).map_err(|e| e.to_string())?;
        flags.plan().map_err(|e| e.to_string())
    }

    #[test]
    fn only_this_machine_is_served_unless_asked() {
        assert_eq!(plan("").unwrap().addresses, ["127.0.0.1:5000".parse().unwrap()]);
        let refused = plan("--address 0.0.0.0:5000").unwrap_err();
        assert!(refused.contains("--htpasswd") && refused.contains("--read-only"), "{refused}");
        assert!(plan("--address [::]:5000 --root /r").is_err());
        for good in ["--htpasswd f", "--read-only", "--insecure-anonymous-push"] {
            assert!(plan(&format!("--address 0.0.0.0:5000 {good}")).is_ok(), "{good}");
        }
    }

    #[test]
    fn a_password_is_not_lent_to_a_network() {
        let words = "--address :5000 --proxy ghcr.io";
        assert!(plan(words).is_ok());
        let lent = plan(&format!("{words} --proxy-username me --proxy-password-file f")).unwrap_err();
        assert!(lent.contains("--htpasswd"), "{lent}");
    }

    #[test]
    fn a_folder_deletes_and_an_engine_does_not_unless_told() {
        assert_eq!(plan("--root /r").unwrap().changes, Changes::PushAndDelete);
        assert_eq!(plan("").unwrap().changes, Changes::Push);
        assert_eq!(plan("--allow-delete").unwrap().changes, Changes::PushAndDelete);
        assert_eq!(plan("--root /r --read-only").unwrap().changes, Changes::None);
    }

    #[test]
    fn sizes_and_durations_have_units() {
        let max = |text: &str| match plan(&format!("--proxy ghcr.io --max-size {text}")).map(|plan| plan.source) {
            Ok(Source::Proxy { max_size, .. }) => max_size,
            _ => None,
        };
        assert_eq!((max("2k"), max("3GiB"), max("7")), (Some(2048), Some(3 << 30), Some(7)));
        assert_eq!((max("x"), max("-1"), max("99999999t")), (None, None, None));
        assert_eq!(plan("--max-upload-age 90m").unwrap().patience, Duration::from_secs(5400));
        assert!(plan("--max-upload-age soon").is_err());
        assert!(plan("--max-size 1").is_err() && plan("--tls-cert c").is_err());
    }
}
