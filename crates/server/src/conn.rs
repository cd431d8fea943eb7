//! One accepted connection, over a unix socket, tcp, or tcp with TLS.

use crate::request_line::RequestLines;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::server::TlsStream;

/// A client's connection. After a hijack the server gets it back as it is.
#[derive(Debug)]
pub struct Conn {
    socket: Socket,
    lines: RequestLines,
}

#[derive(Debug)]
enum Socket {
    Unix(UnixStream),
    Tcp(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl From<UnixStream> for Conn {
    fn from(stream: UnixStream) -> Conn {
        Conn::over(Socket::Unix(stream))
    }
}

impl From<TcpStream> for Conn {
    fn from(stream: TcpStream) -> Conn {
        Conn::over(Socket::Tcp(stream))
    }
}

impl From<TlsStream<TcpStream>> for Conn {
    fn from(stream: TlsStream<TcpStream>) -> Conn {
        Conn::over(Socket::Tls(Box::new(stream)))
    }
}

impl Conn {
    fn over(socket: Socket) -> Conn {
        Conn { socket, lines: RequestLines::default() }
    }

    /// Whether the client is on this machine: its kernel knows what becomes of it.
    pub fn is_local(&self) -> bool {
        matches!(self.socket, Socket::Unix(_))
    }

    /// Another descriptor of the same socket, that nobody waits for yet. Of one with TLS it is the bare one below it: good for
    /// watching, not for talking.
    pub fn descriptor(&self) -> io::Result<OwnedFd> {
        match &self.socket {
            Socket::Unix(stream) => stream.as_fd().try_clone_to_owned(),
            Socket::Tcp(stream) => stream.as_fd().try_clone_to_owned(),
            Socket::Tls(stream) => stream.get_ref().0.as_fd().try_clone_to_owned(),
        }
    }
}

impl AsyncRead for Conn {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let Conn { socket, lines } = self.get_mut();
        if lines.are_over() {
            return socket.poll_read(cx, buf);
        }
        let spilled = lines.take_spilled(buf.remaining());
        if !spilled.is_empty() {
            buf.put_slice(&spilled);
            return Poll::Ready(Ok(()));
        }
        let before = buf.filled().len();
        ready!(socket.poll_read(cx, buf))?;
        if let Some(written) = lines.look(&buf.filled()[before..]) {
            buf.set_filled(before);
            let (fits, rest) = written.split_at(written.len().min(buf.remaining()));
            buf.put_slice(fits);
            lines.spill(rest);
        }
        Poll::Ready(Ok(()))
    }
}

impl Socket {
    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self {
            Socket::Unix(stream) => Pin::new(stream).poll_read(cx, buf),
            Socket::Tcp(stream) => Pin::new(stream).poll_read(cx, buf),
            Socket::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Conn {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.get_mut().socket {
            Socket::Unix(stream) => Pin::new(stream).poll_write(cx, buf),
            Socket::Tcp(stream) => Pin::new(stream).poll_write(cx, buf),
            Socket::Tls(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut self.get_mut().socket {
            Socket::Unix(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
            Socket::Tcp(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
            Socket::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().socket {
            Socket::Unix(stream) => Pin::new(stream).poll_flush(cx),
            Socket::Tcp(stream) => Pin::new(stream).poll_flush(cx),
            Socket::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().socket {
            Socket::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
            Socket::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Socket::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
