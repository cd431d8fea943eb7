//! The standard streams of a container here: copied in both directions, with the terminal in raw mode if it has one.

pub mod detach;
pub mod foreground;
pub mod frames;
pub mod prompt;
pub mod signals;
pub mod terminal;
