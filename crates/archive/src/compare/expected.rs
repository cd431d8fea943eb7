//! What the tree must look like, entry by entry, by the rules of `extract`: later entries replace earlier ones.

use crate::extract::whiteout::{self, Whiteout};
use crate::path::{normal, split};
use crate::{Entry, EntryKind, Error, Reader, Sparse, beneath};
use rustix::io::Errno;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::BorrowedFd;
use std::os::unix::fs::FileExt;

/// Bytes compared at once.
const PIECE: usize = 256 * 1024;

/// The tree as the entries so far make it.
pub struct Expected<'root> {
    pub root: BorrowedFd<'root>,
    pub nodes: BTreeMap<Vec<u8>, Node>,
    pub files: Vec<Content>,
    buffer: Vec<u8>,
}

/// What stands under a path.
#[derive(Clone)]
pub struct Node {
    pub kind: NodeKind,
    /// Of a folder: hides what lower layers have in it.
    pub opaque: bool,
    /// Of a file, which may have several names: its index in [`Expected::files`].
    pub file: Option<usize>,
}

#[derive(Clone)]
pub enum NodeKind {
    /// A parent that the tar never named.
    Parent,
    Whiteout,
    Named(Box<Entry>),
}

/// One file of the tar.
pub struct Content {
    pub same: Same,
    /// Names that it has had.
    names: usize,
    /// Of the tree, once the first name was looked at.
    pub inode: Option<u64>,
}

/// Whether the tree has the same bytes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Same {
    Yes,
    No,
    /// The name under which it came belongs to another file now.
    Unknown,
}

impl<'root> Expected<'root> {
    pub fn new(root: BorrowedFd<'root>) -> Expected<'root> {
        Expected { root, nodes: BTreeMap::new(), files: Vec::new(), buffer: vec![0; PIECE] }
    }

    pub fn entry<R: Read>(&mut self, reader: &mut Reader<R>, entry: Entry) -> Result<(), Error> {
        let path = normal(&entry.path)?;
        match whiteout::read(&path, &entry.path)? {
            Whiteout::Metadata => {}
            Whiteout::Opaque { folder } => self.folder(folder).opaque = true,
            Whiteout::Of { folder, name } => self.hide(folder, name),
            Whiteout::No => self.named(reader, path, entry)?,
        }
        Ok(())
    }

    fn named<R: Read>(&mut self, reader: &mut Reader<R>, path: Vec<u8>, entry: Entry) -> Result<(), Error> {
        let (parent, _) = split(&path);
        if !path.is_empty() {
            self.folder(parent);
        }
        let mut node = Node { kind: NodeKind::Parent, opaque: false, file: None };
        match entry.kind {
            EntryKind::Note => return Ok(()),
            EntryKind::Folder => {
                node.opaque = self.nodes.get(&path).is_some_and(|old| old.opaque || old.is_whiteout());
                if self.nodes.get(&path).is_some_and(|old| !old.is_folder()) {
                    self.clear(&path);
                }
                node.kind = NodeKind::Named(Box::new(entry));
            }
            EntryKind::Hardlink => {
                let target = normal(&entry.link)?;
                let Some(known) = self.nodes.get(&target).filter(|_| target != path) else { return Ok(()) };
                node = known.clone();
                self.clear(&path);
                if let Some(content) = node.file.and_then(|file| self.files.get_mut(file)) {
                    content.names += 1;
                }
            }
            EntryKind::File => {
                self.clear(&path);
                let same = self.content(reader, &path, entry.sparse.as_ref())?;
                node.file = Some(self.files.len());
                self.files.push(Content { same, names: 1, inode: None });
                node.kind = NodeKind::Named(Box::new(entry));
            }
            EntryKind::Symlink | EntryKind::Char | EntryKind::Block | EntryKind::Fifo => {
                self.clear(&path);
                node.kind = NodeKind::Named(Box::new(entry));
            }
        }
        self.nodes.insert(path, node);
        Ok(())
    }

    /// The folder `path`, and its parents, as `extract` makes them when they are missing.
    fn folder(&mut self, path: &[u8]) -> &mut Node {
        // Below a folder that is there all is well already.
        if !self.nodes.get(path).is_some_and(Node::is_folder) {
            let ends = path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| at);
            for end in ends.collect::<Vec<_>>() {
                self.parent(&path[..end]);
            }
        }
        self.parent(path)
    }

    fn parent(&mut self, path: &[u8]) -> &mut Node {
        let opaque = self.nodes.get(path).is_some_and(Node::is_whiteout);
        if opaque {
            self.nodes.remove(path);
        }
        self.nodes.entry(path.to_vec()).or_insert(Node { kind: NodeKind::Parent, opaque, file: None })
    }

    fn hide(&mut self, folder: &[u8], name: &[u8]) {
        self.folder(folder);
        let path = if folder.is_empty() { name.to_vec() } else { [folder, name].join(&b'/') };
        match self.nodes.get_mut(&path) {
            Some(own) => own.opaque = own.opaque || own.is_folder(),
            None => {
                self.nodes.insert(path, Node { kind: NodeKind::Whiteout, opaque: false, file: None });
            }
        }
    }

    /// What stood at `path`, and below it, gives way.
    fn clear(&mut self, path: &[u8]) {
        let from = [path, b"/"].concat();
        let below: Vec<Vec<u8>> = self
            .nodes
            .range(from.clone()..)
            .take_while(|(other, _)| other.starts_with(&from))
            .map(|(other, _)| other.clone())
            .collect();
        for path in below.iter().map(Vec::as_slice).chain([path]) {
            let file = self.nodes.remove(path).and_then(|node| node.file);
            if let Some(content) = file.and_then(|file| self.files.get_mut(file)).filter(|content| content.names > 1) {
                content.same = Same::Unknown;
            }
        }
    }

    /// Reads the entry's content and the file's.
    fn content<R: Read>(
        &mut self,
        reader: &mut Reader<R>,
        path: &[u8],
        sparse: Option<&Sparse>,
    ) -> Result<Same, Error> {
        let file = match beneath::open_file(self.root, path, beneath::Mounts::Stay) {
            Ok(file) => File::from(file),
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::NXIO | Errno::XDEV) => return Ok(Same::No),
            Err(e) => return Err(failed(path, e.into())),
        };
        let mut extents = sparse.map(|sparse| sparse.extents.iter().map(|e| (e.offset, e.length)).collect::<Vec<_>>());
        let mut places = extents.get_or_insert_with(|| vec![(0, u64::MAX)]).iter().copied().filter(|(_, n)| *n > 0);
        let (mut at, mut left) = places.next().unwrap_or((0, 0));
        loop {
            let mut piece = reader.content()?;
            if piece.is_empty() {
                return Ok(Same::Yes);
            }
            while !piece.is_empty() {
                if left == 0 {
                    (at, left) = places.next().unwrap_or((at, u64::MAX));
                }
                let length = piece.len().min(PIECE).min(usize::try_from(left).unwrap_or(usize::MAX));
                let (now, later) = piece.split_at(length);
                let ours = &mut self.buffer[..length];
                match file.read_exact_at(ours, at) {
                    Ok(()) if ours == now => {}
                    Ok(()) => return Ok(Same::No),
                    Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => return Ok(Same::No),
                    Err(e) => return Err(failed(path, e)),
                }
                at += length as u64;
                left -= length as u64;
                piece = later;
            }
        }
    }
}

impl Node {
    pub fn is_folder(&self) -> bool {
        match &self.kind {
            NodeKind::Parent => true,
            NodeKind::Whiteout => false,
            NodeKind::Named(entry) => entry.kind == EntryKind::Folder,
        }
    }

    fn is_whiteout(&self) -> bool {
        matches!(self.kind, NodeKind::Whiteout)
    }
}

pub fn failed(path: &[u8], source: io::Error) -> Error {
    Error::Compare { path: String::from_utf8_lossy(path).into_owned(), source }
}
