//! Files of a container looked at, taken out and put in, whether it runs or not: `docker cp`.
//!
//! Nothing of the container is ever executed. Every path is resolved below the container's root by openat2(2), and what was found
//! is held by descriptor from then on (CVE-2018-15664, CVE-2019-14271).

mod path;
mod seat;
mod stat;
mod view;

pub use archive::Replacing;
pub use stat::FileStat;

use crate::shelf::Cell;
use crate::{Engine, Error, Result};
use archive::{Destination, Packing, Whiteouts};
use rustix::io::Errno;
use std::io::{Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use view::View;

/// Files that are put into a container.
#[derive(Debug, Clone)]
pub struct FilesPut {
    pub container: String,
    /// The folder that they go into.
    pub path: String,
    pub replacing: Replacing,
    /// All become files of the container's user.
    pub own: bool,
}

/// What is written into while a thread of its own reads files.
pub type FileSink<'a> = &'a mut (dyn Write + Send);

impl Engine {
    /// Looks at what is at `path` of a container; a symlink itself.
    pub fn file_stat(&self, name: &str, path: &str) -> Result<FileStat> {
        let cell = self.house.shelf.find(name)?;
        let found = self.reading(&cell, |view| {
            let seen = found(view, path)?;
            stat::of(view.root(), seen.as_fd(), path)
        });
        found.map_err(|e| named(e, name, path))
    }

    /// Writes what is at `path` as a tar, after `told` has heard what it is.
    pub fn files_get(
        &self,
        name: &str,
        path: &str,
        told: &mut (dyn FnMut(FileStat) + Send),
        sink: FileSink<'_>,
    ) -> Result<()> {
        let cell = self.house.shelf.find(name)?;
        let asked = path::cleaned(path);
        let packing = Packing { owner: self.owner(&cell.record()), whiteouts: Whiteouts::None, ..Packing::default() };
        let packed = self.reading(&cell, |view| {
            let seen = found(view, &asked)?;
            let stat = stat::of(view.root(), seen.as_fd(), &asked)?;
            let name = path::archive_name(&asked);
            told(stat);
            // The devices of a container that runs are not its files.
            let closed: &[&[u8]] = if name.is_empty() || asked == "/." { &[b"dev"] } else { &[] };
            let packed = archive::copy_out(seen.as_fd(), name.as_bytes(), closed, packing, sink);
            packed.map_err(|source| Error::Io { action: format!("archive {asked}"), source })
        });
        packed.map_err(|e| named(e, name, path))?;
        self.house.tell(&cell, "archive-path", &[]);
        Ok(())
    }

    /// Puts the files of a tar, compressed or not, into a folder of a container.
    ///
    /// A container that does not run cannot be started meanwhile.
    pub fn files_put(&self, put: &FilesPut, source: &mut (dyn Read + Send)) -> Result<()> {
        let cell = self.house.shelf.find(&put.container)?;
        let done = self.writing(&cell, |view| self.put_into(&cell, view, put, source));
        done.map_err(|e| named(e, &put.container, &put.path))?;
        self.house.tell(&cell, "extract-to-dir", &[]);
        Ok(())
    }

    fn put_into(&self, cell: &Arc<Cell>, view: &View, put: &FilesPut, source: &mut (dyn Read + Send)) -> Result<()> {
        let record = cell.record();
        let path = path::cleaned(&put.path);
        let folder = path::follow_to(view.root(), &path).map_err(|e| failed("lstat", &path, e))?;
        if !stat::is_folder(folder.as_fd()).map_err(|e| failed("lstat", &path, e))? {
            return Err(Error::Invalid("extraction point is not a directory".into()));
        }
        if stat::is_read_only(folder.as_fd(), view.root(), record.config.readonly_rootfs) {
            let what = match stat::is_same_mount(folder.as_fd(), view.root()) {
                true => "container rootfs",
                false => "mounted volume",
            };
            return Err(Error::Invalid(format!("{what} is marked read-only")));
        }
        let of = match put.own && !record.config.user.is_empty() {
            true => {
                let user = container::user::lookup(view.root(), &record.config.user, &[])?;
                Some((user.uid, user.gid))
            }
            false => None,
        };
        let destination = Destination {
            root: view.root(),
            folder: folder.as_fd(),
            path: &path,
            named: &path,
            renamed: None,
            owner: self.owner(&record),
            of,
            replacing: put.replacing,
        };
        Ok(archive::copy_in(archive::decompress_any(source)?, destination)?)
    }
}

/// What is at `path`, a symlink itself; nothing of what the kernel makes up.
fn found(view: &View, path: &str) -> Result<OwnedFd> {
    let seen = path::find(view.root(), path).map_err(|e| failed("lstat", path, e))?;
    match is_made_up(seen.as_fd()) {
        false => Ok(seen),
        true => Err(failed("lstat", path, Errno::NOENT)),
    }
}

fn is_made_up(seen: BorrowedFd<'_>) -> bool {
    archive::is_made_up(seen).unwrap_or(false)
}

fn failed(call: &'static str, path: &str, errno: Errno) -> Error {
    let cause = match errno {
        Errno::NOENT => "no such file or directory".to_owned(),
        Errno::NOTDIR => "not a directory".to_owned(),
        Errno::LOOP => "too many levels of symbolic links".to_owned(),
        Errno::ACCESS => "permission denied".to_owned(),
        other => std::io::Error::from(other).to_string(),
    };
    Error::Path { call, path: path.to_owned(), cause }
}

/// What is missing is told by the names that were asked for.
fn named(error: Error, container: &str, path: &str) -> Error {
    match error {
        Error::Path { cause, .. } if cause == "no such file or directory" => {
            Error::NoFile { path: path.to_owned(), container: container.to_owned() }
        }
        other => other,
    }
}
