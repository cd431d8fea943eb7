//! The same scenario on dockerd and on dhow, through the same docker command: the answers must be equal.
//!
//! Each engine runs on temporary roots in a network and a mount namespace of its own. What must differ (ids, times, addresses,
//! pids) is replaced by its name before the comparison; the few other differences stand in [`accepted`], each with its reason.
//! The yardstick is Docker 28.5; an older dockerd may be the one at hand, so some of the accepted differences are of old ones only.
#![forbid(unsafe_code)]

pub mod accepted;
mod case;
mod dockerd;
mod neutral;
mod scenario;

pub use case::{Again, Case, End, Language, cases};
pub use dockerd::{Dockerd, REGISTRY_PORT};
pub use neutral::neutral;
pub use scenario::{Answer, Scenario, Seat, scenarios};
