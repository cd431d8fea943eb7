//! A board on a terminal: drawn in place, gone when it is dropped.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use rustix::stdio::{stderr, stdout};
use rustix::termios::{isatty, tcgetwinsize};

use super::board::{Board, Space};
use super::{Detail, To, Upload};

/// Less time between two drawings than this nobody sees.
const SHORTEST: Duration = Duration::from_millis(50);

/// A board on a terminal.
#[derive(Debug)]
pub struct View {
    to: To,
    bar: ProgressBar,
    board: Board,
    drawn: Option<Instant>,
}

impl View {
    /// A view there, if there is a terminal.
    pub fn on(to: To) -> Option<View> {
        let (terminal, target) = match to {
            To::Stdout => (isatty(stdout()), ProgressDrawTarget::stdout()),
            To::Stderr => (isatty(stderr()), ProgressDrawTarget::stderr()),
            To::Nowhere => return None,
        };
        let style = ProgressStyle::with_template("{msg}").ok()?;
        let bar = ProgressBar::with_draw_target(None, target).with_style(style);
        terminal.then(|| View { to, bar, board: Board::new(Instant::now()), drawn: None })
    }

    pub fn with_upload(mut self, upload: Upload) -> View {
        self.board.upload = Some(upload);
        self
    }

    /// Whether a message about `id` belongs on the board: it has a line already, or is about bytes.
    pub fn takes(&self, id: &str, about_bytes: bool) -> bool {
        about_bytes || self.board.has(id)
    }

    pub fn update(&mut self, id: &str, status: &str, detail: Detail) {
        self.board.update(id, status, detail, Instant::now());
        if self.drawn.is_none_or(|drawn| drawn.elapsed() >= SHORTEST) {
            self.draw();
        }
    }

    pub fn draw(&mut self) {
        let lines = self.board.lines(self.space(), Instant::now());
        self.drawn = Some(Instant::now());
        self.bar.set_message(lines.join("\n"));
        self.bar.tick();
    }

    /// Writes something above the board.
    pub fn aside<T>(&self, write: impl FnOnce() -> T) -> T {
        self.bar.suspend(write)
    }

    /// Takes the board off the terminal and leaves its last line there.
    pub fn finish(self) {
        self.bar.finish_and_clear();
        if let Some(line) = self.board.result(Instant::now()) {
            let line = format!("{line}\n");
            // What the command brought is more than what it looked like: a terminal that is gone is no failure.
            let _ = match self.to {
                To::Stdout => super::super::write_all(stdout(), line.as_bytes()),
                _ => super::super::write_all(stderr(), line.as_bytes()),
            };
        }
    }

    fn space(&self) -> Space {
        let size = match self.to {
            To::Stdout => tcgetwinsize(stdout()),
            _ => tcgetwinsize(stderr()),
        };
        match size {
            Ok(size) if size.ws_col > 0 && size.ws_row > 0 => {
                Space { columns: usize::from(size.ws_col), rows: usize::from(size.ws_row) }
            }
            _ => Space { columns: 80, rows: 24 },
        }
    }
}

impl Drop for View {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
