//! A connection to systemd over D-Bus: one call after another, no thread.
//!
//! Libraries for D-Bus run an executor and threads; a runtime that forks must have one thread, and needs five methods.

use super::message::{Call, FIXED, Message, Sort};
use super::value::{Malformed, Value};
use std::collections::VecDeque;
use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::net::{SocketAddr, UnixStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// systemd's name on a bus.
const SYSTEMD: &str = "org.freedesktop.systemd1";
const BUS: &str = "org.freedesktop.DBus";
/// Where systemd itself listens for root, without a bus between (there is none early at boot).
const PRIVATE: &str = "/run/systemd/private";
/// For one answer, and for a job to be done.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Silence {
    #[error("cannot connect to {address}")]
    Connect { address: String, source: io::Error },
    #[error(
        "no bus of the user is known: set DBUS_SESSION_BUS_ADDRESS, or XDG_RUNTIME_DIR to a folder with the socket `bus` (dbus-user-session makes one at login)"
    )]
    NoUserBus,
    #[error("the bus refuses this user: {0}")]
    Refused(String),
    #[error("cannot talk to systemd")]
    Talk(#[from] io::Error),
    #[error("cannot understand systemd")]
    Malformed(#[from] Malformed),
    /// The answer is an error.
    #[error("{text}")]
    Error { name: String, text: String },
}

impl Silence {
    pub(super) fn is_named(&self, wanted: &str) -> bool {
        matches!(self, Silence::Error { name, .. } if name.ends_with(wanted))
    }

    pub(super) fn is_timeout(&self) -> bool {
        matches!(self, Silence::Talk(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut))
    }
}

/// Whose systemd.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Owner {
    System,
    /// The user's own; also of who is root only in a user namespace.
    User,
}

#[derive(Debug)]
pub(super) struct Bus {
    stream: UnixStream,
    /// Whether a bus stands between, which wants names and subscriptions.
    brokered: bool,
    serial: u32,
    signals: VecDeque<Message>,
}

impl Bus {
    pub(super) fn open(owner: Owner) -> Result<Bus, Silence> {
        match owner {
            Owner::User => Bus::on(&user_address()?),
            Owner::System => {
                let address = std::env::var("DBUS_SYSTEM_BUS_ADDRESS").ok().filter(|address| !address.is_empty());
                let address = address.unwrap_or_else(|| "unix:path=/run/dbus/system_bus_socket".to_owned());
                Bus::on(&address).or_else(|no_bus| {
                    let private = UnixStream::connect(PRIVATE).map_err(|_| no_bus)?;
                    Bus::begin(private, false)
                })
            }
        }
    }

    /// The first that answers of a list `unix:path=...;unix:abstract=...`.
    fn on(addresses: &str) -> Result<Bus, Silence> {
        let failed = |source| Silence::Connect { address: addresses.to_owned(), source };
        let mut last =
            io::Error::new(io::ErrorKind::InvalidInput, "only addresses unix:path= and unix:abstract= are known");
        for address in addresses.split(';').filter_map(socket_address) {
            match address.and_then(|address| UnixStream::connect_addr(&address)) {
                Ok(stream) => return Bus::begin(stream, true),
                Err(e) => last = e,
            }
        }
        Err(failed(last))
    }

    pub(super) fn begin(stream: UnixStream, brokered: bool) -> Result<Bus, Silence> {
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let mut bus = Bus { stream, brokered, serial: 0, signals: VecDeque::new() };
        bus.authenticate()?;
        if brokered {
            bus.call(BUS, "/org/freedesktop/DBus", BUS, ("Hello", &[]))?;
        }
        Ok(bus)
    }

    /// EXTERNAL without saying who we are: the other end looks at the socket's credentials. A user id would be wrong in a
    /// user namespace, where ours differs from the one that the bus sees.
    fn authenticate(&mut self) -> Result<(), Silence> {
        self.stream.write_all(b"\0AUTH EXTERNAL\r\n")?;
        let mut line = self.line()?;
        if line.starts_with("DATA") {
            self.stream.write_all(b"DATA\r\n")?;
            line = self.line()?;
        }
        if !line.starts_with("OK") {
            return Err(Silence::Refused(line));
        }
        Ok(self.stream.write_all(b"BEGIN\r\n")?)
    }

    /// Byte by byte: what follows is no longer lines.
    fn line(&mut self) -> Result<String, Silence> {
        let mut line = Vec::new();
        let mut byte = [0];
        while !line.ends_with(b"\r\n") {
            if line.len() > 1024 {
                return Err(Malformed("a long line").into());
            }
            self.stream.read_exact(&mut byte)?;
            line.push(byte[0]);
        }
        Ok(String::from_utf8_lossy(&line).trim_end().to_owned())
    }

    /// Asks for the signals of systemd's jobs.
    pub(super) fn subscribe(&mut self) -> Result<(), Silence> {
        const RULE: &str = "type='signal',sender='org.freedesktop.systemd1',\
            interface='org.freedesktop.systemd1.Manager',member='JobRemoved'";
        if self.brokered {
            self.call(BUS, "/org/freedesktop/DBus", BUS, ("AddMatch", &[Value::text(RULE)]))?;
        }
        match self.manager("Subscribe", &[]) {
            Err(silence) if !silence.is_named("AlreadySubscribed") => Err(silence),
            _ => Ok(()),
        }
    }

    /// A method of systemd's manager.
    pub(super) fn manager(&mut self, method: &str, arguments: &[Value]) -> Result<Vec<Value>, Silence> {
        const MANAGER: &str = "org.freedesktop.systemd1.Manager";
        self.call(SYSTEMD, "/org/freedesktop/systemd1", MANAGER, (method, arguments))
    }

    /// A property of one of systemd's objects.
    pub(super) fn property(&mut self, path: &str, interface: &str, name: &str) -> Result<Value, Silence> {
        const PROPERTIES: &str = "org.freedesktop.DBus.Properties";
        let interface = format!("{SYSTEMD}.{interface}");
        let arguments = [Value::text(interface), Value::text(name)];
        match self.call(SYSTEMD, path, PROPERTIES, ("Get", &arguments))?.into_iter().next() {
            Some(Value::Variant(value)) => Ok(*value),
            _ => Err(Malformed("no value of a property").into()),
        }
    }

    /// The next signal; what another call saw already comes first.
    pub(super) fn signal(&mut self, until: Instant) -> Result<Message, Silence> {
        if let Some(signal) = self.signals.pop_front() {
            return Ok(signal);
        }
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(io::Error::from(io::ErrorKind::TimedOut).into());
            }
            self.stream.set_read_timeout(Some(left))?;
            let message = self.message();
            self.stream.set_read_timeout(Some(PATIENCE))?;
            match message? {
                message if message.is(Sort::Signal) => return Ok(message),
                _ => {}
            }
        }
    }

    fn call(
        &mut self,
        destination: &str,
        path: &str,
        interface: &str,
        (member, arguments): (&str, &[Value]),
    ) -> Result<Vec<Value>, Silence> {
        self.serial += 1;
        let destination = self.brokered.then_some(destination);
        let call = Call { destination, path, interface, member, arguments };
        self.stream.write_all(&call.bytes(self.serial))?;
        loop {
            let message = self.message()?;
            if message.is(Sort::Signal) {
                self.signals.push_back(message);
            } else if message.reply_to == self.serial && message.is(Sort::Return) {
                return Ok(message.body);
            } else if message.reply_to == self.serial && message.is(Sort::Error) {
                let text = match message.body.into_iter().next() {
                    Some(Value::Text(text)) => text,
                    _ => message.error.clone(),
                };
                return Err(Silence::Error { name: message.error, text });
            }
        }
    }

    fn message(&mut self) -> Result<Message, Silence> {
        let mut fixed = [0; FIXED];
        self.stream.read_exact(&mut fixed)?;
        let mut bytes = fixed.to_vec();
        bytes.resize(Message::length(&fixed)?, 0);
        self.stream.read_exact(&mut bytes[FIXED..])?;
        Ok(Message::parse(&bytes)?)
    }
}

fn user_address() -> Result<String, Silence> {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    if let Some(address) = set("DBUS_SESSION_BUS_ADDRESS") {
        return address.into_string().map_err(|_| Silence::NoUserBus);
    }
    let socket = set("XDG_RUNTIME_DIR").map(|folder| Path::new(&folder).join("bus")).filter(|path| path.exists());
    let socket = socket.as_deref().and_then(Path::to_str).ok_or(Silence::NoUserBus)?;
    Ok(format!("unix:path={}", escape(socket)))
}

/// As addresses want it ("Server Addresses").
fn escape(path: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_/.\\*".contains(&byte);
    path.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02x}") }).collect()
}

/// `None` for other transports than unix sockets.
fn socket_address(address: &str) -> Option<io::Result<SocketAddr>> {
    let pairs = address.strip_prefix("unix:")?.split(',').filter_map(|pair| pair.split_once('='));
    pairs.into_iter().find_map(|(key, value)| match key {
        "path" => Some(SocketAddr::from_pathname(PathBuf::from(OsString::from_vec(unescape(value))))),
        "abstract" => Some(SocketAddr::from_abstract_name(unescape(value))),
        _ => None,
    })
}

fn unescape(value: &str) -> Vec<u8> {
    let mut bytes = value.as_bytes().iter();
    let mut plain = Vec::new();
    while let Some(&byte) = bytes.next() {
        let rest = bytes.as_slice();
        let code = rest.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        match code.and_then(|digits| u8::from_str_radix(digits, 16).ok()).filter(|_| byte == b'%') {
            Some(code) => {
                plain.push(code);
                bytes.nth(1);
            }
            None => plain.push(byte),
        }
    }
    plain
}

#[cfg(test)]
mod tests;
