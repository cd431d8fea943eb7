//! Headers as Go's archive/tar writes them: USTAR where it is enough, else with the PAX records that are needed.

use crate::Time;
use std::io;
use tar_core::builder::{HeaderBuilder, PaxBuilder};
use tar_core::{EntryType, HeaderError};

const BLOCK: usize = 512;
/// Fields of a USTAR header, in bytes.
const NAME: usize = 100;
const PREFIX: usize = 155;
/// First numbers that seven and eleven octal digits cannot say.
const SEVEN_DIGITS: u64 = 1 << 21;
const ELEVEN_DIGITS: u64 = 1 << 33;

/// What the headers of one entry say.
#[derive(Debug, Clone)]
pub struct Head<'a> {
    /// Relative; of a folder with a slash at its end.
    pub path: &'a [u8],
    pub kind: EntryType,
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    pub size: u64,
    pub modified: Time,
    /// Target of a symlink or a hard link; else empty.
    pub link: &'a [u8],
    pub device: (u32, u32),
    /// In the order of their names. Names are UTF-8 without `=`.
    pub xattrs: &'a [(String, Vec<u8>)],
}

/// The blocks that come before the entry's content.
pub fn blocks(head: &Head<'_>) -> io::Result<Vec<u8>> {
    let records = records(head);
    let short = short_path(head.path);
    let mut blocks = Vec::with_capacity(BLOCK);
    match (records.needed, short) {
        (false, Some((prefix, name))) => blocks.extend(header(head, prefix, name).map_err(broken)?),
        _ => {
            let body = records.builder.finish();
            blocks.extend(extension(head.path, body.len()).map_err(broken)?);
            blocks.extend(&body);
            blocks.resize(blocks.len().next_multiple_of(BLOCK), 0);
            blocks.extend(header(head, b"", &fitting(head.path)).map_err(broken)?);
        }
    }
    Ok(blocks)
}

struct Records {
    builder: PaxBuilder,
    /// More than a long path, for which a split may do.
    needed: bool,
}

/// In the order of their keys, so that the same entry is the same bytes.
fn records(head: &Head<'_>) -> Records {
    let mut builder = PaxBuilder::new();
    let mut needed = false;
    for (name, value) in head.xattrs {
        builder.add(&format!("SCHILY.xattr.{name}"), value);
        needed = true;
    }
    if u64::from(head.gid) >= SEVEN_DIGITS {
        builder.gid(head.gid.into());
        needed = true;
    }
    if !head.link.is_ascii() || head.link.len() > NAME {
        builder.linkpath(head.link);
        needed = true;
    }
    if head.modified.nanoseconds != 0 || plain_seconds(head.modified).is_none() {
        builder.add("mtime", pax_time(head.modified));
        needed = true;
    }
    if !head.path.is_ascii() || head.path.len() > NAME {
        builder.path(head.path);
    }
    if head.size >= ELEVEN_DIGITS {
        builder.size(head.size);
        needed = true;
    }
    if u64::from(head.uid) >= SEVEN_DIGITS {
        builder.uid(head.uid.into());
        needed = true;
    }
    Records { builder, needed }
}

/// The header itself. What does not fit has a record, and is zero or cut here.
fn header(head: &Head<'_>, prefix: &[u8], name: &[u8]) -> Result<[u8; BLOCK], HeaderError> {
    let seven = |number: u64| if number < SEVEN_DIGITS { number } else { 0 };
    let mut header = HeaderBuilder::new_ustar();
    header.path(name)?.prefix(prefix)?.mode(head.mode)?;
    header.uid(seven(head.uid.into()))?.gid(seven(head.gid.into()))?;
    header.size(if head.size < ELEVEN_DIGITS { head.size } else { 0 })?;
    header.mtime(plain_seconds(head.modified).unwrap_or(0))?;
    header.entry_type(head.kind).link_name(fitting(head.link))?.device(head.device.0, head.device.1)?;
    Ok(sealed(&mut header))
}

/// The header of the records themselves.
fn extension(path: &[u8], size: usize) -> Result<[u8; BLOCK], HeaderError> {
    let (folder, name) = crate::path::split(path);
    let parts = [folder, b"PaxHeaders.0", name];
    let parts: Vec<&[u8]> = parts.into_iter().filter(|part| !part.is_empty() && *part != b".").collect();
    let name = fitting(&parts.join(&b'/'));
    let mut header = HeaderBuilder::new_ustar();
    header.path(name)?.mode(0)?.uid(0)?.gid(0)?.size(size as u64)?.mtime(0)?.entry_type(EntryType::XHeader);
    Ok(sealed(&mut header))
}

/// Six digits, a zero byte and a space, as POSIX's own example and Go have it.
fn sealed(header: &mut HeaderBuilder) -> [u8; BLOCK] {
    let mut block = *header.finish().as_bytes();
    block.copy_within(149..156, 148);
    block[155] = b' ';
    block
}

/// A path as USTAR's prefix and name, if they can hold it.
fn short_path(path: &[u8]) -> Option<(&[u8], &[u8])> {
    if !path.is_ascii() {
        return None;
    }
    if path.len() <= NAME {
        return Some((b"", path));
    }
    // A slash at the end belongs to the name.
    let most = if path.len() > PREFIX + 1 { PREFIX + 1 } else { path.len() - usize::from(path.ends_with(b"/")) };
    let slash = path[..most].iter().rposition(|byte| *byte == b'/').filter(|slash| *slash > 0)?;
    let name = &path[slash + 1..];
    (!name.is_empty() && name.len() <= NAME).then_some((&path[..slash], name))
}

/// What old readers, which know no records, see of a text. A slash at the very end would make them see a folder.
fn fitting(text: &[u8]) -> Vec<u8> {
    let mut plain: Vec<u8> = text.iter().copied().filter(u8::is_ascii).collect();
    if plain.len() > NAME {
        plain.truncate(NAME);
        while plain.ends_with(b"/") {
            plain.pop();
        }
    }
    plain
}

/// The whole seconds, if the header can hold them.
fn plain_seconds(time: Time) -> Option<u64> {
    u64::try_from(time.seconds).ok().filter(|seconds| *seconds < ELEVEN_DIGITS)
}

/// `1700000000.25`, `-1.5`, `-7`.
fn pax_time(time: Time) -> String {
    let Time { seconds, nanoseconds } = time;
    if nanoseconds == 0 {
        return seconds.to_string();
    }
    let (sign, whole, rest) = match seconds {
        0.. => ("", seconds.unsigned_abs(), nanoseconds),
        _ => ("-", seconds.unsigned_abs() - 1, 1_000_000_000 - nanoseconds),
    };
    format!("{sign}{whole}.{rest:09}").trim_end_matches('0').to_owned()
}

fn broken(error: HeaderError) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(path: &[u8]) -> Head<'_> {
        Head {
            path,
            kind: EntryType::Regular,
            mode: 0o644,
            uid: 0,
            gid: 0,
            size: 0,
            modified: Time { seconds: 1_700_000_000, nanoseconds: 0 },
            link: b"",
            device: (0, 0),
            xattrs: &[],
        }
    }

    fn count(head: &Head<'_>) -> usize {
        blocks(head).unwrap().len() / BLOCK
    }

    #[test]
    fn a_plain_entry_is_one_block_as_other_writers_have_it() {
        let head = plain(b"etc/passwd");
        let expected = crate::fixture::header(&crate::fixture::Head { path: b"etc/passwd", ..Default::default() });
        assert_eq!(blocks(&head).unwrap(), expected);
    }

    #[test]
    fn records_are_written_only_where_they_are_needed() {
        let split = [&b"d".repeat(120)[..], b"/", &b"f".repeat(90)].concat();
        assert_eq!(count(&plain(&split)), 1);
        assert_eq!(count(&plain(&[b"a/", &b"f".repeat(101)[..]].concat())), 3);
        assert_eq!(count(&plain("ü".as_bytes())), 3);
        assert_eq!(count(&plain(b"\xff")), 3);
        assert_eq!(count(&Head { uid: 2_097_151, ..plain(b"a") }), 1);
        assert_eq!(count(&Head { uid: 2_097_152, ..plain(b"a") }), 3);
        assert_eq!(count(&Head { gid: 2_097_152, ..plain(b"a") }), 3);
        assert_eq!(count(&Head { size: (8 << 30) - 1, ..plain(b"a") }), 1);
        assert_eq!(count(&Head { size: 8 << 30, ..plain(b"a") }), 3);
        assert_eq!(count(&Head { link: &[b'l'; 100], ..plain(b"a") }), 1);
        assert_eq!(count(&Head { link: &[b'l'; 101], ..plain(b"a") }), 3);
        assert_eq!(count(&Head { modified: Time { seconds: -1, nanoseconds: 0 }, ..plain(b"a") }), 3);
        assert_eq!(count(&Head { modified: Time { seconds: 1, nanoseconds: 1 }, ..plain(b"a") }), 3);
    }

    #[test]
    fn paths_are_split_where_both_parts_fit() {
        let path = [&b"d".repeat(155)[..], b"/", &b"f".repeat(100)].concat();
        assert_eq!(short_path(&path), Some((&path[..155], &path[156..])));
        assert_eq!(short_path(&[&b"d".repeat(156)[..], b"/f"].concat()), None);
        assert_eq!(short_path(&[&b"d".repeat(110)[..], b"/"].concat()), None);
        let folder = [&b"d".repeat(60)[..], b"/", &b"e".repeat(60), b"/"].concat();
        assert_eq!(short_path(&folder), Some((&folder[..60], &folder[61..])));
    }

    #[test]
    fn times_before_1970_and_with_fractions_are_written_as_pax_wants_them() {
        let text = |seconds, nanoseconds| pax_time(Time { seconds, nanoseconds });
        assert_eq!(text(12, 500_000_000), "12.5");
        assert_eq!(text(-7, 0), "-7");
        assert_eq!(text(-2, 750_000_000), "-1.25");
        assert_eq!(text(-1, 500_000_000), "-0.5");
        assert_eq!(text(1, 1), "1.000000001");
    }
}
