//! Environments, commands and working folders.

use super::*;
use crate::spec::tests::{ALL_CAPABILITIES, container, found};

fn words(list: &[&str]) -> Vec<String> {
    list.iter().map(|word| (*word).to_owned()).collect()
}

fn exec(container: &Container, exec: &ExecRequest) -> Process {
    exec_process(container, exec, &found(), ALL_CAPABILITIES).unwrap()
}

#[test]
fn env_has_dockers_defaults_then_the_containers_then_the_execs() {
    let mut container = container();
    container.config.hostname = "web".to_owned();
    container.config.env = words(&["PATH=/bin", "A=1", "A=2", "B=1", "=junk", "GONE=1"]);
    let request = ExecRequest { tty: true, env: words(&["B=exec", "GONE", "TERM"]), ..ExecRequest::default() };
    assert_eq!(exec(&container, &request).env, ["PATH=/bin", "HOSTNAME=web", "A=2", "B=exec", "HOME=/root"]);
}

#[test]
fn a_bare_key_takes_a_default_away() {
    let mut container = container();
    container.config.env = words(&["HOSTNAME", "PATH", "HOME=/h"]);
    assert_eq!(exec(&container, &ExecRequest::default()).env, ["HOME=/h"]);
}

#[test]
fn an_empty_home_is_filled_in() {
    let mut container = container();
    container.config.env = words(&["PATH", "HOSTNAME", "HOME="]);
    assert_eq!(exec(&container, &ExecRequest::default()).env, ["HOME=/root"]);
}

#[test]
fn many_keys_are_merged_in_a_moment() {
    let mut container = container();
    container.config.env = (0..50_000).map(|number| format!("K{number}=1")).collect();
    let clock = std::time::Instant::now();
    assert_eq!(exec(&container, &ExecRequest::default()).env.len(), 50_003);
    assert!(clock.elapsed() < std::time::Duration::from_secs(5));
}

#[test]
fn an_exec_starts_in_its_own_folder_or_the_containers_or_the_root() {
    let mut container = container();
    let cwd = |container: &Container, path: &str| {
        let request = ExecRequest { working_dir: path.to_owned(), ..ExecRequest::default() };
        exec_process(container, &request, &found(), 0).map(|process| process.cwd)
    };
    assert_eq!(cwd(&container, "").unwrap(), "/");
    container.config.working_dir = "/app".to_owned();
    assert_eq!(cwd(&container, "").unwrap(), "/app");
    assert_eq!(cwd(&container, "/x/../y").unwrap(), "/y");
    assert!(cwd(&container, "proc/self/fd/8").is_err());
}

#[test]
fn an_exec_keeps_the_containers_limits_and_only_a_privileged_one_gets_all_capabilities() {
    let mut container = container();
    container.config.no_new_privileges = true;
    container.config.cap_drop = words(&["ALL"]);
    container.config.ulimits = vec![crate::Ulimit { name: "core".to_owned(), soft: 0, hard: 0 }];
    let plain = exec(&container, &ExecRequest { console_size: Some((24, 80)), ..ExecRequest::default() });
    assert_eq!(plain.capabilities, Some(Capabilities::default()));
    assert!(plain.no_new_privileges);
    assert_eq!(plain.rlimits[0].kind, "RLIMIT_CORE");
    assert_eq!(plain.console_size, None, "a size is for a terminal");
    let request = ExecRequest { privileged: true, tty: true, console_size: Some((24, 80)), ..ExecRequest::default() };
    let privileged = exec(&container, &request);
    let capabilities = privileged.capabilities.unwrap();
    assert_eq!(capabilities.bounding.len(), 41);
    assert!(capabilities.inheritable.is_empty() && capabilities.ambient.is_empty());
    assert_eq!(privileged.console_size, Some(ConsoleSize { height: 24, width: 80 }));
}

#[test]
fn a_container_that_shares_the_machines_name_is_called_like_it() {
    let mut container = container();
    assert_eq!(hostname(&container), container.id.short());
    container.config.network = NetworkMode::Host;
    let machine = rustix::system::uname().nodename().to_str().unwrap().to_owned();
    assert_eq!(hostname(&container), machine);
    container.config.hostname = "own".to_owned();
    assert_eq!(hostname(&container), "own");
}
