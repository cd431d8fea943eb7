//! The terminal: its size, and raw mode that is left on every way out.

use std::sync::{Mutex, Once, PoisonError};

use rustix::stdio::{stdin, stdout};
use rustix::termios::{OptionalActions, Termios, isatty, tcgetattr, tcgetwinsize, tcsetattr};

/// How the terminal was before raw mode or a hidden question.
static BEFORE: Mutex<Option<Termios>> = Mutex::new(None);

/// Raw mode, until dropped.
#[derive(Debug)]
pub struct Raw(());

impl Raw {
    /// Puts the terminal of stdin into raw mode; `None` if stdin is no terminal.
    ///
    /// # Errors
    /// What tcsetattr(3) says.
    pub fn enter() -> std::io::Result<Option<Raw>> {
        if !isatty(stdin()) {
            return Ok(None);
        }
        static HOOK: Once = Once::new();
        HOOK.call_once(|| {
            let inner = std::panic::take_hook();
            std::panic::set_hook(Box::new(move |panic| {
                restore();
                inner(panic);
            }));
        });
        let before = tcgetattr(stdin())?;
        let mut raw = before.clone();
        raw.make_raw();
        remember(before);
        tcsetattr(stdin(), OptionalActions::Now, &raw)?;
        Ok(Some(Raw(())))
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        restore();
    }
}

/// Keeps how the terminal was, for [`restore`].
pub fn remember(before: Termios) {
    *BEFORE.lock().unwrap_or_else(PoisonError::into_inner) = Some(before);
}

/// Leaves raw mode, if it was entered.
pub fn restore() {
    let before = BEFORE.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some(before) = before {
        let _ = tcsetattr(stdin(), OptionalActions::Now, &before);
    }
}

/// Whether stdin is a terminal.
pub fn stdin_is_terminal() -> bool {
    isatty(stdin())
}

/// Rows and columns of stdout's terminal; `None` if it is none or has no size.
pub fn size() -> Option<(u16, u16)> {
    let size = tcgetwinsize(stdout()).ok()?;
    (size.ws_row > 0 && size.ws_col > 0).then_some((size.ws_row, size.ws_col))
}
