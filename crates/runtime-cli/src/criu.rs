//! Checkpoints, by CRIU (an external program: it parts with each kernel and comes with the distribution).
//!
//! What is here is about bundles and the command line's options; the conversation with it is the crate `criu`.

pub mod external;

pub use ::criu::{session, wire};

use crate::error::{Error, Result};
use crate::log;
use crate::words::Global;
use crate::words::options::Criu;
use ::criu::CLONE_NEWNET;
use rustix::fs::{CWD, Mode, OFlags};
use std::collections::BTreeMap;
use std::fs::DirBuilder;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use wire::{CgroupMode, Options};

/// What the standard streams were, beside CRIU's images.
pub const DESCRIPTORS: &str = "descriptors.json";

/// The program: the one that was named, or the first in PATH.
pub fn find(global: &Global) -> Result<PathBuf> {
    if let Some(named) = &global.criu {
        return Ok(named.clone());
    }
    ::criu::find()
        .ok_or_else(|| Error::new("cannot find criu in $PATH: checkpoints need it; install it or name it with --criu"))
}

/// The folders of a checkpoint, open.
#[derive(Debug)]
pub struct Folders {
    pub image: PathBuf,
    images: OwnedFd,
    work: Option<OwnedFd>,
    /// Where CRIU writes its log.
    logs: PathBuf,
}

impl Folders {
    pub fn open(options: &Criu) -> Result<Folders> {
        let here = || std::env::current_dir().map_err(|e| Error::because("getwd", &e));
        let image = match &options.image_path {
            Some(path) if !path.as_os_str().is_empty() => path.clone(),
            _ => here()?.join("checkpoint"),
        };
        let images = make(&image)?;
        let named = options.work_path.as_deref().filter(|path| !path.as_os_str().is_empty());
        let work = named.map(make).transpose()?;
        let logs = named.unwrap_or(&image).to_owned();
        Ok(Folders { image, images, work, logs })
    }

    /// Repeats what CRIU's log says of errors.
    pub fn quote(&self, file: &str) {
        let path = self.logs.join(file);
        let Ok(log) = std::fs::File::open(&path) else { return };
        let told = ::criu::errors(log);
        if !told.is_empty() {
            log::warn(&format!("{} says: {}", path.display(), told.join("; ")));
        }
    }
}

fn make(path: &Path) -> Result<OwnedFd> {
    let open = || {
        DirBuilder::new().mode(0o700).recursive(true).create(path)?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(rustix::fs::openat(CWD, path, flags, Mode::empty())?)
    };
    open().map_err(|e: io::Error| Error::because(format_args!("cannot open {}", path.display()), &e))
}

impl From<::criu::Error> for Error {
    fn from(error: ::criu::Error) -> Error {
        Error::of(&error)
    }
}

/// What CRIU has come to, in the log.
pub fn tell(notify: &wire::Notify) {
    log::debug(&format!("criu notify: {}", notify.script()));
}

/// What `checkpoint` and `restore` ask for alike.
pub fn common(
    options: &Criu,
    folders: &Folders,
    log_file: &str,
    annotations: &BTreeMap<String, String>,
) -> Result<Options> {
    Ok(Options {
        images: folders.images.as_raw_fd(),
        work: folders.work.as_ref().map(AsRawFd::as_raw_fd),
        log_level: Some(4),
        log_file: Some(log_file.to_owned()),
        notify_scripts: Some(true),
        orphan_terminal: Some(true),
        ext_unix_sk: Some(options.ext_unix_sk),
        tcp_established: Some(options.tcp_established),
        shell_job: Some(options.shell_job),
        file_locks: Some(options.file_locks),
        auto_dedup: Some(options.auto_dedup),
        lazy_pages: Some(options.lazy_pages),
        manage_cgroups: Some(true),
        cgroup_mode: Some(cgroup_mode(options.manage_cgroups_mode.as_deref())?.into()),
        empty_namespaces: Some(empty_namespaces(&options.empty_ns)?),
        config_file: config_file(annotations),
        ..Options::default()
    })
}

fn cgroup_mode(mode: Option<&str>) -> Result<CgroupMode> {
    match mode.unwrap_or_default() {
        "" => Ok(CgroupMode::Default),
        "soft" => Ok(CgroupMode::Soft),
        "full" => Ok(CgroupMode::Full),
        "strict" => Ok(CgroupMode::Strict),
        "ignore" => Ok(CgroupMode::Ignore),
        _ => Err(Error::new("invalid manage-cgroups-mode value")),
    }
}

/// The network's are always empty: its devices are not the runtime's business.
fn empty_namespaces(names: &[String]) -> Result<u32> {
    match names.iter().find(|name| *name != "network") {
        Some(name) => Err(Error::new(format!("namespace {name:?} is not supported"))),
        None => Ok(CLONE_NEWNET),
    }
}

/// The annotation names another file than the runtimes' usual one; an empty text: none.
fn config_file(annotations: &BTreeMap<String, String>) -> Option<String> {
    match annotations.get("org.criu.config") {
        Some(path) => Some(path.clone()).filter(|path| !path.is_empty()),
        None => Some("/etc/criu/runc.conf".to_owned()),
    }
}

#[cfg(test)]
mod tests;
