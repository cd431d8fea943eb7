//! Why a plugin, or we, refused.

use base::{Kind, Kinded};
use std::io;
use std::path::PathBuf;

/// Why something about a network of plugins failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot {action} {}", path.display())]
    Io { action: &'static str, path: PathBuf, source: io::Error },
    #[error("{} is no CNI configuration: {why}", path.display())]
    Configuration { path: PathBuf, why: String },
    #[error("no CNI configuration of the name {name:?} is in {}", folder.display())]
    NoList { name: String, folder: PathBuf },
    #[error("the CNI plugin {plugin:?} is in none of {folders}")]
    NoPlugin { plugin: String, folders: String },
    #[error("the CNI plugin {plugin:?} speaks {speaks}, and the configuration is of version {wanted}")]
    Version { plugin: String, speaks: String, wanted: String },
    /// The plugin's own words.
    #[error("the CNI plugin {plugin:?} cannot {command}: {message}{} (code {code})", details.as_deref().map(|d| format!(": {d}")).unwrap_or_default())]
    Refused { plugin: String, command: &'static str, code: u32, message: String, details: Option<String> },
    /// It ended without words that the specification knows.
    #[error("the CNI plugin {plugin:?} cannot {command}: {said}")]
    Broken { plugin: String, command: &'static str, said: String },
    #[error("the CNI plugin {plugin:?} did not {command} within {seconds} s and was killed")]
    Hung { plugin: String, command: &'static str, seconds: u64 },
    #[error("the CNI plugin {plugin:?} said nothing that makes sense: {why}")]
    Garbled { plugin: String, why: String },
    #[error("{0}")]
    Unsupported(String),
}

impl Kinded for Error {
    fn kind(&self) -> Kind {
        match self {
            Error::Configuration { .. } | Error::Version { .. } | Error::Unsupported(_) => Kind::Invalid,
            Error::NoList { .. } | Error::NoPlugin { .. } => Kind::NotFound,
            // 11 is "try again later", 50 and 51 are those of STATUS.
            Error::Refused { code: 11 | 50 | 51, .. } => Kind::Unavailable,
            Error::Io { .. }
            | Error::Refused { .. }
            | Error::Broken { .. }
            | Error::Hung { .. }
            | Error::Garbled { .. } => Kind::Internal,
        }
    }
}
