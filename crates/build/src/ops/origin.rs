//! Where the files of a `COPY` or a mount come from: the client's folder, a stage, or an image.

use super::from;
use crate::context::{Folder, Hashing, Ids, MAIN, Named, Pattern, Scope, choose, of_texts};
use crate::progress::StepNumber;
use crate::solve::Build;
use crate::state;
use crate::{Error, Result};
use base::Digest;
use dockerfile::ignore::Ignore;
use rustix::fs::{CWD, Mode, OFlags};
use sha2::{Digest as _, Sha256};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

/// A tree to copy from.
#[derive(Debug, Clone)]
pub(crate) enum Origin {
    Client(Arc<Folder>),
    /// Of a stage or an image, lowest first.
    Layers(Vec<Digest>),
}

/// The same, open.
pub(crate) enum Tree {
    Client(Arc<Folder>),
    Layers(OwnedFd),
}

/// What `--from` names; without it the client's main context, of which `wanted` will be read.
pub(crate) fn origin(
    build: &Build<'_>,
    (stage, number): (usize, StepNumber),
    from: Option<&str>,
    wanted: &[String],
) -> Result<Origin> {
    let Some(name) = from else { return client(build, MAIN, wanted) };
    match build.sources.named(name) {
        Some(Named::Folder) => return client(build, name, wanted),
        Some(Named::Image(image)) => return image_layers(build, &image, number),
        Some(Named::Stage(other)) => {
            let other = build.earlier(stage, &other).ok_or_else(|| Error::NoTarget(other.clone()))?;
            return Ok(Origin::Layers(build.finished(other)?.layers.clone()));
        }
        None => {}
    }
    if let Some(earlier) = build.earlier(stage, name) {
        return Ok(Origin::Layers(build.finished(earlier)?.layers.clone()));
    }
    if name.parse::<usize>().is_ok() {
        return Err(Error::Invalid(format!("invalid stage index {name}")));
    }
    if name == "scratch" {
        return Ok(Origin::Layers(Vec::new()));
    }
    image_layers(build, name, number)
}

fn client(build: &Build<'_>, name: &str, wanted: &[String]) -> Result<Origin> {
    let folder = build.sources.folder(name, wanted)?;
    build.notes.folder(name);
    let none = || Error::Invalid("there is no build context: files can only come from stages and images".to_owned());
    folder.map(Origin::Client).ok_or_else(none)
}

fn image_layers(build: &Build<'_>, name: &str, number: StepNumber) -> Result<Origin> {
    let image = from::resolve(build, name, build.wanted().as_ref(), number)?;
    if image.config.rootfs.diff_ids.is_empty() && !image.lowers.is_empty() {
        return Err(Error::Invalid(format!(
            "files cannot be copied from the image {name:?}: it is this machine itself"
        )));
    }
    Ok(Origin::Layers(image.config.rootfs.diff_ids))
}

impl Origin {
    pub fn open(&self, build: &Build<'_>) -> Result<Tree> {
        match self {
            Origin::Client(folder) => Ok(Tree::Client(folder.clone())),
            Origin::Layers(layers) if layers.is_empty() => {
                let empty = build.house.empty_folder()?;
                let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
                let open = rustix::fs::openat(CWD, &empty, flags, Mode::empty());
                Ok(Tree::Layers(open.map_err(Error::errno("open an empty folder"))?))
            }
            Origin::Layers(layers) => {
                build.bring(layers)?;
                let store = build.house.engine.image_store().layers();
                Ok(Tree::Layers(store.image_view(&state::lowers(layers), None, 0)?))
            }
        }
    }

    /// What the files are, without reading them; `None` where only reading tells.
    pub fn name(&self) -> Option<Digest> {
        match self {
            Origin::Client(_) => None,
            Origin::Layers(layers) => Some(state::stack(layers)),
        }
    }
}

impl Tree {
    pub fn root(&self) -> BorrowedFd<'_> {
        match self {
            Tree::Client(folder) => folder.root(),
            Tree::Layers(root) => root.as_fd(),
        }
    }

    pub fn scope<'a>(&'a self, exclude: Option<&'a Ignore>) -> Scope<'a> {
        let ignore = match self {
            Tree::Client(folder) => folder.ignore(),
            Tree::Layers(_) => None,
        };
        Scope { root: self.root(), ignore, exclude }
    }

    /// Whether it may be another one by the time that it was read.
    pub fn may_change(&self) -> bool {
        match self {
            Tree::Client(folder) => folder.may_change(),
            Tree::Layers(_) => false,
        }
    }

    pub fn ids(&self) -> Ids {
        match self {
            Tree::Client(_) => Ids::Root,
            Tree::Layers(_) => Ids::Kept,
        }
    }

    /// The digest of what is at `path`.
    pub fn digest_of(&self, build: &Build<'_>, path: &str) -> Result<Digest> {
        let scope = self.scope(None);
        let mut hashing = Hashing::new(&build.house.memo, self.ids());
        let mut sum = Sha256::new();
        let pattern = Pattern { text: path, deep: crate::context::Deep::No };
        for chosen in choose(scope, pattern)? {
            hashing.add(scope, &chosen, &mut sum)?;
        }
        let sum: [u8; 32] = sum.finalize().into();
        Ok(of_texts([&sum[..]]))
    }
}
