//! A client's agent of keys inside a step: a socket of ours whose connections go on to the client's.

use crate::Error;
use crate::Result;
use crate::context::{Agent, Sources};
use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{Builder, Scope};

/// Threads for the clients of one agent, two for each: a step that opens more connections is turned away.
const MOST_THREADS: usize = 128;

/// A socket while it is served; dropped, nobody is let in any more.
#[derive(Debug)]
pub(crate) struct Served<'a> {
    path: PathBuf,
    ended: &'a AtomicBool,
}

/// Serves `id` at `path` on threads of `scope`, until `ended` is set and the answer is dropped.
pub(crate) fn serve<'scope, 'env>(
    scope: &'scope Scope<'scope, 'env>,
    sources: &'env dyn Sources,
    (id, mode): (String, u32),
    path: &Path,
    ended: &'env AtomicBool,
) -> Result<Served<'env>> {
    let listener = UnixListener::bind(path).map_err(Error::io("listen for an agent's clients"))?;
    std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).map_err(Error::io("open an agent to its user"))?;
    let work = move || {
        // Each thread has a share of it.
        let share = Arc::new(());
        for connection in listener.incoming().map_while(std::result::Result::ok) {
            if ended.load(Ordering::Acquire) {
                return;
            }
            if Arc::strong_count(&share) > MOST_THREADS {
                continue;
            }
            match sources.agent(&id) {
                Ok(Some(agent)) => join(scope, connection, agent, (&share, ended)),
                Ok(None) => {}
                Err(error) => tracing::debug!("cannot reach the agent {id}: {}", base::chain(&error)),
            }
        }
    };
    Builder::new().spawn_scoped(scope, work).map_err(Error::io("serve an agent"))?;
    Ok(Served { path: path.to_owned(), ended })
}

fn join<'scope>(
    scope: &'scope Scope<'scope, '_>,
    connection: UnixStream,
    agent: Box<dyn Agent>,
    (share, ended): (&Arc<()>, &'scope AtomicBool),
) {
    let Ok((from_agent, to_agent)) = agent.split() else { return };
    let Ok(mut answers) = connection.try_clone() else { return };
    let (one, other) = (share.clone(), share.clone());
    let answering = move || {
        pour(from_agent, &mut answers, ended);
        let _ = answers.shutdown(Shutdown::Both);
        drop(one);
    };
    let asking = move || {
        pour(connection, to_agent, ended);
        drop(other);
    };
    // A thread that cannot be had ends the connection, and nothing else.
    let begun = Builder::new().spawn_scoped(scope, answering);
    if let Err(error) = begun.and_then(|_| Builder::new().spawn_scoped(scope, asking)) {
        tracing::debug!("cannot serve a client of an agent: {error}");
    }
}

/// Until either side ends. An agent that never does ([`Agent`] has it look up from time to time) is left with the step.
fn pour(mut from: impl Read, mut to: impl Write, ended: &AtomicBool) {
    use std::io::ErrorKind::{Interrupted, TimedOut, WouldBlock};
    let mut buffer = [0; 16 * 1024];
    loop {
        match from.read(&mut buffer) {
            Ok(0) => return,
            Ok(got) if to.write_all(&buffer[..got]).and_then(|()| to.flush()).is_ok() => {}
            Err(e) if e.kind() == Interrupted => {}
            Err(e) if matches!(e.kind(), TimedOut | WouldBlock) && !ended.load(Ordering::Acquire) => {}
            _ => return,
        }
    }
}

impl Drop for Served<'_> {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Release);
        // It waits for a connection: this is the last one.
        let _ = UnixStream::connect(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::Folder;
    use std::os::fd::OwnedFd;
    use std::sync::{Arc, Mutex};

    /// An agent that answers, and then never says a word nor hangs up.
    #[derive(Default)]
    struct Stubborn(Mutex<Vec<OwnedFd>>);

    struct Ends(UnixStream);

    impl Agent for Ends {
        fn split(self: Box<Self>) -> std::io::Result<(Box<dyn Read + Send>, Box<dyn Write + Send>)> {
            self.0.set_read_timeout(Some(std::time::Duration::from_millis(10)))?;
            Ok((Box::new(self.0.try_clone()?), Box::new(self.0)))
        }
    }

    impl Sources for Stubborn {
        fn folder(&self, _name: &str, _wanted: &[String]) -> Result<Option<Arc<Folder>>> {
            Ok(None)
        }

        fn agent(&self, _id: &str) -> Result<Option<Box<dyn Agent>>> {
            let (ours, mut theirs) = UnixStream::pair().map_err(Error::io("make a pair"))?;
            theirs.write_all(b"hello").map_err(Error::io("answer"))?;
            self.0.lock().unwrap().push(theirs.into());
            Ok(Some(Box::new(Ends(ours))))
        }
    }

    #[test]
    fn an_agent_that_does_not_hang_up_does_not_hold_the_step() {
        let folder = tempfile::tempdir().unwrap();
        let (sources, ended) = (Stubborn::default(), AtomicBool::new(false));
        let path = folder.path().join("agent");
        std::thread::scope(|scope| {
            let served = serve(scope, &sources, ("default".to_owned(), 0o600), &path, &ended).unwrap();
            let mut client = UnixStream::connect(&path).unwrap();
            let mut answer = [0; 5];
            client.read_exact(&mut answer).unwrap();
            assert_eq!(&answer, b"hello");
            drop(client);
            drop(served);
        });
    }

    #[test]
    fn a_step_that_opens_many_connections_is_turned_away() {
        let folder = tempfile::tempdir().unwrap();
        let (sources, ended) = (Stubborn::default(), AtomicBool::new(false));
        let path = folder.path().join("agent");
        std::thread::scope(|scope| {
            let served = serve(scope, &sources, ("default".to_owned(), 0o600), &path, &ended).unwrap();
            let answered = || {
                let mut client = UnixStream::connect(&path).unwrap();
                client.read_exact(&mut [0; 5]).map(|()| client)
            };
            let clients: Vec<UnixStream> = (0..MOST_THREADS / 2).map(|_| answered().unwrap()).collect();
            assert!(answered().is_err());
            drop(clients);
            drop(served);
        });
    }
}
