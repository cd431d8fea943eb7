//! Endpoints of containers that have ended: their veth and address are taken back by one thread, in order.

use network::{Bridge, Endpoint};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};

/// The way out.
#[derive(Debug)]
pub(crate) struct Departures {
    queue: Sender<Endpoint>,
}

impl Departures {
    /// Starts the thread. It ends with the last sender.
    pub(crate) fn start(bridge: Arc<Bridge>) -> std::io::Result<Departures> {
        let (queue, leaving) = channel();
        std::thread::Builder::new()
            .name("departures".into())
            .stack_size(256 << 10)
            .spawn(move || detach_all(&bridge, &leaving))?;
        Ok(Departures { queue })
    }

    pub(crate) fn send(&self, endpoint: Endpoint) {
        // The thread lives as long as the sender: it cannot have gone.
        let _ = self.queue.send(endpoint);
    }
}

fn detach_all(bridge: &Bridge, leaving: &Receiver<Endpoint>) {
    for endpoint in leaving {
        if let Err(e) = bridge.detach(&endpoint) {
            tracing::warn!("cannot detach {}: {}", endpoint.host_link, base::chain(&e));
        }
    }
}
