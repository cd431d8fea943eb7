//! What the files of a source are, in one digest: names, kinds, modes, contents and link targets; not their times.
//!
//! Contents are remembered by what stat(2) says of a file, so that a context of many files is read once, not at each build.

use super::memo::{Memo, Stamp};
use super::select::{Chosen, Each, Scope, joined};
use crate::{Error, Result};
use archive::pack::{At, Attributes, Look};
use base::Digest;
use rustix::fs::{FileType, Mode, OFlags};
use sha2::{Digest as _, Sha256};
use std::io::Read;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

/// A file that changed this short ago may change again without its times telling so (the kernel's clock ticks every 4 ms at best).
const FRESH_SECONDS: i64 = 2;
const BUFFER: usize = 256 * 1024;

/// Whether owners count: they do in a stage, and mean nothing in a client's folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ids {
    Kept,
    Root,
}

/// Digests of sources.
pub(crate) struct Hashing<'a> {
    pub memo: &'a Memo,
    pub ids: Ids,
    /// All that was added, for people.
    pub seen: Vec<Seen>,
    buffer: Vec<u8>,
}

/// One file, and what tells it from others of its name.
#[derive(Debug)]
pub(crate) struct Seen {
    pub path: Vec<u8>,
    /// Of its kind, mode and content; good enough for people, not for keys.
    pub digest: u64,
}

impl Seen {
    fn of(path: Vec<u8>, content: &[u8], look: &Look) -> Seen {
        // FNV-1a.
        let meta = [look.kind.as_raw_mode(), look.mode];
        let bytes = meta.iter().flat_map(|number| number.to_le_bytes()).chain(content.iter().copied());
        let mix = |sum: u64, byte: u8| (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        Seen { path, digest: bytes.fold(0xcbf2_9ce4_8422_2325, mix) }
    }
}

impl<'a> Hashing<'a> {
    pub fn new(memo: &'a Memo, ids: Ids) -> Hashing<'a> {
        Hashing { memo, ids, seen: Vec::new(), buffer: vec![0; BUFFER] }
    }

    /// Adds a chosen source, with all that counts of it, to `sum`.
    pub fn add(&mut self, scope: Scope<'_>, chosen: &Chosen, sum: &mut Sha256) -> Result<()> {
        let mut attributes = Attributes::new(0);
        let top = chosen.file.as_fd();
        if chosen.look.kind != FileType::Directory {
            let content = self.content(&chosen.look, &chosen.path, || open_again(top))?;
            self.seen.push(Seen::of(chosen.path.clone(), &content, &chosen.look));
            return self.one((b"", &content), &chosen.look, (&mut attributes, At::Path(top)), sum);
        }
        self.one((b"", b""), &chosen.look, (&mut attributes, At::Path(top)), sum)?;
        let mut each = Each::new(scope, chosen)?;
        while let Some(entry) = each.next_entry()? {
            let (folder, name) = (entry.folder.as_fd(), &*entry.name);
            let content = match entry.look.kind {
                FileType::Symlink => rustix::fs::readlinkat(folder, name, Vec::new())
                    .map(|text| text.into_bytes())
                    .map_err(Error::errno("read a link"))?,
                _ => self.content(&entry.look, &entry.path, || {
                    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
                    rustix::fs::openat(folder, name, flags, Mode::empty()).map(std::fs::File::from)
                })?,
            };
            if entry.look.kind != FileType::Directory {
                self.seen.push(Seen::of(joined(&chosen.path, &entry.path), &content, &entry.look));
            }
            let at = At::Name(folder, name);
            self.one((&entry.path, &content), &entry.look, (&mut attributes, at), sum)?;
        }
        Ok(())
    }

    fn one(
        &self,
        (path, content): (&[u8], &[u8]),
        look: &Look,
        (attributes, at): (&mut Attributes, At<'_>),
        sum: &mut Sha256,
    ) -> Result<()> {
        let (uid, gid) = if self.ids == Ids::Kept { (look.uid, look.gid) } else { (0, 0) };
        let kind = look.kind.as_raw_mode();
        for text in [path, content] {
            sum.update((text.len() as u64).to_le_bytes());
            sum.update(text);
        }
        for number in [kind, look.mode, uid, gid, look.device.0, look.device.1] {
            sum.update(number.to_le_bytes());
        }
        if self.ids == Ids::Kept && matches!(look.kind, FileType::RegularFile | FileType::Directory) {
            // Only stages have what is worth to be kept; a client's own marks are his.
            for (name, value) in attributes.read(at).map_err(Error::io("read attributes of a file"))? {
                sum.update(name.as_bytes());
                sum.update((value.len() as u64).to_le_bytes());
                sum.update(&value);
            }
        }
        Ok(())
    }

    fn content(
        &mut self,
        look: &Look,
        path: &[u8],
        open: impl FnOnce() -> rustix::io::Result<std::fs::File>,
    ) -> Result<Vec<u8>> {
        if look.kind != FileType::RegularFile || look.size == 0 {
            return Ok(Vec::new());
        }
        // One that is known needs not be opened.
        if let Some(known) = self.memo.find(look.inode, Stamp::seen(look)) {
            return Ok(known.to_vec());
        }
        let failed = || format!("read {}", String::from_utf8_lossy(path));
        let mut file = open().map_err(Error::errno(failed()))?;
        let stat = rustix::fs::fstat(&file).map_err(Error::errno(failed()))?;
        let stamp = Stamp::of(look, &stat);
        let mut sum = Sha256::new();
        loop {
            match file.read(&mut self.buffer) {
                Ok(0) => break,
                Ok(got) => sum.update(&self.buffer[..got]),
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                Err(e) => return Err(Error::io(failed())(e)),
            }
        }
        let digest: [u8; 32] = sum.finalize().into();
        if jiff::Timestamp::now().as_second() - stamp.changed.0 > FRESH_SECONDS {
            self.memo.keep(look.inode, stamp, digest);
        }
        Ok(digest.to_vec())
    }
}

/// What an O_PATH descriptor refers to, for reading.
fn open_again(file: BorrowedFd<'_>) -> rustix::io::Result<std::fs::File> {
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::empty()).map(std::fs::File::from)
}

/// The digest of a list of texts, none of which can be taken for two.
pub(crate) fn of_texts<'a>(texts: impl IntoIterator<Item = &'a [u8]>) -> Digest {
    let mut sum = Sha256::new();
    for text in texts {
        sum.update((text.len() as u64).to_le_bytes());
        sum.update(text);
    }
    Digest::from_bytes(sum.finalize().into())
}
