//! What the protocol must know of the engine it stands before.

use crate::Result;
use build::Builder;
use build::request::Entitlements;
use std::net::IpAddr;

/// The engine behind the door.
pub trait House: Send + Sync + 'static {
    fn builder(&self) -> Result<Builder>;

    /// How the container of a step is, unless the build asks for something else.
    fn steps(&self) -> Result<container::Config>;

    /// Which rights a build may be given at all.
    fn rights(&self) -> Result<Entitlements>;

    fn identity(&self) -> Result<Identity>;
}

/// What an engine is called.
#[derive(Debug, Clone)]
pub struct Identity {
    pub id: String,
    pub hostname: String,
    /// Where containers find the machine (`host-gateway`).
    pub gateway: Option<IpAddr>,
}
