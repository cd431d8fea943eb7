//! The memory that a process with many threads keeps for later (mallopt(3), glibc).

/// At most `heaps` heaps for all threads, where there could be eight for each processor; pieces of `large` bytes and more are
/// given back to the kernel when they are freed. Before any thread is started.
pub fn keep_little(heaps: i32, large: i32) {
    for (what, value) in [(libc::M_ARENA_MAX, heaps), (libc::M_MMAP_THRESHOLD, large)] {
        // SAFETY: mallopt takes two numbers; there are no other threads yet, or they only see the new value later.
        unsafe { libc::mallopt(what, value) };
    }
}
