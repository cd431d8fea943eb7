//! A client's files, taken into a folder of ours: only what is not there yet is asked for.
//!
//! The client is not trusted. Its names stay below the folder (openat2(2), RESOLVE_BENEATH, no link on the way), what it sends was
//! asked for, devices are refused, and owners and attributes mean nothing. A file has its mode and its time only when it is complete,
//! so one of a transfer that broke is asked for again.

mod order;
mod tree;

use super::wire::{self, Packet, Stat};
use order::{Disorder, Level, Order};
use rustix::fs::FileType;
use sha2::{Digest as _, Sha256};
use std::collections::HashMap;
use std::io::Write;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use tree::Tree;

/// Names of a context at most.
const MOST_NAMES: u32 = 4 << 20;
/// Bytes of all names, and of what links say: they are kept until the transfer is over.
const MOST_TEXT: usize = 512 << 20;
/// Contents that a client may send at a time; BuildKit's sends four.
const MOST_OPEN: usize = 256;
/// What a symlink may say (PATH_MAX without the zero byte).
const LONGEST_TARGET: usize = 4095;

/// Why a transfer fails.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Disorder(#[from] Disorder),
    #[error("error from sender: {0}")]
    Sender(String),
    #[error("the client sent {0}")]
    Protocol(&'static str),
    #[error("cannot take {path:?} of the client: {why}")]
    Refused { path: String, why: &'static str },
    #[error("cannot {action} {path:?}")]
    Io { action: &'static str, path: String, source: std::io::Error },
}

type Result<T> = std::result::Result<T, Error>;

/// Where a transfer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    Going,
    /// All is here: the sender is told.
    Complete,
    /// The sender has heard it.
    Over,
}

/// What becomes of what is there when a transfer begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Before {
    /// It is made what the client has; what the client does not tell goes.
    Updated,
    /// Somebody reads it: it stays as it is, and only what is missing comes.
    Kept,
}

/// Told of each file that was written, with the digest of its content.
pub type Written<'a> = dyn FnMut(BorrowedFd<'_>, [u8; 32]) + 'a;

/// Takes packets until the folder is as the client's.
pub struct Receiver<'a> {
    tree: Tree,
    before: Before,
    order: Order,
    /// The next place in the list.
    next: u32,
    /// Bytes of the names so far.
    text: usize,
    is_listed: bool,
    state: State,
    /// What was asked for.
    wanted: HashMap<u32, Wanted>,
    open: usize,
    /// Done at the end, when what they refer to is here.
    links: Vec<(Vec<u8>, Vec<u8>)>,
    folders: Vec<Stat>,
    written: &'a mut Written<'a>,
    /// Bytes of the files; of what stays as it is nothing is counted.
    pub bytes: u64,
}

struct Wanted {
    stat: Stat,
    file: Option<Open>,
}

struct Open {
    file: std::fs::File,
    sum: Sha256,
}

impl<'a> Receiver<'a> {
    /// Into `root`, which nobody else writes to.
    pub fn new(root: OwnedFd, before: Before, written: &'a mut Written<'a>) -> Result<Receiver<'a>> {
        let mut tree = Tree::new(root);
        let order = Order::new(tree.list(b"")?);
        Ok(Receiver {
            tree,
            before,
            order,
            next: 0,
            text: 0,
            is_listed: false,
            state: State::Going,
            wanted: HashMap::new(),
            open: 0,
            links: Vec::new(),
            folders: Vec::new(),
            written,
            bytes: 0,
        })
    }

    /// Takes one packet; answers are added to `answers`.
    pub fn take(&mut self, packet: Packet, answers: &mut Vec<Packet>) -> Result<State> {
        match packet.kind {
            wire::ERR => return Err(Error::Sender(String::from_utf8_lossy(&packet.data).into_owned())),
            wire::STAT if self.is_listed => return Err(Error::Protocol("a name after the last one")),
            wire::STAT => match packet.stat {
                Some(stat) => {
                    if let Some(id) = self.name(stat)? {
                        answers.push(Packet::request(id));
                    }
                }
                None => self.listed()?,
            },
            wire::DATA => self.data(packet.id, &packet.data)?,
            wire::FIN if self.state == State::Complete => self.state = State::Over,
            _ => return Err(Error::Protocol("a packet that does not belong here")),
        }
        if self.state == State::Going && self.is_listed && self.wanted.is_empty() {
            self.finish()?;
            self.state = State::Complete;
            answers.push(Packet::end());
        }
        Ok(self.state)
    }

    /// One name of the list: the place of its content, if that is wanted.
    fn name(&mut self, mut stat: Stat) -> Result<Option<u32>> {
        let id = self.next;
        self.next += 1;
        self.text = self.text.saturating_add(stat.path.len() + stat.link.len());
        if id >= MOST_NAMES || self.text > MOST_TEXT {
            return Err(Error::Protocol("more names than a context may have"));
        }
        stat.attributes = Vec::new();
        let (tree, before) = (&mut self.tree, self.before);
        let place = self.order.next(&stat.path, |level| leave(tree, before, &level))?;
        let kind = wire::kind(stat.mode).ok_or_else(|| refused(&stat.path, "it is of an unknown kind"))?;
        if before == Before::Kept && tree.stays(&place, kind)? {
            return Ok(None);
        }
        let same = place.before == Some(kind) || place.before == Some(FileType::Unknown);
        match kind {
            FileType::Directory => {
                let left = if same && tree.is_folder(&place)? {
                    tree.list(&stat.path)?
                } else {
                    tree.make_folder(&place)?;
                    HashMap::new()
                };
                self.order.enter(&stat.path, left);
                self.folders.push(stat);
            }
            FileType::Symlink => {
                if stat.link.is_empty() || stat.link.len() > LONGEST_TARGET || stat.link.contains(&0) {
                    return Err(refused(&stat.path, "it is a link to nothing"));
                }
                if !(same && tree.is_link(&place, &stat)?) {
                    tree.make_link(&place, &stat)?;
                }
            }
            FileType::RegularFile if !stat.link.is_empty() => {
                // Another name of a file that came before.
                if !is_before(&stat.link, &stat.path) {
                    return Err(refused(&stat.path, "it is another name of a file that was not told"));
                }
                self.links.push((stat.path, stat.link));
            }
            FileType::RegularFile => {
                self.bytes = self.bytes.saturating_add(stat.size.max(0).unsigned_abs());
                if !(same && tree.is_file(&place, &stat)?) {
                    tree.clear(&place)?;
                    self.wanted.insert(id, Wanted { stat, file: None });
                    return Ok(Some(id));
                }
            }
            FileType::Fifo => tree.make_pipe(&place, &stat)?,
            // fsutil sends none; a context of a client without it may.
            FileType::Socket => tree.clear(&place)?,
            _ => return Err(refused(&stat.path, "devices are not taken; an ignore file can leave it out")),
        }
        Ok(None)
    }

    fn listed(&mut self) -> Result<()> {
        self.is_listed = true;
        for level in self.order.finish() {
            leave(&mut self.tree, self.before, &level)?;
        }
        Ok(())
    }

    fn data(&mut self, id: u32, data: &[u8]) -> Result<()> {
        let wanted = self.wanted.get_mut(&id).ok_or(Error::Protocol("a content that was not asked for"))?;
        if wanted.file.is_none() {
            if self.open >= MOST_OPEN {
                return Err(Error::Protocol("too many contents at a time"));
            }
            wanted.file = Some(Open { file: self.tree.create(&wanted.stat.path)?, sum: Sha256::new() });
            self.open += 1;
        }
        let Some(open) = &mut wanted.file else { return Ok(()) };
        if !data.is_empty() {
            open.sum.update(data);
            return open.file.write_all(data).map_err(failed("write", &wanted.stat.path));
        }
        let Some(Wanted { stat, file: Some(Open { file, sum }) }) = self.wanted.remove(&id) else { return Ok(()) };
        self.open -= 1;
        tree::complete(file.as_fd(), &stat)?;
        (self.written)(file.as_fd(), sum.finalize().into());
        Ok(())
    }

    /// What is done last: other names of files, and the times of folders, which change with what is put into them.
    fn finish(&mut self) -> Result<()> {
        for (path, target) in std::mem::take(&mut self.links) {
            self.tree.make_name(&path, &target)?;
        }
        for stat in std::mem::take(&mut self.folders).iter().rev() {
            self.tree.complete_folder(stat)?;
        }
        Ok(())
    }
}

/// What is in a folder and was not told goes.
fn leave(tree: &mut Tree, before: Before, level: &Level) -> Result<()> {
    match before {
        Before::Updated => tree.remove_all(&level.path, &level.left),
        Before::Kept => Ok(()),
    }
}

/// Whether `first` comes before `second` in a list: a slash sorts before all else.
fn is_before(first: &[u8], second: &[u8]) -> bool {
    first.split(|byte| *byte == b'/').lt(second.split(|byte| *byte == b'/'))
}

fn shown(path: &[u8]) -> String {
    String::from_utf8_lossy(path).into_owned()
}

fn refused(path: &[u8], why: &'static str) -> Error {
    Error::Refused { path: shown(path), why }
}

fn failed(action: &'static str, path: &[u8]) -> impl FnOnce(std::io::Error) -> Error {
    move |source| Error::Io { action, path: shown(path), source }
}

#[cfg(test)]
mod tests;
