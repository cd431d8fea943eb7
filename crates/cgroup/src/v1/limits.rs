//! Limits in the v1 controllers' files: memory, processes, huge pages, network, RDMA.

use super::{Tree, block_io};
use crate::folder::Folder;
use crate::limits::{self, amount};
use crate::{Error, Strictness};
use oci::runtime::{BlockIo, HugepageLimit, Memory, Network, Resources};
use rustix::io::Errno;

const SWAP: &str = "memory.memsw.limit_in_bytes";

impl Tree {
    pub(super) fn set_limits(&self, name: &str, resources: &Resources) -> Result<(), Error> {
        if !resources.unified.is_empty() {
            return Err(Error::NoUnified);
        }
        if let Some(memory) = resources.memory.as_ref().filter(|memory| **memory != Memory::default()) {
            self.set_memory(name, memory)?;
        }
        if let Some(cpu) = &resources.cpu {
            self.set_cpu(name, cpu)?;
        }
        if let Some(pids) = &resources.pids {
            self.need("pids")?.limit(name, "pids.max", &limits::most_pids(pids.limit))?;
        }
        if let Some(io) = resources.block_io.as_ref().filter(|io| **io != BlockIo::default()) {
            block_io::set(self.need("blkio")?, name, io, self.strictness)?;
        }
        self.set_hugepages(name, &resources.hugepage_limits)?;
        if let Some(network) = &resources.network {
            self.set_network(name, network)?;
        }
        for (device, rdma) in &resources.rdma {
            self.need("rdma")?.limit(name, "rdma.max", &limits::rdma(device, rdma)?)?;
        }
        Ok(())
    }

    fn set_memory(&self, name: &str, memory: &Memory) -> Result<(), Error> {
        let folder = self.need("memory")?;
        set_memory_and_swap(folder, name, memory, self.strictness)?;
        if let Some(reservation) = amount(memory.reservation) {
            folder.limit(name, "memory.soft_limit_in_bytes", &reservation.max(-1).to_string())?;
        }
        if let Some(swappiness) = limits::swappiness(memory)? {
            folder.limit(name, "memory.swappiness", &swappiness.to_string())?;
        }
        if amount(memory.kernel).is_some() || amount(memory.kernel_tcp).is_some() {
            tracing::warn!("limits of kernel memory are ignored, as the kernel does since Linux 5.4");
        }
        match memory.disable_oom_killer {
            Some(disable) => folder.limit(name, "memory.oom_control", if disable { "1" } else { "0" }),
            None => Ok(()),
        }
    }

    fn set_hugepages(&self, name: &str, wanted: &[HugepageLimit]) -> Result<(), Error> {
        for limit in wanted {
            let (folder, size) = (self.need("hugetlb")?, limits::page_size(limit)?);
            let most = limit.limit.to_string();
            folder.limit(name, &format!("hugetlb.{size}.limit_in_bytes"), &most)?;
            // Reservations are counted since Linux 5.7.
            limits::optional(folder.limit(name, &format!("hugetlb.{size}.rsvd.limit_in_bytes"), &most))?;
        }
        Ok(())
    }

    fn set_network(&self, name: &str, network: &Network) -> Result<(), Error> {
        if let Some(class) = network.class_id.filter(|class| *class != 0) {
            self.need("net_cls")?.limit(name, "net_cls.classid", &class.to_string())?;
        }
        for interface in &network.priorities {
            let line = format!("{} {}", interface.name, interface.priority);
            self.need("net_prio")?.limit(name, "net_prio.ifpriomap", &line)?;
        }
        Ok(())
    }
}

/// Writes in order or, when the first value is refused as things stand, in the opposite order.
pub(super) fn set_either_way(folder: &Folder, name: &str, pair: &[(&str, String)]) -> Result<(), Error> {
    let [(file, value), rest @ ..] = pair else { return Ok(()) };
    match folder.put(name, file, value) {
        Err(Errno::INVAL) if !rest.is_empty() => {
            pair.iter().rev().try_for_each(|(file, value)| folder.limit(name, file, value))
        }
        Err(e) => Err(folder.refused(name, file, value, e)),
        Ok(()) => rest.iter().try_for_each(|(file, value)| folder.limit(name, file, value)),
    }
}

/// `memory.limit_in_bytes` may never exceed `memory.memsw.limit_in_bytes` (cgroup-v1/memory.rst), so a raise writes the
/// latter first, a cut the former.
fn set_memory_and_swap(folder: &Folder, name: &str, memory: &Memory, strictness: Strictness) -> Result<(), Error> {
    let limit = amount(memory.limit);
    // No limit of memory with a limit of both makes no sense: unlimited memory is unlimited swap, unless said otherwise.
    let asked = amount(memory.swap);
    let swap = asked.or(limit.filter(|limit| *limit < 0));
    if let (Some(limit), Some(swap)) = (limit, swap)
        && swap >= 0
        && (limit < 0 || swap < limit)
    {
        return Err(Error::Invalid(format!("memory and swap together ({swap}) are less than memory ({limit})")));
    }
    let swap = match swap {
        Some(_) if folder.look(name, SWAP)?.is_none() => {
            if strictness == Strictness::Refuse && asked.is_some_and(|swap| swap >= 0) {
                return Err(Error::Unsupported(format!("{SWAP}: the kernel does not count swap")));
            }
            tracing::warn!("the kernel does not count swap, {name} has no limit of swap");
            None
        }
        swap => swap,
    };
    let bytes = |value: i64| value.max(-1).to_string();
    let pair = [("memory.limit_in_bytes", limit), (SWAP, swap)];
    let pair: Vec<_> = pair.into_iter().filter_map(|(file, value)| Some((file, bytes(value?)))).collect();
    set_either_way(folder, name, &pair)
}
