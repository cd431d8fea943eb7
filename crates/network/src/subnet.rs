//! Which subnets a bridge can have.

use crate::Error;
use crate::pools::WIDEST;
use ipnet::Ipv4Net;

/// Checks a subnet that was asked for, `--bip`.
pub(crate) fn check(network: Ipv4Net) -> Result<Ipv4Net, Error> {
    let invalid = |why: &str| Err(Error::Invalid(format!("{network}: {why}")));
    if network.prefix_len() > 30 {
        return invalid("a bridge needs a /30 or wider");
    }
    if network.prefix_len() < WIDEST {
        return invalid("a subnet wider than /8 is refused");
    }
    if network.addr() == network.network() || network.addr() == network.broadcast() {
        return invalid("this is no address a gateway can have");
    }
    Ok(network)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gateway_is_a_host_of_a_subnet_with_room() {
        for (text, good) in [
            ("10.1.0.1/24", true),
            ("10.1.0.0/24", false),
            ("10.1.0.255/24", false),
            ("10.1.0.1/31", false),
            ("10.1.0.1/0", false),
        ] {
            assert_eq!(check(text.parse().unwrap()).is_ok(), good, "{text}");
        }
    }
}
