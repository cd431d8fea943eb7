//! The networks a container is put on, and what is asked of its ends.

use super::{Around, Asked, list};
use crate::status::Refusal;
use api::types::{CreateRequest, EndpointSettings};
use container::{EndpointRequest, NetworkMode};
use std::collections::BTreeMap;
use std::net::IpAddr;

/// The version that gave ends their MAC address.
const MAC_OF_ENDPOINT: u32 = 44;
const DEPRECATED_MAC: &str =
    "The container-wide MacAddress field is now deprecated. It should be specified in EndpointsConfig instead.";
const UNLIKE: &str = "the container-wide MAC address must match the endpoint-specific MAC address for the main network, or be left empty";

fn within(refusal: Refusal, network: &str) -> Refusal {
    refusal.during(&format!("invalid config for network {network}"))
}

/// The network that is meant, by the container's mode.
pub fn mode(request: &CreateRequest, around: &dyn Around) -> Result<NetworkMode, Refusal> {
    let asked = request.host_config.network_mode.as_str();
    if request.config.network_disabled {
        return Ok(NetworkMode::None);
    }
    match (asked, asked.strip_prefix("container:")) {
        ("" | "default" | "bridge", _) => Ok(NetworkMode::Bridge),
        ("host", _) => Ok(NetworkMode::Host),
        ("none", _) => Ok(NetworkMode::None),
        (_, Some(name)) => {
            let owner = around.neighbour(name);
            let owner = owner.map_err(|refusal| refusal.during("joining network namespace of container"))?;
            Ok(NetworkMode::Container(owner.id))
        }
        _ => Ok(NetworkMode::User(asked.to_owned())),
    }
}

/// What is asked of each end, by the network's name or id.
pub fn endpoints(request: &CreateRequest, mode: &NetworkMode) -> Result<BTreeMap<String, EndpointRequest>, Refusal> {
    let mut all = BTreeMap::new();
    if matches!(mode, NetworkMode::Container(_)) || request.config.network_disabled {
        return Ok(all);
    }
    for (network, settings) in &request.networking_config.endpoints_config {
        let network = if network == "default" { "bridge" } else { network };
        let meant = settings.as_ref().ok_or_else(|| Refusal::invalid("EndpointsConfig is nil")).and_then(endpoint);
        all.insert(network.to_owned(), meant.map_err(|refusal| within(refusal, network))?);
    }
    older_fields(request, mode, &mut all)?;
    Ok(all)
}

/// The MAC address of before API 1.44, and links of a container on a network that somebody made.
fn older_fields(
    request: &CreateRequest,
    mode: &NetworkMode,
    all: &mut BTreeMap<String, EndpointRequest>,
) -> Result<(), Refusal> {
    let first = match mode {
        NetworkMode::Bridge => "bridge",
        NetworkMode::User(name) => name,
        _ => return Ok(()),
    };
    let mac = request.config.mac_address.as_str();
    check_mac(mac).map_err(|refusal| within(refusal, first))?;
    let links = list(&request.host_config.links);
    let links = if matches!(mode, NetworkMode::User(_)) { links } else { &[] };
    if mac.is_empty() && links.is_empty() {
        return Ok(());
    }
    let end = all.entry(first.to_owned()).or_default();
    if !mac.is_empty() {
        let own = end.mac.get_or_insert_with(|| mac.to_owned());
        if own != mac {
            return Err(Refusal::invalid(UNLIKE));
        }
    }
    let fresh: Vec<String> = links.iter().filter(|link| !end.links.contains(link)).cloned().collect();
    end.links.extend(fresh);
    Ok(())
}

/// What is asked of an end; whether its network can give that is the engine's to say.
pub fn endpoint(settings: &EndpointSettings) -> Result<EndpointRequest, Refusal> {
    let ipam = settings.ipam_config.clone().unwrap_or_default();
    let mut faults = Vec::new();
    let ipv4 = read(&ipam.ipv4_address, "IPv4", &mut faults);
    let ipv6 = read(&ipam.ipv6_address, "IPv6", &mut faults);
    let link_local = list(&ipam.link_local_ips).iter();
    let link_local = link_local.filter_map(|text| read::<IpAddr>(text, "link-local IP", &mut faults)).collect();
    if !faults.is_empty() {
        return Err(Refusal::invalid(format!("invalid endpoint settings:\n{}", faults.join("\n"))));
    }
    let mac = settings.mac_address.as_str();
    check_mac(mac)?;
    Ok(EndpointRequest {
        aliases: list(&settings.aliases).to_vec(),
        links: list(&settings.links).to_vec(),
        ipv4,
        ipv6,
        link_local,
        mac: (!mac.is_empty()).then(|| mac.to_owned()),
        driver_options: settings.driver_opts.clone().unwrap_or_default(),
        gateway_priority: settings.gw_priority,
    })
}

fn read<T>(text: &str, family: &str, faults: &mut Vec<String>) -> Option<T>
where
    T: std::str::FromStr + Copy + Into<IpAddr>,
{
    if text.is_empty() {
        return None;
    }
    let read = text.parse().ok().filter(|address: &T| !(*address).into().is_unspecified());
    if read.is_none() {
        faults.push(format!("invalid {family} address: {text}"));
    }
    read
}

/// Who speaks a version that gives each end a MAC address is told of the older field.
pub fn older_mac(asked: Asked<'_>) -> Option<String> {
    let is_older = asked.version.has(MAC_OF_ENDPOINT) && !asked.request.config.mac_address.is_empty();
    is_older.then(|| DEPRECATED_MAC.to_owned())
}

fn check_mac(text: &str) -> Result<(), Refusal> {
    if text.is_empty() || is_mac(text) { Ok(()) } else { Err(Refusal::invalid(format!("invalid MAC address {text}"))) }
}

fn is_mac(text: &str) -> bool {
    let parts: Vec<&str> = text.split([':', '-']).collect();
    parts.len() == 6 && parts.iter().all(|part| part.len() == 2 && part.bytes().all(|b| b.is_ascii_hexdigit()))
}
