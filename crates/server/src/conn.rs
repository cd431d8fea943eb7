//! One accepted connection, over a unix socket, tcp, or tcp with TLS.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf, Ready};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::server::TlsStream;

/// A client's connection. After a hijack the server gets it back as it is.
#[derive(Debug)]
pub enum Conn {
    Unix(UnixStream),
    Tcp(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Conn {
    /// Another descriptor of the same connection, with a readiness of its own. Of one with TLS it is the bare one below it:
    /// good for watching, not for talking.
    pub fn duplicate(&self) -> io::Result<Conn> {
        match self {
            Conn::Unix(stream) => {
                let own = stream.as_fd().try_clone_to_owned()?;
                UnixStream::from_std(own.into()).map(Conn::Unix)
            }
            Conn::Tcp(stream) => below(stream),
            Conn::Tls(stream) => below(stream.get_ref().0),
        }
    }

    /// Another descriptor of the same socket, that nobody waits for yet.
    pub fn descriptor(&self) -> io::Result<OwnedFd> {
        match self {
            Conn::Unix(stream) => stream.as_fd().try_clone_to_owned(),
            Conn::Tcp(stream) => stream.as_fd().try_clone_to_owned(),
            Conn::Tls(stream) => stream.get_ref().0.as_fd().try_clone_to_owned(),
        }
    }

    /// Waits until one of `interest` may hold.
    pub async fn ready(&self, interest: Interest) -> io::Result<Ready> {
        match self {
            Conn::Unix(stream) => stream.ready(interest).await,
            Conn::Tcp(stream) => stream.ready(interest).await,
            Conn::Tls(stream) => stream.get_ref().0.ready(interest).await,
        }
    }

    /// The next [`Conn::ready`] waits for news.
    pub fn forget_readiness(&self, interest: Interest) {
        let nothing = || Err(io::Error::from(io::ErrorKind::WouldBlock));
        let _: io::Result<()> = match self {
            Conn::Unix(stream) => stream.try_io(interest, nothing),
            Conn::Tcp(stream) => stream.try_io(interest, nothing),
            Conn::Tls(stream) => stream.get_ref().0.try_io(interest, nothing),
        };
    }
}

fn below(stream: &TcpStream) -> io::Result<Conn> {
    let own = stream.as_fd().try_clone_to_owned()?;
    TcpStream::from_std(own.into()).map(Conn::Tcp)
}

impl AsyncRead for Conn {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Conn::Unix(stream) => Pin::new(stream).poll_read(cx, buf),
            Conn::Tcp(stream) => Pin::new(stream).poll_read(cx, buf),
            Conn::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Conn {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Conn::Unix(stream) => Pin::new(stream).poll_write(cx, buf),
            Conn::Tcp(stream) => Pin::new(stream).poll_write(cx, buf),
            Conn::Tls(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Conn::Unix(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
            Conn::Tcp(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
            Conn::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Conn::Unix(stream) => Pin::new(stream).poll_flush(cx),
            Conn::Tcp(stream) => Pin::new(stream).poll_flush(cx),
            Conn::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Conn::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
            Conn::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Conn::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
