//! The way back of a change that can fail half-way.

/// A stack of steps back. Dropped before [`Undo::keep`] is called, it takes them, the latest first.
///
/// A change is a list of steps; each step that succeeded pushes what takes it back:
/// nobody writes clean-up in error branches by hand.
#[derive(Default)]
#[must_use = "an undo stack that is dropped undoes at once"]
pub struct Undo<'a> {
    steps: Vec<Box<dyn FnOnce() + Send + 'a>>,
}

impl<'a> Undo<'a> {
    /// An empty stack.
    pub fn new() -> Undo<'a> {
        Undo { steps: Vec::new() }
    }

    /// Adds the step back of what has just been done.
    pub fn push(&mut self, step: impl FnOnce() + Send + 'a) {
        self.steps.push(Box::new(step));
    }

    /// The whole change succeeded: nothing is taken back.
    pub fn keep(mut self) {
        self.steps.clear();
    }
}

impl Drop for Undo<'_> {
    fn drop(&mut self) {
        while let Some(step) = self.steps.pop() {
            step();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    #[test]
    fn a_failed_change_is_taken_back_latest_step_first() {
        let seen = Mutex::new(Vec::new());
        let mut undo = Undo::new();
        undo.push(|| seen.lock().unwrap().push(1));
        undo.push(|| seen.lock().unwrap().push(2));
        drop(undo);
        assert_eq!(*seen.lock().unwrap(), [2, 1]);
    }

    #[test]
    fn a_kept_change_stays() {
        let seen = Mutex::new(Vec::new());
        let mut undo = Undo::new();
        undo.push(|| seen.lock().unwrap().push(1));
        undo.keep();
        assert!(seen.lock().unwrap().is_empty());
    }
}
