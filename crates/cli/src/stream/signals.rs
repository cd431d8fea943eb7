//! Signals of this process as messages.

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

/// A signal by the name that the engine knows, and its number.
pub type Signal = (&'static str, i32);

/// What is passed on to a container: all that can be caught and mean something to it.
pub const PROXIED: [Signal; 11] = [
    ("HUP", 1),
    ("INT", 2),
    ("QUIT", 3),
    ("USR1", 10),
    ("USR2", 12),
    ("ALRM", 14),
    ("TERM", 15),
    ("STKFLT", 16),
    ("CONT", 18),
    ("TSTP", 20),
    ("WINCH", 28),
];

/// What ends this program; caught only to leave raw mode first.
pub const ENDING: [Signal; 4] = [("HUP", 1), ("INT", 2), ("QUIT", 3), ("TERM", 15)];

/// The terminal has another size.
pub const RESIZED: [Signal; 1] = [("WINCH", 28)];

/// Catches `wanted` from now on.
pub fn catch(wanted: &'static [Signal]) -> UnboundedReceiver<Signal> {
    let (sender, receiver) = unbounded_channel();
    for caught in wanted {
        let Ok(mut stream) = signal(SignalKind::from_raw(caught.1)) else { continue };
        let sender = sender.clone();
        tokio::spawn(async move {
            while stream.recv().await.is_some() {
                if sender.send(*caught).is_err() {
                    return;
                }
            }
        });
    }
    receiver
}
