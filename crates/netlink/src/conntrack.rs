//! Forgets tracked connections (linux/netfilter/nfnetlink_conntrack.h).

use crate::batch::Batch;
use crate::{Error, Socket};
use std::net::Ipv4Addr;

/// NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_DELETE.
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

impl Batch {
    /// Forgets every UDP flow that is answered by `container`: the next packet finds the rules of its own time.
    ///
    /// A filter for a removal needs Linux 6.8; an older kernel refuses the request (a lone tuple without address or
    /// port is no flow's name), see [`Socket::forget`].
    pub fn forget_udp_answered_by(&mut self, container: Ipv4Addr) {
        self.push("forget UDP flows", (CT_DELETE, 0), &FAMILY_IPV4, |a| {
            a.nest(TUPLE_REPLY, |a| {
                a.nest(TUPLE_IP, |a| a.ipv4(IP_V4_SRC, container));
                a.nest(TUPLE_PROTO, |a| a.u8(PROTO_NUM, UDP));
            });
            a.nest(FILTER, |a| {
                a.u32(FILTER_ORIG_FLAGS, 0);
                a.u32(FILTER_REPLY_FLAGS, BY_IP_SRC | BY_PROTO_NUM);
            });
        });
    }

    /// Forgets every UDP flow that was sent to `port`, whatever its address.
    pub fn forget_udp_sent_to(&mut self, port: u16) {
        self.push("forget UDP flows", (CT_DELETE, 0), &FAMILY_IPV4, |a| {
            a.nest(TUPLE_ORIG, |a| {
                a.nest(TUPLE_PROTO, |a| {
                    a.u8(PROTO_NUM, UDP);
                    a.be16(PROTO_DST_PORT, port);
                });
            });
            a.nest(FILTER, |a| {
                a.u32(FILTER_ORIG_FLAGS, BY_PROTO_NUM | BY_DST_PORT);
                a.u32(FILTER_REPLY_FLAGS, 0);
            });
        });
    }
}

impl Socket {
    /// Runs conntrack requests; that nothing matched is no error.
    pub fn forget(&mut self, batch: &mut Batch) -> Result<(), Error> {
        match self.run(batch) {
            Err(e) if e.is_absent() => Ok(()),
            other => other,
        }
    }
}
