//! Descriptors of the caller that the program gets as 3, 4, ...: socket activation, then `--preserve-fds`.

use crate::error::{Error, Result};
use crate::wording::io_text;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// The first one, sd_listen_fds(3).
const FIRST: usize = 3;

/// Copies of them. Made before this process opens anything itself, which could take the number of one that is missing.
#[derive(Debug, Default)]
pub struct Passed {
    listening: usize,
    fds: Vec<OwnedFd>,
}

/// What a service manager said about the sockets it opened, sd_listen_fds(3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// Look into the environment.
    Heed,
    /// They are for another process.
    Ignore,
}

impl Passed {
    pub fn collect(activation: Activation, preserved: usize) -> Result<Passed> {
        let listening = if activation == Activation::Heed { listening() } else { 0 };
        let number = |index: usize| i32::try_from(FIRST.saturating_add(index)).unwrap_or(i32::MAX);
        let beyond = number(listening.saturating_add(preserved));
        let mut fds = Vec::new();
        for index in 0..listening.saturating_add(preserved) {
            let number = number(index);
            let fd = sys::process::inherited(number, beyond).map_err(|e| match index.checked_sub(listening) {
                Some(index) => {
                    Error::new(format!("unable to stat preserved-fd {index} (of {preserved}): {}", io_text(&e)))
                }
                None => Error::new(format!("cannot pass descriptor {number} of LISTEN_FDS={listening}: {e}")),
            })?;
            fds.push(fd);
        }
        Ok(Passed { listening, fds })
    }

    pub fn fds(&self) -> Vec<BorrowedFd<'_>> {
        self.fds.iter().map(AsFd::as_fd).collect()
    }

    /// What the program is told, if it gets sockets: it is process 1.
    pub fn environment(&self) -> Vec<String> {
        if self.listening == 0 {
            return Vec::new();
        }
        vec![format!("LISTEN_FDS={}", self.listening), "LISTEN_PID=1".to_owned()]
    }
}

fn listening() -> usize {
    let number = |name: &str| std::env::var(name).ok()?.parse::<u32>().ok();
    match number("LISTEN_PID") {
        Some(pid) if pid == std::process::id() => {
            number("LISTEN_FDS").map_or(0, |count| usize::try_from(count).unwrap_or(usize::MAX))
        }
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_descriptor_that_is_not_open_is_named() {
        let message = Passed::collect(Activation::Ignore, 100_000).unwrap_err().message;
        assert!(message.starts_with("unable to stat preserved-fd "), "{message}");
        assert!(message.contains("(of 100000): "), "{message}");
    }

    #[test]
    fn without_sockets_the_program_is_told_nothing() {
        let none = Passed::collect(Activation::Heed, 0).unwrap();
        assert!(none.fds().is_empty() && none.environment().is_empty());
        let some = Passed { listening: 2, fds: Vec::new() };
        assert_eq!(some.environment(), ["LISTEN_FDS=2", "LISTEN_PID=1"]);
    }
}
