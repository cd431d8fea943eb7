//! Where a container's output goes: log drivers, their options, and what is sent elsewhere.
//!
//! Every log but that of `none` is a file first, written by the pump. For a driver that sends (`journald`, `syslog`, ...) the
//! file is a cache, as Docker's dual logging has it, and the queue of what is still to be sent: nothing is lost while the far
//! end or this engine is away, and a slow far end never slows a container.

mod compressor;
mod courier;
mod fluentd;
mod gelf;
mod journald;
mod link;
mod options;
mod partial;
mod sending;
mod sent;
mod size;
mod syslog;
mod tag;
mod target;

pub(crate) use compressor::Compressor;
pub(crate) use courier::{Courier, Tasks};
pub use options::check;

/// The driver of containers that name none.
pub const DEFAULT_DRIVER: &str = "json-file";

/// The driver without a log.
pub const NONE: &str = "none";

/// A driver whose log is sent somewhere; the file here is its cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Remote {
    Journald,
    Syslog,
    Gelf,
    Fluentd,
}

impl Remote {
    /// By the driver's name.
    pub(crate) fn of(driver: &str) -> Option<Remote> {
        match driver {
            "journald" => Some(Remote::Journald),
            "syslog" => Some(Remote::Syslog),
            "gelf" => Some(Remote::Gelf),
            "fluentd" => Some(Remote::Fluentd),
            _ => None,
        }
    }
}

/// The drivers there are, in order.
pub const DRIVERS: [&str; 7] = ["fluentd", "gelf", "journald", "json-file", "local", "none", "syslog"];

/// Whether a log can be read back here: `none` has none, and a driver that sends may go without its cache.
pub(crate) fn can_be_read(log: &container::LogConfig) -> bool {
    let disabled = log.options.get("cache-disabled").is_some_and(|text| size::switch(text) == Ok(true));
    log.driver != NONE && !(disabled && Remote::of(&log.driver).is_some())
}

/// RFC 3339 with as many digits as needed.
fn nano_time(at: i64) -> String {
    jiff::Timestamp::from_nanosecond(i128::from(at)).map(|time| time.to_string()).unwrap_or_default()
}
