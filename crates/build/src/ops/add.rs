//! What `ADD` adds to `COPY`: addresses, repositories, and archives that are unpacked.

use super::copy::{self, Manner, Parents};
use super::origin::{Tree, origin};
use super::place;
use super::transfer::{Wanted, keep};
use super::{address, git, mode};
use crate::context::{Chosen, Hashing, Seen, Unpacked, cleaned};
use crate::progress::StepNumber;
use crate::solve::Build;
use crate::{Error, Result};
use archive::{Destination, Reader, Replacing};
use dockerfile::ignore::Ignore;
use dockerfile::{Add, InlineFile};
use rustix::fs::{FileType, Mode, OFlags};
use sha2::{Digest as _, Sha256};
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::sync::Arc;

const PIECE: usize = 256 * 1024;

/// One source of an `ADD`.
pub(crate) struct Source {
    tree: Tree,
    pivot: usize,
    chosen: Vec<Chosen>,
    unpack: Unpack,
}

/// What is done with archives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unpack {
    Never,
    /// What is an archive by its content.
    Archives,
}

pub(crate) fn sources(
    build: &Build<'_>,
    place: (usize, StepNumber),
    (add, paths): (&Add, &[String]),
    exclude: Option<&Ignore>,
) -> Result<Vec<Source>> {
    let mut found = Vec::new();
    for path in paths {
        let (tree, pattern, by_default) = if address::is_repository(path) {
            (fetched_repository(build, add, path)?, ".".to_owned(), Unpack::Never)
        } else if is_address(path) {
            let (tree, name) = fetched_file(build, add, path)?;
            (tree, name, Unpack::Never)
        } else {
            if add.checksum.is_some() {
                return Err(Error::Invalid("checksum can't be specified for non-HTTP(S) sources".to_owned()));
            }
            (origin(build, place, None, paths)?.open(build)?, path.clone(), Unpack::Archives)
        };
        let unpack = match add.unpack {
            None => by_default,
            Some(true) => Unpack::Archives,
            Some(false) => Unpack::Never,
        };
        let (pivot, chosen) = copy::sources(tree.scope(exclude), &pattern, Parents::No)?;
        found.push(Source { tree, pivot, chosen, unpack });
    }
    Ok(found)
}

pub(crate) fn is_address(path: &str) -> bool {
    path.starts_with("http://") || path.starts_with("https://")
}

/// A file behind an address, in a folder of its own.
fn fetched_file(build: &Build<'_>, add: &Add, url: &str) -> Result<(Tree, String)> {
    let folder = Unpacked::make(&build.house.contexts())?;
    let name = file_name(url);
    let path = folder.path().join(&name);
    let failed = |why: String| Error::Fetch { url: url.to_owned(), why };
    let mut body = build.house.engine.fetch(url, &build.cancel)?;
    let mut file = File::create(&path).map_err(Error::io("keep what is fetched"))?;
    let mut sum = Sha256::new();
    let mut buffer = vec![0; PIECE];
    loop {
        match body.read(&mut buffer) {
            Ok(0) => break,
            Ok(got) => {
                sum.update(&buffer[..got]);
                file.write_all(&buffer[..got]).map_err(Error::io("keep what is fetched"))?;
            }
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            Err(e) => return Err(failed(e.to_string())),
        }
    }
    let actual: [u8; 32] = sum.finalize().into();
    let actual = base::Digest::from_bytes(actual);
    check(add, &actual.to_string())?;
    build.notes.fetched(url, actual);
    // What a server says of the time is not asked for: the same bytes are the same file.
    file.set_modified(std::time::UNIX_EPOCH).map_err(Error::io("keep what is fetched"))?;
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).map_err(Error::io("keep what is fetched"))?;
    Ok((Tree::Client(Arc::new(folder.into_folder()?)), name))
}

fn check(add: &Add, actual: &str) -> Result<()> {
    match &add.checksum {
        Some(expected) if expected != actual => {
            Err(Error::Checksum { expected: expected.clone(), actual: actual.to_owned() })
        }
        _ => Ok(()),
    }
}

/// The last part of an address's path; `download` where there is none, as BuildKit has it.
fn file_name(url: &str) -> String {
    let path = url.split(['?', '#']).next().unwrap_or_default();
    let path = path.split_once("://").map_or(path, |(_, rest)| rest);
    let name = path.split_once('/').and_then(|(_, path)| path.rsplit('/').next()).unwrap_or_default();
    let clean = cleaned(name);
    if clean.is_empty() || clean.contains(['*', '?', '[', '\\']) { "download".to_owned() } else { clean }
}

fn fetched_repository(build: &Build<'_>, add: &Add, text: &str) -> Result<Tree> {
    let wanted = git::Checkout { checksum: add.checksum.as_deref(), keeps_git: add.keep_git_dir.unwrap_or(false) };
    let (folder, commit) = git::fetch(&build.house.contexts(), text, &wanted, &build.cancel)?;
    build.notes.repository(text, &commit);
    Ok(Tree::Client(Arc::new(folder)))
}

impl Source {
    pub fn may_change(&self) -> bool {
        self.tree.may_change()
    }

    pub fn add_to(&self, build: &Build<'_>, exclude: Option<&Ignore>, sum: &mut Sha256) -> Result<Vec<Seen>> {
        let scope = self.tree.scope(exclude);
        let mut hashing = Hashing::new(&build.house.memo, self.tree.ids());
        for chosen in &self.chosen {
            sum.update((chosen.path.len() as u64).to_le_bytes());
            sum.update(&chosen.path);
            sum.update([u8::from(self.unpack == Unpack::Archives)]);
            hashing.add(scope, chosen, sum)?;
        }
        Ok(hashing.seen)
    }

    pub fn place(
        &self,
        root: BorrowedFd<'_>,
        wanted: &Wanted<'_>,
        exclude: Option<&Ignore>,
        manner: &Manner,
    ) -> Result<()> {
        let scope = self.tree.scope(exclude);
        let manner = Manner { attributes: keep(&self.tree), ..manner.clone() };
        let (archives, plain): (Vec<_>, Vec<_>) = self.chosen.iter().partition(|chosen| self.unpacks(chosen));
        for chosen in archives {
            unpack(root, chosen, &wanted.destination, &manner)?;
        }
        let plain: Vec<Chosen> = plain.into_iter().map(again).collect::<Result<_>>()?;
        copy::copy(root, scope, &(self.pivot, plain), &wanted.destination, &manner)
    }

    fn unpacks(&self, chosen: &Chosen) -> bool {
        self.unpack == Unpack::Archives && chosen.look.kind == FileType::RegularFile && is_archive(chosen)
    }
}

fn again(chosen: &Chosen) -> Result<Chosen> {
    let file = chosen.file.try_clone().map_err(Error::io("keep a file open"))?;
    Ok(Chosen { path: chosen.path.clone(), file, look: chosen.look })
}

fn open(chosen: &Chosen) -> Result<File> {
    let path = format!("/proc/self/fd/{}", chosen.file.as_raw_fd());
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = rustix::fs::open(path, flags, Mode::empty());
    Ok(File::from(file.map_err(Error::errno(format!("read {}", place::shown(&chosen.path))))?))
}

/// Whether a file is a tar, compressed or not: by its content, whatever its name.
fn is_archive(chosen: &Chosen) -> bool {
    let Ok(file) = open(chosen) else { return false };
    let Ok(plain) = archive::decompress_any(file) else { return false };
    matches!(Reader::new(plain).next(), Ok(Some(_)))
}

fn unpack(root: BorrowedFd<'_>, chosen: &Chosen, destination: &str, manner: &Manner) -> Result<()> {
    let path = cleaned(destination);
    let folder = place::folder(root, path.as_bytes(), manner.owner.unwrap_or_default(), 0o755)?;
    let plain = archive::decompress_any(open(chosen)?)?;
    let named = format!("/{path}");
    let destination = Destination {
        root,
        folder: folder.as_fd(),
        path: &named,
        named: &named,
        renamed: None,
        owner: 0,
        of: manner.owner.map(|owner| (owner.uid, owner.gid)),
        replacing: Replacing::Anything,
    };
    Ok(archive::copy_in(plain, destination)?)
}

/// A file whose content stands in the Dockerfile.
pub(crate) fn inline(root: BorrowedFd<'_>, file: &InlineFile, destination: &str, manner: &Manner) -> Result<()> {
    let owner = manner.owner.unwrap_or_default();
    let path = if destination.ends_with('/') || destination == "/" {
        format!("{destination}/{}", file.name)
    } else {
        destination.to_owned()
    };
    let clean = cleaned(&path);
    let (folder, name) = clean.rsplit_once('/').unwrap_or(("", &clean));
    let folder = place::folder(root, folder.as_bytes(), owner, 0o755)?;
    place::make_room(folder.as_fd(), name.as_bytes(), FileType::RegularFile)?;
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let failed = || format!("write {path}");
    let made = rustix::fs::openat(&folder, name, flags, Mode::RUSR | Mode::WUSR).map_err(Error::errno(failed()))?;
    let made = File::from(made);
    made.write_all_at(file.content.as_bytes(), 0).map_err(Error::io(failed()))?;
    let (uid, gid) = (rustix::fs::Uid::from_raw(owner.uid), rustix::fs::Gid::from_raw(owner.gid));
    rustix::fs::fchown(&made, Some(uid), Some(gid)).map_err(Error::errno(failed()))?;
    let bits = manner.chmod.as_ref().map_or(0o644, |chmod: &mode::Chmod| chmod.apply(0o644, false));
    rustix::fs::fchmod(&made, Mode::from_raw_mode(bits)).map_err(Error::errno(failed()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_called_by_the_last_part_of_its_address() {
        for (url, name) in [
            ("https://example.org/a/b.txt?x=1#y", "b.txt"),
            ("http://example.org/a/", "download"),
            ("http://example.org", "download"),
            ("http://example.org/..", "download"),
            ("http://example.org/a*b", "download"),
        ] {
            assert_eq!(file_name(url), name, "{url}");
        }
    }
}
