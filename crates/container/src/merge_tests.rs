//! Merging, by the rules of moby's `daemon/commit.go` and `daemon/create.go`.

use super::*;
use oci::image::Empty;
use serde_json::json;

fn words(list: &[&str]) -> Vec<String> {
    list.iter().map(|word| (*word).to_owned()).collect()
}

fn image() -> oci::image::Config {
    oci::image::Config {
        entrypoint: Some(words(&["/entry"])),
        cmd: Some(words(&["serve", "-v"])),
        ..Default::default()
    }
}

fn command(entrypoint: Option<&[&str]>, cmd: Option<&[&str]>) -> Result<Vec<String>, MergeError> {
    let config = Config { entrypoint: entrypoint.map(words), cmd: cmd.map(words), ..Config::default() };
    let merged = merge(config, &image())?;
    Ok(merged.entrypoint.into_iter().chain(merged.cmd).flatten().collect())
}

#[test]
fn an_entrypoint_of_the_users_resets_the_images_command() {
    assert_eq!(command(None, None).unwrap(), ["/entry", "serve", "-v"]);
    assert_eq!(command(None, Some(&["x"])).unwrap(), ["/entry", "x"]);
    assert_eq!(command(None, Some(&[])).unwrap(), ["/entry", "serve", "-v"]);
    assert_eq!(command(Some(&["sh"]), None).unwrap(), ["sh"]);
    assert_eq!(command(Some(&["sh"]), Some(&["-c", "true"])).unwrap(), ["sh", "-c", "true"]);
    assert_eq!(command(Some(&[]), None).unwrap(), ["serve", "-v"], "an empty list hides the entrypoint alone");
    assert_eq!(command(Some(&[""]), Some(&["ls"])).unwrap(), ["ls"], "what the CLI sends for --entrypoint \"\"");
}

#[test]
fn without_any_command_there_is_nothing_to_run() {
    assert_eq!(command(Some(&[""]), None), Err(MergeError::NoCommand));
    let none = merge(Config::default(), &oci::image::Config::default());
    assert_eq!(none.unwrap_err().to_string(), "no command specified");
}

#[test]
fn env_of_the_users_wins_by_key_and_a_bare_key_hides_the_images() {
    let config = Config { env: words(&["A=1", "B", "EMPTY="]), ..Config::default() };
    let image = oci::image::Config { env: words(&["A=image", "B=image", "C=image", "AB=x", "EMPTY=full"]), ..image() };
    assert_eq!(merge(config, &image).unwrap().env, ["A=1", "B", "EMPTY=", "C=image", "AB=x"]);
}

#[test]
fn what_the_user_leaves_open_comes_from_the_image() {
    let image = oci::image::Config {
        user: "www".to_owned(),
        working_dir: "/srv/../app/".to_owned(),
        stop_signal: "SIGQUIT".to_owned(),
        labels: ["a", "b", "dhow.health.on-failure"].map(|key| (key.to_owned(), "image".to_owned())).into(),
        ..image()
    };
    let merged = merge(Config::default(), &image).unwrap();
    assert_eq!((merged.user.as_str(), merged.working_dir.as_str()), ("www", "/app"));
    assert_eq!(merged.stop_signal.as_deref(), Some("SIGQUIT"));

    let config = Config {
        user: "0".to_owned(),
        working_dir: "/w".to_owned(),
        stop_signal: Some("SIGINT".to_owned()),
        labels: [("a".to_owned(), "ours".to_owned())].into(),
        ..Config::default()
    };
    let merged = merge(config, &image).unwrap();
    assert_eq!((merged.user.as_str(), merged.working_dir.as_str()), ("0", "/w"));
    assert_eq!(merged.stop_signal.as_deref(), Some("SIGINT"));
    assert_eq!(merged.labels["a"], "ours");
    assert_eq!(merged.labels["b"], "image");
    assert!(!merged.labels.contains_key("dhow.health.on-failure"));
}

#[test]
fn a_relative_working_folder_is_refused() {
    let config = Config { working_dir: "proc/self/fd/7".to_owned(), ..Config::default() };
    let text = merge(config, &image()).unwrap_err().to_string();
    assert_eq!(text, "the working directory 'proc/self/fd/7' is invalid, it needs to be an absolute path");
}

#[test]
fn exposed_ports_are_joined_and_nonsense_is_no_port() {
    let port = |port, protocol| PortProtocol { port, protocol };
    let config = Config { exposed_ports: [port(80, Protocol::Tcp)].into(), ..Config::default() };
    let texts = ["80/tcp", "53/udp", "8000-8002/tcp", "90", "x/tcp", "1/icmp", "70000/tcp", "5-4/tcp", ""];
    let exposed = texts.iter().map(|text| ((*text).to_owned(), Empty {})).collect();
    let merged = merge(config, &oci::image::Config { exposed_ports: exposed, ..image() }).unwrap();
    let expected = [
        port(53, Protocol::Udp),
        port(80, Protocol::Tcp),
        port(90, Protocol::Tcp),
        port(8000, Protocol::Tcp),
        port(8001, Protocol::Tcp),
        port(8002, Protocol::Tcp),
    ];
    assert_eq!(merged.exposed_ports, expected.into());
}

#[test]
fn volumes_of_the_image_are_anonymous_unless_something_is_mounted_there() {
    let tmpfs = MountSource::Tmpfs { size: None, mode: None, options: Vec::new() };
    let ours = MountRequest { target: "/data/".to_owned(), readonly: false, source: tmpfs };
    let config = Config { mounts: vec![ours.clone()], ..Config::default() };
    let volumes =
        ["/data", "/var/lib/db/", "logs", "/", "/.."].iter().map(|path| ((*path).to_owned(), Empty {})).collect();
    let merged = merge(config, &oci::image::Config { volumes, ..image() }).unwrap();
    let anonymous = |target: &str| MountRequest {
        target: target.to_owned(),
        readonly: false,
        source: MountSource::Volume {
            name: None,
            copy_up: true,
            subpath: None,
            labels: BTreeMap::new(),
            options: BTreeMap::new(),
        },
    };
    assert_eq!(merged.mounts, [ours, anonymous("/var/lib/db"), anonymous("/logs")]);
}

#[test]
fn fields_of_the_healthcheck_come_from_the_image_one_by_one() {
    let theirs = json!({ "Test": ["CMD", "ok"], "Interval": 5, "Retries": 3 });
    let image = oci::image::Config { healthcheck: Some(theirs.clone()), ..image() };
    assert_eq!(merge(Config::default(), &image).unwrap().healthcheck, Some(theirs));
    let config = Config { healthcheck: Some(json!({ "Test": [], "Interval": 7, "Retries": 0 })), ..Config::default() };
    let merged = merge(config, &image).unwrap().healthcheck;
    assert_eq!(merged, Some(json!({ "Test": ["CMD", "ok"], "Interval": 7, "Retries": 3 })));
}
