//! Forgets tracked flows, so that their next packet finds the rules of its own time
//! (linux/netfilter/nfnetlink_conntrack.h).

mod origin;

use crate::batch::{Attributes, Batch, DUMP};
use crate::{Error, Reader, Socket};
use std::net::IpAddr;

/// NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_*.
const CT_GET: u16 = (1 << 8) | 1;
const CT_DELETE: u16 = (1 << 8) | 2;

const TUPLE_ORIG: u16 = 1;
const TUPLE_REPLY: u16 = 2;
const FILTER: u16 = 25;
const TUPLE_IP: u16 = 1;
const TUPLE_PROTO: u16 = 2;
const IP_V4_SRC: u16 = 1;
const IP_V6_SRC: u16 = 3;
const PROTO_NUM: u16 = 1;
const PROTO_DST_PORT: u16 = 3;
const FILTER_ORIG_FLAGS: u16 = 1;
const FILTER_REPLY_FLAGS: u16 = 2;

// Which parts of a tuple must match: CTA_FILTER_F_* of nf_conntrack_netlink.c.
const BY_IP_SRC: u32 = 1 << 0;
const BY_PROTO_NUM: u32 = 1 << 3;
const BY_DST_PORT: u32 = 1 << 5;

/// `struct nfgenmsg`
const FAMILY_IPV4: [u8; 4] = [2, 0, 0, 0];
const FAMILY_IPV6: [u8; 4] = [10, 0, 0, 0];
const HEADER: usize = 4;
/// The kernel walks through all its flows for each request: with more, one list of them costs less.
const FEW: usize = 4;

/// A sort of flows of one protocol, IPv4 or IPv6. What is told of it must all be so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Flows {
    family: [u8; 4],
    protocol: u8,
    answered_by: Option<IpAddr>,
    ports: Option<(u16, u16)>,
}

impl Flows {
    /// The same flows by fewer sorts: ports in a row are one.
    pub fn joined(sorts: &[Flows]) -> Vec<Flows> {
        let mut sorted = sorts.to_vec();
        sorted.sort_unstable();
        let mut joined: Vec<Flows> = Vec::new();
        for sort in sorted {
            match (joined.last_mut(), sort.ports) {
                (Some(last), Some((first, until))) if last.is_continued_by(&sort, first) => {
                    last.ports = last.ports.map(|(begin, end)| (begin, end.max(until)));
                }
                (Some(last), None) if *last == sort => {}
                _ => joined.push(sort),
            }
        }
        joined
    }

    fn is_continued_by(&self, next: &Flows, first: u16) -> bool {
        let alike = Flows { ports: None, ..*self } == Flows { ports: None, ..*next };
        alike && self.ports.is_some_and(|(_, end)| u32::from(first) <= u32::from(end) + 1)
    }

    /// Flows of a protocol (6 is TCP), of the family that `like` is of.
    pub fn of(protocol: u8, like: IpAddr) -> Flows {
        let family = if like.is_ipv4() { FAMILY_IPV4 } else { FAMILY_IPV6 };
        Flows { family, protocol, ports: None, answered_by: None }
    }

    /// Only those that were sent to one of these ports, the last one included, of whatever address.
    pub fn sent_to(self, ports: (u16, u16)) -> Flows {
        Flows { ports: Some(ports), ..self }
    }

    /// Only those whose answers come from this address: what a container was sent.
    pub fn answered_by(self, address: IpAddr) -> Flows {
        Flows { answered_by: Some(address), ..self }
    }
}

impl Socket {
    /// Forgets all flows of these sorts; that there are none is no error.
    ///
    /// Linux 6.8 filters by itself, for one port at a time. An older kernel refuses a lone part of a flow's name: then the flows are
    /// listed and forgotten one by one.
    pub fn forget(&mut self, sorts: &[Flows]) -> Result<(), Error> {
        let is_narrow = |sort: &Flows| sort.ports.is_none_or(|(first, last)| first == last);
        if sorts.len() > FEW || !sorts.iter().all(is_narrow) {
            return self.forget_one_by_one(sorts);
        }
        let mut batch = Batch::new();
        for sort in sorts {
            batch.push("forget flows", (CT_DELETE, 0), &sort.family, |a| sort.filter(a));
        }
        match self.run(&mut batch) {
            Err(Error::Refused { .. }) => self.forget_one_by_one(sorts),
            other => other,
        }
    }

    fn forget_one_by_one(&mut self, sorts: &[Flows]) -> Result<(), Error> {
        for family in [FAMILY_IPV4, FAMILY_IPV6] {
            let sorts: Vec<Flows> = sorts.iter().filter(|sort| sort.family == family).copied().collect();
            if sorts.is_empty() {
                continue;
            }
            self.forget_where(family, |flow| sorts.iter().any(|sort| sort.matches(flow)))?;
        }
        Ok(())
    }

    /// Looks at every flow of a family, and forgets those that are meant. One that ended meanwhile is no error.
    fn forget_where(&mut self, family: [u8; 4], is_meant: impl Fn(Reader<'_>) -> bool) -> Result<(), Error> {
        let mut list = Batch::new();
        list.push("list the tracked flows", (CT_GET, DUMP), &family, |_| {});
        let mut names = Vec::new();
        self.ask(&mut list, |body| {
            let flow = Reader::behind(body, HEADER);
            if is_meant(flow) {
                names.extend(flow.find(TUPLE_ORIG).map(<[u8]>::to_vec));
            }
        })?;
        for name in names {
            let mut batch = Batch::new();
            batch.push("forget a flow", (CT_DELETE, 0), &family, |a| a.nest_behind(TUPLE_ORIG, &name, |_| {}));
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
        let port = self.ports.map(|(first, _)| first);
        a.nest(TUPLE_ORIG, |a| {
            a.nest(TUPLE_PROTO, |a| {
                a.u8(PROTO_NUM, self.protocol);
                if let Some(port) = port {
                    a.be16(PROTO_DST_PORT, port);
                }
            });
        });
        if let Some(address) = self.answered_by {
            a.nest(TUPLE_REPLY, |a| {
                a.nest(TUPLE_IP, |a| match address {
                    IpAddr::V4(address) => a.ipv4(IP_V4_SRC, address),
                    IpAddr::V6(address) => a.bytes(IP_V6_SRC, &address.octets()),
                });
                a.nest(TUPLE_PROTO, |a| a.u8(PROTO_NUM, self.protocol));
            });
        }
        let original = BY_PROTO_NUM | port.map_or(0, |_| BY_DST_PORT);
        let reply = self.answered_by.map_or(0, |_| BY_PROTO_NUM | BY_IP_SRC);
        a.nest(FILTER, |a| {
            a.u32(FILTER_ORIG_FLAGS, original);
            a.u32(FILTER_REPLY_FLAGS, reply);
        });
    }

    fn matches(self, flow: Reader<'_>) -> bool {
        let original = flow.nested(TUPLE_ORIG).nested(TUPLE_PROTO);
        let port = original.find(PROTO_DST_PORT).and_then(|port| port.try_into().ok()).map(u16::from_be_bytes);
        let answerer = flow.nested(TUPLE_REPLY).nested(TUPLE_IP);
        original.find(PROTO_NUM) == Some(&[self.protocol])
            && self.ports.is_none_or(|(first, last)| port.is_some_and(|port| (first..=last).contains(&port)))
            && self.answered_by.is_none_or(|address| match address {
                IpAddr::V4(address) => answerer.ipv4(IP_V4_SRC) == Some(address),
                IpAddr::V6(address) => answerer.find(IP_V6_SRC) == Some(&address.octets()[..]),
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nft::{BaseChain, CT_DNAT, ChainKind, Hook, Transaction};
    use std::net::{Ipv4Addr, UdpSocket};
    use std::os::fd::AsFd;

    const UDP: u8 = 17;
    const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    fn to(port: u16) -> Flows {
        Flows::of(UDP, HERE).sent_to((port, port))
    }

    fn flows_to(socket: &mut Socket, port: u16) -> usize {
        let mut list = Batch::new();
        list.push("list the tracked flows", (CT_GET, DUMP), &FAMILY_IPV4, |_| {});
        let mut count = 0;
        let mut look = |body: &[u8]| count += usize::from(to(port).matches(Reader::behind(body, HEADER)));
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
            socket.forget(&[to(1001)]).unwrap();
            assert_eq!((flows_to(socket, 1001), flows_to(socket, 1002)), (0, 1));
            socket.forget(&[Flows::of(UDP, HERE).answered_by(Ipv4Addr::new(127, 0, 0, 2).into())]).unwrap();
            assert_eq!(flows_to(socket, 1002), 1);
            socket.forget(&[to(1002).answered_by(HERE)]).unwrap();
            assert_eq!(flows_to(socket, 1002), 0);
        });
    }

    #[test]
    fn a_kernel_that_cannot_filter_is_asked_flow_by_flow() {
        with_flows(|socket| {
            socket.forget(&[Flows::of(UDP, HERE).sent_to((7, 1001))]).unwrap();
            assert_eq!((flows_to(socket, 1001), flows_to(socket, 1002)), (0, 1));
            socket.forget_one_by_one(&[Flows::of(UDP, HERE).answered_by(HERE)]).unwrap();
            assert_eq!(flows_to(socket, 1002), 0);
        });
    }

    #[test]
    fn ports_in_a_row_are_one_sort() {
        let all: Vec<Flows> =
            (1000..=2000).map(to).chain([to(7), to(2005), Flows::of(6, HERE), Flows::of(6, HERE)]).collect();
        let wide = Flows::of(UDP, HERE).sent_to((1000, 2000));
        assert_eq!(Flows::joined(&all), [Flows::of(6, HERE), to(7), wide, to(2005)]);
    }
}
