//! A name of an image: refused, or read the same way when it is written out.
#![no_main]

use image::Reference;
use libfuzzer_sys::fuzz_target;

fn seeds() -> Vec<Vec<u8>> {
    let digest = format!("a@sha256:{}", "0".repeat(64));
    let names = ["busybox", "docker.io/library/a:1", "localhost:5000/a/b:x", "[::1]:80/a", "a.b/c__d/e-f:g", &digest];
    names.iter().map(|name| name.as_bytes().to_vec()).collect()
}

fuzz_target!(init: fuzz::plant(&seeds()), |data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(reference) = Reference::parse(text) {
        let full = reference.to_string();
        assert_eq!(Reference::parse(&full).ok(), Some(reference), "{full}");
    }
});
