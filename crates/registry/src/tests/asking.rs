//! Who asks, what is shown to whom, and what refusals are called.

use super::fake::{Fake, Request, reply};
use super::*;
use crate::Error;
use std::sync::atomic::{AtomicUsize, Ordering};

const BASIC_ANN: &str = "Basic YW5uOnMzY3JldA==";

/// A registry that wants tokens of its own `/token`.
fn with_tokens(answer: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Fake {
    let given = AtomicUsize::new(0);
    Fake::new(move |request| {
        if request.path.starts_with("/token") {
            let token = format!("t{}", given.fetch_add(1, Ordering::SeqCst));
            return reply(200).body(format!(r#"{{"token":"{token}","expires_in":300,"refresh_token":"keep-me"}}"#));
        }
        if request.header("authorization").starts_with("Bearer t") {
            return answer(request);
        }
        challenge(request)
    })
}

fn challenge(request: &Request) -> Reply {
    let host = request.header("host");
    reply(401).with("www-authenticate", format!("Bearer realm=\"http://{host}/token\",service=\"reg\""))
}

fn repository(fake: &Fake, credentials: &Credentials) -> Repository {
    client(Settings::default()).repository(&fake.domain(), "a/b", credentials, &Cancel::default())
}

#[test]
fn a_token_is_asked_for_once_for_a_scope() {
    let fake = with_tokens(|_| manifest_reply());
    let client = client(Settings::default());
    for _ in 0..3 {
        client.repository(&fake.domain(), "a/b", &ann(), &Cancel::default()).manifest("v1").unwrap();
    }
    client.repository(&fake.domain(), "a/b", &Credentials::default(), &Cancel::default()).manifest("v1").unwrap();
    let tokens: Vec<Request> = fake.seen().into_iter().filter(|seen| seen.path.starts_with("/token")).collect();
    assert_eq!(tokens.len(), 2);
    assert_eq!(tokens[0].path, "/token?account=ann&service=reg&scope=repository%3Aa%2Fb%3Apull");
    assert_eq!(tokens[0].header("authorization"), BASIC_ANN);
    assert_eq!(
        (tokens[1].path.as_str(), tokens[1].header("authorization")),
        ("/token?service=reg&scope=repository%3Aa%2Fb%3Apull", "")
    );
}

#[test]
fn many_at_once_ask_for_one_token_and_renew_it_once() {
    let fake = with_tokens(|request| match request.header("authorization") {
        "Bearer t0" => challenge(request),
        _ => manifest_reply(),
    });
    let client = client(Settings::default());
    let repository = client.repository(&fake.domain(), "a/b", &ann(), &Cancel::default());
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| repository.manifest("v1").unwrap());
        }
    });
    assert_eq!(fake.lines().iter().filter(|line| line.starts_with("GET /token")).count(), 2);
}

#[test]
fn an_exchange_that_is_sent_elsewhere_is_not_followed() {
    let other = Fake::new(|_| reply(200).body(r#"{"token":"t0"}"#));
    let elsewhere = format!("{}/token", other.url());
    let fake = Fake::new(move |request| match request.path.as_str() {
        "/token" => reply(307).with("location", &elsewhere),
        _ => challenge(request),
    });
    let identity = Credentials { identity_token: "refresh".into(), ..Credentials::default() };
    let error = repository(&fake, &identity).manifest("v1").unwrap_err().to_string();
    assert!(error.contains("the request holds a secret"), "{error}");
    assert!(other.seen().is_empty());
}

#[test]
fn a_refusal_whose_text_never_comes_is_still_told() {
    let fake = Fake::new(|request| match request.path.as_str() {
        "/v2/" => reply(200),
        _ => reply(403).body("{some").end(super::fake::End::StallAfter(2)),
    });
    let error = nobody_at(&fake).delete_manifest("v1").unwrap_err();
    assert!(matches!(&error, Error::Denied(_)), "{error}");
}

#[test]
fn a_token_that_expires_in_mid_flight_is_renewed_once() {
    let fake = with_tokens(|request| match request.header("authorization") {
        "Bearer t0" => challenge(request),
        _ => manifest_reply(),
    });
    repository(&fake, &ann()).manifest("v1").unwrap();

    let fake = with_tokens(challenge);
    let error = repository(&fake, &ann()).manifest("v1").unwrap_err();
    assert!(matches!(&error, Error::Denied(text) if text == "unauthorized: authentication required"), "{error}");
    assert_eq!(fake.lines().iter().filter(|line| line.starts_with("GET /token")).count(), 2);
}

#[test]
fn an_identity_token_is_exchanged_and_a_registry_token_is_sent_as_it_is() {
    let fake = with_tokens(|_| manifest_reply());
    let identity = Credentials { identity_token: "refresh".into(), ..Credentials::default() };
    repository(&fake, &identity).manifest("v1").unwrap();
    let exchange = fake.seen().into_iter().find(|seen| seen.path == "/token").unwrap();
    assert_eq!(exchange.method, "POST");
    let body = String::from_utf8(exchange.body).unwrap();
    assert_eq!(
        body,
        "grant_type=refresh_token&service=reg&client_id=docker&scope=repository%3Aa%2Fb%3Apull&refresh_token=refresh"
    );

    let given = Credentials { registry_token: "tgiven".into(), ..Credentials::default() };
    repository(&fake, &given).manifest("v1").unwrap();
    assert_eq!(fake.seen().last().unwrap().header("authorization"), "Bearer tgiven");
}

#[test]
fn basic_credentials_are_shown_where_basic_is_asked() {
    let fake = Fake::new(|request| match request.header("authorization") {
        BASIC_ANN => manifest_reply(),
        _ => reply(401).with("www-authenticate", "Basic realm=\"x\""),
    });
    repository(&fake, &ann()).manifest("v1").unwrap();
    let error = repository(&fake, &Credentials::default()).manifest("v1").unwrap_err().to_string();
    assert_eq!(error, format!("Get \"{}/v2/a/b/manifests/v1\": no basic auth credentials", fake.url()));
    let wrong = Credentials { password: "wrong".into(), ..ann() };
    let error = repository(&fake, &wrong).manifest("v1").unwrap_err().to_string();
    assert_eq!(error, "unauthorized: authentication required");
}

#[test]
fn authorization_stays_with_the_host_that_asked_for_it() {
    let content = bytes(1000);
    let served = content.clone();
    let other = Fake::new(move |_| reply(200).body(served.clone()));
    let target = format!("{}/elsewhere?Signature=x", other.url());
    let fake = with_tokens(move |_| reply(307).with("location", &target));
    let read = read_all(repository(&fake, &ann()).blob(&blob(&content)).unwrap()).unwrap();
    assert!(read == content);
    let there = other.seen();
    assert_eq!(there.len(), 1);
    assert!(!there[0].headers.contains_key("authorization"), "{:?}", there[0]);

    // Within one host it is kept.
    let served = content.clone();
    let fake = with_tokens(move |request| match request.path.as_str() {
        "/moved" => reply(200).body(served.clone()),
        _ => reply(302).with("location", "/moved"),
    });
    read_all(repository(&fake, &ann()).blob(&blob(&content)).unwrap()).unwrap();
    assert_eq!(fake.seen().last().unwrap().header("authorization"), "Bearer t0");
}

#[test]
fn a_redirect_in_a_circle_ends() {
    let fake = Fake::new(|request| match request.path.as_str() {
        "/v2/" => reply(200),
        path => reply(302).with("location", path),
    });
    let error = nobody_at(&fake).manifest("v1").unwrap_err().to_string();
    assert!(error.ends_with("stopped after 10 redirects"), "{error}");
}

#[test]
fn secrets_are_not_sent_to_a_token_server_of_another_protocol() {
    let fake = Fake::new(|_| reply(401).with("www-authenticate", "Bearer realm=\"file:///etc/passwd\""));
    let error = repository(&fake, &ann()).manifest("v1").unwrap_err();
    assert!(matches!(&error, Error::Denied(text) if text.contains("cannot be trusted")), "{error}");
}

#[test]
fn mirrors_never_see_credentials_and_are_asked_first() {
    let mirror = Fake::new(|request| match request.path.as_str() {
        "/v2/" => reply(401).with("www-authenticate", "Basic realm=\"x\""),
        _ => reply(401),
    });
    let fake = Fake::new(|request| match request.header("authorization") {
        BASIC_ANN => manifest_reply(),
        _ => reply(401).with("www-authenticate", "Basic realm=\"x\""),
    });
    let folder = hosts_folder("docker.io", &fake, &[&mirror]);
    let settings = Settings { hosts_folders: vec![folder.path().into()], ..Settings::default() };
    client(settings).repository("docker.io", "library/x", &ann(), &Cancel::default()).manifest("v1").unwrap();
    assert!(!mirror.seen().is_empty());
    assert!(mirror.seen().iter().all(|seen| !seen.headers.contains_key("authorization")));
}

/// A hosts file that leads a registry to fakes.
pub fn hosts_folder(domain: &str, server: &Fake, mirrors: &[&Fake]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let mut text = format!("server = \"{}\"\n", server.url());
    for mirror in mirrors {
        text += &format!("[host.\"{}\"]\n", mirror.url());
    }
    std::fs::create_dir(folder.path().join(domain)).unwrap();
    std::fs::write(folder.path().join(domain).join("hosts.toml"), text).unwrap();
    folder
}

#[test]
fn refusals_are_called_as_docker_calls_them() {
    let unknown = r#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown","detail":{}}]}"#;
    let denied = r#"{"errors":[{"code":"DENIED","message":"requested access to the resource is denied"}]}"#;
    let answer = move |request: &Request| match request.path.as_str() {
        "/v2/" => reply(200),
        path if path.ends_with("unknown") => reply(404).body(unknown),
        path if path.ends_with("denied") => reply(403).body(denied),
        path if path.ends_with("scope") => {
            reply(401).with("www-authenticate", "Bearer realm=\"x\",error=\"insufficient_scope\"")
        }
        _ => reply(502),
    };
    let fake = Fake::new(answer);
    let folder = hosts_folder("docker.io", &fake, &[]);
    let settings = Settings { hosts_folders: vec![folder.path().into()], ..Settings::default() };
    let client = client(settings);
    let hub = client.repository("docker.io", "library/x", &Credentials::default(), &Cancel::default());
    let local = client.repository(&fake.domain(), "x", &Credentials::default(), &Cancel::default());
    let error = |repository: &Repository, tag: &str| repository.manifest(tag).unwrap_err().to_string();
    assert_eq!(error(&hub, "unknown"), "manifest for x:unknown not found: manifest unknown: manifest unknown");
    assert_eq!(
        error(&local, "unknown"),
        format!("manifest for {}/x:unknown not found: manifest unknown: manifest unknown", fake.domain())
    );
    let gone = "pull access denied for x, repository does not exist or may require 'docker login': \
                denied: requested access to the resource is denied";
    assert_eq!(error(&hub, "denied"), gone);
    assert_eq!(error(&hub, "other"), "received unexpected HTTP status: 502 Bad Gateway");
    assert!(local.find_manifest("unknown").unwrap().is_none());
}

#[test]
fn a_registry_that_is_not_there_is_told_in_gos_words() {
    let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let domain = format!("localhost:{}", address.port());
    let repository = client(Settings::default()).repository(&domain, "x", &Credentials::default(), &Cancel::default());
    let error = repository.manifest("v1").unwrap_err();
    let expected = format!("Get \"http://{domain}/v2/\": dial tcp {address}: connect: connection refused");
    assert!(matches!(&error, Error::Unavailable(text) if *text == expected), "{error}");
}

#[test]
fn a_login_tells_whether_the_registry_knows_somebody() {
    let fake = with_tokens(|_| reply(200));
    let credentials = Credentials { server_address: fake.domain(), ..ann() };
    let login = client(Settings::default()).login(&credentials, &Cancel::default()).unwrap();
    assert_eq!((login.status.as_str(), login.identity_token.as_str()), ("Login Succeeded", "keep-me"));
    assert_eq!(fake.lines()[0], "GET /token?account=ann&service=reg&client_id=docker&offline_token=true");

    let fake = Fake::new(|request| match request.header("authorization") {
        BASIC_ANN => reply(200),
        _ => reply(401).with("www-authenticate", "Basic realm=\"x\""),
    });
    let credentials = Credentials { server_address: format!("http://{}/v1/", fake.domain()), ..ann() };
    assert!(client(Settings::default()).login(&credentials, &Cancel::default()).unwrap().identity_token.is_empty());
    let wrong = Credentials { password: "wrong".into(), ..credentials };
    let error = client(Settings::default()).login(&wrong, &Cancel::default()).unwrap_err();
    let expected = format!("login attempt to {}/v2/ failed with status: 401 Unauthorized", fake.url());
    assert!(matches!(&error, Error::Denied(text) if *text == expected), "{error}");

    let fake = Fake::new(|request| match request.path.starts_with("/token") {
        true => reply(401).body(r#"{"details":"incorrect username or password"}"#),
        false => challenge(request),
    });
    let credentials = Credentials { server_address: fake.domain(), ..ann() };
    let error = client(Settings::default()).login(&credentials, &Cancel::default()).unwrap_err().to_string();
    assert_eq!(error, format!("Get \"{}/v2/\": unauthorized: incorrect username or password", fake.url()));
}

#[test]
fn a_search_asks_docker_hub_or_the_registry_of_the_term() {
    let answer = |request: &Request| match request.path.split('?').next() {
        Some("/v1/search") => reply(200)
            .body(r#"{"results":[{"name":"x","description":null,"star_count":7,"is_official":true},{"name":"y"}]}"#),
        Some("/v2/") => reply(200),
        _ => reply(404),
    };
    let fake = Fake::new(answer);
    let folder = hosts_folder("index.docker.io", &fake, &[]);
    let settings = Settings { hosts_folders: vec![folder.path().into()], ..Settings::default() };
    let hits = client(settings).search("library/x", 1, &ann(), &Cancel::default()).unwrap();
    assert_eq!(hits.len(), 1);
    assert_eq!((hits[0].name.as_str(), hits[0].stars, hits[0].official), ("x", 7, true));
    let seen = fake.seen().pop().unwrap();
    assert_eq!((seen.path.as_str(), seen.header("authorization")), ("/v1/search?q=x&n=1", BASIC_ANN));

    let term = format!("{}/tool", fake.domain());
    client(Settings::default()).search(&term, 0, &Credentials::default(), &Cancel::default()).unwrap();
    assert_eq!(fake.seen().pop().unwrap().path, "/v1/search?q=tool&n=25");
}
