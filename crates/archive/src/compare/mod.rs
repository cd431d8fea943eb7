//! Whether a tree still is what [`crate::extract`] made of a tar: both are read side by side, nothing is written.
//!
//! Content is compared while it passes; of the rest, a line per path is kept until the tree is walked. The tree must not
//! change meanwhile.

mod expected;
mod look;
#[cfg(test)]
mod tests;

use crate::{Error, Reader};
use expected::Expected;
use std::io::Read;
use std::os::fd::BorrowedFd;

/// Differences told at most: a tree that is another one altogether differs in every path.
const MOST: usize = 100;

/// One path of the tree that is not as the tar has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// Below the root; empty for the root itself.
    pub path: Vec<u8>,
    /// `is missing`, `has another owner`...
    pub what: &'static str,
}

/// Compares the tree below `root` with the plain tar `source`, which is read to its end.
pub fn compare(source: impl Read, root: BorrowedFd<'_>) -> Result<Vec<Difference>, Error> {
    let mut reader = Reader::new(source);
    let mut expected = Expected::new(root);
    while let Some(entry) = reader.next()? {
        expected.entry(&mut reader, entry)?;
    }
    reader.drain()?;
    look::walk(expected)
}
