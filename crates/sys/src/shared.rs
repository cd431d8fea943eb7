//! Memory shared between processes through a sealed memfd, read and written as atomic words only.

use std::ffi::c_void;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::{io, ptr::NonNull, slice};

use rustix::fs::{MemfdFlags, SealFlags};
use rustix::mm::{MapFlags, ProtFlags};

/// A shared mapping of a memfd whose size can no longer change (F_SEAL_SHRINK and F_SEAL_GROW, so no access can fault).
///
/// Other processes write to it at the same time, hence there is no `&[u8]` into it: words and bytes are atomics.
/// A process that must not trust its peer checks every value it loads.
#[derive(Debug)]
pub struct SharedMemory {
    address: NonNull<c_void>,
    len: usize,
}

// SAFETY: the mapping belongs to this value alone and is only accessed through atomics.
unsafe impl Send for SharedMemory {}
// SAFETY: as above: `&SharedMemory` gives out nothing but atomics.
unsafe impl Sync for SharedMemory {}

impl SharedMemory {
    /// Makes a zeroed memory of `len` bytes, rounded up to whole 8-byte words, and the memfd by which others map it.
    ///
    /// `len` must not be 0 (EINVAL). The memfd is close-on-exec and sealed against any change of size (memfd_create(2)).
    pub fn create(len: usize) -> io::Result<(OwnedFd, Self)> {
        let len = len.checked_next_multiple_of(8).ok_or(io::ErrorKind::InvalidInput)?;
        let fd = rustix::fs::memfd_create("dhow-shared", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
        rustix::fs::ftruncate(&fd, len as u64)?;
        rustix::fs::fcntl_add_seals(&fd, SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL)?;
        let memory = Self::map(fd.as_fd(), len)?;
        Ok((fd, memory))
    }

    /// Maps the first `len` bytes of a memfd made by [`create`](Self::create), possibly by another process.
    ///
    /// A descriptor that could shrink under the mapping (not sealed), or that is shorter than `len`, is EINVAL.
    /// `len` is rounded down to whole 8-byte words.
    pub fn map(fd: BorrowedFd<'_>, len: usize) -> io::Result<Self> {
        let len = len - len % 8;
        let seals = rustix::fs::fcntl_get_seals(fd)?;
        let size = usize::try_from(rustix::fs::fstat(fd)?.st_size).unwrap_or(0);
        if len == 0 || size < len || !seals.contains(SealFlags::SHRINK) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let access = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: a new mapping at an address the kernel chooses; it replaces nothing.
        let address = unsafe { rustix::mm::mmap(std::ptr::null_mut(), len, access, MapFlags::SHARED, fd, 0) }?;
        let address = NonNull::new(address).ok_or(io::ErrorKind::Other)?;
        Ok(Self { address, len })
    }

    /// Length in bytes, a multiple of 8.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Never true: an empty mapping cannot be made.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The whole memory as words in the machine's byte order.
    #[must_use]
    pub fn words(&self) -> &[AtomicU64] {
        // SAFETY: the mapping is page aligned, `len` bytes long, cannot shrink, lives as long as `self`, and all accesses
        // by any process are atomic or race only with other processes' plain stores to memory that holds no invariant.
        unsafe { slice::from_raw_parts(self.address.as_ptr().cast::<AtomicU64>(), self.len / 8) }
    }

    /// The whole memory as bytes. Do not use bytes and words of one place concurrently from several threads.
    #[must_use]
    pub fn bytes(&self) -> &[AtomicU8] {
        // SAFETY: as for `words`; every byte pattern is a valid AtomicU8.
        unsafe { slice::from_raw_parts(self.address.as_ptr().cast::<AtomicU8>(), self.len) }
    }

    /// Copies `from` to `offset` (bytes), byte by byte and relaxed. False when it does not fit: nothing is written then.
    pub fn store_bytes(&self, offset: usize, from: &[u8]) -> bool {
        let Some(area) = offset.checked_add(from.len()).and_then(|end| self.bytes().get(offset..end)) else {
            return false;
        };
        area.iter().zip(from).for_each(|(cell, byte)| cell.store(*byte, Ordering::Relaxed));
        true
    }

    /// Copies `into.len()` bytes from `offset`, relaxed. False when that is outside: `into` is untouched then.
    pub fn load_bytes(&self, offset: usize, into: &mut [u8]) -> bool {
        let Some(area) = offset.checked_add(into.len()).and_then(|end| self.bytes().get(offset..end)) else {
            return false;
        };
        into.iter_mut().zip(area).for_each(|(byte, cell)| *byte = cell.load(Ordering::Relaxed));
        true
    }
}

impl Drop for SharedMemory {
    fn drop(&mut self) {
        // SAFETY: exactly the mapping made in `map`; references into it cannot outlive `self`.
        let _ = unsafe { rustix::mm::munmap(self.address.as_ptr(), self.len) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_mappings_see_the_same_words() {
        let (fd, one) = SharedMemory::create(100).unwrap();
        assert_eq!(one.len(), 104);
        let two = SharedMemory::map(fd.as_fd(), 104).unwrap();
        one.words()[12].store(u64::MAX - 1, Ordering::Release);
        assert_eq!(two.words()[12].load(Ordering::Acquire), u64::MAX - 1);
        assert!(one.store_bytes(3, b"journal"));
        let mut read = [0; 7];
        assert!(two.load_bytes(3, &mut read));
        assert_eq!(&read, b"journal");
    }

    #[test]
    fn access_outside_is_refused() {
        let (_fd, memory) = SharedMemory::create(8).unwrap();
        assert!(!memory.store_bytes(4, b"12345"));
        assert!(!memory.load_bytes(usize::MAX, &mut [0; 2]));
    }

    #[test]
    fn a_file_that_could_shrink_is_refused() {
        let fd = rustix::fs::memfd_create("unsealed", MemfdFlags::ALLOW_SEALING).unwrap();
        rustix::fs::ftruncate(&fd, 4096).unwrap();
        assert!(SharedMemory::map(fd.as_fd(), 4096).is_err());
    }

    #[test]
    fn a_length_beyond_the_file_is_refused() {
        let (fd, _memory) = SharedMemory::create(8).unwrap();
        assert!(SharedMemory::map(fd.as_fd(), 16).is_err());
        assert!(SharedMemory::create(0).is_err());
    }
}
