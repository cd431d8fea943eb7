//! Who asks a registry: credentials that a login kept, and the header that carries them.

use std::collections::BTreeMap;
use std::path::Path;

pub use registry::Credentials;
use registry::keyring::{Keyring, Stored};

use crate::failure::Failure;
use crate::session::Session;
use crate::show::complain;

/// Carries credentials to the engine.
pub const HEADER: &str = "X-Registry-Auth";

/// The value of [`HEADER`] for a registry. Credentials that cannot be read are complained about, and nobody asks then:
/// what is public can still be had.
pub fn header(session: &Session, domain: &str) -> String {
    let credentials = kept(session.config(), domain).unwrap_or_else(|why| {
        complain(&format!("WARNING: {why}"));
        Credentials::default()
    });
    credentials.to_header()
}

/// Carries the credentials for all registries: a build asks whichever it needs.
pub const REGISTRIES: &str = "X-Registry-Config";

/// The value of [`REGISTRIES`]: all that is kept.
pub fn all(session: &Session) -> String {
    let kept = open(session.config()).and_then(|keyring| keyring.all().map_err(|e| Failure::said(base::chain(&e))));
    let kept = kept.unwrap_or_else(|why| {
        complain(&format!("WARNING: {why}"));
        BTreeMap::new()
    });
    Credentials::map_to_header(&kept)
}

/// The credentials for a registry, by its domain or the address it was logged in to; nobody's, when there are none.
pub fn kept(config: Option<&Path>, address: &str) -> Result<Credentials, Failure> {
    open(config)?.get(address).map_err(|cause| Failure::said(base::chain(&cause)))
}

/// Keeps credentials for their `server_address`; says so where others may read a password.
pub fn keep(config: Option<&Path>, credentials: &Credentials) -> Result<(), Failure> {
    let keyring = open(config)?;
    if keyring.get(&credentials.server_address).is_ok_and(|before| before == *credentials) {
        return Ok(());
    }
    let stored = keyring
        .store(credentials)
        .map_err(|cause| Failure::said(format!("Error saving credentials: {}", base::chain(&cause))))?;
    if let Stored::File(path) = stored
        && !credentials.password.is_empty()
    {
        complain(&format!(
            "\nWARNING! Your credentials are stored unencrypted in '{}'.\n\
             Configure a credential helper to remove this warning. See\n\
             https://docs.docker.com/go/credential-store/\n",
            path.display()
        ));
    }
    Ok(())
}

/// Forgets the credentials for a registry.
pub fn forget(config: Option<&Path>, address: &str) -> Result<(), Failure> {
    open(config)?.erase(address).map_err(|cause| Failure::said(base::chain(&cause)))
}

fn open(config: Option<&Path>) -> Result<Keyring, Failure> {
    Keyring::open(config).map_err(|cause| Failure::said(base::chain(&cause)))
}
