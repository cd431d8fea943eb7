//! What the fuzz targets share: seeds, tars with right checksums, a folder that shows what was touched, archives written
//! as text.

mod text;
mod yard;

pub use text::archive;
pub use yard::Yard;

use archive::fixture::{Head, Tar, seal};
use std::io::Write;
use std::path::PathBuf;

const BLOCK: usize = 512;

/// Writes the seeds of a target into the folder that `FUZZ_SEEDS` names, as `cargo xtask fuzz` does before it starts.
pub fn plant(seeds: &[Vec<u8>]) {
    let Some(folder) = std::env::var_os("FUZZ_SEEDS").map(PathBuf::from) else { return };
    std::fs::create_dir_all(&folder).expect("a folder for seeds");
    for (number, seed) in seeds.iter().enumerate() {
        std::fs::write(folder.join(format!("seed-{number}")), seed).expect("a seed");
    }
}

/// The same blocks with the checksums that they would have, so that mutations get past the first check.
pub fn mended(tar: &[u8]) -> Vec<u8> {
    let mut tar = tar.to_vec();
    let mut at = 0;
    while let Some(block) = tar.get_mut(at..at + BLOCK) {
        at += BLOCK;
        let Ok(header) = <&mut [u8; BLOCK]>::try_from(block) else { break };
        if header.iter().all(|byte| *byte == 0) {
            continue;
        }
        seal(header);
        let digits = header[124..135].iter().filter(|byte| (b'0'..=b'7').contains(byte));
        let size = digits.fold(0usize, |size, digit| size.saturating_mul(8).saturating_add(usize::from(digit - b'0')));
        at = at.saturating_add(size.next_multiple_of(BLOCK).min(tar.len()));
    }
    tar
}

/// Tars of every kind of entry.
pub fn tars() -> Vec<Vec<u8>> {
    let sparse = b"1\n1048576\n3\n";
    let mut content = sparse.to_vec();
    content.resize(BLOCK, 0);
    content.extend_from_slice(b"end");
    let pax: &[(&str, &[u8])] = &[
        ("GNU.sparse.major", b"1"),
        ("GNU.sparse.minor", b"0"),
        ("GNU.sparse.name", b"s"),
        ("GNU.sparse.realsize", b"1048579"),
    ];
    vec![
        Tar::new().folder("etc/", 0o755).file("etc/x", b"12345").hardlink("etc/y", "etc/x").finish(),
        Tar::new().symlink("l", "../outside").file("l/canary", b"dead").finish(),
        Tar::new().file("../outside/canary", b"dead").hardlink("h", "../outside/canary").finish(),
        Tar::new().file("a/.wh.b", b"").file("a/.wh..wh..opq", b"").file("a/b", b"1").folder("a/b", 0o700).finish(),
        Tar::new()
            .pax(&[("path", "ü".repeat(80).as_bytes()), ("mtime", b"-1.5"), ("SCHILY.xattr.user.note", b"n")])
            .file("short", b"pax")
            .finish(),
        Tar::new()
            .entry(Head { path: b"././@LongLink", flag: b'L', size: 150, ..Head::default() }, &[b'n'; 150])
            .file("short", b"gnu")
            .finish(),
        Tar::new()
            .entry(Head { path: b"null", flag: b'3', device: (1, 3), ..Head::default() }, b"")
            .entry(Head { path: b"pipe", flag: b'6', ..Head::default() }, b"")
            .entry(Head { path: b"./", flag: b'5', mode: 0o1777, uid: 3, gid: 4, ..Head::default() }, b"")
            .finish(),
        Tar::new().pax(pax).file("GNUSparseFile.0/s", &content).finish(),
    ]
}

pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).and_then(|()| encoder.finish()).expect("gzip")
}

pub fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 1).expect("zstd")
}
