//! The options of `update` as resources; what was not given stays as it is.

use crate::error::{Error, Result};
use crate::words::options::Update;
use oci::runtime::{BlockIo, Cpu, Memory, Pids, Resources};
use std::fmt::Display;
use std::str::FromStr;

pub fn read(options: &Update) -> Result<Resources> {
    let (memory, cpu) = (memory(options)?, cpu(options)?);
    let weight = options.blkio_weight.filter(|weight| *weight != 0).map(u16::try_from).transpose();
    let weight = weight.map_err(|e| invalid("blkio-weight", &e))?;
    Ok(Resources {
        memory: (memory != Memory::default()).then_some(memory),
        cpu: (cpu != Cpu::default()).then_some(cpu),
        pids: options.pids_limit.map(|limit| Pids { limit }),
        block_io: weight.map(|weight| BlockIo { weight: Some(weight), ..BlockIo::default() }),
        ..Resources::default()
    })
}

fn memory(options: &Update) -> Result<Memory> {
    let bytes = |name: &str, text: &Option<String>| match text.as_deref() {
        None => Ok(None),
        Some("-1") => Ok(Some(-1)),
        Some(text) => {
            let size = base::size::bytes(text).and_then(|size| i64::try_from(size).ok());
            size.map(Some).ok_or_else(|| invalid(name, &format!("invalid size: '{text}'")))
        }
    };
    Ok(Memory {
        limit: bytes("memory", &options.memory)?,
        reservation: bytes("memory-reservation", &options.memory_reservation)?,
        swap: bytes("memory-swap", &options.memory_swap)?,
        kernel: bytes("kernel-memory", &options.kernel_memory)?,
        kernel_tcp: bytes("kernel-memory-tcp", &options.kernel_memory_tcp)?,
        ..Memory::default()
    })
}

fn cpu(options: &Update) -> Result<Cpu> {
    Ok(Cpu {
        shares: number("cpu-share", &options.cpu_share)?,
        quota: number("cpu-quota", &options.cpu_quota)?,
        period: number("cpu-period", &options.cpu_period)?,
        realtime_runtime: number("cpu-rt-runtime", &options.cpu_rt_runtime)?,
        realtime_period: number("cpu-rt-period", &options.cpu_rt_period)?,
        cpus: options.cpuset_cpus.clone(),
        mems: options.cpuset_mems.clone(),
        burst: number("cpu-burst", &options.cpu_burst)?,
        idle: number("cpu-idle", &options.cpu_idle)?,
    })
}

fn number<T: FromStr<Err: Display>>(name: &str, text: &Option<String>) -> Result<Option<T>> {
    text.as_deref().map(str::parse).transpose().map_err(|e| invalid(name, &e))
}

fn invalid(name: &str, why: &dyn Display) -> Error {
    Error::new(format!("invalid value for {name}: {why}"))
}
