//! `system dial-stdio`: this program's stdin and stdout become a connection to the engine, for docker over ssh.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use clap::Args;
use rustix::net::{Shutdown, shutdown};
use rustix::stdio::{stdin, stdout};

use crate::failure::Failure;
use crate::grammar::{About, Needs};
use crate::session::Session;
use crate::show::write_all;
use crate::words::{Outcome, Verb};

/// Becomes a connection.
#[derive(Debug, Args)]
pub struct DialStdio {}

impl Verb for DialStdio {
    const ABOUT: About = About {
        name: "system dial-stdio",
        usage: "",
        does: "Proxy the stdio stream to the engine's connection. Should not be invoked manually.",
        needs: Needs::None,
    };

    async fn run(self, session: &Session) -> Outcome {
        let socket = Arc::new(session.client().dial().await?);
        let upstream = Arc::clone(&socket);
        // It may wait for stdin for ever; the program ends when the engine hangs up.
        std::thread::spawn(move || up(&upstream));
        copy(&*socket, stdout())?;
        Ok(0)
    }
}

fn up(socket: &OwnedFd) {
    // What went wrong shows as the engine hanging up.
    let _ = copy(stdin(), socket);
    let _ = shutdown(socket, Shutdown::Write);
}

fn copy(from: impl AsFd, to: impl AsFd) -> Result<(), Failure> {
    let mut buffer = vec![0u8; 64 * 1024];
    loop {
        match rustix::io::read(&from, &mut *buffer) {
            Ok(0) => return Ok(()),
            Ok(length) => write_all(&to, &buffer[..length])?,
            Err(rustix::io::Errno::INTR) => {}
            Err(errno) => return Err(std::io::Error::from(errno).into()),
        }
    }
}
