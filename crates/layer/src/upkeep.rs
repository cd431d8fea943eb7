//! What layers take up on disk, and whether they still are what they came as.

use crate::store::{Draft, fail};
use crate::{Error, Store};
use archive::Difference;
use base::Digest;
use sha2::{Digest as _, Sha256};
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::sync::PoisonError;

/// What reading a layer's tar beside its tree showed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// Of the tar as it is now.
    pub diff_id: Digest,
    /// Paths in which the tree is not what the tar says.
    pub differences: Vec<Difference>,
}

/// Trees that have lost their names and go from the disk when this is dropped, which takes time.
#[derive(Debug, Default)]
pub struct Trash {
    #[allow(dead_code)] // Dropped, never read.
    drafts: Vec<Draft>,
}

impl Store {
    /// Bytes on disk of all layers, and of what belongs to none: what `du` says. Trees never change, so each is measured
    /// once.
    pub fn usage(&self) -> Result<u64, Error> {
        let mut bytes = 0;
        for digest in self.list()? {
            bytes += self.usage_of(&digest)?;
        }
        for folder in ["tmp", "mnt", "bottom"] {
            let path = self.root.join(folder);
            bytes += base::tree::disk_usage(&path).map_err(fail("measure", &path))?;
        }
        for path in [self.root.clone(), self.root.join("sha256")] {
            bytes += base::tree::blocks(&rustix::fs::lstat(&path).map_err(|e| fail("measure", &path)(e.into()))?);
        }
        Ok(bytes)
    }

    /// Bytes on disk of one layer; none when it is not there.
    pub fn usage_of(&self, diff_id: &Digest) -> Result<u64, Error> {
        let folder = self.folder(diff_id);
        let around = [folder.clone(), folder.join("size"), folder.join("unsynced")];
        let around: u64 =
            around.iter().filter_map(|path| rustix::fs::lstat(path).ok()).map(|s| base::tree::blocks(&s)).sum();
        let mut known = self.usage.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(tree) = known.get(diff_id) {
            return Ok(around + tree);
        }
        drop(known);
        let tree = match base::tree::disk_usage(&self.diff(diff_id)) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(around),
            other => other.map_err(fail("measure", &folder))?,
        };
        known = self.usage.lock().unwrap_or_else(PoisonError::into_inner);
        // One that was discarded meanwhile was perhaps measured by half.
        if self.has(diff_id) {
            known.insert(*diff_id, tree);
        }
        Ok(around + tree)
    }

    /// Reads a layer's tar (plain, gzip or zstd) to its end and compares its tree with it, on this thread.
    pub fn verify(&self, diff_id: &Digest, tar: &mut dyn Read) -> Result<Verified, Error> {
        let diff = self.diff(diff_id);
        let root = File::open(&diff).map_err(fail("open", &diff))?;
        let mut plain = Hashed { source: archive::decompress(tar)?, hash: Sha256::new() };
        let differences = archive::compare(&mut plain, root.as_fd())?;
        Ok(Verified { diff_id: Digest::from_bytes(plain.hash.finalize().into()), differences })
    }

    /// What is wrong with a layer that can be seen without its tar.
    pub fn fault(&self, diff_id: &Digest) -> Option<&'static str> {
        if !self.has(diff_id) {
            return Some("its tree is missing");
        }
        self.size(diff_id).is_err().then_some("its size is not recorded")
    }

    /// Unpacks a layer anew in place of a tree that is broken. Containers that have it mounted keep the old one, which
    /// goes at the next [`Store::open`].
    pub fn replace(&self, diff_id: &Digest, tar: &mut dyn Read) -> Result<(), Error> {
        let _turn = self.turn(*diff_id);
        let aside = self.aside(diff_id)?;
        match crate::unpack::unpack(self, tar, Some(diff_id)) {
            Ok(_) => {
                if let Some(old) = aside {
                    old.leave();
                }
                Ok(())
            }
            Err(error) => {
                if let Some(old) = aside {
                    let path = self.folder(diff_id);
                    fs::rename(&old.path, &path).map_err(fail("put back", &path))?;
                }
                Err(error)
            }
        }
    }

    /// Takes a layer's name away at once; its tree goes with the trash. One that is not there is fine.
    pub fn discard(&self, diff_id: &Digest, trash: &mut Trash) -> Result<(), Error> {
        trash.drafts.extend(self.aside(diff_id)?);
        Ok(())
    }

    /// Names in the store that are no layers, and what half-made or half-removed trees there are.
    pub fn strangers(&self) -> Result<Vec<PathBuf>, Error> {
        let known = |name: &str| matches!(name, "sha256" | "tmp" | "mnt" | "bottom");
        let mut found = others(&self.root, known)?;
        found.extend(others(&self.root.join("sha256"), |name| format!("sha256:{name}").parse::<Digest>().is_ok())?);
        Ok(found)
    }

    fn aside(&self, diff_id: &Digest) -> Result<Option<Draft>, Error> {
        let path = self.folder(diff_id);
        let draft = Draft { path: self.root.join("tmp").join(base::Id::random().to_string()) };
        let renamed = fs::rename(&path, &draft.path);
        // Afterwards, so that nobody notes the old tree again in between.
        self.lowers.forget(diff_id);
        self.usage.lock().unwrap_or_else(PoisonError::into_inner).remove(diff_id);
        match renamed {
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(fail("remove", &path)(e)),
            Ok(()) => Ok(Some(draft)),
        }
    }
}

fn others(folder: &std::path::Path, known: impl Fn(&str) -> bool) -> Result<Vec<PathBuf>, Error> {
    base::tree::others(folder, known).map_err(fail("list", folder))
}

/// Bytes on their way to be compared.
struct Hashed<R> {
    source: R,
    hash: Sha256,
}

impl<R: Read> Read for Hashed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let got = self.source.read(buffer)?;
        self.hash.update(&buffer[..got]);
        Ok(got)
    }
}
