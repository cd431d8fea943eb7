//! Which engine a command talks with, and whether it may be started when nothing answers.

use std::path::PathBuf;

use api::client::{Client, Endpoint, Error};

use crate::failure::Failure;
use crate::launch;

/// Where an engine of root listens unless told otherwise.
const SOCKET_OF_ROOT: &str = "/run/dhow/dhow.sock";

/// Where this user's engine listens unless told otherwise.
pub fn default_socket() -> PathBuf {
    if rootless::is_ordinary_user() { rootless::Folders::find().socket() } else { SOCKET_OF_ROOT.into() }
}

/// An engine's address, and whether it is one of ours.
#[derive(Debug, PartialEq, Eq)]
pub struct Address {
    pub endpoint: Endpoint,
    /// Set if the engine may be started here when nothing answers.
    pub startable: Option<PathBuf>,
}

/// The address from `-H`, else `DHOW_HOST`, else `DOCKER_HOST`, else the default.
///
/// An engine is started only for the default socket, or, when both `DHOW_DATA_ROOT` and `DHOW_EXEC_ROOT` say where it
/// lives, for a unix socket in `DHOW_HOST` or one named `dhow.sock`. So a `DOCKER_HOST` that names another engine's
/// socket does not bring ours up in its place, and a mistyped one does not bring one up on the machine's own roots.
pub fn address(flag: Option<&str>, variable: impl Fn(&str) -> Option<String>) -> Result<Address, Failure> {
    let set = |name| variable(name).filter(|text| !text.is_empty());
    let usual = default_socket();
    let default = || (format!("unix://{}", usual.display()), true);
    let (text, ours) = flag
        .map(|text| (text.to_owned(), false))
        .or_else(|| set("DHOW_HOST").map(|text| (text, true)))
        .or_else(|| set("DOCKER_HOST").map(|text| (text, false)))
        .unwrap_or_else(default);
    let endpoint: Endpoint = text.parse()?;
    let rooted = set("DHOW_DATA_ROOT").is_some() && set("DHOW_EXEC_ROOT").is_some();
    let startable = match &endpoint {
        Endpoint::Unix(path) if *path == usual => Some(path.clone()),
        Endpoint::Unix(path) if rooted && (ours || path.ends_with("dhow.sock")) => Some(path.clone()),
        _ => None,
    };
    Ok(Address { endpoint, startable })
}

/// Refuses a socket that somebody else could have put where ours would be: below /tmp, everybody can be first.
fn check(endpoint: &Endpoint) -> Result<(), Failure> {
    match endpoint {
        Endpoint::Unix(path) if rootless::is_ordinary_user() && *path == default_socket() => {
            let folders = rootless::Folders::find();
            folders.check().map_err(|e| Failure::said(format!("cannot connect to the engine: {e}")))
        }
        _ => Ok(()),
    }
}

/// A client with one connection open; starts the engine if that is allowed and nothing answers.
pub async fn connect(address: Address) -> Result<Client, Failure> {
    check(&address.endpoint)?;
    let client = Client::new(address.endpoint);
    let failure = match client.warm().await {
        Ok(()) => return Ok(client),
        Err(failure) => failure,
    };
    match address.startable {
        Some(socket) if nobody_there(&failure) => {
            launch::engine(&socket, &client).await?;
            Ok(client)
        }
        _ => Err(failure.into()),
    }
}

/// Whether the failure means that no engine listens.
pub fn nobody_there(failure: &Error) -> bool {
    use std::io::ErrorKind::{ConnectionRefused, NotFound};
    matches!(failure, Error::Connect { source, .. } if matches!(source.kind(), NotFound | ConnectionRefused))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(flag: Option<&str>, variables: &[(&str, &str)]) -> Address {
        let find = |name: &str| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
        address(flag, find).expect("a good address")
    }

    #[test]
    fn the_flag_wins_then_our_variable_then_dockers() {
        let both = [("DHOW_HOST", "unix:///d"), ("DOCKER_HOST", "unix:///k")];
        assert_eq!(from(Some("unix:///f"), &both).endpoint.to_string(), "unix:///f");
        assert_eq!(from(None, &both).endpoint.to_string(), "unix:///d");
        assert_eq!(from(None, &both[1..]).endpoint.to_string(), "unix:///k");
        assert_eq!(from(None, &[("DHOW_HOST", "")]).endpoint.to_string(), "unix:///run/dhow/dhow.sock");
    }

    #[test]
    fn only_an_engine_of_ours_is_started() {
        let started = |flag, variables: &[(&'static str, &'static str)], rooted: bool| {
            let roots = [("DHOW_DATA_ROOT", "/d"), ("DHOW_EXEC_ROOT", "/e")];
            let all = [variables, if rooted { &roots } else { &[] }].concat();
            from(flag, &all).startable.is_some()
        };
        assert!(started(None, &[], false));
        assert!(started(None, &[("DOCKER_HOST", "unix:///run/dhow/dhow.sock")], false));
        for (flag, variables) in
            [(None, &[("DHOW_HOST", "unix:///tmp/x/e.sock")][..]), (Some("unix:///tmp/x/dhow.sock"), &[])]
        {
            assert!(started(flag, variables, true));
            assert!(!started(flag, variables, false));
        }
        assert!(!started(Some("unix:///var/run/docker.sock"), &[], true));
        assert!(!started(None, &[("DOCKER_HOST", "unix:///var/run/docker.sock")], true));
        assert!(!started(None, &[("DHOW_HOST", "tcp://127.0.0.1:1")], true));
    }
}
