//! Answers of `GET /containers/{id}/json` as text, kept: who watches containers asks for the same ones again and again.

use base::Id;
use bytes::Bytes;
use engine::{Listed, Mark};
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Bytes of all answers that are kept: those of about two thousand containers. With more, all are forgotten.
const MOST_BYTES: usize = 8 << 20;

/// The answers that were given lately.
#[derive(Debug, Default)]
pub struct Kept(Mutex<Texts>);

#[derive(Debug, Default)]
struct Texts {
    by_container: HashMap<Id, (Mark, Bytes)>,
    bytes: usize,
}

impl Kept {
    /// The answer as it still holds.
    pub fn get(&self, of: &Listed) -> Option<Bytes> {
        let texts = self.lock();
        let (mark, text) = texts.by_container.get(&of.id())?;
        // Execs come and go without a mark.
        (*mark == of.mark() && !of.has_execs()).then(|| text.clone())
    }

    /// Keeps an answer without execs that was made after `of` was found.
    pub fn put(&self, of: &Listed, text: &Bytes) {
        if of.depends_on_another() {
            return;
        }
        let mut texts = self.lock();
        if texts.bytes + text.len() > MOST_BYTES {
            *texts = Texts::default();
        }
        let before = texts.by_container.insert(of.id(), (of.mark(), text.clone()));
        texts.bytes = texts.bytes + text.len() - before.map_or(0, |(_, text)| text.len());
    }

    fn lock(&self) -> MutexGuard<'_, Texts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
