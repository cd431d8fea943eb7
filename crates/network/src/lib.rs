//! The default bridge network of an engine: addresses, veth pairs, masquerade and published ports.
//!
//! Everything is made by netlink, in an nft table of our own; nothing else on the host is touched but
//! `net.ipv4.ip_forward`, settings of the bridge itself (`route_localnet`, IPv6 off) and, where the policy of iptables'
//! chain FORWARD would drop our packets, a few rules there (module `forwarding`).
//!
//! ```text
//!  Bridge::up ──> attach ──> publish ──> unpublish ──> leave or detach ──> Bridge::down
//!  bridge, table   address,    map elements, bound sockets
//!                  veth pair
//! ```
//!
//! - *bridge*: the host's link that all containers of an engine are plugged into; its address is their gateway.
//! - *endpoint*: a container's end on the bridge: eth0, an address, published ports.
//! - *published port*: a port of the host that leads to a container's. While published it is held by a bound socket
//!   (module `reservation`), so that other programs are told it is taken.
//!
//! Several engines live side by side: bridge, table and subnet are each engine's own. The kernel's state survives the
//! engine; the next [`Bridge::up`] adopts it. A bridge has at most 1,023 ports (BR_MAX_PORTS), hence as many containers.
//! Start reading at [`Bridge`]; `rules` has the packets' ways.
#![forbid(unsafe_code)]

mod attach;
mod bridge;
mod container;
mod error;
mod forwarding;
mod leave;
mod model;
mod outer;
mod owner;
mod pool;
mod ports;
mod publish;
mod reservation;
mod rules;
mod stock;
mod subnet;
mod sysctl;

pub use bridge::Bridge;
pub use container::loopback_up;
pub use error::Error;
pub use model::{Endpoint, Options, Port, PortRequest, Protocol};
pub use outer::{Outer, OuterPort};
