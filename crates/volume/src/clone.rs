//! A copy of a whole volume under another name: shared blocks where the file system can (reflink), plain bytes else.

use crate::copy::{self, Scope};
use crate::record::Record;
use crate::store::{DATA, NEW, RECORD, open_folder};
use crate::{Error, Store, Volume};
use base::Undo;
use base::atomic::{self, Durability};
use std::fs;
use std::io;
use std::os::fd::AsFd;

impl Store {
    /// Makes the volume `new` of what `name` holds now, with its labels. It appears complete or not at all.
    ///
    /// Not atomic: of files that are written meanwhile it has what each held when it was read.
    pub fn clone_volume(&self, name: &str, new: &str) -> Result<Volume, Error> {
        let source = self.get(name)?;
        if source.needs_mount() {
            let why = "its files are on another file system, which its options name".to_owned();
            return Err(Error::Uncloneable { name: name.to_owned(), why });
        }
        self.check_free(new)?;
        let failed = |source: io::Error| Error::Io { action: "clone", name: name.to_owned(), source };
        let draft = self.root().join(format!("{NEW}{}", base::Id::random()));
        let mut undo = Undo::new();
        crate::store::make_volume_folders(&draft).map_err(failed)?;
        undo.push(|| drop(base::tree::remove(&draft)));
        let copied = || -> Result<(), rustix::io::Errno> {
            let from = open_folder(rustix::fs::CWD, &source.mountpoint)?;
            let to = open_folder(rustix::fs::CWD, draft.join(DATA))?;
            copy::tree(from.as_fd(), to.as_fd(), Scope::Volume)
        };
        copied().map_err(|e| failed(e.into()))?;
        let record = Record::new(new, source.labels, source.options, false);
        let bytes = record.bytes().map_err(failed)?;
        atomic::write(&draft.join(RECORD), &bytes, 0o600, Durability::PowerCut).map_err(failed)?;
        self.settle(&draft, new).map_err(failed)?;
        undo.keep();
        Ok(record.volume(self.root().join(new).join(DATA)))
    }

    /// Gives a volume another name. Those who have it mounted keep it.
    pub fn rename(&self, name: &str, new: &str) -> Result<Volume, Error> {
        let volume = self.get(name)?;
        self.check_free(new)?;
        let failed = |source: io::Error| Error::Io { action: "rename", name: name.to_owned(), source };
        if volume.needs_mount() && volume.is_mounted().map_err(failed)? {
            let why = "a container that runs has it mounted".to_owned();
            return Err(Error::Unrenamable { name: name.to_owned(), why });
        }
        let record = Record::of(&volume, new);
        let (old, named) = (self.root().join(name), self.root().join(new));
        let bytes = record.bytes().map_err(failed)?;
        // A record of another name makes the folder unreadable: in between there is none, and [`Store::open`] ends it.
        atomic::write(&old.join(NEXT), &bytes, 0o600, Durability::PowerCut).map_err(failed)?;
        self.settle(&old, new).map_err(failed)?;
        fs::rename(named.join(NEXT), named.join(RECORD)).map_err(failed)?;
        Ok(record.volume(named.join(DATA)))
    }
}

/// The record that a volume gets with its new name.
pub(crate) const NEXT: &str = "volume.next.json";
