//! Folders of a client as they are here: kept from build to build, so that only what changed comes again.

use super::files::{self, Wish};
use super::receive::Before;
use super::sessions::Session;
use build::context::{Folder, KeptFolder};
use build::{Builder, Error, Result};
use registry::Cancel;
use std::collections::{BTreeSet, HashMap};
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

/// Bytes of a transfer, as it is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transfer {
    /// `context`, or the name of a named context.
    pub name: String,
    /// Bytes that came so far.
    pub bytes: u64,
    pub stage: Stage,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    Begun,
    Going,
    Done,
    Failed,
}

/// Who hears of transfers.
pub type Tell = Arc<dyn Fn(Transfer) + Send + Sync>;

/// What was fetched of one client: builds that want the same at the same time share it.
#[derive(Debug, Default)]
pub struct Locals(Mutex<HashMap<Key, Arc<Mutex<Fetched>>>>);

/// A folder's name, what the client calls it, and what is left out.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Key {
    pub name: String,
    pub hint: String,
    pub exclude: Vec<String>,
}

#[derive(Debug, Default)]
pub struct Fetched {
    /// Gone with the last build that reads it.
    folder: Weak<Folder>,
    kept: Weak<KeptFolder>,
    wanted: Wanted,
}

/// What of a folder is here.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Wanted {
    Everything,
    Paths(BTreeSet<String>),
}

impl Default for Wanted {
    fn default() -> Wanted {
        Wanted::Paths(BTreeSet::new())
    }
}

impl Wanted {
    fn of(paths: &[String]) -> Wanted {
        let mut all = BTreeSet::new();
        for path in paths {
            match cleaned(path) {
                path if path.is_empty() => return Wanted::Everything,
                path => all.insert(path),
            };
        }
        if all.is_empty() { Wanted::Everything } else { Wanted::Paths(all) }
    }

    fn covers(&self, other: &Wanted) -> bool {
        match (self, other) {
            (Wanted::Everything, _) => true,
            (_, Wanted::Everything) => false,
            (Wanted::Paths(own), Wanted::Paths(other)) => other.is_subset(own),
        }
    }

    fn with(&self, other: &Wanted) -> Wanted {
        match (self, other) {
            (Wanted::Paths(own), Wanted::Paths(other)) => Wanted::Paths(own.union(other).cloned().collect()),
            _ => Wanted::Everything,
        }
    }

    fn paths(&self) -> Vec<String> {
        match self {
            Wanted::Everything => Vec::new(),
            Wanted::Paths(paths) => paths.iter().cloned().collect(),
        }
    }
}

/// A path from the folder, without `.`, `..` and slashes that mean nothing; empty for the folder itself.
fn cleaned(text: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in text.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

/// Who fetches, and for whom.
#[derive(Clone, Copy)]
pub struct Asking<'a> {
    pub builder: &'a Builder,
    pub session: &'a Session,
    pub tell: &'a Tell,
    pub cancel: &'a Cancel,
}

impl Asking<'_> {
    /// A folder of the client's in which at least `wanted` is.
    pub fn folder(&self, key: &Key, wanted: &[String]) -> Result<Arc<Folder>> {
        let fetched = lock(&self.session.locals.0).entry(key.clone()).or_default().clone();
        // One transfer of a folder at a time.
        let mut fetched = lock(&fetched);
        let wanted = Wanted::of(wanted);
        let here = fetched.folder.upgrade().zip(fetched.kept.upgrade());
        if let Some((folder, kept)) = here {
            if !fetched.wanted.covers(&wanted) {
                // Other steps and builds read what is here by now.
                self.update(key, (&kept, Before::Kept), &wanted)?;
                fetched.wanted = fetched.wanted.with(&wanted);
            }
            return Ok(folder);
        }
        let shared = format!("{}:{}:{}", key.name, key.hint, self.session.shared_key());
        let kept = Arc::new(self.builder.kept(&shared, &format!("local source for {}", key.name))?);
        self.update(key, (&kept, Before::Updated), &wanted)?;
        let folder = Arc::new(Folder::open(&kept.tree())?.keeping(Box::new(kept.clone())));
        *fetched = Fetched { folder: Arc::downgrade(&folder), kept: Arc::downgrade(&kept), wanted };
        Ok(folder)
    }

    fn update(&self, key: &Key, (kept, before): (&KeptFolder, Before), wanted: &Wanted) -> Result<()> {
        let wish = Wish { name: key.name.clone(), paths: wanted.paths(), exclude: key.exclude.clone() };
        let tell = |bytes, stage| (self.tell)(Transfer { name: key.name.clone(), bytes, stage });
        tell(0, Stage::Begun);
        let mut last = 0;
        let mut told = |bytes| {
            last = bytes;
            tell(bytes, Stage::Going);
        };
        let memo = self.builder.memo();
        let mut written = |file: std::os::fd::BorrowedFd<'_>, digest| memo.learn(file, digest);
        let done = files::fetch(self.session, &wish, (kept.open()?, before, &mut written), &mut told, self.cancel);
        tell(last, if done.is_ok() { Stage::Done } else { Stage::Failed });
        match (&done, before) {
            (Ok(bytes), Before::Updated) => kept.set_size(*bytes),
            (Ok(bytes), Before::Kept) => kept.add_size(*bytes),
            // What came stays for the next time.
            (Err(_), _) => kept.add_size(last),
        }
        done.map(drop)
    }

    /// A few small files of a client's folder, which nobody keeps.
    pub fn few(&self, name: &str, paths: &[String]) -> Result<Folder> {
        let wish = Wish { name: name.to_owned(), paths: paths.to_vec(), exclude: Vec::new() };
        let unpacked = build::context::Unpacked::make(&self.builder.contexts())?;
        let folder = unpacked.into_folder()?;
        let root = rustix::io::fcntl_dupfd_cloexec(folder.root().as_fd(), 3);
        let failed = |errno: rustix::io::Errno| Error::Io { action: "open a context".to_owned(), source: errno.into() };
        files::fetch(
            self.session,
            &wish,
            (root.map_err(failed)?, Before::Updated, &mut |_, _| {}),
            &mut |_| {},
            self.cancel,
        )?;
        Ok(folder)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_here_need_not_come_again() {
        let of = |paths: &[&str]| Wanted::of(&paths.iter().map(|path| (*path).to_owned()).collect::<Vec<_>>());
        assert_eq!(of(&[]), Wanted::Everything);
        assert_eq!(of(&["a", "."]), Wanted::Everything);
        assert_eq!(of(&["./a/", "/a"]), of(&["a"]));
        assert!(of(&["."]).covers(&of(&["a"])) && !of(&["a"]).covers(&of(&["."])));
        assert!(of(&["a", "b"]).covers(&of(&["b"])) && !of(&["a"]).covers(&of(&["b"])));
        assert_eq!(of(&["a"]).with(&of(&["b"])), of(&["a", "b"]));
        assert_eq!(of(&["a"]).with(&of(&["/"])), Wanted::Everything);
    }
}
