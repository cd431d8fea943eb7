//! Where a registry listens, as people write it. No name is looked up.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

const PORT: u16 = 5000;

/// A text that is no address to listen on.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {0:?}: expected IP:PORT, :PORT (all addresses) or localhost:PORT")]
pub struct AddressError(String);

pub fn parse(text: &str) -> Result<SocketAddr, AddressError> {
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    let wrong = || AddressError(text.to_owned());
    if let Ok(ip) = text.parse::<IpAddr>() {
        return Ok(SocketAddr::new(ip, PORT));
    }
    let (host, port) = text.rsplit_once(':').unwrap_or((text, "5000"));
    let ip = match host {
        "localhost" => Ipv4Addr::LOCALHOST,
        "" if text.starts_with(':') => Ipv4Addr::UNSPECIFIED,
        _ => return Err(wrong()),
    };
    Ok(SocketAddr::new(ip.into(), port.parse().map_err(|_| wrong())?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_without_looking_names_up() {
        let read = |text: &str| parse(text).map(|address| address.to_string()).ok();
        assert_eq!(read("127.0.0.1:1").as_deref(), Some("127.0.0.1:1"));
        assert_eq!(read("[::1]:1").as_deref(), Some("[::1]:1"));
        assert_eq!(read("::1").as_deref(), Some("[::1]:5000"));
        assert_eq!(read(":80").as_deref(), Some("0.0.0.0:80"));
        assert_eq!(read("localhost").as_deref(), Some("127.0.0.1:5000"));
        for bad in ["", "example.org:1", "127.0.0.1:x"] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }
}
