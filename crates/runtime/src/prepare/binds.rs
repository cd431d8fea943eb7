//! Bind mounts: opened as detached copies, with the attributes, owners and propagation that their options ask for.

use super::flags::{self, Locked};
use super::mounts::source_error;
use super::options::{Below, Options};
use super::{Making, PrepareError, Result, propagation};
use crate::{Attributes, Extent, MountSource, Rules, Spread};
use oci::runtime::Mount;
use rustix::fs::{AtFlags, CWD, FileType};
use rustix::io::Errno;
use rustix::mount::OpenTreeFlags;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Component, Path, PathBuf};
use sys::mount::{Change, Propagation, Reach};

/// Opens the source of a bind and makes it what its options say.
pub(super) fn open(mount: &Mount, options: &Options, below: Below, making: &mut Making<'_>) -> Result<MountSource> {
    let Rules::Bundle(folder) = making.rules else {
        let path = mount.source.as_deref().filter(|path| !path.is_empty());
        let opened = path.ok_or(Errno::NOENT).map_err(Into::into).and_then(|path| {
            let (tree, file) = clone(Path::new(path), below)?;
            configure(tree.as_fd(), options, below, making.user)?;
            Ok((tree, file))
        });
        let (tree, file) = opened.map_err(|e: io::Error| source_error(mount, e))?;
        return Ok(MountSource::Detached { fd: making.fds.add(tree)?, file });
    };
    check_options(mount, options)?;
    let path = folder.join(mount.source.as_deref().unwrap_or_default());
    if let Some(inside) = making.root.as_ref().and_then(|root| self::below(root, &path.to_string_lossy())) {
        return inside_bind(mount, options, (inside, below), making);
    }
    let opened = clone(&path, below);
    let (tree, file) = opened.map_err(|e| mount_error(mount, &format!("open {}", path.display()), e))?;
    if let Some(extent) = wants_map(mount, options) {
        let id_map = Some(map_of(mount, making)?);
        sys::mount::set_attributes(tree.as_fd(), Change { id_map, ..Change::default() }, extent.into())
            .map_err(|e| mount_error(mount, "failed to set MOUNT_ATTR_IDMAP", e))?;
    }
    let owner = if super::nodes::in_own_users(making) { Owner::Mapped } else { Owner::Host };
    obey(tree.as_fd(), mount, options, owner)?;
    spread(tree.as_fd(), options, making).map_err(|e| mount_error(mount, "change mount propagation", e))?;
    Ok(MountSource::Detached { fd: making.fds.add(tree)?, file })
}

/// A detached copy, and whether it is no folder.
fn clone(path: &Path, below: Below) -> io::Result<(OwnedFd, bool)> {
    let mut flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    flags.set(OpenTreeFlags::AT_RECURSIVE, below == Below::With);
    let tree = rustix::mount::open_tree(CWD, path, flags)?;
    let stat = rustix::fs::statat(&tree, "", AtFlags::EMPTY_PATH)?;
    Ok((tree, FileType::from_raw_mode(stat.st_mode) != FileType::Directory))
}

/// The path in the container of what lies in its root, by its name alone.
pub(super) fn below(root: &Path, path: &str) -> Option<String> {
    let rest = plain(Path::new(path)).strip_prefix(plain(root)).ok()?.to_str()?.to_owned();
    Some(format!("/{rest}"))
}

/// The name without `.` and `..`, whatever links there may be.
pub(super) fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        if part == Component::ParentDir {
            plain.pop();
        } else {
            plain.push(part);
        }
    }
    plain
}

pub(super) fn mount_error(mount: &Mount, what: &str, source: io::Error) -> PrepareError {
    let path = mount.source.clone().unwrap_or_default();
    PrepareError::Mount { path, destination: mount.destination.clone(), what: what.to_owned(), source }
}

/// The kernel would pass over these words without a sign.
pub(super) fn check_options(mount: &Mount, options: &Options) -> Result<()> {
    if options.bind.is_some() && !options.data.is_empty() {
        let words: Vec<_> = options.data.iter().map(|(key, _)| key.as_str()).collect();
        let why = "bind mounts cannot have any filesystem-specific options applied";
        let text = format!("invalid mount at {:?}: {why} ({})", mount.destination, words.join(","));
        return Err(PrepareError::Refused(text));
    }
    Ok(())
}

pub(super) fn wants_map(mount: &Mount, options: &Options) -> Option<Extent> {
    let has_maps = !mount.uid_mappings.is_empty() || !mount.gid_mappings.is_empty();
    options.id_map.or(has_maps.then_some(Extent::One))
}

/// The user namespace whose maps are meant: that of the mount's own maps, or the container's when it has none.
fn map_of<'a>(mount: &Mount, making: &'a mut Making<'_>) -> Result<BorrowedFd<'a>> {
    match (mount.uid_mappings.as_slice(), mount.gid_mappings.as_slice(), making.user) {
        ([], [], Some(user)) => Ok(user),
        ([], ..) | (_, [], _) => {
            let why = "id-mapped mounts must have both uid and gid mappings specified";
            Err(PrepareError::Refused(format!("invalid mount at {:?}: {why}", mount.destination)))
        }
        (uid, gid, _) => making.owners.with(uid, gid),
    }
}

/// A bind of a part of the container: it can only be made when the mounts before it are there.
fn inside_bind(
    mount: &Mount,
    options: &Options,
    (path, below): (String, Below),
    making: &mut Making<'_>,
) -> Result<MountSource> {
    let user = match wants_map(mount, options) {
        None => None,
        Some(extent) => {
            let namespace = map_of(mount, making)?.try_clone_to_owned();
            Some((making.fds.add(namespace.map_err(|e| mount_error(mount, "id map", e))?)?, extent))
        }
    };
    let extent = if below == Below::With { Extent::All } else { Extent::One };
    let recursive = options.recursive.for_setattr();
    let attributes = flags::asked(&mount.options, options).unwrap_or_default();
    Ok(MountSource::Inside { path, extent, attributes, recursive, user })
}

/// Whose ids a container has.
#[derive(Debug, Clone, Copy)]
enum Owner {
    Host,
    Mapped,
}

/// Sets the attributes that the options of a bundle's bind ask for, first on the mount, then on all below it.
fn obey(tree: BorrowedFd<'_>, mount: &Mount, options: &Options, owner: Owner) -> Result<()> {
    let change = |what: Attributes, reach| {
        let change = Change { set: what.set, clear: what.clear, ..Change::default() };
        sys::mount::set_attributes(tree, change, reach)
    };
    if let Some(asked) = flags::asked(&mount.options, options) {
        let failed = |e| mount_error(mount, "failed to set user-requested vfs flags on bind-mount", e);
        let here = match owner {
            Owner::Host => asked,
            Owner::Mapped => flags::within_locks(asked, options, flags::present(tree).map_err(failed)?)
                .map_err(|Locked(what)| mount_error(mount, &what, Errno::PERM.into()))?,
        };
        change(here, Reach::One).map_err(failed)?;
    }
    let everywhere = options.recursive.for_setattr();
    if everywhere != Attributes::default() {
        change(everywhere, Reach::Recursive).map_err(|e| mount_error(mount, "failed to set recursive flags", e))?;
    }
    Ok(())
}

/// A bind begins as what `/` of the container would have made of it: it hears of mounts on the host unless
/// `linux.rootfsPropagation` says otherwise. Then its own options count.
fn spread(tree: BorrowedFd<'_>, options: &Options, making: &Making<'_>) -> io::Result<()> {
    let set = |propagation, reach| {
        let change = Change { propagation: Some(propagation), ..Change::default() };
        sys::mount::set_attributes(tree, change, reach)
    };
    let root = propagation(making.linux).map_err(io::Error::other)?;
    match root {
        // A copy of a shared mount is shared with it.
        Some((Spread::Shared, _)) => {}
        Some((Spread::Private | Spread::Unbindable, _)) => set(Propagation::Private, Reach::Recursive)?,
        Some((Spread::Slave, _)) | None => set(Propagation::Slave, Reach::Recursive)?,
    }
    options.propagation.iter().try_for_each(|(kind, extent)| set((*kind).into(), (*extent).into()))
}

/// Sets attributes, id map and propagation of a bind of the engine, mostly in one call.
///
/// Not every file system can be id-mapped, and a recursive change is made to all mounts or to none. So: all mapped, else the
/// topmost mapped, else none; files then have the owners that the container's user namespace gives them.
fn configure(tree: BorrowedFd<'_>, options: &Options, below: Below, user: Option<BorrowedFd<'_>>) -> io::Result<()> {
    let everywhere = options.recursive.for_setattr();
    let (spread, extent) = options.propagation.last().copied().unwrap_or((Spread::Private, Extent::All));
    let mut all = Change { set: everywhere.set, clear: everywhere.clear, ..Change::default() };
    all.propagation = (extent == Extent::All).then_some(spread.into());
    let wide = if below == Below::With { Reach::Recursive } else { Reach::One };
    let here = options.attributes.for_setattr();
    let mut top = Change { set: here.set, clear: here.clear, ..Change::default() };
    top.propagation = (extent == Extent::One).then_some(spread.into());
    let plain = (all, wide);
    all.id_map = user;
    let mapped = user.is_some() && sys::mount::set_attributes(tree, all, wide).is_ok();
    if !mapped {
        let (all, wide) = plain;
        sys::mount::set_attributes(tree, all, wide)?;
        if user.is_some() && wide == Reach::Recursive {
            let only_map = Change { id_map: user, ..Change::default() };
            let _ = sys::mount::set_attributes(tree, only_map, Reach::One);
        }
    }
    if top.set | top.clear != 0 || top.propagation.is_some() {
        sys::mount::set_attributes(tree, top, Reach::One)?;
    }
    Ok(())
}
