//! What numbers of `linux.resources` mean, whatever the version of cgroups.

use crate::Error;
use oci::runtime::{BlockIo, Cpu, HugepageLimit, Memory, Rdma, Resources};
use std::fmt::Write as _;

/// Zero is "not asked for" almost everywhere (runtime-spec's Go types have no other way to leave a number out).
pub(crate) fn amount<T: Default + PartialEq>(value: Option<T>) -> Option<T> {
    value.filter(|value| *value != T::default())
}

/// For `pids.max`. systemd has no limit of zero, so 0 is 1, as with runc: there is no difference, the first process counts.
pub(crate) fn most_pids(limit: i64) -> String {
    if limit < 0 { "max".to_owned() } else { limit.max(1).to_string() }
}

/// `memory.swappiness`; the largest number is -1 in a field without a sign, which is "as it is".
pub(crate) fn swappiness(memory: &Memory) -> Result<Option<u64>, Error> {
    match memory.swappiness {
        None | Some(u64::MAX) => Ok(None),
        Some(value @ 0..=100) => Ok(Some(value)),
        Some(value) => Err(Error::Invalid(format!("invalid memory swappiness value: {value} (valid range is 0-100)"))),
    }
}

/// The page size as the kernel's file names have it: `64KB`, `2MB`, `1GB`.
pub(crate) fn page_size(limit: &HugepageLimit) -> Result<&str, Error> {
    let size = limit.page_size.as_str();
    let digits = ["KB", "MB", "GB"].iter().find_map(|unit| size.strip_suffix(unit));
    let fine = |digits: &str| !digits.starts_with('0') && digits.parse::<u32>().is_ok();
    match digits.is_some_and(fine) {
        true => Ok(size),
        false => Err(Error::Invalid(format!("{size:?} is no size of huge pages, write it as in \"2MB\""))),
    }
}

/// A line for `rdma.max` (cgroup-v1/rdma.rst).
pub(crate) fn rdma(device: &str, limits: &Rdma) -> Result<String, Error> {
    if device.is_empty() || device.contains(char::is_whitespace) {
        return Err(Error::Invalid(format!("{device:?} is no RDMA device")));
    }
    let mut line = device.to_owned();
    for (key, value) in [("hca_handle", limits.hca_handles), ("hca_object", limits.hca_objects)] {
        if let Some(value) = value {
            let _ = write!(line, " {key}={value}");
        }
    }
    Ok(line)
}

/// For a file that not every kernel has.
pub(crate) fn optional(done: Result<(), Error>) -> Result<(), Error> {
    match done {
        Err(Error::Unsupported(_)) => Ok(()),
        done => done,
    }
}

/// The first thing that is asked for, in words; device rules do not count.
pub(crate) fn asked(resources: &Resources) -> Option<&'static str> {
    let cpu = resources.cpu.as_ref().filter(|cpu| **cpu != Cpu::default());
    let asked = [
        (resources.memory.as_ref().is_some_and(|memory| *memory != Memory::default()), "memory"),
        (cpu.is_some(), "CPU"),
        (resources.pids.is_some(), "processes"),
        (resources.block_io.as_ref().is_some_and(|io| *io != BlockIo::default()), "block I/O"),
        (!resources.hugepage_limits.is_empty(), "huge pages"),
        (resources.network.is_some(), "network"),
        (!resources.rdma.is_empty(), "RDMA"),
        (!resources.unified.is_empty(), "unified resources"),
    ];
    asked.into_iter().find_map(|(is, word)| is.then_some(word))
}

#[cfg(test)]
mod tests {
    use super::*;
    use oci::runtime::Pids;

    #[test]
    fn no_processes_is_one_and_a_negative_number_no_limit() {
        assert_eq!([-1, 0, 1, 7].map(most_pids), ["max", "1", "1", "7"]);
    }

    #[test]
    fn page_sizes_are_words_of_the_kernel_and_nothing_else() {
        let size = |text: &str| page_size(&HugepageLimit { page_size: text.to_owned(), limit: 1 }).is_ok();
        assert!(["2MB", "1GB", "64KB"].into_iter().all(size));
        assert!(!["", "MB", "02MB", "2M", "../2MB", "2MB/x", "-2MB", "2.5MB"].into_iter().any(size));
    }

    #[test]
    fn a_line_for_rdma_has_what_is_asked_for() {
        let limits = |handles, objects| Rdma { hca_handles: handles, hca_objects: objects };
        assert_eq!(rdma("mlx5_0", &limits(Some(2), Some(3))).unwrap(), "mlx5_0 hca_handle=2 hca_object=3");
        assert_eq!(rdma("mlx5_0", &limits(None, Some(3))).unwrap(), "mlx5_0 hca_object=3");
        assert!(rdma("a b", &limits(None, None)).is_err());
    }

    #[test]
    fn a_swappiness_has_bounds() {
        let of = |value| swappiness(&Memory { swappiness: Some(value), ..Memory::default() });
        assert_eq!((of(0).unwrap(), of(100).unwrap(), of(u64::MAX).unwrap()), (Some(0), Some(100), None));
        assert!(of(101).is_err());
    }

    #[test]
    fn what_is_asked_for_is_told_by_name() {
        assert_eq!(asked(&Resources { memory: Some(Memory::default()), ..Resources::default() }), None);
        assert_eq!(asked(&Resources { pids: Some(Pids { limit: 1 }), ..Resources::default() }), Some("processes"));
    }
}
