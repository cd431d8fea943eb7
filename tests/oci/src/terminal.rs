//! The other end of `--console-socket`: gets the master of a container's terminal.

use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags};
use std::fs::File;
use std::io::{self, IoSliceMut, Read};
use std::mem::MaybeUninit;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

/// A listening socket.
#[derive(Debug)]
pub struct Console {
    listener: UnixListener,
    pub path: PathBuf,
}

impl Console {
    pub fn listen(folder: &Path) -> io::Result<Console> {
        let path = folder.join("console.sock");
        Ok(Console { listener: UnixListener::bind(&path)?, path })
    }

    /// The master that the runtime sends.
    pub fn master(&self) -> io::Result<File> {
        let (stream, _) = self.listener.accept()?;
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(4))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let mut name = [0; 256];
        rustix::net::recvmsg(&stream, &mut [IoSliceMut::new(&mut name)], &mut ancillary, RecvFlags::CMSG_CLOEXEC)?;
        let received = ancillary.drain().find_map(|message| match message {
            RecvAncillaryMessage::ScmRights(mut fds) => fds.next(),
            _ => None,
        });
        received.map(File::from).ok_or_else(|| io::Error::other("no descriptor came with the name of the terminal"))
    }

    /// Everything the terminal says until its last writer is gone (EIO).
    pub fn read_all(mut master: &File) -> String {
        let mut text = Vec::new();
        let mut chunk = [0; 1024];
        while let Ok(read @ 1..) = master.read(&mut chunk) {
            text.extend_from_slice(&chunk[..read]);
        }
        String::from_utf8_lossy(&text).into_owned()
    }
}
