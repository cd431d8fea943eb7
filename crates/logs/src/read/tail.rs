//! Finds the last entries of a log from its end, without reading the rest.

use super::source::Source;
use crate::Target;
use memchr::memrchr_iter;
use std::io;
use std::os::unix::fs::FileExt;

/// Bytes read at once.
const BLOCK: u64 = 64 * 1024;

/// The file, and the place in it, where the last `count` entries begin.
pub fn open(target: &Target, count: u64) -> io::Result<Option<Source>> {
    // Between the steps of a rotation there is no current file.
    let first = match Source::open(target, 0)? {
        None => Source::open(target, 1)?.map(|file| (1, file)),
        Some(file) => Some((0, file)),
    };
    let Some((mut index, mut source)) = first else { return Ok(None) };
    let mut missing = count;
    loop {
        match start_of_last(&source, missing)? {
            Found::At(offset) => {
                source.seek(offset);
                return Ok(Some(source));
            }
            Found::Only(lines) => missing -= lines,
        }
        index += 1;
        match Source::open(target, index)? {
            // Rotated between the two looks.
            Some(older) if older.is(&source) => return open(target, count),
            Some(older) => source = older,
            None => return Ok(Some(source)),
        }
    }
}

enum Found {
    /// Where the lines begin.
    At(u64),
    /// The file has only so many.
    Only(u64),
}

/// The last `count` complete lines of a file.
fn start_of_last(source: &Source, count: u64) -> io::Result<Found> {
    let mut end = source.size()?;
    let mut newlines = 0;
    let mut block = vec![0; usize::try_from(BLOCK).unwrap_or(usize::MAX)];
    while end > 0 {
        let start = end.saturating_sub(BLOCK);
        let length = usize::try_from(end - start).unwrap_or(block.len());
        source.file().read_exact_at(&mut block[..length], start)?;
        for position in memrchr_iter(b'\n', &block[..length]) {
            if newlines == count {
                return Ok(Found::At(start + position as u64 + 1));
            }
            newlines += 1;
        }
        end = start;
    }
    if newlines == count { Ok(Found::At(0)) } else { Ok(Found::Only(newlines)) }
}
