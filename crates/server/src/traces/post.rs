//! One POST of JSON to a collector.

use http::header::{self, HeaderName, HeaderValue};
use http::{HeaderMap, Method, Request, Uri};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use std::fmt;
use std::time::Duration;
use tokio::net::TcpStream;

/// How long a collector may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Where spans go.
#[derive(Debug)]
pub struct Target {
    host: String,
    port: u16,
    path: String,
    headers: HeaderMap,
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}:{}{}", self.host, self.port, self.path)
    }
}

impl Target {
    /// An address, and headers as `key=value,key=value`.
    pub fn read(endpoint: &str, headers: &str) -> Result<Target, String> {
        let uri: Uri = endpoint.parse().map_err(|_| "it is no URL".to_owned())?;
        if uri.scheme_str() != Some("http") {
            return Err(
                "only http:// is spoken; a collector beside the engine takes it and goes on with TLS".to_owned()
            );
        }
        let mut all = HeaderMap::new();
        for (key, value) in headers.split(',').filter_map(|pair| pair.split_once('=')) {
            let key = HeaderName::from_bytes(key.trim().as_bytes()).map_err(|e| e.to_string())?;
            all.insert(key, HeaderValue::from_str(value.trim()).map_err(|e| e.to_string())?);
        }
        Ok(Target {
            host: uri.host().unwrap_or_default().to_owned(),
            port: uri.port_u16().unwrap_or(80),
            path: uri.path().to_owned(),
            headers: all,
        })
    }

    /// Sends one body; what the collector says against it is the error.
    pub async fn post(&self, body: &Value) -> Result<(), String> {
        match tokio::time::timeout(PATIENCE, self.send(body.to_string())).await {
            Ok(sent) => sent,
            Err(_) => Err("it does not answer in time".to_owned()),
        }
    }

    async fn send(&self, body: String) -> Result<(), String> {
        let words = |error: &dyn std::error::Error| base::chain(error);
        let addresses = registry::lookup(&self.host).await.map_err(|e| words(&e))?;
        let address = addresses.first().ok_or("it has no address")?;
        let stream = TcpStream::connect((*address, self.port)).await.map_err(|e| words(&e))?;
        let (mut client, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|e| words(&e))?;
        tokio::spawn(connection);
        let mut request = Request::new(Full::<bytes::Bytes>::from(body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.path.parse().map_err(|_| "its path is no path")?;
        *request.headers_mut() = self.headers.clone();
        let host = HeaderValue::from_str(&format!("{}:{}", self.host, self.port)).map_err(|e| words(&e))?;
        request.headers_mut().insert(header::HOST, host);
        request.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let answer = client.send_request(request).await.map_err(|e| words(&e))?;
        let status = answer.status();
        let _ = answer.into_body().collect().await;
        if status.is_success() { Ok(()) } else { Err(format!("it answers with status {status}")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_collector_gets_one_body_with_the_headers() {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let collector = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.expect("a client");
            let mut got = String::new();
            while !got.contains("resourceSpans") {
                let mut buffer = [0; 1024];
                let count = stream.read(&mut buffer).await.expect("read");
                got.push_str(&String::from_utf8_lossy(&buffer[..count]));
            }
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.expect("answered");
            got
        });
        let to = Target::read(&format!("http://localhost:{port}/v1/traces"), "x-key=secret").expect("a target");
        assert_eq!(to.post(&serde_json::json!({"resourceSpans": []})).await, Ok(()));
        let got = collector.await.expect("joined").to_ascii_lowercase();
        assert!(got.starts_with("post /v1/traces http/1.1"), "{got}");
        assert!(got.contains("x-key: secret") && got.contains("application/json"), "{got}");
        assert!(to.post(&serde_json::json!({})).await.is_err(), "nobody answers any more");
    }

    #[test]
    fn addresses_and_headers_are_read() {
        let to = Target::read("http://127.0.0.1:4318/v1/traces", "a=b,authorization=Bearer x").expect("a target");
        assert_eq!(to.to_string(), "http://127.0.0.1:4318/v1/traces");
        assert_eq!(to.headers.len(), 2);
        assert!(Target::read("https://c.example", "").is_err());
        assert!(Target::read("grpc", "").is_err());
    }
}
