//! Routes of the main table (rtnetlink(7), linux/rtnetlink.h).

use crate::batch::{Batch, CREATE, EXCL};
use crate::link::Index;
use crate::socket::DUMP_FLAGS;
use crate::{Error, Reader, Socket};
use ipnet::{Ipv4Net, Ipv6Net};
use std::net::{Ipv4Addr, Ipv6Addr};

const NEWROUTE: u16 = 24;
const DELROUTE: u16 = 25;
const GETROUTE: u16 = 26;

const DESTINATION: u16 = 1;
const OUT_LINK: u16 = 4;
const GATEWAY: u16 = 5;
const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;
const TABLE_MAIN: u8 = 254;
const TABLE_LOCAL: u8 = 255;
const PROTOCOL_BOOT: u8 = 3;
const TYPE_UNICAST: u8 = 1;
/// RT_SCOPE_LINK, and RT_SCOPE_NOWHERE: any, where a route is removed.
const SCOPE_LINK: u8 = 253;
const SCOPE_NOWHERE: u8 = 255;
const HEADER: usize = 12;

/// A route of this namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Route {
    pub destination: Ipv4Net,
    /// The link it leads out of; `None` for several, or none at all (`blackhole`).
    pub link: Option<Index>,
}

impl Batch {
    /// Sends everything without a better route to `gateway`.
    pub fn add_default_route(&mut self, gateway: Ipv4Addr) {
        let fixed = [AF_INET, 0, 0, 0, TABLE_MAIN, PROTOCOL_BOOT, 0, TYPE_UNICAST, 0, 0, 0, 0];
        self.push("set the default route", (NEWROUTE, CREATE | EXCL), &fixed, |a| a.ipv4(GATEWAY, gateway));
    }

    /// The same of IPv6, out of one link.
    pub fn add_default_route6(&mut self, gateway: Ipv6Addr, link: Index) {
        let fixed = [AF_INET6, 0, 0, 0, TABLE_MAIN, PROTOCOL_BOOT, 0, TYPE_UNICAST, 0, 0, 0, 0];
        self.push("set the default route of IPv6", (NEWROUTE, CREATE | EXCL), &fixed, |a| {
            a.bytes(GATEWAY, &gateway.octets());
            a.u32(OUT_LINK, link);
        });
    }

    /// Sends everything without a better route out of a link, whoever is there.
    pub fn add_default_link(&mut self, link: Index) {
        let fixed = [AF_INET, 0, 0, 0, TABLE_MAIN, PROTOCOL_BOOT, SCOPE_LINK, TYPE_UNICAST, 0, 0, 0, 0];
        self.push("set the default route", (NEWROUTE, CREATE | EXCL), &fixed, |a| a.u32(OUT_LINK, link));
    }

    /// The same of IPv6.
    pub fn add_default_link6(&mut self, link: Index) {
        let fixed = [AF_INET6, 0, 0, 0, TABLE_MAIN, PROTOCOL_BOOT, 0, TYPE_UNICAST, 0, 0, 0, 0];
        self.push("set the default route of IPv6", (NEWROUTE, CREATE | EXCL), &fixed, |a| a.u32(OUT_LINK, link));
    }

    /// Takes the default routes of both families away, one each.
    pub fn delete_default_routes(&mut self) {
        for family in [AF_INET, AF_INET6] {
            let fixed = [family, 0, 0, 0, TABLE_MAIN, 0, SCOPE_NOWHERE, 0, 0, 0, 0, 0];
            self.push("remove the default route", (DELROUTE, 0), &fixed, |_| {});
        }
    }
}

impl Socket {
    /// The IPv4 routes of all tables but `local`.
    pub fn routes(&mut self) -> Result<Vec<Route>, Error> {
        let mut found = Vec::new();
        let mut batch = Batch::new();
        let mut fixed = [0; HEADER];
        fixed[0] = AF_INET;
        batch.push("list the routes", (GETROUTE, DUMP_FLAGS), &fixed, |_| {});
        self.ask(&mut batch, |body| found.extend(parse(body)))?;
        Ok(found)
    }
}

impl Socket {
    /// Where the IPv6 routes of all tables but `local` lead.
    pub fn destinations6(&mut self) -> Result<Vec<Ipv6Net>, Error> {
        let mut found = Vec::new();
        let mut batch = Batch::new();
        let mut fixed = [0; HEADER];
        fixed[0] = AF_INET6;
        batch.push("list the routes of IPv6", (GETROUTE, DUMP_FLAGS), &fixed, |_| {});
        self.ask(&mut batch, |body| found.extend(parse6(body)))?;
        Ok(found)
    }
}

fn parse6(body: &[u8]) -> Option<Ipv6Net> {
    let (prefix, table) = (*body.get(1)?, *body.get(4)?);
    if table == TABLE_LOCAL {
        return None;
    }
    let octets = Reader::behind(body, HEADER).find(DESTINATION);
    let address =
        octets.map_or(Some(Ipv6Addr::UNSPECIFIED), |octets| Some(<[u8; 16]>::try_from(octets).ok()?.into()))?;
    Ipv6Net::new(address, prefix).ok()
}

fn parse(body: &[u8]) -> Option<Route> {
    let (prefix, table) = (*body.get(1)?, *body.get(4)?);
    if table == TABLE_LOCAL {
        return None;
    }
    let attributes = Reader::behind(body, HEADER);
    let destination = attributes.ipv4(DESTINATION).unwrap_or(Ipv4Addr::UNSPECIFIED);
    Some(Route { destination: Ipv4Net::new(destination, prefix).ok()?, link: attributes.u32(OUT_LINK) })
}
