//! Which parts of a file's content need not be written because they are zeros.

use std::ops::Range;

/// Bytes of the smallest hole, and its alignment. Smaller ones would only break a file into many extents.
const BLOCK: usize = 64 * 1024;
static ZEROS: [u8; BLOCK] = [0; BLOCK];

/// The ranges of `piece`, which stands at the offset `at` of its file, that hold anything but zeros. Blocks in a row are one
/// range.
pub fn data(piece: &[u8], at: u64) -> impl Iterator<Item = Range<usize>> {
    let mut next = 0;
    std::iter::from_fn(move || {
        let mut run: Option<Range<usize>> = None;
        while next < piece.len() {
            let block = next..end_of_block(at, next).min(piece.len());
            next = block.end;
            let bytes = &piece[block.clone()];
            let is_zero = bytes[0] == 0 && *bytes == ZEROS[..bytes.len()];
            match (&mut run, is_zero) {
                (Some(_), true) => return run,
                (None, true) => {}
                (Some(run), false) => run.end = block.end,
                (None, false) => run = Some(block),
            }
        }
        run
    })
}

/// Where the block ends that `index` of a piece at `at` is in.
fn end_of_block(at: u64, index: usize) -> usize {
    let within = usize::try_from((at + index as u64) % BLOCK as u64).unwrap_or(0);
    index + BLOCK - within
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_zeros_are_left_out() {
        let ones = vec![1; BLOCK];
        let zeros = vec![0; BLOCK];
        let found = |piece: &[u8], at| data(piece, at).map(|range| (range.start, range.end)).collect::<Vec<_>>();
        assert_eq!(found(&ones, 0), [(0, BLOCK)]);
        assert_eq!(found(&zeros, 0), []);
        assert_eq!(found(&[], 7), []);
        let mixed = [&ones[..], &ones, &zeros, &zeros, &ones[..9]].concat();
        assert_eq!(found(&mixed, 0), [(0, 2 * BLOCK), (4 * BLOCK, 4 * BLOCK + 9)]);
        let shifted = [&zeros[..10], &zeros, &ones[..5]].concat();
        assert_eq!(found(&shifted, BLOCK as u64 - 10), [(10 + BLOCK, 15 + BLOCK)]);
        assert_eq!(found(&shifted, BLOCK as u64 - 3), [(3 + BLOCK, 15 + BLOCK)]);
    }
}
