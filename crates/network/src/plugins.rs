//! Networks of plugins (the driver `cni`): programs of the Container Network Interface make and remove the ends of containers.
//!
//! Of each end there is a file that says with which configuration it was made and what came of it; by that it is taken back, whatever
//! became of the configuration since, and whoever was killed in between. The container's network namespace has a path as long as
//! the end stands (a bind mount), as programs cannot be given a descriptor.

use crate::reservation::{Reservation, hold};
use crate::{Endpoint, Error, Port, PortRequest, Protocol, Wish};
use base::{Id, Undo};
use cni::{Attachment, Bandwidth, Cache, Cached, List, Outcome, PortMapping, Runtime};
use ipnet::{IpNet, Ipv4Net};
use rustix::mount::{UnmountFlags, mount_bind, unmount};
use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Where configurations and programs are, unless options say otherwise.
const CONFIGURATIONS: &str = "/etc/cni/net.d";
const PROGRAMS: [&str; 3] = ["/opt/cni/bin", "/usr/libexec/cni", "/usr/lib/cni"];
/// Seconds that one call of a plugin may take.
const PATIENCE: u64 = 60;

const CONF: &str = "conf";
const CONF_NAME: &str = "name";
const CONF_FOLDER: &str = "conf-dir";
const PROGRAM_FOLDERS: &str = "bin-dir";
const TIMEOUT: &str = "timeout";
const ARGUMENTS: &str = "args";

/// What a network of plugins is made with.
#[derive(Debug, Clone, PartialEq)]
pub struct PluginDesign {
    list: ListAt,
    runtime: Programs,
    arguments: Vec<(String, String)>,
}

#[derive(Debug, Clone, PartialEq)]
enum ListAt {
    File(PathBuf),
    Named { folder: PathBuf, name: String },
}

#[derive(Debug, Clone, PartialEq)]
struct Programs {
    folders: Vec<PathBuf>,
    patience: Duration,
}

/// Where a network keeps what it has to remember: beyond a boot, and until the next one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PluginFolders {
    pub kept: PathBuf,
    pub run: PathBuf,
}

/// A network of plugins. Callable from many threads at once.
#[derive(Debug)]
pub struct PluginNetwork {
    design: PluginDesign,
    runtime: Runtime,
    cache: Cache,
    namespaces: PathBuf,
    held: Mutex<HashMap<String, Vec<Reservation>>>,
}

impl PluginDesign {
    /// Reads the options of a network; `network` is its own name, which the configuration has if none is told.
    pub fn read<'a>(network: &str, options: impl Iterator<Item = (&'a str, &'a str)>) -> Result<PluginDesign, Error> {
        let mut folder = PathBuf::from(CONFIGURATIONS);
        let (mut file, mut name) = (None, None);
        let mut runtime =
            Programs { folders: PROGRAMS.map(PathBuf::from).to_vec(), patience: Duration::from_secs(PATIENCE) };
        let mut arguments = Vec::new();
        for (key, value) in options {
            match key {
                CONF => file = Some(absolute(key, value)?),
                CONF_NAME => name = Some(value.to_owned()),
                CONF_FOLDER => folder = absolute(key, value)?,
                PROGRAM_FOLDERS => {
                    runtime.folders = value.split(':').map(|one| absolute(key, one)).collect::<Result<_, _>>()?;
                }
                TIMEOUT => {
                    let seconds = value.strip_suffix('s').unwrap_or(value).parse::<u64>().ok().filter(|s| *s > 0);
                    let wrong = || Error::Invalid(format!("{TIMEOUT}={value:?}: seconds are wanted, such as 30s"));
                    runtime.patience = Duration::from_secs(seconds.ok_or_else(wrong)?);
                }
                ARGUMENTS => arguments = pairs(value)?,
                _ if key.starts_with("com.docker.") => {}
                _ => return Err(Error::Invalid(format!("the driver cni has no option {key:?}"))),
            }
        }
        let list = match (file, name) {
            (Some(_), Some(_)) => {
                return Err(Error::Invalid(format!(
                    "a CNI configuration is told by {CONF} or by {CONF_NAME}, not by both"
                )));
            }
            (Some(file), None) => ListAt::File(file),
            (None, name) => ListAt::Named { folder, name: name.unwrap_or_else(|| network.to_owned()) },
        };
        Ok(PluginDesign { list, runtime, arguments })
    }

    /// The configuration as it is now.
    fn list(&self) -> Result<List, Error> {
        match &self.list {
            ListAt::File(file) => Ok(List::read(file)?),
            ListAt::Named { folder, name } => Ok(List::find(folder, name)?),
        }
    }
}

fn absolute(key: &str, value: &str) -> Result<PathBuf, Error> {
    let path = PathBuf::from(value);
    if path.is_absolute() { Ok(path) } else { Err(Error::Invalid(format!("{key}={value:?}: a whole path is wanted"))) }
}

/// `K8S_POD_NAME=web;IgnoreUnknown=1`, as CNI_ARGS.
fn pairs(text: &str) -> Result<Vec<(String, String)>, Error> {
    let wrong = |word: &str| Error::Invalid(format!("{ARGUMENTS}: {word:?} is not KEY=VALUE"));
    let words = text.split(';').filter(|word| !word.is_empty());
    let pair = |word: &str| word.split_once('=').map(|(k, v)| (k.to_owned(), v.to_owned())).ok_or_else(|| wrong(word));
    words.map(pair).collect()
}

impl PluginNetwork {
    /// A new network: its configuration is read, and its plugins are asked whether they are there and ready.
    pub fn make(design: PluginDesign, folders: &PluginFolders) -> Result<PluginNetwork, Error> {
        let list = design.list()?;
        let network = PluginNetwork::open(design, folders)?;
        network.runtime.verify(&list)?;
        Ok(network)
    }

    /// A network that was made before; `endpoints` are those in use. What else stands of it is taken back.
    pub fn raise(
        design: PluginDesign,
        folders: &PluginFolders,
        endpoints: &[Endpoint],
    ) -> Result<PluginNetwork, Error> {
        let network = PluginNetwork::open(design, folders)?;
        network.sweep(endpoints);
        for endpoint in endpoints {
            network.hold_again(endpoint);
        }
        Ok(network)
    }

    fn open(design: PluginDesign, folders: &PluginFolders) -> Result<PluginNetwork, Error> {
        let runtime = Runtime { folders: design.runtime.folders.clone(), patience: design.runtime.patience };
        let cache = Cache::open(folders.kept.clone())?;
        let namespaces = folders.run.clone();
        std::fs::create_dir_all(&namespaces).map_err(|e| Error::io(format!("make {}", namespaces.display()), e))?;
        Ok(PluginNetwork { design, runtime, cache, namespaces, held: Mutex::default() })
    }

    /// Takes back what belongs to no end in use, and asks plugins whether the others are as they were.
    fn sweep(&self, endpoints: &[Endpoint]) {
        let mut valid = Vec::new();
        for cached in self.cache.all() {
            let attachment = &cached.attachment;
            if !endpoints.iter().any(|end| end.id == attachment.container && end.link == attachment.link) {
                if let Err(e) = self.take_back(&cached) {
                    tracing::warn!("cannot take back what is left of {}: {}", attachment.container, base::chain(&e));
                }
                continue;
            }
            if let Err(e) = self.runtime.check(&cached) {
                tracing::warn!("the end {} is not as it was made: {}", attachment.container, base::chain(&e));
            }
            valid.push(cached.attachment);
        }
        let collected = self.design.list().and_then(|list| Ok(self.runtime.collect(&list, &valid)?));
        if let Err(e) = collected {
            tracing::warn!("cannot have plugins remove what is nobody's: {}", base::chain(&e));
        }
    }

    /// Puts a container on; nothing is left of an attempt that fails.
    pub fn attach(&self, netns: BorrowedFd<'_>, wish: &Wish) -> Result<Endpoint, Error> {
        let list = self.design.list()?;
        let id = Id::random().to_string();
        let mut undo = Undo::new();
        let (ports, held) = take_ports(&wish.ports)?;
        let path = self.bind(&id, netns)?;
        let name = id.clone();
        undo.push(move || self.unbind(&name));
        let attachment = Attachment {
            container: id.clone(),
            netns: path.display().to_string(),
            link: if wish.link.is_empty() { crate::container::LINK.to_owned() } else { wish.link.clone() },
            arguments: self.design.arguments.clone(),
            ports: ports.iter().map(mapping).collect(),
            ips: asked_addresses(wish),
            mac: wish.mac.map(crate::stacked::mac_text),
            dns_servers: wish.dns.0.clone(),
            dns_searches: wish.dns.1.clone(),
            bandwidth: bandwidth(&wish.options)?,
            aliases: Vec::new(),
        };
        let link = attachment.link.clone();
        let outcome = self.runtime.add(&list, attachment, &self.cache)?;
        undo.keep();
        if !held.is_empty() {
            self.lock().insert(id.clone(), held);
        }
        Ok(endpoint(id, &link, &outcome, ports))
    }

    /// Takes an end away, of a container that lives or not.
    pub fn detach(&self, endpoint: &Endpoint) -> Result<(), Error> {
        self.lock().remove(&endpoint.id);
        match self.cache.get(&endpoint.id, &endpoint.link)? {
            Some(cached) => self.take_back(&cached),
            None => {
                self.unbind(&endpoint.id);
                Ok(())
            }
        }
    }

    fn take_back(&self, cached: &Cached) -> Result<(), Error> {
        let mut cached = cached.clone();
        // After a boot the namespace is gone, and with it its path.
        if !is_namespace(Path::new(&cached.attachment.netns)) {
            cached.attachment.netns.clear();
        }
        let deleted = self.runtime.delete(&cached, &self.cache);
        self.unbind(&cached.attachment.container);
        Ok(deleted?)
    }

    /// Everything that is still attached goes, and what is remembered of it.
    pub fn down(&self) -> Result<(), Error> {
        let all = self.cache.all();
        all.iter().map(|cached| self.take_back(cached)).fold(Ok(()), Result::and)
    }

    /// What the plugins said when this end was made.
    pub fn outcome(&self, endpoint: &Endpoint) -> Option<serde_json::Value> {
        self.cache.get(&endpoint.id, &endpoint.link).ok()??.result
    }

    fn bind(&self, id: &str, netns: BorrowedFd<'_>) -> Result<PathBuf, Error> {
        let path = self.namespaces.join(id);
        let failed =
            |e: std::io::Error| Error::io(format!("give the network namespace the path {}", path.display()), e);
        std::fs::File::create_new(&path).map_err(failed)?;
        let from = format!("/proc/self/fd/{}", netns.as_raw_fd());
        if let Err(e) = mount_bind(from, &path) {
            let _ = std::fs::remove_file(&path);
            return Err(failed(e.into()));
        }
        Ok(path)
    }

    fn unbind(&self, id: &str) {
        let path = self.namespaces.join(id);
        // It may be gone: after a boot nothing is mounted.
        let _ = unmount(&path, UnmountFlags::DETACH);
        if let Err(e) = std::fs::remove_file(&path)
            && e.kind() != std::io::ErrorKind::NotFound
        {
            tracing::warn!("cannot remove {}: {e}", path.display());
        }
    }

    /// The ports of an end that an earlier engine made.
    fn hold_again(&self, endpoint: &Endpoint) {
        let hold = |port: &Port| hold(port.protocol, port.host_ip, port.host_port).ok()?;
        let held: Vec<Reservation> = endpoint.ports.iter().filter_map(hold).collect();
        if !held.is_empty() {
            self.lock().insert(endpoint.id.clone(), held);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Vec<Reservation>>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// NSFS_MAGIC of linux/magic.h.
const NSFS: rustix::fs::FsWord = 0x6e73_6673;

fn is_namespace(path: &Path) -> bool {
    rustix::fs::statfs(path).is_ok_and(|found| found.f_type == NSFS)
}

/// Ports of the host for all requests, held: plugins are told numbers.
fn take_ports(requests: &[PortRequest]) -> Result<(Vec<Port>, Vec<Reservation>), Error> {
    let (mut ports, mut held) = (Vec::new(), Vec::new());
    for request in requests {
        let ip = request.host_ip.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
        let (first, last) = request.host_ports;
        let mut found = None;
        for number in first..=last {
            found = hold(request.protocol, ip, number)?;
            if found.is_some() {
                break;
            }
        }
        let Some(reservation) = found else {
            return Err(match first == last {
                true => Error::PortTaken {
                    ip,
                    port: first,
                    protocol: request.protocol,
                    owner: crate::owner::of_port(request.protocol, ip, first),
                },
                false => Error::PortsExhausted(first, last),
            });
        };
        let (container_port, protocol) = (request.container_port, request.protocol);
        ports.push(Port { container_port, protocol, host_ip: ip, host_port: reservation.port });
        held.push(reservation);
    }
    Ok((ports, held))
}

fn mapping(port: &Port) -> PortMapping {
    PortMapping {
        host_port: port.host_port,
        container_port: port.container_port,
        protocol: match port.protocol {
            Protocol::Tcp => "tcp",
            Protocol::Udp => "udp",
            Protocol::Sctp => "sctp",
        }
        .to_owned(),
        host_ip: Some(port.host_ip).filter(|ip| !ip.is_unspecified()),
    }
}

/// `ingress-rate=8000000`, bits in a second, of the end's own options; a burst that is not told is that of a second.
fn bandwidth(options: &BTreeMap<String, String>) -> Result<Option<Bandwidth>, Error> {
    let mut found = Bandwidth::default();
    for (key, value) in options {
        let number = value.parse().map_err(|_| Error::Invalid(format!("{key}={value:?}: a number of bits is wanted")));
        match key.as_str() {
            "ingress-rate" => found.ingress_rate = number?,
            "ingress-burst" => found.ingress_burst = number?,
            "egress-rate" => found.egress_rate = number?,
            "egress-burst" => found.egress_burst = number?,
            _ if key.starts_with("com.docker.") => {}
            _ => return Err(Error::Invalid(format!("an end on a network of plugins has no option {key:?}"))),
        }
    }
    for (rate, burst) in [(found.ingress_rate, &mut found.ingress_burst), (found.egress_rate, &mut found.egress_burst)]
    {
        // The plugin takes no more than fits 32 bits of bytes.
        *burst = if *burst == 0 { rate.min(u64::from(u32::MAX)) } else { *burst };
    }
    Ok((found != Bandwidth::default()).then_some(found))
}

/// Without prefixes: the plugin knows the subnet.
fn asked_addresses(wish: &Wish) -> Vec<IpNet> {
    let v4 = wish.ipv4.map(|address| IpNet::from(IpAddr::from(address)));
    let v6 = wish.ipv6.map(|address| IpNet::from(IpAddr::from(address)));
    v4.into_iter().chain(v6).collect()
}

fn endpoint(id: String, link: &str, outcome: &Outcome, ports: Vec<Port>) -> Endpoint {
    let v4 = outcome.address(true).and_then(|address| match address.address {
        IpNet::V4(net) => Some(net),
        IpNet::V6(_) => None,
    });
    let v6 = outcome.address(false).and_then(|address| match address.address {
        IpNet::V6(net) => Some(net),
        IpNet::V4(_) => None,
    });
    let v4 = v4.unwrap_or_else(|| Ipv4Net::new_assert(Ipv4Addr::UNSPECIFIED, 0));
    let gateway = outcome.gateway(true).and_then(|ip| if let IpAddr::V4(ip) = ip { Some(ip) } else { None });
    let gateway6: Option<Ipv6Addr> =
        outcome.gateway(false).and_then(|ip| if let IpAddr::V6(ip) = ip { Some(ip) } else { None });
    Endpoint {
        id,
        network: String::new(),
        host_link: String::new(),
        link: link.to_owned(),
        address: v4.addr(),
        prefix: v4.prefix_len(),
        gateway,
        ipv6: v6,
        gateway6,
        name_servers: outcome.dns.nameservers.clone(),
        is_way: gateway.is_none() && (outcome.leads_out(true) || outcome.leads_out(false)),
        mac: outcome.inside(link).map(|interface| interface.mac.clone()).unwrap_or_default(),
        ports,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(options: &[(&str, &str)]) -> Result<PluginDesign, Error> {
        PluginDesign::read("front", options.iter().copied())
    }

    #[test]
    fn the_configuration_has_the_networks_name_unless_told() {
        let named = |name: &str| ListAt::Named { folder: CONFIGURATIONS.into(), name: name.into() };
        assert_eq!(read(&[]).unwrap().list, named("front"));
        assert_eq!(read(&[("name", "other")]).unwrap().list, named("other"));
        let file =
            read(&[("conf", "/x/y.conflist"), ("bin-dir", "/a:/b"), ("timeout", "5s"), ("args", "A=1;B=2")]).unwrap();
        assert_eq!(file.list, ListAt::File("/x/y.conflist".into()));
        assert_eq!(
            file.runtime,
            Programs { folders: vec!["/a".into(), "/b".into()], patience: Duration::from_secs(5) }
        );
        assert_eq!(file.arguments.len(), 2);
    }

    #[test]
    fn options_that_make_no_sense_are_refused() {
        for options in [
            &[("conf", "relative")][..],
            &[("conf", "/a"), ("name", "b")],
            &[("timeout", "soon")],
            &[("timeout", "0")],
            &[("args", "A")],
            &[("bin-dir", "/a:b")],
            &[("parent", "eth0")],
        ] {
            assert!(read(options).is_err(), "{options:?}");
        }
    }
}
