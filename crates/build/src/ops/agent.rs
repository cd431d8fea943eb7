//! A client's agent of keys inside a step: a socket of ours whose connections go on to the client's.

use crate::Error;
use crate::Result;
use crate::context::{Agent, Sources};
use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::Scope;

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
    scope.spawn(move || {
        for connection in listener.incoming().map_while(std::result::Result::ok) {
            if ended.load(Ordering::Acquire) {
                return;
            }
            match sources.agent(&id) {
                Ok(Some(agent)) => join(scope, connection, agent),
                Ok(None) => {}
                Err(error) => tracing::debug!("cannot reach the agent {id}: {}", base::chain(&error)),
            }
        }
    });
    Ok(Served { path: path.to_owned(), ended })
}

fn join<'scope>(scope: &'scope Scope<'scope, '_>, connection: UnixStream, agent: Box<dyn Agent>) {
    let Ok((from_agent, to_agent)) = agent.split() else { return };
    let Ok(answers) = connection.try_clone() else { return };
    scope.spawn(move || {
        pour(from_agent, answers.try_clone().ok());
        let _ = answers.shutdown(Shutdown::Both);
    });
    scope.spawn(move || pour(connection, Some(to_agent)));
}

fn pour(mut from: impl Read, to: Option<impl Write>) {
    let Some(mut to) = to else { return };
    let mut buffer = [0; 16 * 1024];
    loop {
        match from.read(&mut buffer) {
            Ok(0) => return,
            Ok(got) if to.write_all(&buffer[..got]).and_then(|()| to.flush()).is_ok() => {}
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
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
