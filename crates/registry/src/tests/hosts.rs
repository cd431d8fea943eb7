//! Endpoints as settings and folders name them.

use super::*;
use std::fs;

fn endpoints(settings: &Settings, domain: &str) -> Result<Vec<Endpoint>, Error> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let names = Names::default();
    runtime.block_on(Finder { settings, names: &names }.endpoints(domain))
}

fn bases(settings: &Settings, domain: &str) -> Vec<String> {
    endpoints(settings, domain).unwrap().iter().map(|endpoint| endpoint.base.to_string()).collect()
}

#[test]
fn docker_hub_has_its_mirrors_first() {
    let settings = Settings {
        mirrors: vec!["https://m1.example".into(), "https://m2.example:8443/cache/".into()],
        ..Settings::default()
    };
    assert_eq!(
        bases(&settings, "docker.io"),
        ["https://m1.example/v2/", "https://m2.example:8443/cache/v2/", "https://registry-1.docker.io/v2/"]
    );
    assert_eq!(bases(&settings, "ghcr.io"), ["https://ghcr.io/v2/"]);
}

#[test]
fn the_first_folder_that_has_a_registry_wins_and_default_comes_last() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let write = |root: &tempfile::TempDir, name: &str, text: &str| {
        fs::create_dir(root.path().join(name)).unwrap();
        fs::write(root.path().join(name).join("hosts.toml"), text).unwrap();
    };
    write(&one, "_default", "[host.\"https://default.example\"]");
    write(&two, "reg.example_5000_", "[host.\"https://two.example\"]\ncapabilities=[\"pull\"]");
    let settings = Settings { hosts_folders: vec![one.path().into(), two.path().into()], ..Settings::default() };
    assert_eq!(bases(&settings, "reg.example:5000"), ["https://two.example/v2/", "https://reg.example:5000/v2/"]);
    assert_eq!(bases(&settings, "other.example"), ["https://default.example/v2/", "https://other.example/v2/"]);

    let found = endpoints(&settings, "reg.example:5000").unwrap();
    assert_eq!(found[0].namespace.as_deref(), Some("reg.example:5000"));
    assert!(found[0].can(Capability::Pull) && !found[0].can(Capability::Resolve) && !found[0].can(Capability::Push));
    assert!(found[1].namespace.is_none() && found[1].can(Capability::Push));
}

#[test]
fn only_insecure_registries_may_fall_back_to_http() {
    let settings = Settings { insecure: vec!["10.0.0.0/8".into()], ..Settings::default() };
    for (domain, fallback) in
        [("localhost:5000", Fallback::Http), ("10.2.3.4", Fallback::Http), ("192.0.2.1:5000", Fallback::Never)]
    {
        let found = endpoints(&settings, domain).unwrap();
        assert_eq!(found[0].fallback, fallback, "{domain}");
        assert_eq!(found[0].tls.verify == Verify::Nothing, fallback == Fallback::Http);
    }
}

#[test]
fn domains_that_could_leave_a_folder_and_addresses_with_secrets_are_refused() {
    for domain in ["..", "a/b", "", "user@host", ".hidden", "a?b", "a#b", "host:99999"] {
        assert!(endpoints(&Settings::default(), domain).is_err(), "{domain}");
    }
    let settings = Settings { mirrors: vec!["https://ann:s3cret@m.example".into()], ..Settings::default() };
    let error = endpoints(&settings, "docker.io").err().unwrap().to_string();
    assert!(error.contains("m.example") && !error.contains("s3cret"), "{error}");
}
