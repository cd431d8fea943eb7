//! The server of an engine, and its hold on one container.

use crate::client::{Client, Sight};
use crate::outside::{Asked, HostFile, Resolver, Servers};
use crate::{Names, Outside, Sockets, View, listen};
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::runtime::Handle;
use tokio::task::AbortHandle;

/// The port of name servers.
const PORT: u16 = 53;

/// The name server of all containers of an engine. Clones are the same server.
#[derive(Debug, Clone)]
pub struct Server {
    runtime: Handle,
    names: Names,
    /// One for all who ask the host's servers: they share what it remembers.
    host: Arc<Resolver>,
    /// Where name servers listen: 53.
    port: u16,
}

/// Answers are given as long as this is kept.
#[derive(Debug)]
pub struct Guard {
    server: Server,
    client: Arc<Client>,
    namespace: Arc<OwnedFd>,
    tasks: [AbortHandle; 2],
}

impl Server {
    /// A server whose tasks run on `runtime`; `resolv_conf` is the host's file, which is followed as it changes.
    pub fn start(runtime: Handle, resolv_conf: PathBuf) -> Server {
        Server::asking_at(PORT, runtime, resolv_conf)
    }

    pub(crate) fn asking_at(port: u16, runtime: Handle, resolv_conf: PathBuf) -> Server {
        let host = Arc::new(Resolver::new(Servers::Host(HostFile::new(resolv_conf, port))));
        Server { runtime, names: Names::default(), host, port }
    }

    /// The names of all networks.
    pub fn names(&self) -> &Names {
        &self.names
    }

    /// Answers what comes in on these sockets. May be called from any thread.
    pub fn serve(&self, sockets: Sockets, view: View) -> io::Result<Guard> {
        let Sockets { udp, tcp, namespace } = sockets;
        udp.set_nonblocking(true)?;
        tcp.set_nonblocking(true)?;
        let _context = self.runtime.enter();
        let udp = tokio::net::UdpSocket::from_std(udp)?;
        let tcp = tokio::net::TcpListener::from_std(tcp)?;
        let client = Arc::new(Client::new(self.names.clone(), self.sight(view, &namespace)));
        let tasks = [
            self.runtime.spawn(listen::udp(client.clone(), udp)).abort_handle(),
            self.runtime.spawn(listen::tcp(client.clone(), tcp)).abort_handle(),
        ];
        Ok(Guard { server: self.clone(), client, namespace, tasks })
    }

    fn sight(&self, view: View, namespace: &Arc<OwnedFd>) -> Sight {
        let resolver = match &view.outside {
            Outside::Host => Some(self.host.clone()),
            Outside::Own(addresses) => {
                let servers = addresses.iter().map(|&address| SocketAddr::new(address, self.port)).collect();
                Some(Arc::new(Resolver::new(Servers::Own {
                    servers,
                    namespace: namespace.clone(),
                    asked: Asked::Inside,
                })))
            }
            Outside::OwnFromHost(addresses) => {
                let servers = addresses.iter().map(|&address| SocketAddr::new(address, self.port)).collect();
                Some(Arc::new(Resolver::new(Servers::Own {
                    servers,
                    namespace: namespace.clone(),
                    asked: Asked::FromHost,
                })))
            }
            Outside::Closed => None,
        };
        Sight { view, resolver }
    }
}

impl Guard {
    /// The container sees this from now on.
    pub fn look(&self, view: View) {
        let before = self.client.sight();
        let sight = if before.view.outside == view.outside {
            Sight { view, resolver: before.resolver.clone() }
        } else {
            self.server.sight(view, &self.namespace)
        };
        self.client.look(sight);
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.tasks.iter().for_each(AbortHandle::abort);
    }
}
