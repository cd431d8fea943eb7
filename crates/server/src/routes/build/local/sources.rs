//! The client's side of a build: folders of this machine or sent, addresses, secrets, agents, and his wish to look into a failed step.

use super::layout::loaded;
use crate::routes::build::context::fetched;
use crate::status::Refusal;
use crate::stream::begun::Teller;
use api::types::{BuildEvent, DebugShell, LocalBuild};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use build::cache::{Blobs, Layout};
use build::context::{self, Agent, Checkout, Folder, MAIN, Named, Stopped};
use build::{Builder, Sources};
use dockerfile::ignore::Ignore;
use engine::{Engine, Step};
use registry::Cancel;
use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

/// Bytes of a Dockerfile that comes from an address.
const MOST_DOCKERFILE: u64 = 16 << 20;

/// What the client has.
pub struct Local {
    folders: BTreeMap<String, Arc<Folder>>,
    named: BTreeMap<String, Named>,
    ignore: Option<Ignore>,
    secrets: BTreeMap<String, Vec<u8>>,
    agents: BTreeMap<String, String>,
    looking: Option<Looking>,
}

/// Who wants to look into a step that failed.
struct Looking {
    engine: Engine,
    teller: Teller,
    shell: DebugShell,
    /// One after the other.
    turn: Mutex<()>,
}

/// Where a context's files are.
enum Place<'a> {
    Address(&'a str),
    Path(&'a Path),
}

impl Local {
    /// `sent` has the files that come behind the request.
    pub fn of(
        builder: &Builder,
        asked: &LocalBuild,
        (sent, cancel): (&mut (dyn Read + Send), &Cancel),
    ) -> Result<Local, Refusal> {
        let mut local = Local {
            folders: BTreeMap::new(),
            named: BTreeMap::new(),
            ignore: None,
            secrets: BTreeMap::new(),
            agents: asked.ssh.clone(),
            looking: None,
        };
        for name in &asked.sent {
            let mut tar = Pieces { source: sent, left: 0, ended: false };
            let folder = context::unpack(&mut tar, &builder.contexts())?.into_folder()?;
            tar.drain().map_err(|error| Refusal::invalid(format!("cannot read the files that were sent: {error}")))?;
            local.put(name, folder, asked)?;
        }
        if let Some(text) = &asked.context {
            let folder = folder(builder, &place(text)?, cancel)?;
            same(&folder, text, asked.seen)?;
            local.put(MAIN, folder, asked)?;
        }
        for (name, value) in &asked.contexts {
            local.name(builder, (name, value), asked, cancel)?;
        }
        for (id, value) in &asked.secrets {
            let bytes = STANDARD.decode(value).map_err(|_| Refusal::invalid(format!("secret {id} is not base64")))?;
            local.secrets.insert(id.clone(), bytes);
        }
        Ok(local)
    }

    /// A folder under its name, without what its ignore file names. That of the main one may have come with the request.
    fn put(&mut self, name: &str, folder: Folder, asked: &LocalBuild) -> Result<(), Refusal> {
        let text = match (name == MAIN, &asked.ignore) {
            (true, Some(text)) => Some(text.clone()),
            (true, None) if asked.dockerfile.is_none() => folder.ignore_file(&asked.name)?,
            _ => folder.ignore_file("Dockerfile")?,
        };
        let wrong = |error| Refusal::invalid(format!("cannot read the ignore file: {}", base::chain(&error)));
        let ignore = text.as_deref().map(Ignore::parse).transpose().map_err(wrong)?;
        if name == MAIN {
            self.ignore.clone_from(&ignore);
        } else {
            self.named.insert(name.to_owned(), Named::Folder);
        }
        let folder = match ignore {
            Some(ignore) => folder.without(ignore),
            None => folder,
        };
        self.folders.insert(name.to_owned(), Arc::new(folder));
        Ok(())
    }

    /// What a named context is.
    fn name(
        &mut self,
        builder: &Builder,
        (name, value): (&str, &str),
        asked: &LocalBuild,
        cancel: &Cancel,
    ) -> Result<(), Refusal> {
        let named = if let Some(image) = value.strip_prefix("docker-image://") {
            Named::Image(image.to_owned())
        } else if let Some(stage) = value.strip_prefix("target:") {
            Named::Stage(stage.to_owned())
        } else if let Some(layout) = value.strip_prefix("oci-layout://") {
            Named::Image(loaded(builder, layout)?)
        } else {
            let folder = folder(builder, &place(value)?, cancel)?;
            return self.put(name, folder, asked);
        };
        self.named.insert(name.to_owned(), named);
        Ok(())
    }

    /// The Dockerfile: as it was sent, or where it lies.
    pub fn dockerfile(&self, builder: &Builder, asked: &LocalBuild, cancel: &Cancel) -> Result<Vec<u8>, Refusal> {
        if let Some(text) = &asked.dockerfile {
            return Ok(text.clone().into_bytes());
        }
        let name = asked.name.as_str();
        if name.starts_with("http://") || name.starts_with("https://") {
            let mut text = Vec::new();
            let body = builder.engine().fetch(name, cancel)?;
            let read = body.take(MOST_DOCKERFILE).read_to_end(&mut text);
            read.map_err(|error| Refusal::internal(format!("unable to read from {name}: {error}")))?;
            return Ok(text);
        }
        let missing = || Refusal::invalid(format!("failed to read dockerfile: open {name}: no such file or directory"));
        let folder = self.folders.get(MAIN).ok_or_else(missing)?;
        let found = match folder.read(name)? {
            None if name == "Dockerfile" => folder.read("dockerfile")?,
            found => found,
        };
        found.ok_or_else(missing)
    }

    /// The same for a client who wants a shell where a step fails.
    pub fn looking(mut self, engine: Engine, teller: &Teller, shell: Option<DebugShell>) -> Local {
        self.looking = shell.map(|shell| Looking { engine, teller: teller.clone(), shell, turn: Mutex::default() });
        self
    }
}

fn place(text: &str) -> Result<Place<'_>, Refusal> {
    match text.starts_with('/') {
        true => Ok(Place::Path(Path::new(text))),
        false if text.contains(':') || text.starts_with("github.com/") => Ok(Place::Address(text)),
        false => Err(Refusal::invalid(format!("the context {text:?} is neither an absolute path nor an address"))),
    }
}

/// Whether a folder is the one that the client sees: one in a container with the engine's socket has others by the same names.
fn same(folder: &Folder, path: &str, seen: Option<(u64, u64)>) -> Result<(), Refusal> {
    let Some(seen) = seen else { return Ok(()) };
    let found = rustix::fs::fstat(folder.root());
    if found.is_ok_and(|found| (found.st_dev, found.st_ino) == seen) {
        return Ok(());
    }
    Err(Refusal::invalid(format!(
        "the folder {path} is another one where the engine is (is this client in a container?): send its files with 'tar -cC {path} . | dhow build -'"
    )))
}

fn folder(builder: &Builder, place: &Place<'_>, cancel: &Cancel) -> Result<Folder, Refusal> {
    match place {
        Place::Path(path) => Ok(Folder::open(path)?),
        Place::Address(address) => match builder.repository(address, &Checkout::default(), cancel)? {
            Some(folder) => Ok(folder),
            None if address.starts_with("http://") || address.starts_with("https://") => {
                fetched(builder, address, cancel)
            }
            None => Err(Refusal::invalid(format!("{address:?} is no address of a repository or an archive"))),
        },
    }
}

/// Where files that are sent end: pieces behind their lengths, the last one empty.
struct Pieces<'a> {
    source: &'a mut (dyn Read + Send),
    /// Bytes of the piece that were not read yet.
    left: usize,
    ended: bool,
}

impl Pieces<'_> {
    /// What an archive's reader left.
    fn drain(&mut self) -> io::Result<()> {
        io::copy(self, &mut io::sink()).map(drop)
    }
}

impl Read for Pieces<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.left == 0 && !self.ended {
            let mut length = [0; 4];
            self.source.read_exact(&mut length)?;
            self.left = usize::try_from(u32::from_be_bytes(length)).map_err(io::Error::other)?;
            self.ended = self.left == 0;
        }
        if self.ended || out.is_empty() {
            return Ok(0);
        }
        let most = self.left.min(out.len());
        let got = self.source.read(&mut out[..most])?;
        if got == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.left -= got;
        Ok(got)
    }
}

impl Sources for Local {
    fn folder(&self, name: &str, _wanted: &[String]) -> build::Result<Option<Arc<Folder>>> {
        Ok(self.folders.get(name).cloned())
    }

    fn named(&self, name: &str) -> Option<Named> {
        self.named.get(name).cloned()
    }

    fn ignore(&self) -> Option<Ignore> {
        self.ignore.clone()
    }

    fn secret(&self, id: &str) -> build::Result<Option<Vec<u8>>> {
        Ok(self.secrets.get(id).cloned())
    }

    fn blobs(&self, folder: &str) -> build::Result<Option<Arc<dyn Blobs>>> {
        Ok(Some(Arc::new(Layout::at(Path::new(folder)))))
    }

    fn examine(&self, stopped: Stopped<'_>) -> build::Result<()> {
        match &self.looking {
            Some(looking) => looking.look(stopped),
            None => Ok(()),
        }
    }

    fn agent(&self, id: &str) -> build::Result<Option<Box<dyn Agent>>> {
        let Some(path) = self.agents.get(id) else { return Ok(None) };
        let stream = UnixStream::connect(path);
        let failed = |source| build::Error::Io { action: format!("reach the agent at {path}"), source };
        Ok(Some(Box::new(Socket(stream.map_err(failed)?))))
    }
}

impl Looking {
    /// A container for a shell, which the client attaches to; until that ends.
    fn look(&self, stopped: Stopped<'_>) -> build::Result<()> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let Stopped { step: Step { config, image, cancel }, title, why } = stopped;
        if cancel.is_cancelled() {
            return Ok(());
        }
        let tty = self.shell == DebugShell::Terminal;
        let config = container::Config { tty, open_stdin: true, stdin_once: true, ..config };
        let message = format!("{title}: {}", base::chain(why));
        let mut tell = |id: base::Id| {
            self.teller.tell(&BuildEvent::Shell { container: id.to_string(), message: message.clone() });
        };
        Ok(self.engine.look_around(Step { config, image, cancel }, &mut tell)?)
    }
}

/// How often one who waits for an agent's answer looks whether it is still wanted.
const LOOK: std::time::Duration = std::time::Duration::from_millis(100);

/// An agent's socket.
struct Socket(UnixStream);

impl Agent for Socket {
    fn split(self: Box<Self>) -> io::Result<(Box<dyn Read + Send>, Box<dyn Write + Send>)> {
        self.0.set_read_timeout(Some(LOOK))?;
        Ok((Box::new(self.0.try_clone()?), Box::new(Words(self.0))))
    }
}

/// What is said to an agent; dropped, the agent sees that nothing more comes.
struct Words(UnixStream);

impl Write for Words {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl Drop for Words {
    fn drop(&mut self) {
        let _ = self.0.shutdown(std::net::Shutdown::Write);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_of_the_same_name_elsewhere_is_not_taken_for_the_clients() {
        use std::os::unix::fs::MetadataExt;
        let home = tempfile::tempdir().expect("a folder");
        let folder = Folder::open(home.path()).expect("open");
        let there = std::fs::metadata(home.path()).expect("there");
        let same = |seen| same(&folder, "/x", seen).is_ok();
        assert!(same(None) && same(Some((there.dev(), there.ino()))) && !same(Some((there.dev(), there.ino() + 1))));
    }

    #[test]
    fn what_is_sent_comes_in_pieces_and_ends_with_an_empty_one() {
        let bytes = b"\0\0\0\x03abc\0\0\0\x02de\0\0\0\0rest";
        let mut source = &bytes[..];
        let mut pieces = Pieces { source: &mut source, left: 0, ended: false };
        let mut text = String::new();
        pieces.read_to_string(&mut text).expect("read");
        assert_eq!((text.as_str(), source), ("abcde", &b"rest"[..]));
        let mut short = &b"\0\0\0\x03ab"[..];
        let mut pieces = Pieces { source: &mut short, left: 0, ended: false };
        assert!(pieces.read_to_end(&mut Vec::new()).is_err());
    }
}
