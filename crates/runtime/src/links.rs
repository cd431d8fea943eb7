//! Network devices of the host that move into a container (linux.netDevices).

use netlink::{Batch, Socket, netns};
use oci::runtime::NetDevice;
use std::collections::BTreeMap;
use std::io;
use std::os::fd::BorrowedFd;

/// Why a device did not move.
#[derive(Debug, thiserror::Error)]
pub enum MoveError {
    #[error("link not found for interface {0} on runtime namespace")]
    Absent(String),
    #[error("fail to move network device {device}: cannot {step}")]
    Refused { device: String, step: &'static str, source: netlink::Error },
    #[error("fail to move network device {device}: cannot enter the network namespace of the container")]
    Enter { device: String, source: io::Error },
}

/// Moves devices from the caller's network namespace to `netns`, renamed where that is asked for, and brings them up there.
/// Addresses that somebody gave them and that are valid everywhere go with them; the kernel drops the rest.
///
/// A device that moved is the container's. When the namespace goes, hardware comes back and virtual devices are gone.
pub fn move_devices(netns: BorrowedFd<'_>, devices: &BTreeMap<String, NetDevice>) -> Result<(), MoveError> {
    if devices.is_empty() {
        return Ok(());
    }
    let mut socket = Socket::route().map_err(refused("", "open a socket"))?;
    devices.iter().try_for_each(|(name, device)| move_one(&mut socket, netns, name, device))
}

fn refused<'a>(device: &'a str, step: &'static str) -> impl FnOnce(netlink::Error) -> MoveError + 'a {
    move |source| MoveError::Refused { device: device.to_owned(), step, source }
}

fn move_one(socket: &mut Socket, target: BorrowedFd<'_>, name: &str, device: &NetDevice) -> Result<(), MoveError> {
    let found = socket.link_index(name).map_err(refused(name, "find it"))?;
    let index = found.ok_or_else(|| MoveError::Absent(name.to_owned()))?;
    // Before it goes down: then those of IPv6 are gone (addrconf_ifdown in net/ipv6/addrconf.c).
    let addresses = socket.lasting_addresses(index).map_err(refused(name, "read its addresses"))?;
    let mut batch = Batch::new();
    batch.set_down(index);
    socket.run(&mut batch).map_err(refused(name, "take it down"))?;
    let new_name = if device.name.is_empty() { name } else { &device.name };
    let mut batch = Batch::new();
    batch.move_link(index, new_name, target);
    socket.run(&mut batch).map_err(refused(name, "move it"))?;
    let settle = || {
        let mut socket = Socket::route().map_err(refused(name, "open a socket"))?;
        let found = socket.link_index(new_name).map_err(refused(name, "find it again"))?;
        let index = found.ok_or_else(|| MoveError::Absent(new_name.to_owned()))?;
        let mut batch = Batch::new();
        addresses.iter().for_each(|address| batch.add_lasting_address(index, address));
        socket.run(&mut batch).map_err(refused(name, "give it its addresses"))?;
        let mut batch = Batch::new();
        batch.set_up(index);
        socket.run(&mut batch).map_err(refused(name, "bring it up"))
    };
    netns::within(target, settle).map_err(|source| MoveError::Enter { device: name.to_owned(), source })?
}
