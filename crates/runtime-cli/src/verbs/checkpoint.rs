//! `checkpoint`: the processes of a container go into files.

use crate::criu::session::Session;
use crate::criu::wire::{Kind, Notify, Options, PageServer};
use crate::criu::{self, DESCRIPTORS, Folders, external};
use crate::error::{Error, Result};
use crate::store::Container;
use crate::words::Global;
use crate::words::options::Checkpoint;
use crate::{log, root, streams, verbs};
use oci::runtime::Spec;
use oci::state::Status;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

const LOG: &str = "dump.log";

pub fn run(global: &Global, options: &Checkpoint) -> Result<()> {
    if !root::is_root() || root::in_user_namespace() {
        log::warn("checkpoint is untested with rootless containers");
    }
    let container = global.store().lock(&options.id)?;
    let status = container.status();
    if matches!(status, Status::Created | Status::Creating | Status::Stopped) {
        return Err(Error::new(format!("Container cannot be checkpointed in {} state", status.as_str())));
    }
    let program = criu::find(global)?;
    // Before anything is started that could open something of this number.
    let ready = options.status_fd.map(status_fd).transpose()?;
    let folders = Folders::open(&options.criu)?;
    let asked = ask(&container, options, &folders)?;
    let kind = if options.pre_dump { Kind::PreDump } else { Kind::Dump };
    let mut session = Session::start(&program, &[], streams::own())?;
    let done = session.ask(kind, asked, |notify, _| answer(notify, ready.as_ref()));
    drop(session);
    done.inspect_err(|_| folders.quote(LOG))?;
    if options.leave_running || options.pre_dump {
        return Ok(());
    }
    verbs::delete::destroy(container)
}

fn status_fd(number: i32) -> Result<OwnedFd> {
    sys::process::inherited(number, 3)
        .map_err(|e| Error::because(format_args!("invalid --status-fd argument {number}"), &e))
}

fn answer(notify: &Notify, ready: Option<&OwnedFd>) -> Result<()> {
    criu::tell(notify);
    match (notify.script(), ready) {
        ("status-ready", Some(ready)) => {
            let told = rustix::io::write(ready.as_fd(), &[0]);
            told.map(drop).map_err(|e| Error::because("cannot write to --status-fd", &e))
        }
        _ => Ok(()),
    }
}

fn ask(container: &Container, options: &Checkpoint, folders: &Folders) -> Result<Options> {
    let spec = container.config()?;
    let saved = &container.saved;
    let parent = parent_path(options, &folders.image)?;
    let mut asked = Options {
        pid: Some(saved.init_process_pid),
        root: Some(saved.rootfs.to_string_lossy().into_owned()),
        leave_running: Some(options.leave_running),
        tcp_skip_in_flight: Some(options.tcp_skip_in_flight),
        link_remap: Some(options.link_remap),
        external: external::namespaces(&spec)?,
        freeze_cgroup: freezer(container),
        page_server: options.page_server.as_deref().map(page_server).transpose()?,
        track_memory: parent.as_ref().map(|_| true),
        parent_image: parent,
        ..criu::common(&options.criu, folders, LOG, &saved.annotations)?
    };
    if !options.pre_dump {
        add_mounts(&mut asked, &spec, container);
        let json = serde_json::to_vec(&saved.external_descriptors).map_err(|e| Error::of(&e))?;
        let path = folders.image.join(DESCRIPTORS);
        base::atomic::write(&path, &json, 0o600, base::atomic::Durability::Process)
            .map_err(|e| Error::because(format_args!("cannot write {}", path.display()), &e))?;
    }
    Ok(asked)
}

fn add_mounts(asked: &mut Options, spec: &Spec, container: &Container) {
    let saved = &container.saved;
    asked.external_mounts = external::mounts(spec, &saved.bundle, external::Way::Dump);
    asked.external_mounts.extend(external::masks(spec, saved.init_process_pid));
}

/// The folder of the freezer, where v1 has one, or the v2 group.
fn freezer(container: &Container) -> Option<String> {
    let paths = &container.saved.cgroup_paths;
    let path = paths.get("freezer").or_else(|| paths.get("").filter(|_| paths.len() == 1))?;
    Some(path.to_string_lossy().into_owned())
}

/// Of an earlier pre-dump, from the image's folder.
fn parent_path(options: &Checkpoint, image: &Path) -> Result<Option<String>> {
    let Some(parent) = options.parent_path.as_ref().filter(|path| !path.as_os_str().is_empty()) else {
        return Ok(None);
    };
    if parent.is_absolute() {
        return Err(Error::new("--parent-path must be relative"));
    }
    let real = image.join(parent);
    let invalid = |e: &std::io::Error| Error::because(format_args!("invalid --parent-path: {}", real.display()), e);
    match std::fs::metadata(&real) {
        Ok(found) if found.is_dir() => Ok(Some(parent.to_string_lossy().into_owned())),
        Ok(_) => Err(invalid(&std::io::ErrorKind::NotADirectory.into())),
        Err(e) => Err(invalid(&e)),
    }
}

fn page_server(text: &str) -> Result<PageServer> {
    let parts = text.rsplit_once(':').filter(|(address, port)| !address.is_empty() && !port.is_empty());
    let (address, port) = parts.ok_or_else(|| Error::new("Use --page-server ADDRESS:PORT to specify page server"))?;
    let port = port.parse::<u16>().map_err(|_| Error::new("Invalid port number"))?;
    let address = address.trim_start_matches('[').trim_end_matches(']');
    Ok(PageServer { address: Some(address.to_owned()), port: Some(port.into()) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_server_has_address_and_port() {
        let server = page_server("0.0.0.0:27277").unwrap();
        assert_eq!((server.address(), server.port()), ("0.0.0.0", 27277));
        assert!(page_server("27277").is_err());
        assert_eq!(page_server("h:x").unwrap_err().message, "Invalid port number");
    }

    #[test]
    fn a_parent_is_a_folder_beside_the_image() {
        let folder = tempfile::tempdir().unwrap();
        let of = |path: &str| {
            let options = Checkpoint { parent_path: Some(path.into()), ..Checkpoint::default() };
            parent_path(&options, &folder.path().join("image"))
        };
        std::fs::create_dir_all(folder.path().join("image")).unwrap();
        std::fs::create_dir(folder.path().join("parent")).unwrap();
        assert_eq!(of("../parent").unwrap().as_deref(), Some("../parent"));
        assert_eq!(of("/parent").unwrap_err().message, "--parent-path must be relative");
        assert!(of("../nothing").unwrap_err().message.starts_with("invalid --parent-path"));
    }
}
