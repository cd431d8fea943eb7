//! The memory that a process with many threads keeps for later (mallopt(3), glibc).

/// At most `heaps` heaps for all threads, where there could be eight for each processor; pieces of `large` bytes and more are
/// given back to the kernel when they are freed. Before any thread is started.
pub fn keep_little(heaps: i32, large: i32) {
    for (what, value) in [(libc::M_ARENA_MAX, heaps), (libc::M_MMAP_THRESHOLD, large)] {
        // SAFETY: mallopt takes two numbers; there are no other threads yet, or they only see the new value later.
        unsafe { libc::mallopt(what, value) };
    }
}

/// Gives the kernel back what is free (malloc_trim(3)): after a crowd, pages between what is still used would be kept for ever.
/// Takes milliseconds when there is much.
pub fn give_back() {
    // SAFETY: malloc_trim locks the heaps itself and touches only what is free.
    unsafe { libc::malloc_trim(0) };
}
