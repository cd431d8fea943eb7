//! A layer's tar, unpacked: nothing outside the root changes, and what was unpacked can be packed and unpacked again.
#![no_main]

use archive::{Packing, extract, pack};
use fuzz::Yard;
use libfuzzer_sys::fuzz_target;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::sync::LazyLock;

static YARD: LazyLock<Yard> = LazyLock::new(Yard::new);

/// Bytes of tar that are packed at most: a sparse file may be of any size.
const MOST: usize = 4 << 20;

struct Bounded(Vec<u8>);

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > MOST {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn packed(root: &File) -> Option<Vec<u8>> {
    let mut sink = Bounded(Vec::new());
    match pack(root.as_fd(), Packing::default(), &mut sink) {
        Ok(()) => Some(sink.0),
        Err(e) if e.kind() == io::ErrorKind::StorageFull => None,
        Err(e) => panic!("{}", base::chain(&e)),
    }
}

fn run(tar: &[u8]) {
    let (path, root) = YARD.root("root");
    let unpacked = extract(tar, root.as_fd());
    YARD.check(&["root"]);
    if unpacked.is_ok()
        && let Some(first) = packed(&root)
    {
        let (again, other) = YARD.root("again");
        extract(&first[..], other.as_fd()).unwrap_or_else(|e| panic!("{}", base::chain(&e)));
        assert!(packed(&other).is_some_and(|second| first == second), "another tar at the second time");
        YARD.check(&["root", "again"]);
        fs::remove_dir_all(again).expect("removed");
    }
    fs::remove_dir_all(path).expect("removed");
}

fn seeds() -> Vec<Vec<u8>> {
    fuzz::tars().into_iter().map(|tar| [b"m".to_vec(), tar].concat()).collect()
}

fuzz_target!(init: fuzz::plant(&seeds()), |data: &[u8]| {
    match data.split_first() {
        Some((b'r', tar)) => run(tar),
        Some((_, tar)) => run(&fuzz::mended(tar)),
        None => {}
    }
});
