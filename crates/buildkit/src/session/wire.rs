//! The messages in which files are told and sent (fsutil): a list of what there is, and then the contents that are asked for.
//!
//! ```text
//!   sender                      receiver
//!   STAT for each name    ──►
//!   STAT without a name   ──►   (that was all)
//!                         ◄──   REQ id          of each content that is wanted: the place in the list
//!   DATA id, bytes ...    ──►
//!   DATA id, nothing      ──►   (the end of that one)
//!                         ◄──   FIN
//!   FIN                   ──►
//! ```
//!
//! Names and link targets are bytes here: a client's need not be UTF-8.

use bytes::Bytes;
use prost::Message;
use rustix::fs::FileType;

#[derive(Clone, PartialEq, Message)]
pub struct Packet {
    #[prost(int32, tag = "1")]
    pub kind: i32,
    #[prost(message, optional, tag = "2")]
    pub stat: Option<Stat>,
    #[prost(uint32, tag = "3")]
    pub id: u32,
    #[prost(bytes = "bytes", tag = "4")]
    pub data: Bytes,
}

pub const STAT: i32 = 0;
pub const REQ: i32 = 1;
pub const DATA: i32 = 2;
pub const FIN: i32 = 3;
pub const ERR: i32 = 4;

#[derive(Clone, PartialEq, Message)]
pub struct Stat {
    #[prost(bytes = "vec", tag = "1")]
    pub path: Vec<u8>,
    #[prost(uint32, tag = "2")]
    pub mode: u32,
    #[prost(uint32, tag = "3")]
    pub uid: u32,
    #[prost(uint32, tag = "4")]
    pub gid: u32,
    #[prost(int64, tag = "5")]
    pub size: i64,
    /// Nanoseconds since 1970.
    #[prost(int64, tag = "6")]
    pub modified: i64,
    /// Of a symlink what it says; of another name of an earlier file that one's path.
    #[prost(bytes = "vec", tag = "7")]
    pub link: Vec<u8>,
    #[prost(int64, tag = "8")]
    pub major: i64,
    #[prost(int64, tag = "9")]
    pub minor: i64,
    #[prost(message, repeated, tag = "10")]
    pub attributes: Vec<Attribute>,
}

/// An extended attribute.
#[derive(Clone, PartialEq, Message)]
pub struct Attribute {
    #[prost(bytes = "vec", tag = "1")]
    pub name: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    pub value: Vec<u8>,
}

impl Packet {
    pub fn stat(stat: Option<Stat>) -> Packet {
        Packet { kind: STAT, stat, ..Packet::default() }
    }

    pub fn request(id: u32) -> Packet {
        Packet { kind: REQ, id, ..Packet::default() }
    }

    pub fn data(id: u32, data: Bytes) -> Packet {
        Packet { kind: DATA, id, data, ..Packet::default() }
    }

    pub fn end() -> Packet {
        Packet { kind: FIN, ..Packet::default() }
    }

    pub fn error(text: &str) -> Packet {
        Packet { kind: ERR, data: Bytes::copy_from_slice(text.as_bytes()), ..Packet::default() }
    }
}

// Modes are Go's (`io/fs.FileMode`).
const DIRECTORY: u32 = 1 << 31;
const SYMLINK: u32 = 1 << 27;
const DEVICE: u32 = 1 << 26;
const PIPE: u32 = 1 << 25;
const SOCKET: u32 = 1 << 24;
const SETUID: u32 = 1 << 23;
const SETGID: u32 = 1 << 22;
const CHARACTER: u32 = 1 << 21;
const STICKY: u32 = 1 << 20;
const IRREGULAR: u32 = 1 << 19;
const KIND: u32 = DIRECTORY | SYMLINK | DEVICE | PIPE | SOCKET | CHARACTER | IRREGULAR;

/// What a mode says a file is; `None` of what there is no such thing.
pub fn kind(mode: u32) -> Option<FileType> {
    match mode & KIND {
        0 => Some(FileType::RegularFile),
        DIRECTORY => Some(FileType::Directory),
        SYMLINK => Some(FileType::Symlink),
        PIPE => Some(FileType::Fifo),
        SOCKET => Some(FileType::Socket),
        DEVICE => Some(FileType::BlockDevice),
        bits if bits == DEVICE | CHARACTER => Some(FileType::CharacterDevice),
        _ => None,
    }
}

/// The permission bits of a mode, as chmod(2) takes them.
pub fn permissions(mode: u32) -> u32 {
    let bit = |go: u32, unix: u32| if mode & go == 0 { 0 } else { unix };
    (mode & 0o777) | bit(SETUID, 0o4000) | bit(SETGID, 0o2000) | bit(STICKY, 0o1000)
}

/// A mode of Go's.
pub fn mode(kind: FileType, permissions: u32) -> u32 {
    let bit = |unix: u32, go: u32| if permissions & unix == 0 { 0 } else { go };
    let kind = match kind {
        FileType::Directory => DIRECTORY,
        FileType::Symlink => SYMLINK,
        FileType::Fifo => PIPE,
        FileType::BlockDevice => DEVICE,
        FileType::CharacterDevice => DEVICE | CHARACTER,
        _ => 0,
    };
    kind | (permissions & 0o777) | bit(0o4000, SETUID) | bit(0o2000, SETGID) | bit(0o1000, STICKY)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_are_those_of_go() {
        for (found, bits) in [
            (FileType::Directory, 0o1777),
            (FileType::RegularFile, 0o6755),
            (FileType::Symlink, 0o777),
            (FileType::CharacterDevice, 0o600),
            (FileType::BlockDevice, 0o600),
            (FileType::Fifo, 0o644),
        ] {
            let mode = mode(found, bits);
            assert_eq!((kind(mode), permissions(mode)), (Some(found), bits));
        }
        assert_eq!(kind(DIRECTORY | SYMLINK), None);
        assert_eq!(kind(IRREGULAR), None);
    }
}
