//! When each image was last used: exact in memory, to the minute on disk, and never waited for.
//!
//! ```text
//!   ROOT/used/HEX   an empty file for each image that was ever used; its time of change is the last use
//! ```

use crate::Error;
use base::Digest;
use rustix::fs::{AtFlags, Mode, OFlags, Timespec, Timestamps, UTIME_NOW};
use rustix::io::Errno;
use std::collections::HashMap;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

/// What a killed engine forgets at most.
const GRAIN: Duration = Duration::from_secs(60);

/// The times of last use.
#[derive(Debug)]
pub struct Uses {
    folder: OwnedFd,
    times: Mutex<HashMap<Digest, Use>>,
}

#[derive(Debug, Clone, Copy)]
struct Use {
    last: SystemTime,
    /// What the file says.
    written: SystemTime,
}

impl Uses {
    pub fn open(path: &Path) -> Result<Uses, Error> {
        let fail = |source: io::Error| Error::Io { action: format!("open {}", path.display()), source };
        DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(fail)?;
        let mut times = HashMap::new();
        for entry in fs::read_dir(path).map_err(fail)? {
            let entry = entry.map_err(fail)?;
            let id = format!("sha256:{}", entry.file_name().to_string_lossy()).parse::<Digest>();
            if let (Ok(id), Ok(last)) = (id, entry.metadata().and_then(|metadata| metadata.modified())) {
                times.insert(id, Use { last, written: last });
            }
        }
        let folder = rustix::fs::open(path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty());
        Ok(Uses { folder: folder.map_err(|e| fail(e.into()))?, times: Mutex::new(times) })
    }

    pub fn touch(&self, id: &Digest) {
        let now = SystemTime::now();
        let mut times = self.lock();
        let known = times.get(id).map(|known| known.written);
        let fresh = known.is_some_and(|written| now.duration_since(written).is_ok_and(|age| age < GRAIN));
        let written = known.filter(|_| fresh).unwrap_or(now);
        times.insert(*id, Use { last: now, written });
        drop(times);
        if !fresh && let Err(errno) = self.write(&id.hex()) {
            tracing::debug!(%id, %errno, "cannot note the use of an image");
        }
    }

    pub fn last(&self, id: &Digest) -> Option<SystemTime> {
        self.lock().get(id).map(|known| known.last)
    }

    /// Forgets images that are gone.
    pub fn retain(&self, keep: impl Fn(&Digest) -> bool) {
        let mut times = self.lock();
        times.retain(|id, _| {
            let stays = keep(id);
            if !stays {
                let _ = rustix::fs::unlinkat(&self.folder, id.hex(), AtFlags::empty());
            }
            stays
        });
    }

    fn write(&self, name: &str) -> Result<(), Errno> {
        let now = Timespec { tv_sec: 0, tv_nsec: UTIME_NOW };
        let times = Timestamps { last_access: now, last_modification: now };
        match rustix::fs::utimensat(&self.folder, name, &times, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => {
                let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::CLOEXEC | OFlags::NOFOLLOW;
                rustix::fs::openat(&self.folder, name, flags, Mode::from_raw_mode(0o600)).map(drop)
            }
            other => other,
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Digest, Use>> {
        self.times.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
