//! Endpoints of containers that have ended: the kernel removes their veths by itself, with the network namespace, all
//! that end at about the same time together. Until then their addresses stay in use.

use crate::bridge::{Bridge, delete_links};
use crate::{Endpoint, Error};
use ipnet::Ipv6Net;
use std::collections::VecDeque;
use std::net::Ipv4Addr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The kernel's clean-up of namespaces is given this long. A veth that is still there belongs to a namespace that
/// somebody else holds.
const PATIENCE: Duration = Duration::from_secs(10);
/// Looked after by each that follows: more than one, so that the queue gets shorter.
const AT_ONCE: usize = 3;

/// Endpoints whose veth may still be there, the earliest first.
#[derive(Debug, Default)]
pub(crate) struct Leaving {
    queue: Mutex<VecDeque<Departure>>,
}

#[derive(Debug)]
struct Departure {
    link: String,
    address: Ipv4Addr,
    address6: Option<Ipv6Net>,
    since: Instant,
}

impl Bridge {
    /// Takes back what `publish` did, and leaves the veth to the kernel: for a container whose last process has ended,
    /// or is about to. Waits for nothing.
    ///
    /// The address is given out again when the veth is seen to be gone; a veth that stays, because somebody else holds
    /// the network namespace, is removed by one of the next calls, [`Bridge::down`] or the next [`Bridge::up`].
    pub fn leave(&self, endpoint: &Endpoint) -> Result<(), Error> {
        let ports = self.unpublish(endpoint);
        let departure = Departure {
            link: endpoint.host_link.clone(),
            address: endpoint.address,
            address6: endpoint.ipv6,
            since: Instant::now(),
        };
        self.leaving.queue.lock().unwrap_or_else(PoisonError::into_inner).push_back(departure);
        self.see_off(AT_ONCE, PATIENCE);
        ports
    }

    /// Removes every veth that should have gone, at once: addresses are wanted.
    pub(crate) fn send_off(&self) {
        self.see_off(usize::MAX, Duration::ZERO);
    }

    fn see_off(&self, most: usize, patience: Duration) {
        let (mut gone, mut stuck) = (Vec::new(), Vec::new());
        for departure in self.earliest(most) {
            match self.ground.routes.with(|socket| socket.link_index(&departure.link)) {
                Ok(None) => gone.push(departure),
                _ if departure.since.elapsed() >= patience => stuck.push(departure),
                _ => self.leaving.queue.lock().unwrap_or_else(PoisonError::into_inner).push_front(departure),
            }
        }
        let links: Vec<&str> = stuck.iter().map(|d| d.link.as_str()).collect();
        match self.ground.routes.with(|socket| delete_links(socket, &links)) {
            Ok(()) => gone.extend(stuck),
            Err(e) => {
                tracing::warn!("cannot remove the links of ended containers: {}", base::chain(&e));
                self.leaving.queue.lock().unwrap_or_else(PoisonError::into_inner).extend(stuck);
            }
        }
        gone.iter().for_each(|departure| {
            self.rise(&departure.link);
            self.give_back(departure.address, departure.address6);
        });
    }

    fn earliest(&self, most: usize) -> Vec<Departure> {
        let mut queue = self.leaving.queue.lock().unwrap_or_else(PoisonError::into_inner);
        let count = queue.len().min(most);
        queue.drain(..count).collect()
    }
}
