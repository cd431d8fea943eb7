//! Who decides what a container may ask for outside, and hears of the answers before the container does.

use std::fmt::Debug;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

/// A policy about names and the addresses they lead to.
pub trait Gate: Debug + Send + Sync {
    /// Whether this name (in lower case, without its last dot) may be asked for outside. A name that may not does not exist for the
    /// container.
    fn admits(&self, name: &str) -> bool;

    /// Whether it may be asked outside whose address this is.
    fn admits_address(&self, address: IpAddr) -> bool;

    /// An answer: what of it may be told. The container learns of it when this has returned; it may block.
    fn opens(&self, name: &str, found: &[(IpAddr, Duration)]) -> Vec<IpAddr>;

    /// How long answers may be said to hold, at most.
    fn longest(&self) -> Duration;
}

/// A gate as a part of a view: the same only if it is the very one.
#[derive(Debug, Clone)]
pub struct Gatekeeper(pub Arc<dyn Gate>);

impl PartialEq for Gatekeeper {
    fn eq(&self, other: &Gatekeeper) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Gatekeeper {}
