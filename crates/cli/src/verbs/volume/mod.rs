//! `volume`: volumes are made, listed, renamed, copied and removed.

mod list;
mod make;
mod prune;
mod remove;

pub use list::List;
pub use make::{Clone, Create, Rename};
pub use prune::Prune;
pub use remove::Remove;
