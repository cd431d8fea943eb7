//! A compressed stream: read to its end or refused, whatever it is.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::io::{self, Read};

/// Bytes that are taken out at most.
const MOST: u64 = 8 << 20;

fn seeds() -> Vec<Vec<u8>> {
    let plain = fuzz::tars().swap_remove(0);
    let (gzip, zstd) = (fuzz::gzip(&plain), fuzz::zstd(&plain));
    let two = [gzip.clone(), gzip.clone()].concat();
    let skippable = [&b"\x50\x2a\x4d\x18\x04\0\0\0skip"[..], &zstd].concat();
    vec![plain, gzip, two, zstd, skippable, b"\xfd7zXZ\0".to_vec(), b"BZh9".to_vec()]
}

fuzz_target!(init: fuzz::plant(&seeds()), |data: &[u8]| {
    let mut source = data;
    if let Ok(plain) = archive::decompress(&mut source) {
        let _ = io::copy(&mut plain.take(MOST), &mut io::sink());
    }
});
