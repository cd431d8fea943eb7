//! Forgets tracked UDP flows, so that their next packet finds the rules of its own time
//! (linux/netfilter/nfnetlink_conntrack.h).

use crate::batch::{Attributes, Batch, DUMP};
use crate::{Error, Reader, Socket};
use std::net::Ipv4Addr;

/// NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_*.
const CT_GET: u16 = (1 << 8) | 1;
const CT_DELETE: u16 = (1 << 8) | 2;

const TUPLE_ORIG: u16 = 1;
const TUPLE_REPLY: u16 = 2;
const FILTER: u16 = 25;
const TUPLE_IP: u16 = 1;
const TUPLE_PROTO: u16 = 2;
const IP_V4_SRC: u16 = 1;
const PROTO_NUM: u16 = 1;
const PROTO_DST_PORT: u16 = 3;
const FILTER_ORIG_FLAGS: u16 = 1;
const FILTER_REPLY_FLAGS: u16 = 2;

// Which parts of a tuple must match: CTA_FILTER_F_* of nf_conntrack_netlink.c.
const BY_IP_SRC: u32 = 1 << 0;
const BY_PROTO_NUM: u32 = 1 << 3;
const BY_DST_PORT: u32 = 1 << 5;

const UDP: u8 = 17;
const FAMILY_IPV4: [u8; 4] = [2, 0, 0, 0];
const HEADER: usize = 4;

/// A sort of UDP flows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flows {
    /// Those whose answers come from this address: what a container was sent.
    AnsweredBy(Ipv4Addr),
    /// Those sent to this port of whatever address.
    SentTo(u16),
}

impl Socket {
    /// Forgets all UDP flows of these sorts; that there are none is no error.
    ///
    /// Linux 6.8 filters by itself. An older kernel refuses a lone part of a flow's name: then the flows are listed and
    /// forgotten one by one.
    pub fn forget_udp(&mut self, sorts: &[Flows]) -> Result<(), Error> {
        let mut batch = Batch::new();
        for sort in sorts {
            batch.push("forget UDP flows", (CT_DELETE, 0), &FAMILY_IPV4, |a| sort.filter(a));
        }
        match self.run(&mut batch) {
            Err(Error::Refused { .. }) => self.forget_one_by_one(sorts),
            other => other,
        }
    }

    fn forget_one_by_one(&mut self, sorts: &[Flows]) -> Result<(), Error> {
        let mut list = Batch::new();
        list.push("list the tracked flows", (CT_GET, DUMP), &FAMILY_IPV4, |_| {});
        let mut names = Vec::new();
        self.ask(&mut list, |body| {
            let flow = Reader::behind(body, HEADER);
            if sorts.iter().any(|sort| sort.matches(flow)) {
                names.extend(flow.find(TUPLE_ORIG).map(<[u8]>::to_vec));
            }
        })?;
        for name in names {
            let mut batch = Batch::new();
            batch.push("forget a UDP flow", (CT_DELETE, 0), &FAMILY_IPV4, |a| {
                a.nest_behind(TUPLE_ORIG, &name, |_| {});
            });
            match self.run(&mut batch) {
                Err(e) if !e.is_absent() => return Err(e),
                _ => {}
            }
        }
        Ok(())
    }
}

impl Flows {
    fn filter(self, a: &mut Attributes<'_>) {
        let (tuple, original, reply) = match self {
            Flows::AnsweredBy(_) => (TUPLE_REPLY, 0, BY_PROTO_NUM | BY_IP_SRC),
            Flows::SentTo(_) => (TUPLE_ORIG, BY_PROTO_NUM | BY_DST_PORT, 0),
        };
        a.nest(tuple, |a| {
            if let Flows::AnsweredBy(address) = self {
                a.nest(TUPLE_IP, |a| a.ipv4(IP_V4_SRC, address));
            }
            a.nest(TUPLE_PROTO, |a| {
                a.u8(PROTO_NUM, UDP);
                if let Flows::SentTo(port) = self {
                    a.be16(PROTO_DST_PORT, port);
                }
            });
        });
        a.nest(FILTER, |a| {
            a.u32(FILTER_ORIG_FLAGS, original);
            a.u32(FILTER_REPLY_FLAGS, reply);
        });
    }

    fn matches(self, flow: Reader<'_>) -> bool {
        let original = flow.nested(TUPLE_ORIG).nested(TUPLE_PROTO);
        let is_udp = original.find(PROTO_NUM) == Some(&[UDP]);
        is_udp
            && match self {
                Flows::AnsweredBy(address) => {
                    flow.nested(TUPLE_REPLY).nested(TUPLE_IP).ipv4(IP_V4_SRC) == Some(address)
                }
                Flows::SentTo(port) => original.find(PROTO_DST_PORT) == Some(&port.to_be_bytes()),
            }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nft::{BaseChain, CT_DNAT, ChainKind, Hook, Transaction};
    use std::net::UdpSocket;
    use std::os::fd::AsFd;

    fn flows_to(socket: &mut Socket, port: u16) -> usize {
        let mut list = Batch::new();
        list.push("list the tracked flows", (CT_GET, DUMP), &FAMILY_IPV4, |_| {});
        let mut count = 0;
        let mut look = |body: &[u8]| count += usize::from(Flows::SentTo(port).matches(Reader::behind(body, HEADER)));
        socket.ask(&mut list, &mut look).unwrap();
        count
    }

    /// A namespace in which connections are tracked, with one UDP flow to each of two ports.
    fn with_flows(check: impl FnOnce(&mut Socket)) {
        let netns = sys::netns::create().unwrap();
        let inside = || {
            let mut batch = Batch::new();
            batch.set_up(1);
            Socket::route().unwrap().run(&mut batch).unwrap();
            let mut socket = Socket::netfilter().unwrap();
            let mut t = Transaction::new();
            t.add_table("t");
            let chain = BaseChain { name: "c", kind: ChainKind::Nat, hook: Hook::Output, priority: -100 };
            t.add_chain("t", &chain);
            // The kernel tracks connections as soon as a rule wants to know of them.
            t.add_rule("t", "c", |rule| rule.status(CT_DNAT).accept());
            t.commit(&mut socket).unwrap();
            for port in [1001, 1002] {
                let server = UdpSocket::bind((Ipv4Addr::LOCALHOST, port)).unwrap();
                let client = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
                client.send_to(b"?", server.local_addr().unwrap()).unwrap();
            }
            assert_eq!((flows_to(&mut socket, 1001), flows_to(&mut socket, 1002)), (1, 1));
            check(&mut socket);
        };
        crate::netns::within(netns.as_fd(), inside).unwrap();
    }

    #[test]
    fn only_the_named_flows_are_forgotten() {
        with_flows(|socket| {
            socket.forget_udp(&[Flows::SentTo(1001)]).unwrap();
            assert_eq!((flows_to(socket, 1001), flows_to(socket, 1002)), (0, 1));
            socket.forget_udp(&[Flows::AnsweredBy(Ipv4Addr::new(127, 0, 0, 2))]).unwrap();
            assert_eq!(flows_to(socket, 1002), 1);
            socket.forget_udp(&[Flows::AnsweredBy(Ipv4Addr::LOCALHOST)]).unwrap();
            assert_eq!(flows_to(socket, 1002), 0);
        });
    }

    #[test]
    fn a_kernel_that_cannot_filter_is_asked_flow_by_flow() {
        with_flows(|socket| {
            socket.forget_one_by_one(&[Flows::SentTo(1001), Flows::SentTo(7)]).unwrap();
            assert_eq!((flows_to(socket, 1001), flows_to(socket, 1002)), (0, 1));
            socket.forget_one_by_one(&[Flows::AnsweredBy(Ipv4Addr::LOCALHOST)]).unwrap();
            assert_eq!(flows_to(socket, 1002), 0);
        });
    }
}
