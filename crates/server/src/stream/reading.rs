//! Logs read for clients: by a few threads, however many clients follow.

use bytes::BytesMut;
use logs::read::{Entry, Reader};
use std::io;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, mpsc};
use tokio::sync::oneshot;

/// Bytes that are read before they are sent.
const BATCH: usize = 64 << 10;

/// Threads that read. One line wakes everybody who follows a log: with a thread for each, as tokio would make them, a thousand
/// followers made hundreds.
const READERS: usize = 4;

type Job = Box<dyn FnOnce() + Send>;

/// What a batch came to.
#[derive(Debug)]
pub struct Batch {
    pub reader: Reader,
    pub bytes: BytesMut,
    /// There is no more for now.
    pub at_end: bool,
}

/// Reads some more entries, each written by `put`, on a thread that may block.
pub async fn batch<F>(mut reader: Reader, put: F) -> io::Result<Batch>
where
    F: Fn(&Entry, &mut BytesMut) + Send + 'static,
{
    let (told, heard) = oneshot::channel();
    let read = move || -> io::Result<Batch> {
        let mut bytes = BytesMut::new();
        while bytes.len() < BATCH {
            match reader.next()? {
                Some(entry) => put(&entry, &mut bytes),
                None => return Ok(Batch { reader, bytes, at_end: true }),
            }
        }
        Ok(Batch { reader, bytes, at_end: false })
    };
    // Who asked may have gone.
    let job = Box::new(move || drop(told.send(read())));
    readers().lock().unwrap_or_else(PoisonError::into_inner).send(job).map_err(|_| nobody())?;
    heard.await.map_err(|_| nobody())?
}

fn nobody() -> io::Error {
    io::Error::other("no thread reads logs")
}

/// Where jobs go; the threads start with the first one and stay.
fn readers() -> &'static Mutex<mpsc::Sender<Job>> {
    static JOBS: OnceLock<Mutex<mpsc::Sender<Job>>> = OnceLock::new();
    JOBS.get_or_init(|| {
        let (send, receive) = mpsc::channel::<Job>();
        let receive = Arc::new(Mutex::new(receive));
        for _ in 0..READERS {
            let jobs = receive.clone();
            let thread = std::thread::Builder::new().name("log-reader".into()).stack_size(512 << 10);
            if let Err(e) = thread.spawn(move || work(&jobs)) {
                tracing::warn!("cannot start a thread that reads logs: {e}");
            }
        }
        Mutex::new(send)
    })
}

fn work(jobs: &Mutex<mpsc::Receiver<Job>>) {
    loop {
        let job = jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
        match job {
            Ok(job) => job(),
            Err(mpsc::RecvError) => return,
        }
    }
}
