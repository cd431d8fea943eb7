//! The network a container is put on: the built-in ones, or another container's.

use super::{Around, list};
use crate::status::Refusal;
use api::types::{CreateRequest, EndpointSettings};
use container::NetworkMode;

/// The network that is meant. User-defined networks and settings of an endpoint that this engine has none for are refused.
pub fn mode(request: &CreateRequest, around: &dyn Around) -> Result<NetworkMode, Refusal> {
    let asked = request.host_config.network_mode.as_str();
    for (network, settings) in &request.networking_config.endpoints_config {
        if !matches!(network.as_str(), "default" | "bridge" | "host" | "none") && network != asked {
            return Err(no_network(network));
        }
        settings.as_ref().map_or(Ok(()), check_endpoint)?;
    }
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
        _ => Err(no_network(asked)),
    }
}

/// 400 and not 404: at creation a client takes 404 for a missing image, and would pull it.
fn no_network(name: &str) -> Refusal {
    Refusal::invalid(format!("failed to set up container networking: network {name} not found"))
}

fn check_endpoint(settings: &EndpointSettings) -> Result<(), Refusal> {
    let addressed = settings.ipam_config.as_ref().is_some_and(|ipam| {
        !ipam.ipv4_address.is_empty() || !ipam.ipv6_address.is_empty() || !list(&ipam.link_local_ips).is_empty()
    });
    let fault = match () {
        () if addressed => {
            "invalid endpoint settings:\nuser specified IP address is supported on user defined networks only"
        }
        () if !list(&settings.aliases).is_empty() => {
            "invalid endpoint settings:\nnetwork-scoped alias is supported only for containers in user defined networks"
        }
        () => "",
    };
    if !fault.is_empty() {
        return Err(Refusal::invalid(fault));
    }
    let unsupported = match () {
        () if !settings.mac_address.is_empty() => "a MAC address of choice is",
        () if !list(&settings.links).is_empty() => "links between containers are",
        () if settings.driver_opts.as_ref().is_some_and(|opts| !opts.is_empty()) => "driver options of an endpoint are",
        () => return Ok(()),
    };
    Err(Refusal::unsupported(format!("{unsupported} not supported by this engine yet")))
}
