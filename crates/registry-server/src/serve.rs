//! Connections: TLS, HTTP/1.1 and 2, a line in the log for each request, a graceful end.

use crate::blob_body::Body;
use crate::routes::{self, App, Reason};
use crate::stall::{Impatient, PATIENCE};
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How long a handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// How long no connection is taken after one could not be (the process has too many files open).
const PAUSE: Duration = Duration::from_millis(100);
/// Windows of HTTP/2 in bytes: the defaults would make every blob wait for its acknowledgements.
const STREAM_WINDOW: u32 = 2 * 1024 * 1024;
const CONNECTION_WINDOW: u32 = 8 * 1024 * 1024;
const FRAME: u32 = 256 * 1024;
const MAX_STREAMS: u32 = 128;

/// What serves.
#[derive(Clone)]
pub struct Server {
    pub app: Arc<App>,
    pub tls: Option<TlsAcceptor>,
    /// Told when it is time to end.
    pub stop: CancellationToken,
    /// All connections.
    pub tasks: TaskTracker,
}

impl Server {
    /// Takes connections until it is told to stop.
    pub async fn listen(self, listener: TcpListener) {
        loop {
            let accepted = tokio::select! {
                () = self.stop.cancelled() => return,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, peer)) => {
                    let server = self.clone();
                    self.tasks.spawn(async move { server.connection(stream, peer).await });
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot take a connection");
                    sleep(PAUSE).await;
                }
            }
        }
    }

    async fn connection(self, stream: TcpStream, peer: SocketAddr) {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%peer, %error, "a connection without TCP_NODELAY");
        }
        let Some(tls) = self.tls.clone() else { return self.http(stream, peer).await };
        match timeout(HANDSHAKE, tls.accept(stream)).await {
            Ok(Ok(stream)) => self.http(stream, peer).await,
            Ok(Err(error)) => tracing::info!(%peer, %error, "a TLS handshake failed"),
            Err(_) => tracing::info!(%peer, "a TLS handshake took too long"),
        }
    }

    async fn http(self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, peer: SocketAddr) {
        let app = Arc::clone(&self.app);
        let service = service_fn(move |request| {
            let app = Arc::clone(&app);
            async move { Ok::<_, Infallible>(logged(app, request, peer).await) }
        });
        let builder = builder();
        let mut connection = pin!(builder.serve_connection(TokioIo::new(Impatient::new(stream)), service));
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = self.stop.cancelled() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%peer, %error, "a connection ended early");
        }
    }
}

fn builder() -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(PATIENCE);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(PATIENCE / 2)
        .keep_alive_timeout(PATIENCE / 2)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_frame_size(FRAME)
        .max_concurrent_streams(MAX_STREAMS);
    builder
}

async fn logged(app: Arc<App>, request: Request<Incoming>, peer: SocketAddr) -> Response<Body> {
    let started = Instant::now();
    let line = format!("{} {}", request.method(), request.uri());
    let response = routes::answer(app, request).await;
    let status = response.status().as_u16();
    let took = started.elapsed();
    match response.extensions().get::<Reason>() {
        Some(Reason(reason)) => tracing::info!(%peer, status, ?took, reason, "{line}"),
        None => tracing::info!(%peer, status, ?took, "{line}"),
    }
    response
}
