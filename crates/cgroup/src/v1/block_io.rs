//! Limits of block I/O on v1 (cgroup-v1/blkio-controller.rst).

use crate::folder::Folder;
use crate::{Error, Strictness};
use oci::runtime::{BlockIo, WeightDevice};
use rustix::io::Errno;

pub(super) fn set(folder: &Folder, name: &str, io: &BlockIo, strictness: Strictness) -> Result<(), Error> {
    if let Some(weight) = io.weight.filter(|weight| *weight != 0) {
        set_weight(folder, name, &weight.to_string(), strictness)?;
    }
    if let Some(weight) = io.leaf_weight.filter(|weight| *weight != 0) {
        folder.limit(name, "blkio.leaf_weight", &weight.to_string())?;
    }
    for device in &io.weight_device {
        set_device(folder, name, device, strictness)?;
    }
    for (file, rates) in [
        ("blkio.throttle.read_bps_device", &io.throttle_read_bps_device),
        ("blkio.throttle.write_bps_device", &io.throttle_write_bps_device),
        ("blkio.throttle.read_iops_device", &io.throttle_read_iops_device),
        ("blkio.throttle.write_iops_device", &io.throttle_write_iops_device),
    ] {
        for rate in rates {
            folder.limit(name, file, &format!("{}:{} {}", rate.major, rate.minor, rate.rate))?;
        }
    }
    Ok(())
}

fn set_device(folder: &Folder, name: &str, device: &WeightDevice, strictness: Strictness) -> Result<(), Error> {
    let line = |weight: u16| format!("{}:{} {weight}", device.major, device.minor);
    if let Some(weight) = device.weight.filter(|weight| *weight != 0) {
        let files = ["blkio.weight_device", "blkio.bfq.weight_device"];
        set_first(folder, name, files, &line(weight), strictness)?;
    }
    match device.leaf_weight.filter(|weight| *weight != 0) {
        Some(weight) => folder.limit(name, "blkio.leaf_weight_device", &line(weight)),
        None => Ok(()),
    }
}

fn set_weight(folder: &Folder, name: &str, weight: &str, strictness: Strictness) -> Result<(), Error> {
    set_first(folder, name, ["blkio.weight", "blkio.bfq.weight"], weight, strictness)
}

/// Weights need an I/O scheduler that knows them (CFQ until Linux 5.0, BFQ since); without one Docker ignores them.
fn set_first(folder: &Folder, name: &str, files: [&str; 2], value: &str, strictness: Strictness) -> Result<(), Error> {
    for file in files {
        match folder.put(name, file, value) {
            Err(Errno::NOENT) => {}
            Err(e) => return Err(folder.refused(name, file, value, e)),
            Ok(()) => return Ok(()),
        }
    }
    if strictness == Strictness::Refuse {
        return Err(Error::Unsupported(format!("{}: no I/O scheduler of the kernel knows weights", files[1])));
    }
    tracing::warn!("the kernel knows no weights of block I/O, {name} has none");
    Ok(())
}
