//! The name servers outside: who is asked, what is remembered, and that nobody asks the same thing twice at a time.

mod cache;
mod exchange;
mod host_file;
mod race;

pub(crate) use host_file::HostFile;

use cache::Cache;
use exchange::Origin;
use hickory_proto::op::{Message, Query};
use race::Health;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;
use tokio::sync::watch;

/// A question as it goes outside: what makes two of them the same. Names are compared without regard to case.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Question {
    pub(crate) query: Query,
    pub(crate) dnssec_ok: bool,
    pub(crate) checking_disabled: bool,
}

/// Where questions go.
#[derive(Debug)]
pub(crate) enum Servers {
    /// Those of the host's file, asked from the host's network namespace.
    Host(HostFile),
    /// Those of a container's `--dns`, asked from its own.
    Own { servers: Vec<SocketAddr>, namespace: Arc<OwnedFd>, asked: Asked },
}

/// Where a container's own servers are asked from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asked {
    /// From the container's network namespace.
    Inside,
    /// From the host's, but for those on the container's loopback.
    FromHost,
}

/// Asks name servers and remembers what they said.
#[derive(Debug)]
pub(crate) struct Resolver {
    servers: Servers,
    cache: Mutex<Cache>,
    /// What is being asked. A second one who asks the same waits for the first: less traffic, and one who forges answers
    /// gets no better chance from many questions.
    flights: Mutex<HashMap<Question, watch::Receiver<Landing>>>,
    health: Arc<Health>,
}

/// What a flight came to, once it has.
type Landing = Option<Option<Arc<Message>>>;

impl Question {
    pub(crate) fn of(request: &Message, query: &Query) -> Question {
        Question {
            query: query.clone(),
            dnssec_ok: request.edns.as_ref().is_some_and(|edns| edns.flags().dnssec_ok),
            checking_disabled: request.metadata.checking_disabled,
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Resolver {
    pub(crate) fn new(servers: Servers) -> Resolver {
        let (cache, flights, health) = (Mutex::default(), Mutex::default(), Arc::default());
        Resolver { servers, cache, flights, health }
    }

    /// What was said before and still holds, and its age in seconds.
    pub(crate) fn remembered(&self, question: &Question) -> Option<(Arc<Message>, u32)> {
        self.follow_host();
        lock(&self.cache).get(question, Instant::now())
    }

    /// Asks; `None` when nobody gave an answer in time.
    pub(crate) async fn resolve(self: &Arc<Self>, question: Question) -> Option<Arc<Message>> {
        let mut landing = self.flight(question);
        landing.wait_for(Option::is_some).await.ok()?.clone()?
    }

    /// The flight for a question: the one that is in the air, or a new one.
    fn flight(self: &Arc<Self>, question: Question) -> watch::Receiver<Landing> {
        let mut flights = lock(&self.flights);
        // One whose task was lost brings nothing any more.
        if let Some(flight) = flights.get(&question).filter(|flight| flight.has_changed().is_ok()) {
            return flight.clone();
        }
        let (land, flight) = watch::channel(None);
        flights.insert(question.clone(), flight.clone());
        drop(flights);
        let resolver = self.clone();
        // A task of its own: those who wait for it may be gone before it ends.
        tokio::spawn(async move {
            let found = resolver.ask(&question).await.map(Arc::new);
            if let Some(found) = &found {
                lock(&resolver.cache).put(question.clone(), found, Instant::now());
            }
            lock(&resolver.flights).remove(&question);
            land.send_replace(Some(found));
        });
        flight
    }

    async fn ask(&self, question: &Question) -> Option<Message> {
        let (servers, origin) = match &self.servers {
            Servers::Host(file) => (file.servers(), Origin::Host),
            Servers::Own { servers, namespace, asked } => {
                let inside = namespace.clone();
                let origin = match asked {
                    Asked::Inside => Origin::Namespace(inside),
                    Asked::FromHost => Origin::LoopbackWithin(inside),
                };
                (servers.clone(), origin)
            }
        };
        race::ask(&self.health, servers, &origin, question).await
    }

    /// Other servers of the host may say other things: what the former ones said is forgotten.
    fn follow_host(&self) {
        if let Servers::Host(file) = &self.servers
            && file.has_changed()
        {
            lock(&self.cache).clear();
        }
    }
}
