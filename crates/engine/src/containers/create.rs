//! From what the user means to a record.

use crate::events::now;
use crate::shelf::Cell;
use crate::streams::Hub;
use crate::{Engine, Error, Result, VolumeMake};
use base::{Id, Undo};
use container::{
    Config, Container, IpcMode, MountPoint, MountRequest, MountSource, NetworkMode, PidMode, State, UserNamespaceMode,
};
use std::sync::PoisonError;
use std::sync::atomic::Ordering;

/// What creation gives.
#[derive(Debug, Clone)]
pub struct Created {
    pub id: Id,
    pub warnings: Vec<String>,
}

impl Engine {
    /// Makes a container of `config`; nothing runs yet. Without a name it gets a random one.
    pub fn create(&self, name: Option<&str>, config: Config) -> Result<Created> {
        let house = &self.house;
        // Until the container is on the shelf, nothing else tells that the image is used.
        let (image, _held) = house.holds.hold(|| house.images.get_for(&config.image, config.platform.as_ref()))?;
        house.images.touch(&image.id);
        self.create_of(name, config, &image)
    }

    /// [`Engine::create`], of an image that the caller holds.
    pub(super) fn create_of(&self, name: Option<&str>, config: Config, image: &image::Image) -> Result<Created> {
        let house = &self.house;
        let mut warnings = Vec::new();
        if let Some(warning) = platform_warning(image) {
            warnings.push(warning);
        }
        let mut config = container::merge(config, &image.config.config)?;
        self.settle_endpoints(&mut config)?;
        let id = Id::random();
        let mut undo = Undo::new();
        let name = self.claim(name, id)?;
        let claimed = name.clone();
        undo.push(move || house.shelf.release(&claimed, id));
        let own_user_namespace = self.own_user_namespace(&config)?;
        // After `undo`, so let go before it: a volume is taken back by somebody who is alone with volumes.
        let _shared = house.volumes_in_use.read().unwrap_or_else(PoisonError::into_inner);
        let mounts = self.mount_points(&config, &mut undo)?;
        let record = Container {
            id,
            name: name.clone(),
            created_at: now(),
            image_id: image.id,
            config,
            mounts,
            own_user_namespace,
        };
        self.check_spec(&record)?;
        let folder = house.roots.container(&id);
        std::fs::create_dir(&folder)
            .map_err(|source| Error::Io { action: format!("make {}", folder.display()), source })?;
        undo.push(|| drop(house.roots.discard(&id)));
        if let Some(bytes) = record.config.storage_size {
            house.images.layers().limit(&folder, bytes)?;
            undo.push(|| house.images.layers().unlimit(&house.roots.container(&id)));
        }
        let state = State::default();
        house.records.insert(&record, &state)?;
        let hub = match record.config.layers {
            Some(_) => Hub::of_step(id, &house.plumbing),
            None => Hub::new(id, &house.plumbing, record.config.tty, record.config.stdin_once),
        };
        if !record.config.links.is_empty() {
            house.has_links.store(true, Ordering::Release);
        }
        let cell = Cell::new(record, state, hub);
        house.shelf.put(cell.clone());
        undo.keep();
        house.tell(&cell, "create", &[]);
        Ok(Created { id, warnings })
    }

    fn claim(&self, name: Option<&str>, id: Id) -> Result<String> {
        let shelf = &self.house.shelf;
        let Some(name) = name.map(|name| name.strip_prefix('/').unwrap_or(name)).filter(|name| !name.is_empty()) else {
            loop {
                let name = container::name::random_name(|name| shelf.has_name(name));
                if shelf.claim(&name, id).is_ok() {
                    return Ok(name);
                }
            }
        };
        if !container::name::validate(name) {
            return Err(Error::Name(name.to_owned()));
        }
        match shelf.claim(name, id) {
            Ok(()) => Ok(name.to_owned()),
            Err(owner) => Err(Error::NameTaken { name: name.to_owned(), owner: owner.to_string() }),
        }
    }

    /// A container whose namespaces are another's is in that one's user namespace; what belongs to the host needs the host's.
    fn own_user_namespace(&self, config: &Config) -> Result<bool> {
        if let Some(text) = joined(config).next() {
            return Ok(self.house.shelf.find(text)?.record().own_user_namespace);
        }
        if self.house.settings.rootless.is_some() {
            return rootless_user_namespace(config);
        }
        let host = config.privileged
            || config.pid == PidMode::Host
            || config.ipc == IpcMode::Host
            || config.network == NetworkMode::Host;
        match config.user_namespace {
            UserNamespaceMode::Host => Ok(false),
            UserNamespaceMode::Default => Ok(!host),
            UserNamespaceMode::Private if host => {
                Err(Error::Invalid("a private user namespace cannot be had together with --privileged or the host's pid, ipc or network namespace".into()))
            }
            UserNamespaceMode::Private => Ok(true),
        }
    }

    /// Volumes get their names (and folders), binds their sources.
    fn mount_points<'a>(&'a self, config: &Config, undo: &mut Undo<'a>) -> Result<Vec<MountPoint>> {
        config.mounts.iter().map(|request| self.mount_point(request, undo)).collect()
    }

    fn mount_point<'a>(&'a self, request: &MountRequest, undo: &mut Undo<'a>) -> Result<MountPoint> {
        let plain = |source: String| MountPoint::plain(request.clone(), source);
        match &request.source {
            MountSource::Tmpfs { .. } => Ok(plain(String::new())),
            MountSource::Bind { path, create, .. } => {
                self.bind_source(path, *create)?;
                Ok(plain(path.clone()))
            }
            MountSource::Image { image, .. } => {
                let image = self.house.images.get(image)?;
                Ok(plain(image.id.to_string()))
            }
            MountSource::Layers { .. } => Ok(plain(String::new())),
            MountSource::Volume { name, labels, subpath, options, .. } => {
                let make = VolumeMake { name: name.clone(), labels: labels.clone(), options: options.clone() };
                let volume::Made { volume, is_new } = self.volume_for(make)?;
                if is_new {
                    let made = volume.name.clone();
                    undo.push(move || self.volume_unmake(&made));
                }
                let source = match subpath {
                    None => volume.mountpoint.display().to_string(),
                    Some(subpath) => super::mounts::volume_subpath(&volume, subpath)?,
                };
                let anonymous = name.is_none();
                Ok(MountPoint { volume: volume.name, anonymous, ..plain(source) })
            }
        }
    }

    fn bind_source(&self, path: &str, create: bool) -> Result<()> {
        if !path.starts_with('/') {
            return Err(Error::Invalid(format!(
                "invalid mount config for type \"bind\": invalid mount path: '{path}' mount path must be absolute"
            )));
        }
        match std::fs::metadata(path) {
            Ok(_) => Ok(()),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound && create => std::fs::create_dir_all(path)
                .map_err(|e| Error::Invalid(format!("error while creating mount source path '{path}': {e}"))),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Err(Error::Invalid(format!(
                "invalid mount config for type \"bind\": bind source path does not exist: {path}"
            ))),
            Err(source) => Err(Error::Io { action: format!("use the mount source {path}"), source }),
        }
    }

    /// What would fail at every start is refused now.
    fn check_spec(&self, record: &Container) -> Result<()> {
        let capabilities = container::spec::capabilities(&record.config, self.house.capability_bound)?;
        self.house.filters.get(&record.config, capabilities)?;
        Ok(())
    }
}

/// In an engine without rights: what is the host's belongs to a namespace above the engine's, from where a container's user
/// namespace can see it as well (or as little).
fn rootless_user_namespace(config: &Config) -> Result<bool> {
    match config.user_namespace {
        UserNamespaceMode::Host => Ok(false),
        UserNamespaceMode::Private if config.privileged => {
            Err(Error::Invalid("a private user namespace cannot be had together with --privileged".into()))
        }
        UserNamespaceMode::Default | UserNamespaceMode::Private => Ok(!config.privileged),
    }
}

/// The containers whose namespaces `config` joins.
pub(super) fn joined(config: &Config) -> impl Iterator<Item = &str> {
    let network = if let NetworkMode::Container(id) = &config.network { Some(id.as_str()) } else { None };
    let pid = if let PidMode::Container(id) = &config.pid { Some(id.as_str()) } else { None };
    let ipc = if let IpcMode::Container(id) = &config.ipc { Some(id.as_str()) } else { None };
    [network, pid, ipc].into_iter().flatten()
}

fn platform_warning(image: &image::Image) -> Option<String> {
    let machine = machine();
    let theirs = &image.config;
    if theirs.architecture.is_empty() || theirs.architecture == machine {
        return None;
    }
    Some(format!(
        "The requested image's platform ({}/{}) does not match the detected host platform (linux/{machine}) and no specific platform was requested",
        theirs.os, theirs.architecture
    ))
}

/// This machine's architecture as images name it (image-spec, GOARCH).
fn machine() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "x86" => "386",
        other => other,
    }
}
