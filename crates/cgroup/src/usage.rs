//! What a group used: numbers out of the kernel's files.

/// What a group used. Times in nanoseconds, memory in bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Usage {
    pub cpu_total: u64,
    pub cpu_user: u64,
    pub cpu_system: u64,
    /// With the page cache it filled.
    pub memory: u64,
    /// The part of `memory` that is page cache nobody looked at lately; `docker stats` subtracts it.
    pub memory_inactive_file: u64,
    /// `None` is no limit.
    pub memory_limit: Option<u64>,
    pub pids: u64,
    pub oom_kills: u64,
}

/// The number in a file that holds one, 0 otherwise.
pub(crate) fn number(text: Option<String>) -> u64 {
    text.and_then(|text| text.trim().parse().ok()).unwrap_or(0)
}

/// The number beside a word in a file of `word number` lines.
pub(crate) fn field(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_by_their_whole_name() {
        let text = "inactive_file_x 1\ninactive_file 4096\noom_kill 3\n";
        assert_eq!(field(text, "inactive_file"), Some(4096));
        assert_eq!(field(text, "oom"), None);
        assert_eq!(number(Some("max\n".to_owned())), 0);
        assert_eq!(number(Some("12\n".to_owned())), 12);
    }
}
