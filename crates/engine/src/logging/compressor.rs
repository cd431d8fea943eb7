//! Makes the full files of logs small, one after the other, on a thread that is there while there is work.

use crate::streams::lock;
use logs::Target;
use std::sync::{Arc, Mutex};

/// Logs that may have full files.
#[derive(Debug, Default)]
pub(crate) struct Compressor(Arc<Mutex<Work>>);

#[derive(Debug, Default)]
struct Work {
    waiting: Vec<Target>,
    busy: bool,
}

impl Compressor {
    /// Has the full files of a log compressed; returns at once.
    pub(crate) fn send(&self, target: Target) {
        if !target.compress {
            return;
        }
        let mut work = lock(&self.0);
        if work.waiting.iter().all(|waiting| waiting.path != target.path) {
            work.waiting.push(target);
        }
        if !work.busy {
            work.busy = self.start();
        }
    }

    /// Without a thread they wait for the next time.
    fn start(&self) -> bool {
        let work = self.0.clone();
        let thread = std::thread::Builder::new().name("compressor".into()).stack_size(512 << 10);
        thread.spawn(move || run(&work)).inspect_err(|e| tracing::warn!("cannot start a thread: {e}")).is_ok()
    }
}

fn run(work: &Mutex<Work>) {
    loop {
        let mut now = lock(work);
        let Some(target) = now.waiting.pop() else {
            now.busy = false;
            return;
        };
        drop(now);
        match logs::compress(&target) {
            // Its container was removed meanwhile.
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
            Err(e) => tracing::warn!("cannot compress {}: {e}", target.path.display()),
            Ok(()) => {}
        }
    }
}
