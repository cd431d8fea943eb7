//! An engine without rights: an ordinary user becomes root of a user namespace, and a small process stays outside for the host's ports.
//!
//! ```text
//!  dhow engine (user 1000) ── fork ──► the engine: root of its own user, mount, ipc and network namespaces
//!    │  host side                         │ bridge, nft, overlays, keeper, containers: as with real root
//!    │  ├ newuidmap, newgidmap            │
//!    │  ├ pasta: the way out              │
//!    └──┴───── socket pair ───────────────┘ "bind tcp 127.0.0.1:8080" ──► a socket of the host, which the engine accepts from
//! ```
//!
//! - *host side*: the process that stays in the host's namespaces, for it alone can bind the host's ports. It ends when the
//!   engine does, and the engine when it does.
//! - *doors*: the engine's end of the socket pair. A socket belongs to the network namespace it was made in, whoever holds
//!   it: the host side only makes it, the engine takes connections from it and connects them to containers ([`Forward`]).
//! - *sub ids*: what /etc/subuid and /etc/subgid grant the user; ids 1 and up of the namespace.
//!
//! The namespaces live as long as the engine or its keeper. An engine that starts while a keeper lives joins the keeper's.
//!
//! Start at [`enter`].
#![forbid(unsafe_code)]

mod birth;
mod doors;
mod error;
mod folders;
mod forward;
mod host;
mod ids;
mod pasta;
mod resolver;

pub use birth::{Side, enter};
pub use doors::Doors;
pub use error::Error;
pub use folders::{Folders, is_ordinary_user};
pub use forward::Forward;

use serde::{Deserialize, Serialize};
use std::os::fd::OwnedFd;
use std::sync::Arc;

/// What an engine in namespaces of its own knows of its place.
#[derive(Debug)]
pub struct Inside {
    pub told: Told,
    pub doors: Arc<Doors>,
    pasta: Option<OwnedFd>,
}

/// What the host side found out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// How many ids the namespace has, from 0 on.
    pub ids: u32,
    /// Why there is only one id.
    pub single: Option<String>,
    /// Why containers have no network outside.
    pub cut_off: Option<String>,
    pasta: Option<i32>,
}

/// A protocol whose ports can be bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Protocol {
    Tcp,
    Udp,
}

impl Inside {
    /// Says in the log what will not work.
    pub fn warn(&self) {
        if let Some(why) = &self.told.single {
            tracing::warn!("{why}: containers have the id 0 only, and all files of images belong to it");
        }
        if let Some(why) = &self.told.cut_off {
            tracing::warn!("{why}: containers and pulls have no network outside this machine");
        }
    }

    /// The engine ends: what serves its network need not outlive it, even if the host side was killed.
    pub fn end(&self) {
        if let Some(pasta) = &self.pasta {
            // Pasta of 2023 blocks SIGTERM.
            let _ = rustix::process::pidfd_send_signal(pasta, rustix::process::Signal::KILL);
        }
    }
}
