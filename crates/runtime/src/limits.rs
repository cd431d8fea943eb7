//! Resource limits: raised by whom the host allows it, set by the process itself.

use crate::failure::at;
use crate::{Failure, Step};
use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit, setrlimit};

/// Raises the hard limits of `pid` (`None`: this process) where a wanted one is above the present.
///
/// Only CAP_SYS_RESOURCE of the host can do that, which a process in its own user namespace never has (getrlimit(2)).
/// Nothing is lowered: the process still has work to do.
pub(crate) fn raise(pid: Option<i32>, wanted: &[(u32, u64, u64)]) -> Result<(), Failure> {
    for (number, _, hard) in wanted {
        let (name, resource) = find(*number)?;
        let now = getrlimit(resource);
        if now.maximum.is_some_and(|maximum| *hard > maximum) {
            let limit = Rlimit { current: now.current, maximum: bounded(*hard) };
            prlimit(pid.and_then(Pid::from_raw), resource, limit).map_err(at(Step::Rlimit, name))?;
        }
    }
    Ok(())
}

/// Sets the limits of this process.
pub(crate) fn set(wanted: &[(u32, u64, u64)]) -> Result<(), Failure> {
    for (number, soft, hard) in wanted {
        let (name, resource) = find(*number)?;
        let limit = Rlimit { current: bounded(*soft), maximum: bounded(*hard) };
        setrlimit(resource, limit).map_err(at(Step::Rlimit, name))?;
    }
    Ok(())
}

/// RLIM_INFINITY is all ones.
fn bounded(limit: u64) -> Option<u64> {
    (limit != u64::MAX).then_some(limit)
}

fn find(number: u32) -> Result<(&'static str, Resource), Failure> {
    let found = TABLE.iter().find(|(_, resource)| *resource as u32 == number);
    found.copied().ok_or_else(|| Failure::new(Step::Rlimit, rustix::io::Errno::INVAL, number.to_string()))
}

/// The number of a limit by its name, with or without `RLIMIT_`, in any case.
pub(crate) fn number(name: &str) -> Option<u32> {
    let upper = name.to_ascii_uppercase();
    let short = upper.strip_prefix("RLIMIT_").unwrap_or(&upper);
    TABLE.iter().find(|(known, _)| known.strip_prefix("RLIMIT_") == Some(short)).map(|(_, resource)| *resource as u32)
}

const TABLE: [(&str, Resource); 16] = [
    ("RLIMIT_CPU", Resource::Cpu),
    ("RLIMIT_FSIZE", Resource::Fsize),
    ("RLIMIT_DATA", Resource::Data),
    ("RLIMIT_STACK", Resource::Stack),
    ("RLIMIT_CORE", Resource::Core),
    ("RLIMIT_RSS", Resource::Rss),
    ("RLIMIT_NPROC", Resource::Nproc),
    ("RLIMIT_NOFILE", Resource::Nofile),
    ("RLIMIT_MEMLOCK", Resource::Memlock),
    ("RLIMIT_AS", Resource::As),
    ("RLIMIT_LOCKS", Resource::Locks),
    ("RLIMIT_SIGPENDING", Resource::Sigpending),
    ("RLIMIT_MSGQUEUE", Resource::Msgqueue),
    ("RLIMIT_NICE", Resource::Nice),
    ("RLIMIT_RTPRIO", Resource::Rtprio),
    ("RLIMIT_RTTIME", Resource::Rttime),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_found_by_name() {
        assert_eq!(number("RLIMIT_NOFILE"), Some(7));
        assert_eq!(number("nofile"), Some(7));
        assert_eq!(number("RLIMIT_RTTIME"), Some(15));
        assert_eq!(number("RLIMIT_BEER"), None);
    }
}
