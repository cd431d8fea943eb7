//! Content of any address.

use super::fake::{End, Fake, reply};
use super::*;
use crate::Error;

fn fetch(url: &str) -> Result<Box<dyn Read + Send>, Error> {
    client(Settings::default()).fetch(url, &Cancel::default())
}

fn told(error: std::io::Error) -> String {
    error.get_ref().unwrap().downcast_ref::<Error>().unwrap().to_string()
}

#[test]
fn what_is_behind_an_address_is_read_to_its_end() {
    for end in [End::Whole, End::Chunked] {
        let content = bytes(1 << 20);
        let served = content.clone();
        let fake = Fake::new(move |request| match request.path.as_str() {
            "/moved?a=b" => reply(200).body(served.clone()).end(end),
            _ => reply(301).with("location", "/moved?a=b"),
        });
        let read = read_all(fetch(&format!("{}/image.tar", fake.url())).unwrap()).unwrap();
        assert!(read == content);
    }
}

#[test]
fn content_that_breaks_off_never_looks_whole() {
    for end in [End::CutAfter(500), End::StallAfter(500)] {
        let fake = Fake::new(move |_| reply(200).body(bytes(1000)).end(end));
        let error = read_all(fetch(&format!("{}/x?secret=s3cret", fake.url())).unwrap()).unwrap_err();
        let text = told(error);
        assert!(text.starts_with(&format!("cannot read {}/x: ", fake.url())), "{text}");
    }
}

#[test]
fn addresses_that_are_no_web_pages_are_refused() {
    for url in ["", "x", "file:///etc/passwd", "ftp://a/b", "unix:///s", "http://", "data:text/plain,x"] {
        assert!(matches!(fetch(url).map(drop), Err(Error::Invalid(_))), "{url}");
    }
    let fake = Fake::new(|_| reply(302).with("location", "file:///etc/passwd"));
    assert!(fetch(&fake.url()).is_err());
    let fake = Fake::new(|_| reply(404));
    let error = fetch(&fake.url()).map(drop).unwrap_err();
    assert!(matches!(&error, Error::NotFound(text) if text == "Got HTTP status code >= 400: 404 Not Found"), "{error}");
}

#[test]
fn a_user_of_the_address_is_told_to_its_host_only() {
    let other = Fake::new(|_| reply(200).body("content"));
    let elsewhere = other.url();
    let fake = Fake::new(move |_| reply(302).with("location", &elsewhere));
    let url = format!("http://ann:s%33cret@{}/x", fake.domain());
    assert_eq!(read_all(fetch(&url).unwrap()).unwrap(), b"content");
    assert_eq!(fake.seen()[0].header("authorization"), "Basic YW5uOnMzY3JldA==");
    assert_eq!(other.seen()[0].header("authorization"), "");
}

#[test]
fn a_blocked_fetch_ends_when_it_is_cancelled() {
    let fake = Fake::new(|_| reply(200).body(bytes(1000)).end(End::StallAfter(500)));
    let patience = Patience { stall: Duration::from_secs(600), ..impatient() };
    let (client, cancel) = (Client::with_patience(Settings::default(), patience), Cancel::default());
    let mut reader = client.fetch(&fake.url(), &cancel).unwrap();
    reader.read_exact(&mut [0; 500]).unwrap();
    let blocked = std::thread::spawn(move || reader.read(&mut [0; 10]));
    cancel.cancel();
    assert_eq!(told(blocked.join().unwrap().unwrap_err()), "the transfer was cancelled");
}
