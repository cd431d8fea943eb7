//! A blob that is read while it arrives.

use crate::fault::{Code, Fault};
use http::StatusCode;
use std::fs::File;
use std::io;
use std::sync::OnceLock;
use tokio::sync::watch;

/// One blob on its way in, for any number of readers.
#[derive(Debug)]
pub struct Growing {
    pub file: File,
    /// Bytes of the whole.
    pub size: u64,
    progress: watch::Sender<Progress>,
    failure: OnceLock<(Code, StatusCode, String)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Progress {
    /// The upstream registry has not answered yet.
    Asking,
    /// Bytes on disk, not yet verified.
    Arriving(u64),
    Verified,
    Failed,
}

impl Growing {
    pub fn new(file: File, size: u64) -> Growing {
        Growing { file, size, progress: watch::Sender::new(Progress::Asking), failure: OnceLock::new() }
    }

    pub fn advance(&self, bytes: u64) {
        self.progress.send_replace(Progress::Arriving(bytes));
    }

    /// The first end counts.
    pub fn end(&self, outcome: &Result<(), Fault>) {
        let end = if outcome.is_ok() { Progress::Verified } else { Progress::Failed };
        self.progress.send_if_modified(|progress| {
            if matches!(progress, Progress::Verified | Progress::Failed) {
                return false;
            }
            if let Err(fault) = outcome {
                let _ = self.failure.set((fault.code, fault.status, fault.message.clone()));
            }
            *progress = end;
            true
        });
    }

    /// Waits until the upstream registry has answered.
    pub async fn started(&self) -> Result<(), Fault> {
        let mut seen = self.progress.subscribe();
        // The sender is in `self`, so waiting ends by a value.
        let _ = seen.wait_for(|progress| *progress != Progress::Asking).await;
        match self.failure.get() {
            Some((code, status, message)) => Err(Fault::new(*code, message.clone()).with_status(*status)),
            None => Ok(()),
        }
    }

    /// Waits for bytes after `offset` and tells up to where there are some.
    ///
    /// The last byte is held back until the whole is verified: nobody gets a damaged blob that looks complete.
    pub async fn available(&self, offset: u64) -> io::Result<u64> {
        let size = self.size;
        let readable = |progress: &Progress| match progress {
            Progress::Arriving(bytes) => (*bytes).min(size.saturating_sub(1)),
            Progress::Verified => size,
            Progress::Asking | Progress::Failed => 0,
        };
        let mut seen = self.progress.subscribe();
        let ready = |progress: &Progress| *progress == Progress::Failed || readable(progress) > offset;
        let progress = seen.wait_for(ready).await.map_err(io::Error::other)?;
        match *progress {
            Progress::Failed => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the upstream registry broke off")),
            _ => Ok(readable(&progress)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn growing() -> Growing {
        Growing::new(tempfile::tempfile().unwrap(), 10)
    }

    #[tokio::test]
    async fn the_last_byte_waits_for_the_digest() {
        let blob = growing();
        blob.advance(10);
        assert_eq!(blob.available(0).await.unwrap(), 9);
        blob.end(&Ok(()));
        assert_eq!(blob.available(9).await.unwrap(), 10);
    }

    #[tokio::test]
    async fn a_failure_reaches_who_waits() {
        let blob = growing();
        blob.advance(4);
        blob.end(&Err(Fault::new(Code::Unknown, String::new())));
        assert!(blob.available(0).await.is_err());
    }
}
