//! Why a command failed, in runc's words.

/// A message for people (or for the log, as JSON), and the exit code.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    pub message: String,
    /// 1 for nearly everything; 255 for a failed exec.
    pub code: u8,
}

impl Error {
    pub fn new(message: impl Into<String>) -> Error {
        Error { message: message.into(), code: 1 }
    }

    /// An error with all its causes in one line.
    pub fn of(error: &dyn std::error::Error) -> Error {
        Error::new(words(error))
    }

    /// `what: cause`
    pub fn because(what: impl std::fmt::Display, error: &dyn std::error::Error) -> Error {
        Error::new(format!("{what}: {}", words(error)))
    }

    /// The same with words before it.
    pub fn within(self, what: &str) -> Error {
        Error { message: format!("{what}: {}", self.message), code: self.code }
    }
}

/// An error and its causes, the kernel's part in the words that tools know: `no such file or directory`.
pub fn words(error: &dyn std::error::Error) -> String {
    let text = base::chain(error);
    let errno = text.strip_suffix(')').and_then(|text| text.rsplit_once(" (os error ")?.1.parse().ok());
    let Some(errno) = errno else { return text };
    match text.strip_suffix(&std::io::Error::from_raw_os_error(errno).to_string()) {
        Some(before) => format!("{before}{}", crate::wording::plain(errno)),
        None => text,
    }
}

pub type Result<T, E = Error> = std::result::Result<T, E>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_words_begin_small_and_have_no_number() {
        let missing = std::io::Error::from_raw_os_error(2);
        assert_eq!(Error::because("open x", &missing).message, "open x: no such file or directory");
        assert_eq!(Error::of(&rustix::io::Errno::ACCESS).message, "permission denied");
        assert_eq!(Error::of(&std::io::Error::other("as (it) is")).message, "as (it) is");
    }
}
