//! One entry of a tar, with its PAX and GNU extensions applied and every number checked.

use crate::Error;
use std::io;
use tar_core::parse::ParsedEntry;
use tar_core::{EntryType, PaxExtensions, SparseEntry};

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryKind {
    File,
    Folder,
    Symlink,
    Hardlink,
    Char,
    Block,
    Fifo,
    /// A record that describes no file (a volume label): skipped by who unpacks.
    Note,
}

/// A modification time: seconds since 1970 and nanoseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Time {
    pub seconds: i64,
    /// 0 to 999,999,999
    pub nanoseconds: u32,
}

/// Bytes of data within a sparse file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    pub offset: u64,
    pub length: u64,
}

/// Where the content of a sparse file belongs. Extents ascend and do not overlap; their sum is the entry's content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sparse {
    pub extents: Vec<Extent>,
    /// Bytes of the file, holes included.
    pub file_size: u64,
}

/// One entry.
#[derive(Debug, Clone)]
pub struct Entry {
    /// As written in the archive: not normal, may be hostile. See [`crate::normal`].
    pub path: Vec<u8>,
    pub kind: EntryKind,
    /// Permission bits, 0 to 0o7777.
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    pub modified: Time,
    /// Bytes of content that follow in the archive; 0 for all but files.
    pub size: u64,
    /// Target of a symlink or a hardlink; else empty.
    pub link: Vec<u8>,
    /// Major and minor number of a device.
    pub device: (u32, u32),
    /// Name and value, from PAX `SCHILY.xattr.*`.
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    pub sparse: Option<Sparse>,
}

impl Entry {
    /// The attributes that are unpacked. overlayfs' own are ours to write: from an archive they could redirect a lookup
    /// into another folder of a lower layer.
    pub(crate) fn kept_xattrs(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let own = |name: &[u8]| name.starts_with(b"trusted.overlay.") || name.starts_with(b"user.overlay.");
        self.xattrs.iter().filter(move |(name, _)| !own(name)).map(|(name, value)| (&name[..], &value[..]))
    }

    pub(crate) fn from_parsed(parsed: &ParsedEntry<'_>, map: Option<(&[SparseEntry], u64)>) -> Result<Entry, Error> {
        let broken = |what: &str| Error::broken(&parsed.path, what);
        if parsed.path.contains(&0) {
            return Err(broken("its name holds a zero byte"));
        }
        let link = parsed.link_target.as_deref().unwrap_or_default();
        if link.contains(&0) {
            return Err(broken("its link target holds a zero byte"));
        }
        let kind = kind(parsed)?;
        let size = if kind == EntryKind::File || kind == EntryKind::Note { parsed.size } else { 0 };
        let sparse = match map {
            Some((map, file_size)) if kind == EntryKind::File => Some(checked(map, file_size, size).map_err(broken)?),
            _ => None,
        };
        Ok(Entry {
            path: parsed.path.to_vec(),
            kind,
            mode: parsed.mode & 0o7777,
            uid: owner(parsed.uid).ok_or_else(|| broken("its owner is out of range"))?,
            gid: owner(parsed.gid).ok_or_else(|| broken("its group is out of range"))?,
            modified: modified(parsed)?,
            size,
            link: link.to_vec(),
            device: (parsed.dev_major.unwrap_or(0), parsed.dev_minor.unwrap_or(0)),
            xattrs: parsed.xattrs.iter().map(|(name, value)| (name.to_vec(), value.to_vec())).collect(),
            sparse,
        })
    }
}

fn kind(parsed: &ParsedEntry<'_>) -> Result<EntryKind, Error> {
    Ok(match parsed.entry_type {
        // Before POSIX a folder was a file whose name ends in a slash.
        EntryType::Regular if parsed.header.as_old().linkflag[0] == 0 && parsed.path.ends_with(b"/") => {
            EntryKind::Folder
        }
        EntryType::Regular | EntryType::Continuous | EntryType::GnuSparse => EntryKind::File,
        EntryType::Directory => EntryKind::Folder,
        EntryType::Symlink => EntryKind::Symlink,
        EntryType::Link => EntryKind::Hardlink,
        EntryType::Char => EntryKind::Char,
        EntryType::Block => EntryKind::Block,
        EntryType::Fifo => EntryKind::Fifo,
        EntryType::Other(b'V') => EntryKind::Note,
        other => {
            return Err(Error::broken(&parsed.path, &format!("unknown entry type {:?}", char::from(other.to_byte()))));
        }
    })
}

/// chown(2) reads 2^32-1 as "leave it": such an owner is refused, and so is all that does not fit.
fn owner(id: u64) -> Option<u32> {
    u32::try_from(id).ok().filter(|id| *id != u32::MAX)
}

fn checked(map: &[SparseEntry], file_size: u64, content: u64) -> Result<Sparse, &'static str> {
    let mut end = 0u64;
    let mut sum = 0u64;
    for extent in map {
        if extent.offset < end {
            return Err("its sparse map overlaps");
        }
        end = extent.offset.checked_add(extent.length).ok_or("its sparse map overflows")?;
        sum += extent.length;
    }
    if end > file_size || i64::try_from(file_size).is_err() {
        return Err("its sparse map goes beyond its size");
    }
    if sum != content {
        return Err("its sparse map does not match its content");
    }
    let extents = map.iter().map(|e| Extent { offset: e.offset, length: e.length }).collect();
    Ok(Sparse { extents, file_size })
}

/// The time of the header, or the finer one of PAX. The PAX numbers that the parser skips when they are broken are
/// refused here.
fn modified(parsed: &ParsedEntry<'_>) -> Result<Time, Error> {
    let mut time = Time { seconds: i64::try_from(parsed.mtime).unwrap_or(i64::MAX), nanoseconds: 0 };
    let Some(pax) = parsed.pax else { return Ok(time) };
    for record in PaxExtensions::new(pax) {
        let record = record.map_err(|e| Error::broken(&parsed.path, &e.to_string()))?;
        let value = || record.value().unwrap_or("?");
        match record.key_bytes() {
            b"mtime" => {
                if let Some(exact) = pax_time(value()) {
                    time = exact;
                }
            }
            b"size" | b"uid" | b"gid" if !value().is_empty() && value().parse::<u64>().is_err() => {
                return Err(Error::broken(&parsed.path, "a number of its PAX header is broken"));
            }
            _ => {}
        }
    }
    Ok(time)
}

/// `1700000000.25`, `-1.5`: POSIX pax, "Extended Header Keyword/Value Pairs".
fn pax_time(text: &str) -> Option<Time> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let seconds: i64 = whole.parse().ok()?;
    let digits: String = fraction.chars().chain(std::iter::repeat('0')).take(9).collect();
    let nanoseconds: u32 = digits.parse().ok()?;
    if whole.starts_with('-') && nanoseconds > 0 {
        return Some(Time { seconds: seconds.checked_sub(1)?, nanoseconds: 1_000_000_000 - nanoseconds });
    }
    Some(Time { seconds, nanoseconds })
}

/// The parser's words as ours.
pub(crate) fn parse_error(error: tar_core::parse::ParseError) -> Error {
    match error {
        tar_core::parse::ParseError::Io(source) => Error::Read(source),
        other => Error::Broken(format!("not a tar archive: {other}")),
    }
}

pub(crate) fn truncated() -> Error {
    Error::Read(io::Error::new(io::ErrorKind::UnexpectedEof, "the archive ends too early"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pax_times_keep_their_fraction_and_sign() {
        assert_eq!(pax_time("12.5"), Some(Time { seconds: 12, nanoseconds: 500_000_000 }));
        assert_eq!(pax_time("-1.25"), Some(Time { seconds: -2, nanoseconds: 750_000_000 }));
        assert_eq!(pax_time("7.1234567891"), Some(Time { seconds: 7, nanoseconds: 123_456_789 }));
        assert_eq!(pax_time("x"), None);
        assert_eq!(pax_time("1.-5"), None);
    }

    #[test]
    fn an_owner_that_chown_would_skip_is_refused() {
        assert_eq!(owner(4_294_967_294), Some(4_294_967_294));
        assert_eq!(owner(4_294_967_295), None);
        assert_eq!(owner(4_294_967_296), None);
    }

    #[test]
    fn sparse_maps_that_lie_are_refused() {
        let map = |pairs: &[(u64, u64)]| -> Vec<SparseEntry> {
            pairs.iter().map(|&(offset, length)| SparseEntry { offset, length }).collect()
        };
        assert!(checked(&map(&[(0, 5), (10, 5)]), 20, 10).is_ok());
        assert!(checked(&map(&[(0, 5), (4, 5)]), 20, 10).is_err());
        assert!(checked(&map(&[(0, 5), (10, 15)]), 20, 20).is_err());
        assert!(checked(&map(&[(0, 5)]), 20, 6).is_err());
        assert!(checked(&map(&[(u64::MAX, 5)]), u64::MAX, 5).is_err());
        assert!(checked(&map(&[]), u64::MAX, 0).is_err());
    }
}
