//! Buffers of an upload that come back when they have been sent, so that a long stream touches few pages.

use std::sync::mpsc::{Receiver, Sender, channel};

use bytes::Bytes;

/// Bytes in a buffer: few enough that all of them stay in the processor's cache.
const SIZE: usize = 256 * 1024;

/// Lends buffers and gets them back.
#[derive(Debug)]
pub(super) struct Pool {
    back: Receiver<Box<[u8]>>,
    returns: Sender<Box<[u8]>>,
}

/// The first `length` bytes of a buffer; dropping it brings the buffer back.
#[derive(Debug)]
struct Lent {
    buffer: Box<[u8]>,
    length: usize,
    returns: Sender<Box<[u8]>>,
}

impl Pool {
    pub(super) fn new() -> Pool {
        let (returns, back) = channel();
        Pool { back, returns }
    }

    /// A buffer; what is in it is left over from before.
    pub(super) fn take(&self) -> Box<[u8]> {
        self.back.try_recv().unwrap_or_else(|_| vec![0; SIZE].into_boxed_slice())
    }

    /// The first `length` bytes of a buffer, which comes back when their last reader is done.
    pub(super) fn lend(&self, buffer: Box<[u8]>, length: usize) -> Bytes {
        let length = length.min(buffer.len());
        Bytes::from_owner(Lent { buffer, length, returns: self.returns.clone() })
    }
}

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        &self.buffer[..self.length]
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        // Nobody takes it when the upload has ended.
        let _ = self.returns.send(std::mem::take(&mut self.buffer));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_comes_back_when_its_last_reader_is_done() {
        let pool = Pool::new();
        let mut buffer = pool.take();
        let place = buffer.as_ptr();
        buffer[..3].copy_from_slice(b"abc");
        let lent = pool.lend(buffer, 3);
        let other = lent.slice(1..);
        drop(lent);
        let fresh = pool.take();
        assert_ne!(fresh.as_ptr(), place);
        assert_eq!(&other[..], b"bc");
        drop(other);
        let again = pool.take();
        assert_eq!(again.as_ptr(), place);
    }
}
