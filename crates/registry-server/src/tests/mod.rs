//! The registry over real connections: all drivers by the same cases, and what each has of its own.

mod cached;
mod conformance;
mod connection;
mod drivers;
mod material;

use crate::access::{Access, Changes};
use crate::htpasswd::Htpasswd;
use crate::routes::App;
use crate::serve::Server;
use crate::storage::Storage;
use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// A registry that listens on loopback as long as it lives.
pub struct Registry {
    pub address: SocketAddr,
    stop: CancellationToken,
}

impl Registry {
    pub async fn start(storage: Arc<dyn Storage>) -> Registry {
        Registry::start_as(storage, Changes::PushAndDelete, None).await
    }

    pub async fn start_as(storage: Arc<dyn Storage>, changes: Changes, users: Option<Htpasswd>) -> Registry {
        let app = Arc::new(App { storage, access: Access::new(users, changes) });
        let stop = CancellationToken::new();
        let server = Server { app, tls: None, stop: stop.clone(), tasks: TaskTracker::new() };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(server.listen(listener));
        Registry { address, stop }
    }

    pub async fn get(&self, path: &str) -> Reply {
        self.send(Method::GET, path, &[], b"").await
    }

    pub async fn head(&self, path: &str) -> Reply {
        self.send(Method::HEAD, path, &[], b"").await
    }

    pub async fn delete(&self, path: &str) -> Reply {
        self.send(Method::DELETE, path, &[], b"").await
    }

    pub async fn send(&self, method: Method, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Reply {
        let stream = TcpStream::connect(self.address).await.unwrap();
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        let mut request = Request::builder().method(method).uri(path).header("host", self.address.to_string());
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let body = Full::new(Bytes::copy_from_slice(body));
        let response = sender.send_request(request.body(body).unwrap()).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes().to_vec();
        Reply { status: parts.status, headers: parts.headers, body }
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

#[derive(Debug)]
pub struct Reply {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl Reply {
    #[track_caller]
    pub fn expect(self, status: u16) -> Reply {
        assert_eq!(self.status.as_u16(), status, "{:?}: {}", self.headers, String::from_utf8_lossy(&self.body));
        self
    }

    #[track_caller]
    pub fn refused(self, status: u16, code: &str) -> Reply {
        let reply = self.expect(status);
        assert_eq!(reply.json()["errors"][0]["code"], code);
        assert!(reply.json()["errors"][0]["message"].as_str().is_some_and(|text| !text.is_empty()));
        reply
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}
