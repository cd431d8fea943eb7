//! Layers that the engine keeps as trees alone. Those that it made itself come out of their trees as the bytes that they are
//! named by; of others the bytes are gone.

use crate::fault::{Code, Fault};
use crate::folder::Folder;
use crate::folder::uploads::Session;
use crate::name::Repository;
use crate::storage::Writing;
use base::Digest;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// The trees of an engine, read and never written.
#[derive(Debug)]
pub struct Trees {
    root: PathBuf,
    /// One layer is made at a time: who asks for the same again finds it.
    making: Mutex<()>,
}

impl Trees {
    /// Of the layers at `root`, which need not be there.
    pub fn of(root: &Path) -> Trees {
        Trees { root: root.to_owned(), making: Mutex::default() }
    }

    pub fn has(&self, diff_id: &Digest) -> bool {
        layer::tree_of(&self.root, diff_id).is_dir()
    }

    /// Makes the tar of a layer in `folder`, as if it had been pushed to a repository. Whether it is there then.
    pub fn make(&self, diff_id: &Digest, folder: &Folder, repository: &Repository) -> Result<bool, Fault> {
        let _alone = self.making.lock().unwrap_or_else(PoisonError::into_inner);
        if folder.size_in(repository, diff_id)?.is_some() {
            return Ok(true);
        }
        let mut session = folder.uploads().begin(repository)?;
        if let Err(error) = layer::repack_of(&self.root, diff_id, &mut Appending(&mut session)) {
            tracing::warn!(layer = %diff_id, error = base::chain(&error), "cannot read the tree of a layer");
            session.discard();
            return Ok(false);
        }
        match folder.keep(repository, session, diff_id) {
            Ok(()) => Ok(true),
            // It came from elsewhere, in other bytes.
            Err(fault) if fault.code == Code::DigestInvalid => Ok(false),
            Err(fault) => Err(fault),
        }
    }
}

struct Appending<'a>(&'a mut Session);

impl Write for Appending<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
