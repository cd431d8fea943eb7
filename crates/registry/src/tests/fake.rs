//! A server that says exactly what a test wants, and breaks off where it wants.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

#[derive(Debug, Clone)]
pub struct Request {
    pub method: String,
    /// With its query.
    pub path: String,
    /// Names in lower case.
    pub headers: BTreeMap<String, String>,
    pub body: Vec<u8>,
}

impl Request {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }
}

/// An answer, and where it breaks off.
#[derive(Debug, Clone)]
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    pub end: End,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    Whole,
    /// The connection ends after so many bytes of the body.
    CutAfter(usize),
    /// Nothing comes after so many bytes of the body, until the client goes.
    StallAfter(usize),
    /// Without a length, so that the end of the connection ends it.
    Chunked,
}

pub fn reply(status: u16) -> Reply {
    Reply { status, headers: Vec::new(), body: Vec::new(), end: End::Whole }
}

impl Reply {
    pub fn with(mut self, name: &str, value: impl ToString) -> Reply {
        self.headers.push((name.to_owned(), value.to_string()));
        self
    }

    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Reply {
        self.body = body.into();
        self
    }

    pub fn end(mut self, end: End) -> Reply {
        self.end = end;
        self
    }
}

type Handler = dyn Fn(&Request) -> Reply + Send + Sync;

/// How requests arrive.
#[derive(Clone)]
struct Serving {
    handler: Arc<Handler>,
    seen: Arc<Mutex<Vec<Request>>>,
    over: Arc<AtomicBool>,
    tls: Option<Arc<rustls::ServerConfig>>,
    /// A request's body is cut by the server after so many bytes, once.
    cut_body: Arc<Mutex<Option<usize>>>,
}

pub struct Fake {
    pub address: SocketAddr,
    serving: Serving,
}

impl Fake {
    pub fn new(handler: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Fake {
        Fake::start(handler, None)
    }

    pub fn with_tls(config: rustls::ServerConfig, handler: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Fake {
        Fake::start(handler, Some(Arc::new(config)))
    }

    fn start(
        handler: impl Fn(&Request) -> Reply + Send + Sync + 'static,
        tls: Option<Arc<rustls::ServerConfig>>,
    ) -> Fake {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let serving = Serving {
            handler: Arc::new(handler),
            seen: Arc::default(),
            over: Arc::default(),
            tls,
            cut_body: Arc::default(),
        };
        let there = serving.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if there.over.load(Ordering::SeqCst) {
                    break;
                }
                let there = there.clone();
                std::thread::spawn(move || there.connection(stream.unwrap()));
            }
        });
        Fake { address, serving }
    }

    /// `127.0.0.1:port`
    pub fn domain(&self) -> String {
        self.address.to_string()
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn seen(&self) -> Vec<Request> {
        self.serving.seen.lock().unwrap().clone()
    }

    /// `GET /path` of all requests but the pings.
    pub fn lines(&self) -> Vec<String> {
        let seen = self.seen();
        let told = seen.iter().filter(|request| request.path != "/v2/");
        told.map(|request| format!("{} {}", request.method, request.path)).collect()
    }

    pub fn cut_next_body_after(&self, bytes: usize) {
        *self.serving.cut_body.lock().unwrap() = Some(bytes);
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.serving.over.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
    }
}

trait Stream: Read + Write {}
impl<T: Read + Write> Stream for T {}

impl Serving {
    fn connection(&self, stream: TcpStream) {
        stream.set_nodelay(true).unwrap();
        let stream: Box<dyn Stream> = match &self.tls {
            None => Box::new(stream),
            Some(config) => {
                let session = rustls::ServerConnection::new(Arc::clone(config)).unwrap();
                Box::new(rustls::StreamOwned::new(session, stream))
            }
        };
        let mut stream = BufReader::new(stream);
        while let Some(request) = self.read(&mut stream) {
            self.seen.lock().unwrap().push(request.clone());
            if !answer(stream.get_mut(), &request, (self.handler)(&request)) {
                return;
            }
        }
    }

    fn read(&self, stream: &mut BufReader<Box<dyn Stream>>) -> Option<Request> {
        let mut line = String::new();
        stream.read_line(&mut line).ok().filter(|&count| count > 0)?;
        let mut words = line.split_whitespace();
        let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
        if !path.starts_with('/') && !path.starts_with("http://") {
            return None;
        }
        let mut headers = BTreeMap::new();
        loop {
            let mut line = String::new();
            stream.read_line(&mut line).ok()?;
            let Some((name, value)) = line.trim_end().split_once(':') else { break };
            headers.insert(name.to_lowercase(), value.trim().to_owned());
        }
        let length: usize = headers.get("content-length").and_then(|text| text.parse().ok()).unwrap_or(0);
        let mut body = Vec::new();
        let cut = if length > 0 { self.cut_body.lock().unwrap().take() } else { None };
        stream.take(cut.unwrap_or(length) as u64).read_to_end(&mut body).ok()?;
        let request = Request { method, path, headers, body };
        if cut.is_some() {
            self.seen.lock().unwrap().push(request.clone());
            (self.handler)(&request);
            return None;
        }
        Some(request)
    }
}

/// Whether the connection goes on.
fn answer(stream: &mut dyn Stream, request: &Request, reply: Reply) -> bool {
    let mut head = format!("HTTP/1.1 {} Text\r\n", reply.status);
    for (name, value) in &reply.headers {
        head += &format!("{name}: {value}\r\n");
    }
    let told = reply.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    match reply.end {
        End::Chunked => head += "transfer-encoding: chunked\r\n",
        _ if told || reply.status == 204 => {}
        _ => head += &format!("content-length: {}\r\n", reply.body.len()),
    }
    head += "\r\n";
    let mut bytes = head.into_bytes();
    let body = if request.method == "HEAD" { &[][..] } else { &reply.body };
    match reply.end {
        End::Whole => bytes.extend_from_slice(body),
        End::CutAfter(count) | End::StallAfter(count) => bytes.extend_from_slice(&body[..count]),
        End::Chunked => {
            bytes.extend_from_slice(format!("{:x}\r\n", body.len()).as_bytes());
            bytes.extend_from_slice(body);
            bytes.extend_from_slice(b"\r\n0\r\n\r\n");
        }
    }
    let written = stream.write_all(&bytes).and_then(|()| stream.flush()).is_ok();
    if let End::StallAfter(_) = reply.end {
        // The client's end of the connection ends the wait.
        let _ = stream.read(&mut [0; 1]);
        return false;
    }
    written && !matches!(reply.end, End::CutAfter(_))
}
