//! What a container may reach outside: lists as people write them, and what they mean.
//!
//! ```text
//! *.example.org:443        names below example.org, at TCP and UDP 443          example.org     this name, at every port
//! db.corp@private          a name that may lead into private networks           *               every name
//! 10.0.0.0/8:tcp/5432      addresses                                            [2001:db8::/32]:443
//! tcp/443                  every address of the world at this port              host:udp/123    this machine itself
//! ```

use super::places::{Place, place};
use ipnet::IpNet;
use std::net::IpAddr;

/// Ports that a rule about names may have: each is a member of a set for each address.
const MOST_PORTS: u16 = 64;
const PRIVATE: &str = "@private";
const TCP: u8 = 6;
const UDP: u8 = 17;
const SCTP: u8 = 132;

/// What becomes of what no list speaks of.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Stance {
    Deny,
    #[default]
    Allow,
}

/// What a container may reach.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Policy {
    pub stance: Stance,
    pub(crate) allow: Vec<Rule>,
    /// Comes before `allow`.
    pub(crate) deny: Vec<Rule>,
    /// Keep a record of what it reaches.
    pub learn: bool,
}

/// One word of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rule {
    pub(crate) what: What,
    pub(crate) ports: Ports,
    /// Names and ports alone lead into the world only, unless this is said.
    pub(crate) private: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum What {
    Net(IpNet),
    Name(Pattern),
    Anywhere,
    Host,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Pattern {
    All,
    This(String),
    /// `.example.org`: what ends so.
    Below(String),
}

/// Ports of protocols.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Ports {
    /// `None`: TCP and UDP where ports are named, else every protocol.
    pub(crate) protocol: Option<u8>,
    pub(crate) range: Option<(u16, u16)>,
}

/// Why a list is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid egress rule {text:?}: {why}")]
pub struct Fault {
    text: String,
    why: &'static str,
}

impl Policy {
    /// Reads the words of two lists; a word may itself be a list with commas.
    pub fn read(stance: Stance, allow: &[String], deny: &[String], learn: bool) -> Result<Policy, Fault> {
        let policy = Policy { stance, allow: rules(allow)?, deny: rules(deny)?, learn };
        for (text, rule) in words(deny).zip(&policy.deny) {
            let is_name = matches!(rule.what, What::Name(_));
            if is_name && rule.ports != Ports::ALL {
                return Err(fault(text, "a name that is denied has no ports: nobody is told its addresses"));
            }
            if rule.private {
                return Err(fault(text, "@private belongs to what is allowed"));
            }
        }
        Ok(policy)
    }

    /// Whether anything follows from it.
    pub fn is_plain(&self) -> bool {
        self.stance == Stance::Allow && self.deny.is_empty() && !self.learn
    }

    /// Whether this name may be asked for. In lower case, without its last dot.
    pub fn admits(&self, name: &str) -> bool {
        let named = |rule: &Rule| matches!(&rule.what, What::Name(pattern) if pattern.takes(name));
        if self.deny.iter().any(named) {
            return false;
        }
        self.stance == Stance::Allow || self.allow.iter().any(|rule| named(rule) || rule.opens_world())
    }

    /// Whether an address is open by itself, whatever its name; at some port at least.
    pub(crate) fn opens(&self, address: IpAddr) -> bool {
        self.stance == Stance::Allow
            || self.allow.iter().any(|rule| match &rule.what {
                What::Net(net) => net.contains(&address),
                What::Anywhere => rule.private || place(address) == Place::World,
                What::Host | What::Name(_) => false,
            })
    }

    /// The ports that a name opens at an address it leads to.
    pub(crate) fn opened_by(&self, name: &str, address: IpAddr) -> Vec<Ports> {
        if self.stance == Stance::Allow || !self.admits(name) {
            return Vec::new();
        }
        let place = place(address);
        let takes = |rule: &&Rule| {
            matches!(&rule.what, What::Name(pattern) if pattern.takes(name))
                && (place == Place::World || (place == Place::Private && rule.private))
        };
        let mut all: Vec<Ports> = self.allow.iter().filter(takes).map(|rule| rule.ports).collect();
        all.sort_unstable();
        all.dedup();
        // What is open at every port is open at each.
        if all.contains(&Ports::ALL) { vec![Ports::ALL] } else { all }
    }

    /// Both together, of a container on two networks: closed when one of them is; what either opens is open, and what either
    /// names as denied is denied.
    pub fn and(mut self, other: &Policy) -> Policy {
        match (self.stance, other.stance) {
            (Stance::Allow, Stance::Deny) => {
                self.stance = Stance::Deny;
                self.allow.clone_from(&other.allow);
            }
            (Stance::Deny, Stance::Deny) => self.allow.extend(other.allow.iter().cloned()),
            (_, Stance::Allow) => {}
        }
        self.deny.extend(other.deny.iter().cloned());
        self.learn |= other.learn;
        self
    }
}

impl Rule {
    /// Whether addresses of the world are open by this, of whatever name.
    fn opens_world(&self) -> bool {
        match &self.what {
            What::Anywhere => true,
            What::Net(net) => net.prefix_len() == 0,
            What::Name(_) | What::Host => false,
        }
    }
}

impl Pattern {
    fn takes(&self, name: &str) -> bool {
        match self {
            Pattern::All => true,
            Pattern::This(this) => this == name,
            Pattern::Below(end) => name.len() > end.len() && name.ends_with(end.as_str()),
        }
    }
}

impl Ports {
    pub(crate) const ALL: Ports = Ports { protocol: None, range: None };

    /// The protocols and ports, both ends included.
    pub(crate) fn ranges(self) -> Vec<((u8, u8), (u16, u16))> {
        let ports = self.range.unwrap_or((0, u16::MAX));
        match (self.protocol, self.range) {
            (Some(protocol), _) => vec![((protocol, protocol), ports)],
            (None, None) => vec![((0, u8::MAX), ports)],
            (None, Some(_)) => vec![((TCP, TCP), ports), ((UDP, UDP), ports)],
        }
    }
}

fn words(list: &[String]) -> impl Iterator<Item = &str> {
    list.iter().flat_map(|text| text.split([',', ' ', '\n'])).map(str::trim).filter(|word| !word.is_empty())
}

fn rules(list: &[String]) -> Result<Vec<Rule>, Fault> {
    words(list).map(rule).collect()
}

fn fault(text: &str, why: &'static str) -> Fault {
    Fault { text: text.to_owned(), why }
}

fn rule(text: &str) -> Result<Rule, Fault> {
    let bare = text.strip_suffix(PRIVATE);
    let (private, word) = (bare.is_some(), bare.unwrap_or(text));
    let wrong = |why| fault(text, why);
    if let Some(ports) = protocol_and_ports(word) {
        let ports = ports.map_err(wrong)?;
        return Ok(Rule { what: What::Anywhere, ports, private });
    }
    let (what, ports) = split(word).ok_or_else(|| wrong("the bracket is not closed"))?;
    let ports = match ports {
        None => Ports::ALL,
        Some(ports) => protocol_and_ports(ports).unwrap_or_else(|| range(None, ports)).map_err(wrong)?,
    };
    let what = what_of(what).map_err(wrong)?;
    if private && !matches!(what, What::Name(_)) {
        return Err(wrong("@private belongs to a name or a port: addresses are meant as they are"));
    }
    let many = ports.range.is_some_and(|(first, last)| last - first >= MOST_PORTS);
    if matches!(what, What::Name(_)) && many {
        return Err(wrong("a name opens 64 ports at most, or all of them"));
    }
    if matches!(what, What::Name(_)) && ports.range.is_none() && ports.protocol.is_some() {
        return Err(wrong("a protocol needs its ports, as tcp/443"));
    }
    Ok(Rule { what, ports, private })
}

/// `tcp/443`, `udp/60000-61000`.
fn protocol_and_ports(text: &str) -> Option<Result<Ports, &'static str>> {
    let (protocol, ports) = text.split_once('/')?;
    let protocol = match protocol {
        "tcp" => TCP,
        "udp" => UDP,
        "sctp" => SCTP,
        _ => return None,
    };
    Some(range(Some(protocol), ports))
}

fn range(protocol: Option<u8>, text: &str) -> Result<Ports, &'static str> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    match (first.parse::<u16>(), last.parse::<u16>()) {
        (Ok(first), Ok(last)) if 0 < first && first <= last => Ok(Ports { protocol, range: Some((first, last)) }),
        _ => Err("a port is a number from 1 to 65535, or a range as 8000-8010"),
    }
}

/// Parts what is meant from its ports.
fn split(text: &str) -> Option<(&str, Option<&str>)> {
    if let Some(rest) = text.strip_prefix('[') {
        let (address, ports) = rest.split_once(']')?;
        return Some((address, ports.strip_prefix(':')));
    }
    // An IPv6 address without brackets has no ports.
    if text.matches(':').count() > 1 {
        return Some((text, None));
    }
    Some(text.split_once(':').map_or((text, None), |(what, ports)| (what, Some(ports))))
}

fn what_of(text: &str) -> Result<What, &'static str> {
    if let Ok(net) = text.parse::<IpNet>() {
        return Ok(What::Net(net.trunc()));
    }
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok(What::Net(address.into()));
    }
    match text {
        "host" => Ok(What::Host),
        "*" => Ok(What::Name(Pattern::All)),
        _ => name(text).map(What::Name),
    }
}

/// Whether a list would take this for that very name.
pub(super) fn is_name(text: &str) -> bool {
    matches!(what_of(text), Ok(What::Name(Pattern::This(_))))
}

fn name(text: &str) -> Result<Pattern, &'static str> {
    let lower = text.trim_end_matches('.').to_ascii_lowercase();
    let (is_below, bare) = lower.strip_prefix("*.").map_or((false, lower.as_str()), |rest| (true, rest));
    let is_label = |label: &str| {
        let good = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
        !label.is_empty() && label.len() <= 63 && label.bytes().all(good)
    };
    if !bare.is_ascii() {
        return Err("a name of other letters is written as xn--...");
    }
    if bare.contains('*') {
        return Err("a star stands alone or before the first dot");
    }
    let is_number = bare.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'/'));
    if bare.len() > 253 || is_number || !bare.split('.').all(is_label) {
        return Err("it is no name, no address, no subnet and no port (*.example.org:443, 10.0.0.0/8, tcp/5432)");
    }
    Ok(if is_below { Pattern::Below(format!(".{bare}")) } else { Pattern::This(bare.to_owned()) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn denying(allow: &str, deny: &str) -> Policy {
        Policy::read(Stance::Deny, &[allow.to_owned()], &[deny.to_owned()], false).unwrap()
    }

    fn at(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn words_mean_what_they_say() {
        let policy = denying("*.example.org:443,10.0.0.0/8,tcp/5432,host:53,[2001:db8::/32]:udp/1-9,::1", "");
        let shown: Vec<_> = policy.allow.iter().map(|rule| (&rule.what, rule.ports.ranges())).collect();
        let both = |first, last| vec![((6, 6), (first, last)), ((17, 17), (first, last))];
        let all = vec![((0, 255), (0, 65_535))];
        let net = |text: &str| What::Net(text.parse().unwrap());
        assert_eq!(
            shown,
            [
                (&What::Name(Pattern::Below(".example.org".into())), both(443, 443)),
                (&net("10.0.0.0/8"), all.clone()),
                (&What::Anywhere, vec![((6, 6), (5432, 5432))]),
                (&What::Host, both(53, 53)),
                (&net("2001:db8::/32"), vec![((17, 17), (1, 9))]),
                (&net("::1/128"), all),
            ]
        );
    }

    #[test]
    fn what_is_no_rule_is_refused() {
        for text in [
            "a..b",
            "exa*mple.org",
            "10.0.0.0/33",
            "10.0.0.300",
            "tcp/0",
            "tcp/9-1",
            "name:http",
            "[::1",
            "10.0.0.0/8@private",
            "name:1-65",
            "ü.example",
            "-:",
            "300",
        ] {
            assert!(Policy::read(Stance::Deny, &[text.to_owned()], &[], false).is_err(), "{text}");
        }
        for text in ["name:443", "name@private"] {
            assert!(Policy::read(Stance::Allow, &[], &[text.to_owned()], false).is_err(), "{text}");
        }
    }

    #[test]
    fn a_star_takes_what_is_below_at_any_depth_and_not_the_name_itself() {
        let policy = denying("*.example.org,exact.net", "bad.example.org");
        for (name, wanted) in [
            ("a.example.org", true),
            ("a.b.example.org", true),
            ("example.org", false),
            ("notexample.org", false),
            ("bad.example.org", false),
            ("exact.net", true),
            ("x.exact.net", false),
        ] {
            assert_eq!(policy.admits(name), wanted, "{name}");
        }
    }

    #[test]
    fn names_open_addresses_of_the_world_and_private_ones_when_it_is_said() {
        let policy = denying("a.org:443,b.org@private,a.org:80", "");
        let web = |port| Ports { protocol: None, range: Some((port, port)) };
        assert_eq!(policy.opened_by("a.org", at("192.0.2.1")), [web(80), web(443)]);
        assert_eq!(policy.opened_by("a.org", at("10.0.0.1")), []);
        assert_eq!(policy.opened_by("b.org", at("10.0.0.1")), [Ports::ALL]);
        for address in ["127.0.0.1", "169.254.169.254", "::1", "fe80::1", "::ffff:169.254.169.254"] {
            assert_eq!(policy.opened_by("b.org", at(address)), [], "{address}");
        }
    }

    #[test]
    fn an_open_port_lets_every_name_be_asked_for_and_a_subnet_does_not() {
        assert!(denying("tcp/443", "").admits("any.name"));
        assert!(denying("0.0.0.0/0", "").admits("any.name"));
        assert!(!denying("10.0.0.0/8", "").admits("any.name"));
    }

    #[test]
    fn of_two_policies_the_closed_one_counts_and_what_either_denies_by_name() {
        let open = Policy::read(Stance::Allow, &[], &["bad.org".to_owned()], false).unwrap();
        let both = open.and(&denying("good.org,bad.org", ""));
        assert_eq!((both.admits("good.org"), both.admits("bad.org"), both.admits("x.org")), (true, false, false));
    }
}
