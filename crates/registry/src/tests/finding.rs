//! Manifests, lists, mirrors, TLS.

use super::asking::hosts_folder;
use super::fake::{Fake, Request, reply};
use super::*;
use crate::Error;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use std::sync::Arc;

#[test]
fn a_manifest_is_verified_against_its_digest_and_its_header() {
    let fake = Fake::new(|request| match request.path.as_str() {
        "/v2/" => reply(200),
        "/v2/a/b/manifests/lied" => manifest_reply().with("docker-content-digest", digest(b"other")),
        _ => manifest_reply(),
    });
    let repository = nobody_at(&fake);
    let document = repository.manifest("v1").unwrap();
    assert_eq!((document.bytes.as_slice(), document.digest), (MANIFEST.as_bytes(), digest(MANIFEST.as_bytes())));
    repository.manifest(&document.digest.to_string()).unwrap();
    for reference in [digest(b"other").to_string(), "lied".to_owned()] {
        let error = repository.manifest(&reference).unwrap_err().to_string();
        assert!(error.starts_with("manifest verification failed for "), "{error}");
    }
    assert!(fake.seen().last().unwrap().header("accept").contains(media::DOCKER_LIST));
}

#[test]
fn a_manifest_has_at_most_8_mib() {
    let fake = Fake::new(|request| match request.path.as_str() {
        "/v2/" => reply(200),
        _ => reply(200).with("content-type", media::MANIFEST).body(vec![b' '; (8 << 20) + 1]),
    });
    let error = nobody_at(&fake).manifest("v1").unwrap_err();
    assert!(matches!(&error, Error::Invalid(text) if text.contains("larger than 8388608 bytes")), "{error}");
}

#[test]
fn finding_a_manifest_takes_its_head_or_its_bytes() {
    let fake = Fake::new(|request| match (request.method.as_str(), request.path.as_str()) {
        ("HEAD", "/v2/a/b/manifests/head") => {
            manifest_reply().with("docker-content-digest", digest(MANIFEST.as_bytes()))
        }
        ("HEAD", "/v2/a/b/manifests/gone") => reply(404),
        _ => manifest_reply(),
    });
    let repository = nobody_at(&fake);
    for tag in ["head", "body"] {
        let found = repository.find_manifest(tag).unwrap().unwrap();
        assert_eq!(found.digest, digest(MANIFEST.as_bytes()));
        assert_eq!((found.size, found.media_type.as_str()), (MANIFEST.len() as u64, media::MANIFEST));
    }
    assert!(repository.find_manifest("gone").unwrap().is_none());
}

#[test]
fn names_that_could_leave_the_repository_are_refused() {
    let fake = Fake::new(|_| manifest_reply());
    for reference in ["../x", "a/b", "", "a?b", "a#b", ".."] {
        assert!(nobody_at(&fake).manifest(reference).is_err(), "{reference}");
    }
    let client = client(Settings::default());
    for path in ["../x", "a//b", "A", "a?b", "", "a/../b"] {
        let repository = client.repository(&fake.domain(), path, &Credentials::default(), &Cancel::default());
        assert!(repository.manifest("v1").is_err(), "{path}");
    }
    assert!(fake.seen().is_empty());
}

#[test]
fn a_mirror_that_fails_in_any_way_is_passed_over() {
    let answers: [fn(&Request) -> Reply; 5] = [
        |_| reply(500),
        |_| reply(404),
        |_| reply(401).with("www-authenticate", "Bearer realm=\"file:///x\""),
        |_| manifest_reply().with("docker-content-digest", digest(b"other")),
        |_| reply(200).body("<html>"),
    ];
    let mirrors: Vec<Fake> = answers.into_iter().map(Fake::new).collect();
    let good = Fake::new(|_| manifest_reply());
    let fake = Fake::new(|_| reply(500));
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let folder = hosts_folder("docker.io", &fake, &mirrors.iter().chain([&good]).collect::<Vec<_>>());
    let settings = Settings { hosts_folders: vec![folder.path().into()], ..Settings::default() };
    let get = |settings: Settings| {
        client(settings)
            .repository("docker.io", "library/x", &Credentials::default(), &Cancel::default())
            .manifest("v1")
    };
    get(settings).unwrap();
    assert!(mirrors.iter().all(|mirror| !mirror.seen().is_empty()));
    assert_eq!(good.lines(), ["GET /v2/library/x/manifests/v1?ns=docker.io"]);
    assert!(fake.seen().is_empty());

    // The settings' mirrors are asked without a namespace, and in the end Docker Hub itself.
    let folder = hosts_folder("docker.io", &good, &[]);
    let hosts_folders = vec![folder.path().into()];
    get(Settings { mirrors: vec![mirrors[0].url(), format!("http://{gone}")], hosts_folders, ..Settings::default() })
        .unwrap();
    assert_eq!(mirrors[0].lines().last().unwrap(), "GET /v2/library/x/manifests/v1");
    assert_eq!(good.lines().last().unwrap(), "GET /v2/library/x/manifests/v1");
}

#[test]
fn a_blob_whose_mirror_breaks_comes_from_the_registry() {
    use super::fake::End;
    let content = bytes(100_000);
    let (there, here) = (content.clone(), content.clone());
    let mirror = Fake::new(move |request| match request.header("range") {
        "" => reply(200).body(there.clone()).end(End::CutAfter(40_000)),
        _ => reply(404),
    });
    let fake = Fake::new(move |_| reply(200).body(here.clone()));
    let folder = hosts_folder("docker.io", &fake, &[&mirror]);
    let settings = Settings { hosts_folders: vec![folder.path().into()], ..Settings::default() };
    let repository = client(settings).repository("docker.io", "a/b", &Credentials::default(), &Cancel::default());
    assert!(read_all(repository.blob(&blob(&content)).unwrap()).unwrap() == content);
    assert_eq!(fake.seen().last().unwrap().header("range"), "bytes=40000-");
}

#[test]
fn tags_are_read_page_by_page_until_a_bound() {
    let fake = Fake::new(|request| match request.path.as_str() {
        "/v2/a/b/tags/list?n=1000" => reply(200)
            .with("link", "</v2/a/b/tags/list?last=t2&n=1000>; rel=\"next\"")
            .body(r#"{"name":"a/b","tags":["t1","t2"]}"#),
        "/v2/a/b/tags/list?last=t2&n=1000" => reply(200).body(r#"{"tags":["t3"]}"#),
        "/v2/" => reply(200),
        path if path.starts_with("/v2/endless/") => {
            let page: usize = path.rsplit('=').next().unwrap().parse().unwrap();
            reply(200).with("link", format!("<?n={}>; rel=\"next\"", page + 1)).body(r#"{"tags":null}"#)
        }
        _ => {
            reply(404).body(r#"{"errors":[{"code":"NAME_UNKNOWN","message":"repository name not known to registry"}]}"#)
        }
    });
    assert_eq!(nobody_at(&fake).tags().unwrap(), ["t1", "t2", "t3"]);
    let other = |path: &str| client(Settings::default()).repository(&fake.domain(), path, &ann(), &Cancel::default());
    let error = other("endless").tags().unwrap_err().to_string();
    assert!(error.ends_with("lists more than 1000 pages"), "{error}");
    let error = other("x").tags().unwrap_err().to_string();
    assert_eq!(
        error,
        format!("repository {}/x not found: name unknown: repository name not known to registry", fake.domain())
    );
}

#[test]
fn referrers_come_from_the_api_or_from_the_tag_and_are_filtered() {
    let entry = |name: &str, kind: &str| serde_json::json!({"mediaType": media::MANIFEST, "digest": digest(name.as_bytes()), "size": 1, "artifactType": kind});
    let index =
        serde_json::json!({"schemaVersion": 2, "manifests": [entry("x", "sig"), entry("y", "sbom")]}).to_string();
    let subject = digest(b"subject");
    let by_tag = format!("/v2/old/manifests/sha256-{}", subject.hex());
    let fake = Fake::new(move |request| match request.path.split('?').next().unwrap_or_default() {
        path if path.starts_with("/v2/a/b/referrers/") || path == by_tag => {
            reply(200).with("content-type", media::INDEX).body(index.clone())
        }
        "/v2/" => reply(200),
        _ => reply(404),
    });
    let client = client(Settings::default());
    for path in ["a/b", "old"] {
        let repository = client.repository(&fake.domain(), path, &Credentials::default(), &Cancel::default());
        assert_eq!(repository.referrers(&subject, None).unwrap().manifests.len(), 2);
        let found = repository.referrers(&subject, Some("sbom")).unwrap();
        assert_eq!(found.manifests.iter().map(|found| found.digest).collect::<Vec<_>>(), [digest(b"y")]);
    }
    let repository = client.repository(&fake.domain(), "none", &Credentials::default(), &Cancel::default());
    assert!(repository.referrers(&subject, None).unwrap().manifests.is_empty());
}

const CERTIFICATE: &[u8] = include_bytes!("registry.example.pem");
const KEY: &[u8] = include_bytes!("registry.example.key");

/// For `registry.example` and 192.0.2.1, signed by itself.
fn tls(fake: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Fake {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let chain = vec![CertificateDer::from_pem_slice(CERTIFICATE).unwrap()];
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, PrivateKeyDer::from_pem_slice(KEY).unwrap())
        .unwrap();
    Fake::with_tls(config, fake)
}

#[test]
fn a_loopback_registry_may_show_any_certificate() {
    let fake = tls(|_| manifest_reply());
    nobody_at(&fake).manifest("v1").unwrap();
}

/// As for a registry that is not insecure, which loopback always is.
fn transport_error(domain: &str, roots: Vec<Vec<u8>>) -> Result<(), Error> {
    use crate::tls::{Tls, Verify};
    let setup = crate::setup::Setup::new(Settings::default(), impatient());
    let tls = Tls { verify: Verify::Chain, roots, identity: None };
    let url = reqwest::Url::parse(&format!("https://{domain}/v2/")).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let request = reqwest::Request::new(http::Method::GET, url);
    runtime.block_on(setup.transport.execute(&tls, request)).map(drop).map_err(Error::from)
}

#[test]
fn a_secure_registry_must_show_a_known_certificate_for_its_name() {
    let fake = tls(|_| reply(200));
    let error = transport_error(&fake.domain(), Vec::new()).unwrap_err().to_string();
    let unknown = "tls: failed to verify certificate: x509: certificate signed by unknown authority";
    assert_eq!(error, format!("Get \"https://{}/v2/\": {unknown}", fake.domain()));
    let error = transport_error(&fake.domain(), vec![CERTIFICATE.to_vec()]).unwrap_err().to_string();
    assert!(error.ends_with("x509: certificate is not valid for 127.0.0.1"), "{error}");
}

#[test]
fn a_secure_registry_that_speaks_http_is_told_as_docker_tells_it() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let plain = std::thread::spawn(move || {
        use std::io::Write;
        let (mut stream, _) = listener.accept().unwrap();
        let _ = stream.read(&mut [0; 16]);
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n").unwrap();
        let _ = stream.read(&mut [0; 4096]);
    });
    let error = transport_error(&address.to_string(), Vec::new()).unwrap_err().to_string();
    assert_eq!(error, format!("Get \"https://{address}/v2/\": http: server gave HTTP response to HTTPS client"));
    plain.join().unwrap();
}

#[test]
fn a_redirect_to_plain_http_is_followed_only_for_content_with_a_known_digest() {
    let content = bytes(1000);
    let served = content.clone();
    let plain = Fake::new(move |_| reply(200).body(served.clone()));
    let target = format!("{}/x", plain.url());
    let fake = tls(move |request| match request.header("authorization") {
        "" => reply(401).with("www-authenticate", "Basic realm=\"x\""),
        _ => reply(307).with("location", &target),
    });
    let repository = client(Settings::default()).repository(&fake.domain(), "a/b", &ann(), &Cancel::default());
    let error = repository.manifest("v1").unwrap_err().to_string();
    assert!(error.ends_with("a redirect from https to http is not followed"), "{error}");
    assert!(plain.seen().is_empty());
    assert!(read_all(repository.blob(&blob(&content)).unwrap()).unwrap() == content);
    assert!(plain.seen().iter().all(|seen| !seen.headers.contains_key("authorization")));
}

#[test]
fn a_token_server_in_the_clear_is_refused_by_a_registry_with_tls() {
    let thief = Fake::new(|_| reply(200).body(r#"{"token":"t"}"#));
    let realm = format!("Bearer realm=\"{}/token\"", thief.url());
    let fake = tls(move |_| reply(401).with("www-authenticate", &realm));
    let repository = client(Settings::default()).repository(&fake.domain(), "a/b", &ann(), &Cancel::default());
    let error = repository.manifest("v1").unwrap_err().to_string();
    assert!(error.contains("secrets would cross the network in the clear"), "{error}");
    assert!(thief.seen().is_empty());
}

#[test]
fn a_proxy_is_asked_for_all_but_loopback() {
    let proxy = Fake::new(|_| manifest_reply());
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("reg.example")).unwrap();
    std::fs::write(folder.path().join("reg.example/hosts.toml"), "server = \"http://reg.example\"").unwrap();
    let settings = Settings {
        http_proxy: Some(proxy.url()),
        https_proxy: Some(proxy.url()),
        hosts_folders: vec![folder.path().into()],
        ..Settings::default()
    };
    let client = client(settings);
    let at = |domain: &str| client.repository(domain, "x", &Credentials::default(), &Cancel::default());
    at("reg.example").manifest("v1").unwrap();
    assert_eq!(proxy.seen().last().unwrap().path, "http://reg.example/v2/x/manifests/v1");
    let local = Fake::new(|_| manifest_reply());
    at(&local.domain()).manifest("v1").unwrap();
    assert_eq!(local.lines(), ["GET /v2/x/manifests/v1"]);
}

#[test]
fn a_mirror_that_is_not_there_is_not_waited_for_by_each_request() {
    let fake = Fake::new(|_| manifest_reply());
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let folder = hosts_folder("docker.io", &fake, &[]);
    let hosts_folders = vec![folder.path().into()];
    let settings = Settings { mirrors: vec![format!("http://{gone}")], hosts_folders, ..Settings::default() };
    let client = client(settings);
    let get =
        || client.repository("docker.io", "x/y", &Credentials::default(), &Cancel::default()).manifest("v1").unwrap();
    get();
    // Were the mirror asked again, this one would get the request.
    let Ok(late) = std::net::TcpListener::bind(gone) else { return };
    late.set_nonblocking(true).unwrap();
    get();
    assert!(late.accept().is_err());
}
