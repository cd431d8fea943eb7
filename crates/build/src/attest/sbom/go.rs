//! What Go's linker writes into a program: its modules (debug/buildinfo, the inline form since Go 1.18).

use super::{MOST_PACKAGES, Package};
use crate::attest::escaped;
use std::fs::File;
use std::os::unix::fs::FileExt;

/// A smaller file is no program of Go's.
pub(super) const LEAST: u64 = 64 << 10;
const MAGIC: &[u8] = b"\xff Go buildinf:";
/// Where the strings begin behind the magic.
const HEADER: usize = 32;
/// Bytes of the section that are read.
const MOST: u64 = 4 << 20;
/// Section headers that are looked at.
const MOST_SECTIONS: u64 = 256;
const NAME: &[u8] = b".go.buildinfo\0";

/// The modules of a program; none when it is no program of Go's.
pub(super) fn packages(file: &File, size: u64, place: &str) -> Vec<Package> {
    let found = section(file, size).and_then(|bytes| modules(&bytes));
    let mut packages = Vec::new();
    let Some((version, text)) = found else { return packages };
    let version = version.trim_start_matches("go").split(' ').next().unwrap_or_default().to_owned();
    packages.push(module("stdlib", &version, place));
    for line in text.lines().take(MOST_PACKAGES) {
        let parts: Vec<&str> = line.split('\t').collect();
        match parts[..] {
            ["dep" | "mod", path, version, ..] => packages.push(module(path, version, place)),
            // In place of the one before.
            ["=>", path, version, ..] => {
                packages.pop();
                packages.push(module(path, version, place));
            }
            _ => {}
        }
    }
    packages
}

fn module(path: &str, version: &str, place: &str) -> Package {
    let url = format!("pkg:golang/{}@{}", escaped(&path.to_lowercase(), "/"), escaped(version, ""));
    Package {
        kind: "golang",
        name: path.to_owned(),
        version: version.to_owned(),
        url,
        license: None,
        place: place.to_owned(),
    }
}

/// The section `.go.buildinfo` of a 64-bit little-endian ELF file (elf(5)).
fn section(file: &File, size: u64) -> Option<Vec<u8>> {
    let head = read(file, 0, 64, size)?;
    if head.get(..6)? != b"\x7fELF\x02\x01" {
        return None;
    }
    let (at, each) = (number(&head, 0x28, 8)?, number(&head, 0x3a, 2)?);
    let (count, names) = (number(&head, 0x3c, 2)?, number(&head, 0x3e, 2)?);
    if each < 64 || count > MOST_SECTIONS {
        return None;
    }
    let header = |index: u64| read(file, at.checked_add(index.checked_mul(each)?)?, 64, size);
    let place = |header: &[u8]| Some((number(header, 0x18, 8)?, number(header, 0x20, 8)?));
    let (names_at, names_size) = place(&header(names)?)?;
    let names = read(file, names_at, names_size.min(MOST), size)?;
    for index in 0..count {
        let header = header(index)?;
        let name = usize::try_from(number(&header, 0, 4)?).ok()?;
        if names.get(name..).is_some_and(|rest| rest.starts_with(NAME)) {
            let (at, length) = place(&header)?;
            return read(file, at, length.min(MOST), size);
        }
    }
    None
}

fn read(file: &File, at: u64, length: u64, size: u64) -> Option<Vec<u8>> {
    if at.checked_add(length)? > size {
        return None;
    }
    let mut bytes = vec![0; usize::try_from(length).ok()?];
    file.read_exact_at(&mut bytes, at).ok()?;
    Some(bytes)
}

fn number(bytes: &[u8], at: usize, length: usize) -> Option<u64> {
    let part = bytes.get(at..at.checked_add(length)?)?;
    Some(part.iter().rev().fold(0, |all, byte| all << 8 | u64::from(*byte)))
}

/// Go's version and the lines about modules.
fn modules(bytes: &[u8]) -> Option<(String, String)> {
    let inline = 2;
    if !bytes.starts_with(MAGIC) || bytes.get(15)? & inline == 0 {
        return None;
    }
    let (version, rest) = string(bytes.get(HEADER..)?)?;
    let (text, _) = string(rest)?;
    // Between two marks of 16 bytes each, by which the program finds it itself.
    let text = text.get(16..text.len().checked_sub(16)?)?;
    Some((String::from_utf8_lossy(version).into_owned(), String::from_utf8_lossy(text).into_owned()))
}

/// A length in groups of seven bits, and so many bytes.
fn string(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut length = 0usize;
    for (index, byte) in bytes.iter().take(5).enumerate() {
        length |= usize::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return bytes.get(index + 1..)?.split_at_checked(length);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn info(text: &str) -> Vec<u8> {
        let mut bytes = [MAGIC, &[8, 2]].concat();
        bytes.resize(HEADER, 0);
        bytes.push(8);
        bytes.extend(b"go1.24.1");
        let text = [&[1; 16][..], text.as_bytes(), &[2; 16]].concat();
        bytes.extend([u8::try_from(text.len() & 0x7f).unwrap() | 0x80, u8::try_from(text.len() >> 7).unwrap()]);
        bytes.extend(text);
        bytes
    }

    #[test]
    fn modules_and_what_stands_for_them() {
        let text = "path\tx\nmod\texample.org/x\t(devel)\t\ndep\texample.org/A\tv1.0.0\th1:x\ndep\tb\tv1\n=>\tc\tv2\n";
        let (version, lines) = modules(&info(text)).unwrap();
        assert_eq!((version.as_str(), lines.as_str()), ("go1.24.1", text));
        for cut in 0..60 {
            let whole = info(text);
            modules(&whole[..whole.len() - cut]);
        }
    }

    #[test]
    fn a_program_is_read_by_its_sections() {
        let names = [b"\0".as_slice(), NAME].concat();
        let info = info("dep\texample.org/A\tv1.0.0\th1:x\ndep\tb\tv1\n=>\tc\tv2\n");
        let mut bytes = vec![0; 64];
        bytes[..6].copy_from_slice(b"\x7fELF\x02\x01");
        let mut put = |at: usize, value: usize, length: usize| {
            bytes[at..at + length].copy_from_slice(&value.to_le_bytes()[..length]);
        };
        put(0x28, 64, 8);
        put(0x3a, 64, 2);
        put(0x3c, 2, 2);
        put(0x3e, 0, 2);
        let header = |name: u32, at: usize, size: usize| {
            let mut header = vec![0; 64];
            header[..4].copy_from_slice(&name.to_le_bytes());
            header[0x18..0x20].copy_from_slice(&at.to_le_bytes());
            header[0x20..0x28].copy_from_slice(&size.to_le_bytes());
            header
        };
        let at = 64 + 2 * 64;
        bytes.extend(header(0, at, names.len()));
        bytes.extend(header(1, at + names.len(), info.len()));
        bytes.extend(names);
        bytes.extend(info);
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&bytes).unwrap();
        let found = packages(&file, bytes.len() as u64, "bin/x");
        let urls: Vec<&str> = found.iter().map(|package| package.url.as_str()).collect();
        assert_eq!(urls, ["pkg:golang/stdlib@1.24.1", "pkg:golang/example.org/a@v1.0.0", "pkg:golang/c@v2"]);
    }
}
