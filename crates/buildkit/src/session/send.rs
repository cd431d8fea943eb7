//! Files for a client: the other end of what [`super::receive`] does.

use super::wire::{self, Attribute, Packet, Stat};
use archive::Mounts;
use archive::pack::{At, Attributes, Look, Walk, open_folder_across};
use bytes::Bytes;
use rustix::fs::{FileType, OFlags};
use std::collections::HashMap;
use std::ffi::CString;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd};

/// Bytes of one packet.
const PIECE: usize = 512 << 10;

/// A tree that is sent.
#[derive(Debug, Clone)]
pub struct Top<'a> {
    /// The folder that it stands in; `None`: at the top.
    pub below: Option<String>,
    pub root: BorrowedFd<'a>,
    /// Seconds since 1970 that all its files are to be of.
    pub times: Option<i64>,
}

impl Top<'_> {
    fn modified(&self) -> Option<i64> {
        self.times.map(|seconds| seconds.saturating_mul(BILLION))
    }
}

const BILLION: i64 = 1_000_000_000;

/// Trees of which each stands in a folder of its own, or one at the top.
pub struct Sender<'a> {
    parts: Vec<Top<'a>>,
    /// Where the contents are that may be asked for: the part, and the path in it.
    files: HashMap<u32, (usize, Vec<u8>)>,
    next: u32,
}

impl<'a> Sender<'a> {
    /// Folders must differ; a tree at the top stands alone.
    pub fn new(mut parts: Vec<Top<'a>>) -> Sender<'a> {
        parts.sort_by(|a, b| a.below.cmp(&b.below));
        Sender { parts, files: HashMap::new(), next: 0 }
    }

    /// Tells all names.
    pub fn list(&mut self, put: &mut dyn FnMut(Packet) -> io::Result<()>) -> io::Result<()> {
        for part in 0..self.parts.len() {
            let top = self.parts[part].clone();
            if let Some(below) = &top.below {
                let mode = wire::mode(FileType::Directory, 0o755);
                let modified = top.modified().unwrap_or_default();
                let stat = Stat { path: below.clone().into_bytes(), mode, modified, ..Stat::default() };
                self.next += 1;
                put(Packet::stat(Some(stat)))?;
            }
            self.tree(part, &top, put)?;
        }
        put(Packet::stat(None))
    }

    fn tree(&mut self, part: usize, top: &Top<'_>, put: &mut dyn FnMut(Packet) -> io::Result<()>) -> io::Result<()> {
        let mut walk = Walk::across(top.root, Mounts::Cross)?;
        let mut attributes = Attributes::new(0);
        let mut names: HashMap<(u32, u32, u64), Vec<u8>> = HashMap::new();
        while let Some(step) = walk.next_step()? {
            let look = Look::of(step.folder.as_fd(), &step.name)?;
            let path = match &top.below {
                Some(below) => [below.as_bytes(), b"/", &step.path].concat(),
                None => step.path.clone(),
            };
            let mut stat = stat(&look, path);
            stat.modified = top.modified().unwrap_or(stat.modified);
            match look.kind {
                FileType::Directory => {
                    let folder = open_folder_across(step.folder.as_fd(), &step.name, Mounts::Cross)?;
                    walk.enter(&step.path, folder)?;
                }
                FileType::Symlink => {
                    let target = rustix::fs::readlinkat(step.folder.as_fd(), &*step.name, Vec::new())?;
                    stat.size = i64::try_from(target.as_bytes().len()).unwrap_or_default();
                    stat.link = target.into_bytes();
                }
                FileType::Socket => continue,
                _ if look.links > 1 => match names.get(&look.inode) {
                    Some(first) => (stat.link, stat.size) = (first.clone(), 0),
                    None => drop(names.insert(look.inode, stat.path.clone())),
                },
                _ => {}
            }
            if matches!(look.kind, FileType::Directory | FileType::RegularFile) {
                let own = attributes.read(At::Name(step.folder.as_fd(), &step.name))?;
                stat.attributes =
                    own.into_iter().map(|(name, value)| Attribute { name: name.into_bytes(), value }).collect();
            }
            if look.kind == FileType::RegularFile {
                self.files.insert(self.next, (part, step.path));
            }
            self.next += 1;
            put(Packet::stat(Some(stat)))?;
        }
        Ok(())
    }

    /// Gives a content that was asked for.
    pub fn content(&mut self, id: u32, put: &mut dyn FnMut(Packet) -> io::Result<()>) -> io::Result<()> {
        let Some((part, path)) = self.files.remove(&id) else {
            return Err(io::Error::other(format!("invalid file id {id}")));
        };
        let path = CString::new(path)?;
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let mut file = std::fs::File::from(archive::pack::open(self.parts[part].root, &path, flags)?);
        let mut buffer = vec![0; PIECE];
        loop {
            match file.read(&mut buffer) {
                Ok(0) => return put(Packet::data(id, Bytes::new())),
                Ok(got) => put(Packet::data(id, Bytes::copy_from_slice(&buffer[..got])))?,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
    }
}

fn stat(look: &Look, path: Vec<u8>) -> Stat {
    let is_device = matches!(look.kind, FileType::BlockDevice | FileType::CharacterDevice);
    let (major, minor) = if is_device { look.device } else { (0, 0) };
    let size = if look.kind == FileType::RegularFile { look.size } else { 0 };
    let seconds = look.modified.seconds.saturating_mul(BILLION);
    Stat {
        path,
        mode: wire::mode(look.kind, look.mode),
        uid: look.uid,
        gid: look.gid,
        size: i64::try_from(size).unwrap_or(i64::MAX),
        modified: seconds.saturating_add(i64::from(look.modified.nanoseconds)),
        link: Vec::new(),
        major: i64::from(major),
        minor: i64::from(minor),
        attributes: Vec::new(),
    }
}
