//! Leads what a container asks 127.0.0.11 on port 53 to sockets on other ports: port 53 stays free for its programs.

use crate::Error;
use crate::container::inside;
use netlink::Socket;
use netlink::nft::{BaseChain, ChainKind, Family, Hook, Transaction};
use std::net::Ipv4Addr;
use std::os::fd::BorrowedFd;

/// Where containers on user-defined networks look for names, as Docker has it.
pub const NAME_SERVER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 11);

const TABLE: &str = "dhow-names";
const OUTPUT: BaseChain<'static> =
    BaseChain { name: "output", kind: ChainKind::Nat, hook: Hook::Output, priority: -100 };
const PORT: u16 = 53;
const UDP: u8 = 17;
const TCP: u8 = 6;

/// Leads 127.0.0.11:53 to these ports of the same address, (UDP, TCP); what was led elsewhere before no longer is.
pub fn lead_names(netns: BorrowedFd<'_>, (udp, tcp): (u16, u16)) -> Result<(), Error> {
    inside(netns, || {
        let mut socket = Socket::netfilter()?;
        let mut t = Transaction::new();
        // The socket's end would wait for what was deleted: some 10 ms, for the kernel's readers (RCU). A new namespace has nothing.
        if socket.table_handle(Family::Ip, TABLE)?.is_some() {
            t.delete_table(TABLE);
        }
        t.add_table(TABLE);
        t.add_chain(TABLE, &OUTPUT);
        for (protocol, port) in [(UDP, udp), (TCP, tcp)] {
            t.add_rule(TABLE, OUTPUT.name, |r| {
                r.destination_in(NAME_SERVER.into()).to_port(protocol, PORT).dnat_to(NAME_SERVER, port);
            });
        }
        Ok(t.commit(&mut socket)?)
    })
}
