//! Limits of block I/O on v2 (cgroup-v2.rst, "IO"; block/bfq-iosched.rst).

use crate::folder::Folder;
use crate::{Error, Strictness};
use oci::runtime::BlockIo;
use rustix::io::Errno;

pub(super) fn set(folder: &Folder, name: &str, io: &BlockIo, strictness: Strictness) -> Result<(), Error> {
    let devices = &io.weight_device;
    if io.leaf_weight.unwrap_or(0) != 0 || devices.iter().any(|device| device.leaf_weight.unwrap_or(0) != 0) {
        return Err(Error::Unsupported("leaf weights of block I/O (v2)".to_owned()));
    }
    if let Some(weight) = io.weight.filter(|weight| *weight != 0) {
        set_weight(folder, name, "", weight, strictness)?;
    }
    for device in devices {
        if let Some(weight) = device.weight.filter(|weight| *weight != 0) {
            set_weight(folder, name, &format!("{}:{} ", device.major, device.minor), weight, strictness)?;
        }
    }
    for (key, rates) in [
        ("rbps", &io.throttle_read_bps_device),
        ("wbps", &io.throttle_write_bps_device),
        ("riops", &io.throttle_read_iops_device),
        ("wiops", &io.throttle_write_iops_device),
    ] {
        for rate in rates {
            let most = if rate.rate == 0 { "max".to_owned() } else { rate.rate.to_string() };
            folder.limit(name, "io.max", &format!("{}:{} {key}={most}", rate.major, rate.minor))?;
        }
    }
    Ok(())
}

/// For one device (`8:0 `) or all (``): BFQ's own file where it is, else the one of the cost model.
fn set_weight(folder: &Folder, name: &str, device: &str, weight: u16, strictness: Strictness) -> Result<(), Error> {
    let scaled = scale(weight);
    for (file, value) in [("io.bfq.weight", format!("{device}{weight}")), ("io.weight", format!("{device}{scaled}"))] {
        match folder.put(name, file, &value) {
            Err(Errno::NOENT) => {}
            Err(e) => return Err(folder.refused(name, file, &value, e)),
            Ok(()) => return Ok(()),
        }
    }
    if strictness == Strictness::Refuse {
        return Err(Error::Unsupported("io.weight: no I/O scheduler of the kernel knows weights".to_owned()));
    }
    tracing::warn!("the kernel knows no weights of block I/O, {name} has none");
    Ok(())
}

/// 10..=1000 to 1..=10000, as runc does.
fn scale(weight: u16) -> u32 {
    1 + (u32::from(weight.clamp(10, 1000)) - 10) * 9999 / 990
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_keep_their_bounds_and_order() {
        assert_eq!([0, 10, 500, 750, 1000, u16::MAX].map(scale), [1, 1, 4950, 7475, 10_000, 10_000]);
    }
}
