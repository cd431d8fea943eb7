//! What a container's root is put together of.

use crate::{Engine, Error, Result};
use base::Digest;
use container::Container;
use layer::Lower;
use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use rustix::mount::OpenTreeFlags;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

impl Engine {
    /// The layers below what the container writes, topmost first.
    pub(super) fn lowers(&self, record: &Container) -> Result<Vec<Lower>> {
        match &record.config.layers {
            Some(layers) => Ok(stacked(layers)),
            None => Ok(self.house.images.get(&record.image_id.to_string())?.lowers),
        }
    }

    /// The files of layers (lowest first), or a part of them, as a detached mount; what is written lies in `scratch`.
    pub(super) fn layers_tree(
        &self,
        layers: &[Digest],
        subpath: Option<&str>,
        scratch: Option<&str>,
        own_users: bool,
    ) -> Result<OwnedFd> {
        let house = &self.house;
        let (namespace, owner) = match own_users && house.settings.shifts_ids() {
            true => (Some(house.user_namespace.as_fd()), house.settings.id_base),
            false => (None, 0),
        };
        let (store, lowers) = (house.images.layers(), stacked(layers));
        let tree = match scratch {
            None => store.image_view(&lowers, namespace, owner)?,
            Some(scratch) => store.mount(&lowers, Path::new(scratch), namespace, owner, layer::Sync::Never)?,
        };
        let Some(subpath) = subpath else { return Ok(tree) };
        let failed = |e: Errno| Error::Io { action: format!("use {subpath:?} of a stage"), source: e.into() };
        let inside = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        let found = rustix::fs::openat2(&tree, subpath, OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), inside);
        let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_EMPTY_PATH;
        found.and_then(|found| rustix::mount::open_tree(&found, "", flags)).map_err(failed)
    }
}

fn stacked(layers: &[Digest]) -> Vec<Lower> {
    layers.iter().rev().map(|layer| Lower::Layer(*layer)).collect()
}
