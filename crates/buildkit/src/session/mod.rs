//! What the builder asks of its client: files, secrets, keys, agents, and where results go.
//!
//! ```text
//!   /session, Control.Session ──► Sessions ──► Session (a client that answers, over channel)
//!                                                 ▲
//!   Client ──┬─ sources ── local, files, receive ─┤   FileSync: folders, kept from build to build
//!            ├─ keys, agent, secrets              │   Auth, SSH, Secrets
//!            ├─ sink ── send                      │   FileSend: archives and folders
//!            └─ content, layout, remote           ┘   Content, Upload: caches, images, archives
//! ```
//!
//! The builder's traits wait; the client is spoken to by tasks of the runtime. What a client says is believed to be what the client
//! wants, and nothing else: names stay below folders, digests are verified, lengths are bounded.

mod agent;
mod channel;
mod content;
mod files;
mod hints;
mod keys;
mod layout;
mod local;
mod receive;
mod remote;
mod send;
mod sessions;
mod sink;
mod sources;
pub(crate) mod wire;

pub use content::ClientBlobs;
pub use keys::ClientKeys;
pub use local::{Stage, Tell, Transfer};
pub use sessions::{Session, Sessions};
pub use sink::ClientSink;
pub use sources::{ClientSources, Definition, Stores};

use crate::frontend::{Attributes, FrontendOptions};
use build::Builder;
use local::Asking;
use registry::Cancel;
use std::sync::Arc;

/// Where the files, the secrets and the keys of a build come from. `tell` hears of bytes that come. Nothing is asked of the client
/// yet.
pub fn sources(
    (builder, session): (&Builder, &Arc<Session>),
    options: &FrontendOptions,
    attributes: &Attributes,
    tell: Tell,
    cancel: &Cancel,
) -> ClientSources {
    let client = Client { builder: builder.clone(), session: session.clone(), tell, cancel: cancel.clone() };
    ClientSources::new(client, options.clone(), attributes.clone())
}

/// Who the client is to registries.
pub fn keys(session: &Arc<Session>, cancel: &Cancel) -> ClientKeys {
    ClientKeys::new(session.clone(), cancel.clone())
}

/// Where the client takes the output of this place among all of them.
pub fn sink(session: &Arc<Session>, exporter: usize, cancel: &Cancel) -> ClientSink {
    ClientSink::new(session.clone(), exporter, cancel.clone())
}

/// The client's folders for caches.
pub fn stores(session: &Arc<Session>, cancel: &Cancel) -> Stores {
    Stores::new(session.clone(), cancel.clone())
}

/// The client of one build.
#[derive(Clone)]
struct Client {
    builder: Builder,
    /// The one that the build came with.
    session: Arc<Session>,
    tell: Tell,
    cancel: Cancel,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("session", &self.session.id()).finish_non_exhaustive()
    }
}

impl Client {
    /// A store of blobs that the client has, by its id.
    fn blobs(&self, store: &str) -> ClientBlobs {
        ClientBlobs::new(self.session.clone(), store.to_owned(), self.cancel.clone())
    }

    fn asking<'a>(&'a self, session: &'a Session) -> Asking<'a> {
        Asking { builder: &self.builder, session, tell: &self.tell, cancel: &self.cancel }
    }
}

#[cfg(test)]
mod tests;
