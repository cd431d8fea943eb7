//! The content of files: written by the thread that reads the archive, or aside by a second one.
//!
//! Writing is most of the work, and one file of megabytes after the other would leave the machine's other cores idle. So a
//! second thread takes large files as long as it keeps up; what it has no room for, the first one writes itself.

use super::{attributes, failed, holes};
use crate::{Entry, Error};
use std::fs::File;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread::{Builder, Scope, ScopedJoinHandle};

/// Bytes of a file that is worth the way to another thread.
const LARGE: u64 = 32 * 1024;
/// Bytes on that way at most when a file sets out.
const ROOM: u64 = 2 * 1024 * 1024;
/// Messages on that way at most.
const DEPTH: usize = 64;

/// A file whose content comes piece by piece.
pub struct Filling {
    file: File,
    entry: Entry,
    at: u64,
    /// Where what was written ends: behind it all is zeros.
    end: u64,
}

impl Filling {
    pub fn new(file: File, entry: Entry) -> Filling {
        Filling { file, entry, at: 0, end: 0 }
    }

    /// Long runs of zeros become holes: a file that was sparse is sparse again, and a bomb of zeros takes no room.
    pub fn piece(&mut self, piece: &[u8]) -> Result<(), Error> {
        for range in holes::data(piece, self.at) {
            let written = self.file.write_all_at(&piece[range.clone()], self.at + range.start as u64);
            written.map_err(|e| failed(&self.entry.path, e))?;
            self.end = self.at + range.end as u64;
        }
        self.at += piece.len() as u64;
        Ok(())
    }

    pub fn finish(self) -> Result<(), Error> {
        let sized = if self.end < self.at { self.file.set_len(self.at) } else { Ok(()) };
        let done = sized.and_then(|()| attributes::on_file(self.file.as_fd(), &self.entry));
        done.map_err(|e| failed(&self.entry.path, e))
    }
}

enum Job {
    Begin(Box<Filling>),
    Piece(Vec<u8>),
    End,
}

/// The second thread, as the first one sees it.
pub struct Aside<'scope> {
    jobs: SyncSender<Job>,
    spare: Receiver<Vec<u8>>,
    on_the_way: Arc<AtomicU64>,
    thread: ScopedJoinHandle<'scope, Result<(), Error>>,
}

/// The second thread has failed; its own error says how.
pub struct Gone;

impl<'scope> Aside<'scope> {
    /// `None`: there is no second thread to be had.
    pub fn start<'env>(scope: &'scope Scope<'scope, 'env>) -> Option<Aside<'scope>> {
        let (jobs, jobs_end) = sync_channel(DEPTH);
        let (spare, spare_end) = channel();
        let on_the_way = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&on_the_way);
        let thread = Builder::new().spawn_scoped(scope, move || work(&jobs_end, &spare, &counter)).ok()?;
        Some(Aside { jobs, spare: spare_end, on_the_way, thread })
    }

    /// Whether a file of so many bytes should go aside.
    pub fn takes(&self, size: u64) -> bool {
        is_large(size) && self.on_the_way.load(Ordering::Relaxed) < ROOM
    }

    pub fn begin(&self, filling: Filling) -> Result<(), Gone> {
        self.send(Job::Begin(Box::new(filling)))
    }

    pub fn piece(&self, piece: &[u8]) -> Result<(), Gone> {
        let mut bytes = self.spare.try_recv().unwrap_or_default();
        bytes.clear();
        bytes.extend_from_slice(piece);
        self.on_the_way.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        self.send(Job::Piece(bytes))
    }

    pub fn end(&self) -> Result<(), Gone> {
        self.send(Job::End)
    }

    /// Waits until all is written.
    pub fn join(self) -> Result<(), Error> {
        drop(self.jobs);
        self.thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }

    fn send(&self, job: Job) -> Result<(), Gone> {
        self.jobs.send(job).map_err(|_| Gone)
    }
}

/// Whether a file is worth the way.
pub fn is_large(size: u64) -> bool {
    size >= LARGE
}

fn work(jobs: &Receiver<Job>, spare: &Sender<Vec<u8>>, on_the_way: &AtomicU64) -> Result<(), Error> {
    let mut current: Option<Box<Filling>> = None;
    for job in jobs {
        match (job, &mut current) {
            (Job::Begin(filling), _) => current = Some(filling),
            (Job::Piece(bytes), Some(filling)) => {
                filling.piece(&bytes)?;
                on_the_way.fetch_sub(bytes.len() as u64, Ordering::Relaxed);
                let _ = spare.send(bytes);
            }
            (Job::End, Some(_)) => current.take().map_or(Ok(()), |filling| filling.finish())?,
            (Job::Piece(_) | Job::End, None) => {}
        }
    }
    Ok(())
}
