//! The networks of an engine: bridges, macvlan and ipvlan networks, their addresses, the ends of containers on them, published ports.
//!
//! Everything is made by netlink, in nft tables of our own; nothing else on the host is touched but `net.ipv4.ip_forward`
//! (and that of IPv6 with the first network that has it), settings of the bridges themselves (`route_localnet`, IPv6 off)
//! and, where the policy of iptables' chain FORWARD would drop our packets, a few rules there (module `forwarding`).
//!
//! ```text
//!  Ground::new ──> Bridge::first, Bridge::raise ──> attach ──> publish ──> unpublish ──> leave or detach ──> Bridge::down
//!                  bridge, set elements             address,   map elements, bound sockets
//!                                                   veth pair
//! ```
//!
//! - *ground*: what all networks of an engine stand on: the tables, the published ports. With the first network the tables
//!   come, with the last one they go; networks and ports in between are elements of sets and maps.
//! - *bridge*: a link of the host that all containers of a network are plugged into; its address is their gateway.
//! - *endpoint*: a container's end on a network: eth0, an address, published ports.
//! - *published port*: a port of the host that leads to a container's. While published it is held by a bound socket
//!   (module `reservation`), so that other programs are told it is taken.
//! - *record*: a network as its maker wants it ([`Network`]), kept by [`Store`]; [`Driver`] is what is on the host of it.
//!
//! Several engines live side by side: bridges, tables and subnets are each engine's own. The kernel's state survives the
//! engine; the next one adopts it. A bridge has at most 1,023 ports; a network with more containers has several (module `shards`).
//! Start reading at [`Bridge`]; `rules` has the packets' ways.
#![forbid(unsafe_code)]

mod attach;
mod bridge;
mod container;
mod driver;
pub mod egress;
mod entries;
mod error;
mod explain;
mod forwarding;
mod gate;
mod ground;
mod leave;
mod manners;
mod model;
mod name_server;
mod neighbours;
mod outer;
mod owner;
mod plugins;
mod pool;
mod pools;
mod ports;
mod publish;
mod record;
mod relay;
mod reservation;
mod rules;
mod shards;
mod spare;
mod stacked;
mod stock;
mod subnet;
mod sysctl;

pub use bridge::Bridge;
pub use container::{Way, link_names, loopback_up, remove_link, set_parameters, set_way};
pub use driver::Driver;
pub use egress::{Egress, Policy, Stance};
pub use error::Error;
pub use explain::{Explanation, Fate, How, Outcome, Place, Sender, Stop, Way as PortWay};
pub use gate::Firewall;
pub use ground::Ground;
pub use manners::{Gateway, Manners};
pub use model::{Design, Endpoint, Options, Plan, Port, PortRequest, Protocol, Wish};
pub use name_server::{NAME_SERVER, lead_names};
pub use netlink::link::{IpvlanFlag, IpvlanMode, MacvlanMode};
pub use netlink::nflog::{Heading, Log};
pub use netlink::nft::{Heard, News};
pub use outer::{Outer, OuterPort};
pub use plugins::{PluginDesign, PluginFolders, PluginNetwork};
pub use pools::Pools;
pub use record::{Ipam, Network, Store, Subnet};
pub use relay::Relay;
pub use spare::Spare;
pub use stacked::{StackedDesign, StackedNetwork, Upon};
