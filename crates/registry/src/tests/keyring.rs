//! The keyring's file as docker writes it.

use super::*;
use std::fs;
use std::os::unix::fs::PermissionsExt;

fn ann(server: &str) -> Credentials {
    Credentials {
        username: "ann".into(),
        password: "s3:cret".into(),
        server_address: server.into(),
        ..Credentials::default()
    }
}

#[test]
fn what_is_stored_is_got_back_and_other_keys_stay() {
    let folder = tempfile::tempdir().unwrap();
    let keyring = Keyring::open(Some(folder.path())).unwrap();
    let path = folder.path().join("config.json");
    fs::write(&path, r#"{"psFormat":"x","auths":{"other.example":{"auth":"YTpi","x":1}}}"#).unwrap();
    assert_eq!(keyring.store(&ann("localhost:5000")).unwrap(), Stored::File(path.clone()));
    assert_eq!(keyring.get("localhost:5000").unwrap(), ann("localhost:5000"));
    let content: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    assert_eq!(content["psFormat"], "x");
    assert_eq!(content["auths"]["other.example"]["x"], 1);
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);

    keyring.erase("localhost:5000").unwrap();
    keyring.erase("localhost:5000").unwrap();
    assert_eq!(keyring.get("localhost:5000").unwrap(), Credentials::default());
    assert_eq!(keyring.all().unwrap().into_keys().collect::<Vec<_>>(), ["other.example"]);
}

#[test]
fn docker_hub_has_its_long_address_and_old_entries_are_found_by_host() {
    let folder = tempfile::tempdir().unwrap();
    let keyring = Keyring::open(Some(folder.path())).unwrap();
    keyring.store(&ann("")).unwrap();
    let content = fs::read_to_string(folder.path().join("config.json")).unwrap();
    assert!(content.contains("\"https://index.docker.io/v1/\""), "{content}");
    for domain in ["docker.io", "index.docker.io", "https://index.docker.io/v1/"] {
        assert_eq!(keyring.get(domain).unwrap().username, "ann", "{domain}");
    }
    fs::write(folder.path().join("config.json"), r#"{"auths":{"https://old.example/v1/":{"auth":"YTpi"}}}"#).unwrap();
    assert_eq!(keyring.get("old.example").unwrap().password, "b");
}

#[test]
fn an_identity_token_is_kept_instead_of_the_password() {
    let folder = tempfile::tempdir().unwrap();
    let keyring = Keyring::open(Some(folder.path())).unwrap();
    keyring.store(&Credentials { identity_token: "refresh".into(), ..ann("reg.example") }).unwrap();
    let got = keyring.get("reg.example").unwrap();
    assert_eq!((got.username.as_str(), got.password.as_str(), got.identity_token.as_str()), ("ann", "", "refresh"));
}

#[test]
fn a_file_that_is_a_link_stays_one() {
    let folder = tempfile::tempdir().unwrap();
    let (real, link) = (folder.path().join("real.json"), folder.path().join("config.json"));
    fs::write(&real, "{}").unwrap();
    std::os::unix::fs::symlink("real.json", &link).unwrap();
    Keyring::open(Some(folder.path())).unwrap().store(&ann("reg.example")).unwrap();
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert!(fs::read_to_string(&real).unwrap().contains("reg.example"));
}

#[test]
fn a_broken_file_is_an_error_and_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config.json");
    fs::write(&path, "{\"auths\": s3cret").unwrap();
    let keyring = Keyring::open(Some(folder.path())).unwrap();
    let error = keyring.store(&ann("reg.example")).unwrap_err().to_string();
    assert!(error.contains("line 1") && !error.contains("s3cret"), "{error}");
    assert_eq!(fs::read_to_string(&path).unwrap(), "{\"auths\": s3cret");
}

#[test]
fn a_missing_helper_is_named() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("config.json"), r#"{"credsStore":"there-is-no-such-helper"}"#).unwrap();
    let error = Keyring::open(Some(folder.path())).unwrap().get("reg.example").unwrap_err();
    assert_eq!(error.to_string(), "cannot run the credential helper docker-credential-there-is-no-such-helper");
    fs::write(folder.path().join("config.json"), r#"{"credHelpers":{"reg.example":"../../bin/evil"}}"#).unwrap();
    let error = Keyring::open(Some(folder.path())).unwrap().get("reg.example").unwrap_err();
    assert!(error.to_string().contains("slash"), "{error}");
}

/// A helper that keeps one secret in a file beside itself.
const HELPER: &str = r#"#!/bin/sh
here=$(dirname "$0")
case $1 in
store) cat > "$here/kept" ;;
get) read -r key; [ -f "$here/kept" ] && grep -q "\"$key\"" "$here/kept" && cat "$here/kept" && exit 0
     echo 'credentials not found in native keychain'; exit 1 ;;
erase) rm -f "$here/kept" ;;
list) [ -f "$here/kept" ] && echo '{"reg.example":"ann"}' || echo '{}' ;;
esac
"#;

#[test]
fn a_helper_keeps_what_the_file_does_not() {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("docker-credential-kept");
    fs::write(&program, HELPER).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    fs::write(folder.path().join("config.json"), r#"{"credsStore":"kept"}"#).unwrap();
    let search = format!("{}:/usr/bin:/bin", folder.path().display());
    let keyring = Keyring { search: Some(search.into()), ..Keyring::open(Some(folder.path())).unwrap() };
    assert_eq!(keyring.get("reg.example").unwrap(), Credentials::default());
    assert_eq!(keyring.store(&ann("reg.example")).unwrap(), Stored::Helper("kept".into()));
    assert_eq!(keyring.get("reg.example").unwrap(), ann("reg.example"));
    assert_eq!(keyring.all().unwrap()["reg.example"], ann("reg.example"));
    let config = fs::read_to_string(folder.path().join("config.json")).unwrap();
    assert!(config.contains("reg.example") && !config.contains("auth\""), "{config}");

    let token = Credentials { identity_token: "refresh".into(), ..ann("reg.example") };
    keyring.store(&token).unwrap();
    assert_eq!(keyring.get("reg.example").unwrap().identity_token, "refresh");
    keyring.erase("reg.example").unwrap();
    assert_eq!(keyring.get("reg.example").unwrap(), Credentials::default());
}
