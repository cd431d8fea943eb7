//! The client against a listener that speaks canned HTTP.

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::thread::JoinHandle;

use super::*;

/// Serves each accepted connection with the next list of answers, one per request, and returns the requests seen.
fn canned(answers: Vec<Vec<&'static str>>) -> (Client, JoinHandle<Vec<String>>, tempfile::TempDir) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("s");
    let listener = UnixListener::bind(&path).expect("a socket");
    let thread = std::thread::spawn(move || {
        let mut seen = Vec::new();
        for answers in answers {
            let (mut stream, _) = listener.accept().expect("a connection");
            for answer in answers {
                seen.push(request(&mut stream));
                stream.write_all(answer.as_bytes()).expect("written");
            }
        }
        seen
    });
    (Client::new(Endpoint::Unix(path)), thread, folder)
}

fn request(stream: &mut UnixStream) -> String {
    let mut text = Vec::new();
    let mut byte = [0u8];
    while !text.ends_with(b"\r\n\r\n") {
        assert_eq!(stream.read(&mut byte).expect("read"), 1, "{}", String::from_utf8_lossy(&text));
        text.push(byte[0]);
    }
    let head = String::from_utf8(text).expect("text");
    let length = head.lines().find_map(|l| l.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
    let mut body = vec![0u8; length.unwrap_or(0)];
    stream.read_exact(&mut body).expect("a body");
    head + &String::from_utf8_lossy(&body)
}

fn run<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(work)
}

#[test]
fn requests_share_a_connection() {
    let answer = "HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n{\"a\":1}";
    let (client, thread, _folder) = canned(vec![vec![answer, answer]]);
    run(async {
        for _ in 0..2 {
            let value: serde_json::Value = client.get("/info").await.expect("an answer");
            assert_eq!(value["a"], 1);
        }
    });
    let seen = thread.join().expect("the listener");
    assert!(seen[1].starts_with("GET /info HTTP/1.1\r\n"), "{seen:?}");
}

#[test]
fn a_refusal_carries_the_engines_words() {
    let answer = "HTTP/1.1 404 Not Found\r\nContent-Length: 27\r\n\r\n{\"message\":\"No such image\"}";
    let (client, thread, _folder) = canned(vec![vec![answer]]);
    let failure = run(client.post("/x", Payload::Json(Bytes::from_static(b"{}")))).expect_err("a refusal");
    assert_eq!((failure.status(), failure.to_string().as_str()), (Some(404), "No such image"));
    assert!(thread.join().expect("the listener")[0].ends_with("{}"));
}

#[test]
fn a_refusal_without_words_still_says_something() {
    let answer = "HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n";
    let (client, _thread, _folder) = canned(vec![vec![answer]]);
    let failure = run(client.post("/x", Payload::Empty)).expect_err("a refusal");
    assert!(failure.to_string().contains("500"), "{failure}");
}

#[test]
fn lines_are_split_wherever_the_chunks_end() {
    let answer =
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nab\r\r\n4\r\n\ncd\n\r\n2\r\nef\r\n0\r\n\r\n";
    let (client, _thread, _folder) = canned(vec![vec![answer]]);
    run(async {
        let mut answer = client.call(Method::GET, "/events", Payload::Empty).await.expect("an answer");
        for line in [Some("ab"), Some("cd"), Some("ef"), None] {
            let got = answer.line().await.expect("a line");
            assert_eq!(got.as_deref(), line.map(str::as_bytes));
        }
    });
}

#[test]
fn a_taken_over_connection_keeps_what_came_early_and_closes_by_halves() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("s");
    let listener = UnixListener::bind(&path).expect("a socket");
    let thread = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a connection");
        request(&mut stream);
        let head = "HTTP/1.1 101 UPGRADED\r\nContent-Type: application/vnd.docker.multiplexed-stream\r\n\
                    Connection: Upgrade\r\nUpgrade: tcp\r\n\r\nearly";
        stream.write_all(head.as_bytes()).expect("written");
        let mut input = String::new();
        stream.read_to_string(&mut input).expect("input up to its end");
        stream.write_all(format!("got {input}").as_bytes()).expect("written");
    });
    let client = Client::new(Endpoint::Unix(path));
    let taken = run(client.hijack("/attach", Payload::Empty)).expect("a stream");
    assert!(taken.framed);
    let mut stream = UnixStream::from(taken.socket);
    stream.write_all(b"hi").expect("written");
    stream.shutdown(std::net::Shutdown::Write).expect("half closed");
    let mut output = String::from_utf8(taken.first.to_vec()).expect("text");
    stream.read_to_string(&mut output).expect("output");
    assert_eq!(output, "earlygot hi");
    thread.join().expect("the listener");
}

#[test]
fn nobody_there_is_a_connect_error() {
    let client = Client::new(Endpoint::Unix("/nonexistent/dhow.sock".into()));
    let failure = run(client.warm()).expect_err("no engine");
    assert!(matches!(failure, Error::Connect { .. }), "{failure}");
}

#[test]
fn addresses_are_read_as_docker_reads_them() {
    let tcp = |text: &str| Endpoint::Tcp(text.parse().expect("an address"));
    for (text, endpoint) in [
        ("unix:///run/x.sock", Endpoint::Unix("/run/x.sock".into())),
        ("/run/x.sock", Endpoint::Unix("/run/x.sock".into())),
        ("tcp://127.0.0.1:99", tcp("127.0.0.1:99")),
        ("tcp://localhost:99/", tcp("127.0.0.1:99")),
        ("10.0.0.1", tcp("10.0.0.1:2375")),
        ("tcp://[::1]:5", tcp("[::1]:5")),
    ] {
        assert_eq!(text.parse::<Endpoint>().expect(text), endpoint);
    }
    for text in ["unix://", "ssh://me@there", "tcp://example.org:1", "tcp://127.0.0.1:99999"] {
        assert!(text.parse::<Endpoint>().is_err(), "{text}");
    }
}

#[test]
fn what_goes_into_a_path_is_escaped() {
    assert_eq!(encode("a/b c:ü"), "a%2Fb%20c%3A%C3%BC");
    assert_eq!(query("/x", &[("a", None), ("b", Some("1&2")), ("c", Some(""))]), "/x?b=1%262&c=");
}

#[test]
fn further_headers_go_with_a_request_and_bad_ones_do_not() {
    let answer = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    let (client, thread, _folder) = canned(vec![vec![answer]]);
    run(async {
        let headers = [("X-Registry-Auth", "e30=")];
        let answer = client.call_with(Method::POST, "/x", Payload::Empty, &headers).await.expect("an answer");
        answer.bytes().await.expect("a body");
        let bad = client.call_with(Method::POST, "/x", Payload::Empty, &[("X-Registry-Auth", "a\nb")]).await;
        assert!(matches!(bad, Err(Error::Request(_))));
    });
    assert!(thread.join().expect("the listener")[0].to_lowercase().contains("x-registry-auth: e30=\r\n"));
}

#[test]
fn an_upload_arrives_whole_and_is_counted() {
    let answer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    let (client, thread, _folder) = canned(vec![vec![answer]]);
    let content: String = ('a'..='z').cycle().take(700_001).collect();
    let (uploader, payload) = Payload::stream(Some(700_001));
    let source = std::io::Cursor::new(content.clone());
    let feeder = std::thread::spawn(move || {
        let mut sent = 0;
        uploader.feed_all(source, |bytes| sent += bytes);
        sent
    });
    let answer = run(async { client.call(Method::POST, "/x", payload).await.expect("an answer").bytes().await });
    assert_eq!(answer.expect("a body"), b"ok");
    assert_eq!(feeder.join().expect("the feeder"), 700_001);
    assert!(thread.join().expect("the listener")[0].ends_with(&content));
}

#[test]
fn a_source_that_fails_breaks_the_request() {
    struct Broken;
    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
            Err(std::io::ErrorKind::Other.into())
        }
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("s");
    let listener = UnixListener::bind(&path).expect("a socket");
    let thread = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a connection");
        // Up to where the client hangs up.
        let _ = stream.read_to_end(&mut Vec::new());
    });
    let client = Client::new(Endpoint::Unix(path));
    let (uploader, payload) = Payload::stream(Some(5));
    let feeder = std::thread::spawn(move || uploader.feed_all(Broken, |_| {}));
    let failure = run(async { client.call(Method::POST, "/x", payload).await.map(|_| ()) });
    assert!(matches!(failure, Err(Error::Broken(_))));
    feeder.join().expect("the feeder");
    thread.join().expect("the listener");
}
